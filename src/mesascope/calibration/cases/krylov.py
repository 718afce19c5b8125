"""Conjugate gradients: in feature space (three networks for one algorithm), in data space, preconditioned; and residuals."""

from collections.abc import Callable

from mesascope.algorithms import ConjugateResidual, PreconditionedConjugateGradient
from mesascope.calibration.cases.first_order import MOST_LAYERS, varied
from mesascope.calibration.drawing import Draw
from mesascope.calibration.planted import Case
from mesascope.models.constructions import (
    Construction,
    conjugate_gradient,
    data_space_conjugate_gradient,
    pipelined_conjugate_gradient,
    primal_conjugate_gradient,
)
from mesascope.models.scripted import followed
from mesascope.types import Subject


def _network(make: Callable[..., Construction], layers_a_step: int = 1) -> Callable[[Draw], Subject]:
    return lambda draw: varied(draw, make(iterations=draw.steps(most=MOST_LAYERS // layers_a_step)))


def _data_space(draw: Draw) -> Subject:
    ridge = draw.scale * draw.number("ridge over c", 0.3, 5.0) if draw.made["label noise"] else 0.0
    return varied(draw, data_space_conjugate_gradient(iterations=draw.steps(most=MOST_LAYERS // 2), ridge=ridge))


def _residual(draw: Draw) -> Subject:
    algorithm = ConjugateResidual()
    return followed(algorithm.name, algorithm, range(1, draw.steps(most=8) + 1))


def _preconditioned(draw: Draw) -> Subject:
    """With each prompt's own Jacobi preconditioner."""
    algorithm = PreconditionedConjugateGradient()
    return followed(algorithm.name, algorithm, range(1, draw.steps() + 1))


FEATURE = ("conjugate-gradient",)
CASES = (
    Case(name="conjugate gradient, dual", truth=FEATURE, make=_network(conjugate_gradient, 2), share=6),
    Case(name="conjugate gradient, pipelined", truth=FEATURE, make=_network(pipelined_conjugate_gradient), share=4),
    Case(name="conjugate gradient, primal", truth=FEATURE, make=_network(primal_conjugate_gradient), share=4),
    Case(name="conjugate gradient, data space", truth=("data-space-conjugate-gradient",), make=_data_space, share=5),
    Case(
        name="conjugate gradient, Jacobi",
        truth=("preconditioned-conjugate-gradient",),
        make=_preconditioned,
        share=6,
    ),
    Case(name="conjugate residuals", truth=("conjugate-residual",), make=_residual, share=3),
)
