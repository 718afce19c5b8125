"""Learners that are not among the candidates: any answer that names a candidate is wrong."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms import GradientDescent, Problem
from mesascope.calibration.coefficients import member, numbers
from mesascope.calibration.drawing import Draw
from mesascope.calibration.planted import Case
from mesascope.models.constructions import kernel_gradient_descent
from mesascope.models.scripted import Scripted
from mesascope.types import Prompts, Subject

Step = Callable[[Problem, Tensor, int], Tensor]


def kernel_descent(draw: Draw) -> Subject:
    """Gradient descent in the space of functions of an exponential kernel, by softmax attention or by plain exponentials."""
    return kernel_gradient_descent(
        layers=draw.steps(),
        step_size=draw.number("step size", 0.3, 1.0),
        temperature=draw.scale * draw.number("temperature over c", 1.0, 4.0),
        normalised=draw.choice("normalised", (0, 1)),
    )


def _iteration(name: str, layers: int, step: Step) -> Scripted:
    """A subject that follows an update rule for w, from zero."""

    def script(prompts: Prompts) -> Float[Tensor, "layer batch query"]:
        problem = Problem.of(prompts)
        weights, rows = torch.zeros_like(problem.moment), []
        for layer in range(layers):
            weights = step(problem, weights, layer)
            rows.append((prompts.queries @ weights[..., None])[..., 0])
        return torch.stack(rows)

    return Scripted(name=name, layers=layers, script=script)


def _steepest(problem: Problem, weights: Tensor, layer: int) -> Tensor:
    """One step of steepest descent: along the gradient to the minimum."""
    residual = problem.moment - problem.apply(weights)
    curvature = (residual * problem.apply(residual)).sum(-1, keepdim=True)
    length = residual.square().sum(-1, keepdim=True) / curvature.clamp(min=1e-300)
    return weights + length * residual


def _coordinate(problem: Problem, weights: Tensor, layer: int) -> Tensor:
    """One sweep of exact minimisation over the coordinates (Gauss–Seidel)."""
    weights = weights.clone()
    for i in range(weights.shape[-1]):
        slope = problem.moment[:, i] - (problem.gram[:, i] * weights).sum(-1)
        weights[:, i] += slope / problem.gram[:, i, i]
    return weights


def _soft_threshold(size: float, threshold: float) -> Step:
    """A step of proximal gradient descent for the lasso."""

    def step(problem: Problem, weights: Tensor, layer: int) -> Tensor:
        moved = weights + size * (problem.moment - problem.apply(weights))
        return moved.sign() * (moved.abs() - size * threshold).clamp(min=0)

    return step


def _online(size: float) -> Step:
    """Least mean squares: one example after the other, four per layer (Widrow & Hoff 1960)."""

    def step(problem: Problem, weights: Tensor, layer: int) -> Tensor:
        assert problem.xs is not None
        assert problem.ys is not None
        for i in range(4 * layer, 4 * layer + 4):
            x, y = problem.xs[:, i % problem.examples], problem.ys[:, i % problem.examples]
            error = y - (x * weights).sum(-1)
            weights = weights + size * error[:, None] * x
        return weights

    return step


def _lasso(draw: Draw) -> Subject:
    steps, size = draw.steps(), (draw.task.weight_variance * draw.task.dim) ** 0.5
    threshold = draw.scale * size * draw.number("threshold", 0.1, 0.3)
    step = numbers(member(draw, GradientDescent(), steps, near=True))["step_size"]
    return _iteration("lasso", steps, _soft_threshold(step, threshold))


def _least_mean_squares(draw: Draw) -> Subject:
    rate = draw.number("rate", 0.1, 0.25) / (draw.task.dim * draw.scale)
    return _iteration("least mean squares", draw.steps(), _online(rate))


def _exact_lines(draw: Draw) -> Subject:
    return _iteration("steepest descent", draw.steps(least=3), _steepest)


CASES = (
    Case(name="kernel gradient descent", truth=(), make=kernel_descent, share=3),
    Case(name="steepest descent", truth=(), make=_exact_lines, share=3),
    Case(
        name="coordinate descent",
        truth=(),
        make=lambda draw: _iteration("coordinate descent", draw.steps(), _coordinate),
        share=3,
    ),
    Case(name="lasso by soft thresholds", truth=(), make=_lasso, share=2),
    Case(name="least mean squares, online", truth=(), make=_least_mean_squares, share=2),
)
