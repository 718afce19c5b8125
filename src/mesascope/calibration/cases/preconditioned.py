"""Gradient descent and conjugate gradient with a preconditioner: each prompt's Jacobi, or one fixed in the weights."""

from dataclasses import replace

from mesascope.algorithms import PreconditionedGradientDescent
from mesascope.calibration.cases.first_order import MOST_LAYERS, varied
from mesascope.calibration.planted import NONE, Case, Draw
from mesascope.calibration.scripted import followed
from mesascope.models.constructions import preconditioned_conjugate_gradient, preconditioned_gradient_descent
from mesascope.types import Subject


def _descent(draw: Draw) -> Subject:
    condition = draw.number("condition of P", 3.0, 30.0)
    return varied(
        draw,
        preconditioned_gradient_descent(layers=draw.steps(), step_size=draw.step_size(), condition=condition),
    )


def _conjugate(draw: Draw) -> Subject:
    condition = draw.number("condition of P", 3.0, 30.0)
    return varied(draw, preconditioned_conjugate_gradient(iterations=draw.steps(MOST_LAYERS // 2), condition=condition))


def _jacobi(draw: Draw) -> Subject:
    steps = draw.steps()
    algorithm = replace(PreconditionedGradientDescent(), **draw.coefficients(PreconditionedGradientDescent(), steps))
    return followed(algorithm.name, algorithm, range(1, steps + 1))


DESCENT, CONJUGATE = "preconditioned-gradient-descent", "preconditioned-conjugate-gradient"
CASES = (
    Case(name="gradient descent, Jacobi", truth=(DESCENT,), make=_jacobi, share=6),
    # The candidates have each prompt's Jacobi preconditioner, not a matrix of the network's own.
    Case(name="gradient descent, P in the weights", truth=(DESCENT, NONE), make=_descent, share=4),
    Case(name="conjugate gradient, P in the weights", truth=(CONJUGATE, NONE), make=_conjugate, share=4),
)
