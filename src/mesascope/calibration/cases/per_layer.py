"""First-order methods with coefficients of their own in every layer, as a trained network would hold them."""

from collections.abc import Callable

from mesascope.algorithms import Algorithm, GDPlusPlus, GradientDescent, HeavyBall
from mesascope.calibration.coefficients import member, numbers
from mesascope.calibration.drawing import Draw
from mesascope.calibration.planted import Case
from mesascope.models.scripted import followed
from mesascope.types import Subject

LEAST, MOST = 3, 10
"""Fewest and most layers. One layer has no coefficients of its own, and two are also two steps of Nesterov's or Chebyshev's."""
SPREAD = 2.0
"""Each layer's step size is that for all layers times a factor between 1/SPREAD and SPREAD."""
MOMENTA = (0.1, 0.6)
CURVATURES = (0.02, 0.2)
"""In units of one over the largest eigenvalue of XᵀX/n, as the step sizes that are drawn with them are."""


def _steps(draw: Draw) -> tuple[int, float]:
    """The number of layers, and a step size for all of them that suits the task."""
    steps = draw.steps(LEAST, MOST)
    return steps, numbers(member(draw, GradientDescent(), steps, near=True))["step_size"]


def _sizes(draw: Draw, steps: int, size: float) -> tuple[float, ...]:
    return tuple(size * draw.number(f"step size of layer {k + 1}, factor", 1 / SPREAD, SPREAD) for k in range(steps))


def _planted(make: Callable[[Draw, int, float], Algorithm]) -> Callable[[Draw], Subject]:
    def subject(draw: Draw) -> Subject:
        steps, size = _steps(draw)
        algorithm = make(draw, steps, size)
        return followed(algorithm.name, algorithm, range(1, steps + 1))

    return subject


def _falling(draw: Draw, steps: int, size: float) -> Algorithm:
    """Step sizes that fall as 1, 1/2, 1/3, …, from twice the one for all layers."""
    return GradientDescent(step_size=tuple(SPREAD * size / (k + 1) for k in range(steps)))


def _drawn(draw: Draw, steps: int, size: float) -> Algorithm:
    return GradientDescent(step_size=_sizes(draw, steps, size))


def _three_terms(draw: Draw, steps: int, size: float) -> Algorithm:
    momenta = [draw.number(f"momentum of layer {k + 1}", *MOMENTA) for k in range(1, steps)]
    return HeavyBall(step_size=_sizes(draw, steps, size), momentum=(0.0, *momenta))


def _transformed(draw: Draw, steps: int, size: float) -> Algorithm:
    curvatures = [size * draw.number(f"curvature of layer {k + 1}, factor", *CURVATURES) for k in range(steps - 1)]
    return GDPlusPlus(step_size=_sizes(draw, steps, size), curvature=(*curvatures, 0.0))


DESCENT = ("gradient-descent",)
CASES = (
    Case(name="gradient descent, falling steps", truth=DESCENT, make=_planted(_falling), share=4),
    Case(name="gradient descent, other steps a layer", truth=DESCENT, make=_planted(_drawn), share=4),
    Case(name="heavy ball, other terms a layer", truth=("heavy-ball",), make=_planted(_three_terms), share=4),
    Case(name="GD++, other terms a layer", truth=("gd-plus-plus",), make=_planted(_transformed), share=2),
)
