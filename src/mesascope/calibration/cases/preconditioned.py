"""Gradient descent and conjugate gradient with each prompt's Jacobi preconditioner, or with one fixed in the weights."""

from mesascope.algorithms import GradientDescent, PreconditionedGradientDescent
from mesascope.calibration.cases.first_order import MOST_LAYERS, varied
from mesascope.calibration.coefficients import member, numbers
from mesascope.calibration.drawing import Draw
from mesascope.calibration.planted import Case
from mesascope.models.constructions import preconditioned_conjugate_gradient, preconditioned_gradient_descent
from mesascope.models.scripted import followed
from mesascope.types import Subject


def _descent(draw: Draw) -> Subject:
    steps, condition = draw.steps(), draw.number("condition of P", 3.0, 30.0)
    size = numbers(member(draw, GradientDescent(), steps))
    return varied(draw, preconditioned_gradient_descent(layers=steps, condition=condition, **size))


def _conjugate(draw: Draw) -> Subject:
    condition = draw.number("condition of P", 3.0, 30.0)
    return varied(
        draw, preconditioned_conjugate_gradient(iterations=draw.steps(most=MOST_LAYERS // 2), condition=condition)
    )


def _jacobi(draw: Draw) -> Subject:
    steps = draw.steps()
    algorithm = member(draw, PreconditionedGradientDescent(), steps)
    return followed(algorithm.name, algorithm, range(1, steps + 1))


DESCENT, CONJUGATE = "preconditioned-gradient-descent", "preconditioned-conjugate-gradient"
CASES = (
    Case(name="gradient descent, Jacobi", truth=(DESCENT,), make=_jacobi, share=6),
    Case(name="gradient descent, P in the weights", truth=(DESCENT,), make=_descent, share=4),
    Case(name="conjugate gradient, P in the weights", truth=(CONJUGATE,), make=_conjugate, share=4),
)
