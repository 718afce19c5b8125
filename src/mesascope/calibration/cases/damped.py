"""Gradient descent and conjugate gradient on the ridge objective, whose limit is a ridge solution."""

from mesascope.algorithms import DampedConjugateGradient, DampedGradientDescent
from mesascope.calibration.cases.first_order import varied
from mesascope.calibration.coefficients import member, numbers
from mesascope.calibration.drawing import Draw
from mesascope.calibration.planted import Case
from mesascope.models.constructions import ridge_gradient_descent
from mesascope.models.scripted import followed
from mesascope.types import Subject


def _penalty(draw: Draw) -> float:
    """A penalty that is seen beside the eigenvalues, whose mean is c."""
    return draw.scale * draw.number("penalty over c", 0.05, 1.0)


def _descent(draw: Draw) -> Subject:
    """A network; its weights hold the ridge λ = nμ, with the number of examples n of its training task."""
    steps, penalty = draw.steps(), _penalty(draw)
    found = member(draw, DampedGradientDescent(penalty=penalty), steps, near=True)
    size = numbers(found)["step_size"]
    return varied(draw, ridge_gradient_descent(layers=steps, step_size=size, ridge=draw.task.examples * penalty))


def _conjugate(draw: Draw) -> Subject:
    algorithm = DampedConjugateGradient(penalty=_penalty(draw))
    return followed(algorithm.name, algorithm, range(1, draw.steps(most=8) + 1))


CASES = (
    Case(name="gradient descent, damped", truth=("gradient-descent:damped",), make=_descent, share=4),
    Case(name="conjugate gradient, damped", truth=("conjugate-gradient:damped",), make=_conjugate, share=4),
)
