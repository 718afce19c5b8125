"""Gradient descent and its accelerated relatives, as networks with fixed weights and with each prompt's best coefficients."""

from mesascope.algorithms import Algorithm, ChebyshevIteration, GradientDescent, HeavyBall, Nesterov
from mesascope.calibration.planted import Case, Draw
from mesascope.calibration.scripted import followed
from mesascope.models.constructions import (
    Construction,
    chebyshev_iteration,
    gd_plus_plus,
    gradient_descent,
    heavy_ball,
    nesterov,
)
from mesascope.models.constructions.several_outputs import several_outputs
from mesascope.models.constructions.spaced import spaced
from mesascope.types import Subject


def varied(draw: Draw, construction: Construction) -> Construction:
    """The construction; at times solving another regression on the same inputs meanwhile, or with idle layers between its own."""
    if draw.choice("outputs", (1, 1, 1, 2)) > 1:
        construction = several_outputs(construction, 2, draw.seed + draw.index)
    idle = draw.choice("layers between steps", (0, 0, 0, 1))
    return spaced(construction, idle + 1) if idle else construction


def _gradient_descent(draw: Draw) -> Subject:
    return varied(draw, gradient_descent(layers=draw.steps(), step_size=draw.step_size()))


def _several_steps(draw: Draw) -> Subject:
    """Two or three steps a layer."""
    layers, stride = draw.steps(), draw.choice("steps per layer", (2, 3))
    algorithm = GradientDescent(step_size=draw.step_size())
    return followed("gradient-descent", algorithm, [stride * (layer + 1) for layer in range(layers)])


def _heavy_ball(draw: Draw) -> Subject:
    return varied(draw, heavy_ball(layers=draw.steps(), step_size=draw.step_size(), momentum=draw.momentum()))


def _nesterov(draw: Draw) -> Subject:
    return varied(draw, nesterov(layers=draw.steps(), step_size=draw.step_size(), momentum=draw.momentum()))


def _chebyshev(draw: Draw) -> Subject:
    bounds = {"smallest": draw.number("smallest", 0.03, 0.5), "largest": draw.number("largest", 4.7, 7.0)}
    return varied(draw, chebyshev_iteration(layers=draw.steps(), **bounds))


def _gd_plus_plus(draw: Draw) -> Subject:
    curvature = draw.number("curvature", 0.03, 0.2)
    return varied(draw, gd_plus_plus(layers=draw.steps(), step_size=draw.step_size(), curvature=curvature))


def _best(algorithm: Algorithm) -> Case:
    """Coefficients from each prompt's spectrum, which no fixed weights can hold."""
    return Case(
        name=f"{algorithm.name}, best per prompt",
        truth=(algorithm.name,),
        make=lambda draw: followed(algorithm.name, algorithm, range(1, draw.steps() + 1)),
        share=3,
    )


CASES = (
    Case(name="gradient descent", truth=("gradient-descent",), make=_gradient_descent, share=14),
    Case(name="gradient descent, several a layer", truth=("gradient-descent",), make=_several_steps, share=6),
    Case(name="heavy ball", truth=("heavy-ball",), make=_heavy_ball, share=10),
    Case(name="Nesterov", truth=("nesterov",), make=_nesterov, share=10),
    Case(name="Chebyshev", truth=("chebyshev-iteration",), make=_chebyshev, share=8),
    Case(name="GD++", truth=("gd-plus-plus",), make=_gd_plus_plus, share=4),
    *map(_best, (GradientDescent(), HeavyBall(), Nesterov(), ChebyshevIteration())),
)
