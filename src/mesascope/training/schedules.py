"""Learning rates as functions of the step: a run that continues needs to remember nothing of its schedule."""

import math
from collections.abc import Callable, Mapping

from mesascope.training.recipe import Recipe

LOW, HIGH = 0.85, 0.95
"""Between these, OneCycle moves the first beta: from the higher down while the rate rises, and up again as it falls."""
FIRST, LAST = 25, 1e4
"""OneCycle begins with the maximum over the first, and ends with that over the second."""


def rate(spec: Recipe, step: int) -> float:
    """The learning rate of the step after ``step`` steps."""
    return SCHEDULES[spec.schedule](spec, step)


def beta(spec: Recipe, step: int) -> float:
    """Adam's first beta in the step after ``step`` steps: OneCycle moves it, but where Muon is the main optimiser."""
    if spec.schedule != "onecycle" or spec.optimiser == "muon":
        return spec.betas[0]
    return _rise_and_fall(spec, step, HIGH, LOW, HIGH)


def _one_cycle(spec: Recipe, step: int) -> float:
    first = spec.learning_rate / FIRST
    return _rise_and_fall(spec, step, first, spec.learning_rate, first / LAST)


def _rise_and_fall(spec: Recipe, step: int, first: float, middle: float, last: float) -> float:
    """Half a cosine from the first value to the middle one during the warm-up, then one to the last value.

    The order of the operations is that of torch's OneCycleLR, with one step more than the run has: the numbers are equal.
    """
    turn = spec.warmup * (spec.steps + 1) - 1
    if step <= turn:
        start, end, share = first, middle, step / turn if turn else 0.0
    else:
        start, end, share = middle, last, (step - turn) / (spec.steps - turn)
    return end + (start - end) / 2 * (math.cos(math.pi * share) + 1)


def _cosine(spec: Recipe, step: int) -> float:
    """A linear warm-up, then half a cosine down to 0."""
    rising = max(1, round(spec.warmup * spec.steps))
    if step < rising:
        return spec.learning_rate * ((step + 1) / rising)
    share = min(1.0, (step - rising) / max(1, spec.steps - rising))
    return spec.learning_rate * ((1 + math.cos(math.pi * share)) / 2)


SCHEDULES: Mapping[str, Callable[[Recipe, int], float]] = {
    "onecycle": _one_cycle,
    "cosine": _cosine,
    "constant": lambda spec, step: spec.learning_rate,
}
"""By name: the rate after so many steps."""
