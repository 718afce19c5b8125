"""Gradient flow, and gradient descent with steps so small that it is nearly gradient flow."""

from mesascope.algorithms import GradientDescent, GradientFlow
from mesascope.calibration.drawing import Draw
from mesascope.calibration.planted import Case
from mesascope.models.scripted import followed
from mesascope.types import Subject


def _flow(draw: Draw) -> Subject:
    """Gradient flow with the same time for every layer and prompt, in units of one over the mean eigenvalue."""
    algorithm = GradientFlow(time=draw.number("time times c", 0.05, 1.0) / draw.scale)
    return followed(algorithm.name, algorithm, range(1, draw.steps() + 1))


def _small_steps(draw: Draw) -> Subject:
    """Gradient descent with small steps, one to three per layer."""
    algorithm = GradientDescent(step_size=draw.number("step size times c", 0.01, 0.05) / draw.scale)
    stride = draw.choice("steps per layer", (1, 2, 3))
    return followed(algorithm.name, algorithm, [stride * layer for layer in range(1, draw.steps(least=3) + 1)])


CASES = (
    Case(name="gradient flow", truth=("gradient-flow",), make=_flow, share=5),
    Case(name="gradient descent, small steps", truth=("gradient-descent",), make=_small_steps, share=3),
)
