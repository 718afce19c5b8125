"""Learners with a kernel: those that run a candidate, and others like them.

They have a panel of their own, `mesascope.calibration.panel.kernels`, so that the others stay as they were scored.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms import (
    RBF,
    ConjugateGradient,
    GradientDescent,
    Linear,
    NadarayaWatson,
    PreconditionedRichardson,
)
from mesascope.algorithms.kernels import Exponential, Kernel
from mesascope.calibration.cases.outside import kernel_descent
from mesascope.calibration.coefficients import member, numbers
from mesascope.calibration.drawing import Draw
from mesascope.calibration.planted import UNDESCRIBED, Case
from mesascope.models.constructions import gradient_descent, preconditioned_richardson
from mesascope.models.scripted import Scripted, followed
from mesascope.types import Prompts, Subject

NAME = PreconditionedRichardson.name


def _bandwidth(draw: Draw) -> float:
    """A bandwidth that sees several examples, and not all alike: distances are about √(2cd)."""
    return (draw.scale * draw.task.dim) ** 0.5 * draw.number("bandwidth over √(cd)", 0.8, 2.0)


def _network(draw: Draw, step_size: float = 1.0) -> Subject:
    ridge = draw.number("ridge", 0.01, 1.0)
    bandwidth = _bandwidth(draw)
    return preconditioned_richardson(
        steps=draw.steps(least=3, most=10), bandwidth=bandwidth, ridge=ridge, step_size=step_size
    )


def _richardson(draw: Draw, kernel: Kernel, ridge: float, stride: int = 1) -> Subject:
    layers = draw.steps(least=3, most=10)
    steps = range(stride, stride * layers + 1, stride)
    return followed(NAME, PreconditionedRichardson(kernel=kernel, ridge=ridge), steps)


def _unpreconditioned(draw: Draw) -> Subject:
    """Gradient descent in the space of functions of a Gaussian kernel: f ← f + (η/n) Σᵢ k(·, xᵢ) (yᵢ − f(xᵢ)).

    Under a wide kernel all row sums are alike. Preconditioning by them is then one number for all examples, and Richardson's
    iteration is this one, for some step sizes.
    """
    layers, rate, kernel = draw.steps(), draw.number("rate", 0.3, 1.5), RBF(bandwidth=_bandwidth(draw))

    def script(prompts: Prompts) -> Float[Tensor, "layer batch query"]:
        among, asked = (kernel(points, prompts.xs) / prompts.examples for points in (prompts.xs, prompts.queries))
        alpha, rows = torch.zeros_like(prompts.ys), []
        for _ in range(layers):
            alpha = alpha + rate * (prompts.ys - (among @ alpha[..., None])[..., 0])
            rows.append((asked @ alpha[..., None])[..., 0])
        return torch.stack(rows)

    return Scripted(name="kernel gradient descent", layers=layers, script=script)


def _smoother(draw: Draw) -> Subject:
    if draw.choice("kernel", ("Gaussian", "exponential")) == "Gaussian":
        return followed("smoother", NadarayaWatson(kernel=RBF(bandwidth=_bandwidth(draw))), (1,))
    temperature = draw.scale * draw.number("temperature over c", 1.0, 8.0)
    return followed("smoother", NadarayaWatson(kernel=Exponential(temperature=temperature)), (1,))


def _exponential(draw: Draw) -> Subject:
    kernel = Exponential(temperature=draw.scale * draw.task.dim * draw.number("temperature over cd", 0.3, 1.0))
    return _richardson(draw, kernel, draw.number("ridge", 0.01, 1.0))


def _linear(draw: Draw) -> Subject:
    return _richardson(draw, Linear(), draw.scale * draw.number("ridge over c", 0.01, 10.0))


def _two_steps(draw: Draw) -> Subject:
    return _richardson(draw, RBF(bandwidth=_bandwidth(draw)), draw.number("ridge", 0.01, 1.0), stride=2)


def _gradient_descent(draw: Draw) -> Subject:
    steps = draw.steps()
    return gradient_descent(layers=steps, **numbers(member(draw, GradientDescent(), steps)))


CASES = (
    Case(name="preconditioned Richardson, Gaussian kernel", truth=(NAME,), make=_network, share=6),
    Case(name="preconditioned Richardson, two steps per layer", truth=(NAME,), make=_two_steps, share=2),
    Case(name="preconditioned Richardson, linear kernel", truth=(NAME,), make=_linear, share=3),
    Case(
        name="preconditioned Richardson, smaller steps",
        truth=(NAME, UNDESCRIBED),
        make=lambda draw: _network(draw, step_size=draw.number("step size", 0.4, 0.8)),
        share=2,
    ),
    Case(name="preconditioned Richardson, exponential kernel", truth=(), make=_exponential, share=2),
    Case(name="kernel gradient descent, Gaussian kernel", truth=(NAME, UNDESCRIBED), make=_unpreconditioned, share=2),
    Case(name="kernel gradient descent, softmax", truth=(), make=kernel_descent, share=2),
    Case(name="kernel smoother", truth=(), make=_smoother, share=2),
    Case(name="gradient descent, beside kernels", truth=("gradient-descent",), make=_gradient_descent, share=2),
    Case(
        name="conjugate gradient, beside kernels",
        truth=("conjugate-gradient",),
        make=lambda draw: followed("conjugate-gradient", ConjugateGradient(), range(1, draw.steps(most=8) + 1)),
        share=1,
    ),
)
