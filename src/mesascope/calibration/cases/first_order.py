"""Gradient descent and accelerated methods, as networks with fixed weights and with each prompt's best coefficients."""

from mesascope.algorithms import Algorithm, ChebyshevIteration, GDPlusPlus, GradientDescent, HeavyBall, Nesterov
from mesascope.calibration.coefficients import member, numbers
from mesascope.calibration.drawing import Draw
from mesascope.calibration.planted import Case
from mesascope.models.constructions import (
    Construction,
    chebyshev_iteration,
    gd_plus_plus,
    gradient_descent,
    heavy_ball,
    nesterov,
)
from mesascope.models.constructions.several_outputs import several_outputs
from mesascope.models.constructions.spaced import padded, spaced
from mesascope.models.scripted import followed
from mesascope.types import Subject

MOST_LAYERS = 16


def varied(draw: Draw, construction: Construction) -> Construction:
    """The construction; sometimes with a second regression on the same inputs, or with idle layers before or between its own."""
    if draw.choice("outputs", (1, 1, 1, 2)) > 1:
        construction = several_outputs(construction, 2, draw.seed + draw.index)
    idle = draw.choice("idle layers", ("none", "none", "none", "before", "between"))
    if idle == "before":
        return padded(construction, before=draw.whole("layers before", 1, 2 - construction.layers_to_start))
    if idle == "between" and 2 * construction.layers <= MOST_LAYERS:
        return spaced(construction, 2)
    return construction


def _gradient_descent(draw: Draw) -> Subject:
    steps = draw.steps()
    return varied(draw, gradient_descent(layers=steps, **numbers(member(draw, GradientDescent(), steps))))


def _several_steps(draw: Draw) -> Subject:
    """Gradient descent with two or three steps per layer."""
    stride = draw.choice("steps per layer", (2, 3))
    layers = draw.steps(most=MOST_LAYERS // 2)
    algorithm = member(draw, GradientDescent(), stride * layers)
    return followed("gradient-descent", algorithm, [stride * (layer + 1) for layer in range(layers)])


def _heavy_ball(draw: Draw) -> Subject:
    steps = draw.steps()
    return varied(draw, heavy_ball(layers=steps, **numbers(member(draw, HeavyBall(), steps))))


def _without_momentum(draw: Draw) -> Subject:
    """A heavy-ball network with momentum 0, which runs gradient descent."""
    steps = draw.steps()
    return varied(draw, heavy_ball(layers=steps, momentum=0.0, **numbers(member(draw, GradientDescent(), steps))))


def _nesterov(draw: Draw) -> Subject:
    steps = draw.steps()
    return varied(draw, nesterov(layers=steps, **numbers(member(draw, Nesterov(), steps))))


def _chebyshev(draw: Draw) -> Subject:
    steps = draw.steps()
    return varied(draw, chebyshev_iteration(layers=steps, **numbers(member(draw, ChebyshevIteration(), steps))))


def _gd_plus_plus(draw: Draw) -> Subject:
    steps = draw.steps()
    return varied(draw, gd_plus_plus(layers=steps, **numbers(member(draw, GDPlusPlus(), steps))))


def _best(algorithm: Algorithm) -> Case:
    """A kind with coefficients from each prompt's spectrum, which fixed weights cannot hold."""
    return Case(
        name=f"{algorithm.name}, best per prompt",
        truth=(algorithm.name,),
        make=lambda draw: followed(algorithm.name, algorithm, range(1, draw.steps() + 1)),
        share=2,
    )


CASES = (
    Case(name="gradient descent", truth=("gradient-descent",), make=_gradient_descent, share=10),
    Case(name="gradient descent, several a layer", truth=("gradient-descent",), make=_several_steps, share=5),
    Case(name="heavy ball", truth=("heavy-ball",), make=_heavy_ball, share=9),
    Case(name="heavy ball, momentum 0", truth=("gradient-descent",), make=_without_momentum, share=2),
    Case(name="Nesterov", truth=("nesterov",), make=_nesterov, share=9),
    Case(name="Chebyshev", truth=("chebyshev-iteration",), make=_chebyshev, share=9),
    Case(name="GD++", truth=("gd-plus-plus",), make=_gd_plus_plus, share=6),
    *map(_best, (GradientDescent(), HeavyBall(), Nesterov(), ChebyshevIteration())),
)
