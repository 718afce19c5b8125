"""Coefficients that fixed weights could hold: near the best ones for the task, too small, or nearly too large."""

import dataclasses
from typing import TypeVar

from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms import Algorithm, PreconditionedGradientDescent, Problem, run, tuned
from mesascope.algorithms.preconditioner import preconditioned_bounds
from mesascope.calibration.drawing import Draw, designs
from mesascope.types import Prompts

A = TypeVar("A", bound=Algorithm)
SHOWN = 64
"""Number of prompts from each of the two distributions on which coefficients are tested."""
JITTER = 1.25
"""Each of the best coefficients is multiplied by its own random factor between 1/JITTER and JITTER."""
CONDITION = 300.0
LARGEST = 1e6
"""On prompts of condition number `CONDITION`, answers must stay below this, in units of the target's standard deviation: an
iteration that grows further loses the digits that are compared."""
ENOUGH = 20
"""Number of tries near the best coefficients, before the whole ranges are used."""


def member(draw: Draw, algorithm: A, steps: int, *, near: bool = False) -> A:
    """The algorithm with fixed coefficients for which most training prompts' error is smaller than that of answering zero.

    In two of three cases they are near the best ones for the subject's task, as found by `tuned`. The iteration need not
    converge on all prompts: the best coefficients for training are too large for some discriminating prompts.

    Args:
        draw: the subject's random numbers.
        algorithm: an algorithm of the family, whose coefficients are replaced.
        steps: the number of steps for which the best coefficients are tuned.
        near: whether the coefficients are always near the best.
    """
    shown = draw.task.sample(SHOWN, seed=draw.seed, stream=f"calibration/shown {draw.index}")
    hard = designs(draw, CONDITION).task.sample(SHOWN, seed=draw.seed, stream=f"calibration/hard {draw.index}")
    anywhere = _ranges(draw, algorithm, shown)
    near = near or draw.choice("coefficients", ("tuned", "tuned", "drawn")) == "tuned"
    close = _close(numbers(tuned(algorithm, shown, steps)), anywhere) if near else anywhere
    tries = 0
    while True:  # this ends, because small steps converge
        ranges = close if tries < ENOUGH else anywhere
        found = _with(algorithm, {name: draw.number(name.replace("_", " "), *span) for name, span in ranges.items()})
        improved = _error(found, shown, steps) < 1
        if bool(improved.double().mean() > 0.5) and bool((_size(found, hard, steps) < LARGEST**2).all()):
            return found
        tries += 1


def numbers(algorithm: Algorithm) -> dict[str, float]:
    """An algorithm's coefficients, by the names of the constructions' arguments."""
    fields = {field.name: getattr(algorithm, field.name) for field in dataclasses.fields(algorithm)}
    if "bounds" in fields:
        fields["smallest"], fields["largest"] = fields["bounds"]
    return {name: value for name, value in fields.items() if isinstance(value, float)}


def _with(algorithm: A, values: dict[str, float]) -> A:
    if "largest" not in values:
        return dataclasses.replace(algorithm, **values)
    return dataclasses.replace(algorithm, bounds=(values["smallest"], values["largest"]))


Ranges = dict[str, tuple[float, float]]


def _ranges(draw: Draw, algorithm: Algorithm, shown: Prompts) -> Ranges:
    """The range from which each of the algorithm's coefficients is drawn."""
    problem = Problem.of(shown)
    bounds = (
        preconditioned_bounds(algorithm.preconditioner, problem)
        if isinstance(algorithm, PreconditionedGradientDescent)
        else problem.bounds
    )
    size = float(bounds[1].median())
    low, high = draw.setting.step_size
    ranges = {
        "step_size": (low / size, high / size),
        "scale": (low / size, high / size),
        "momentum": draw.setting.momentum,
        "curvature": (0.03 / size, 0.5 / size),
        "smallest": (0.01 * size, 0.4 * size),
        "largest": (0.9 * size, 3 * size),
    }
    fields = {field.name for field in dataclasses.fields(algorithm)}
    names = fields | {"smallest", "largest"} if "bounds" in fields else fields
    return {name: span for name, span in ranges.items() if name in names}


def _close(best: dict[str, float], anywhere: Ranges) -> Ranges:
    """Ranges near the best coefficients, inside the general ranges, outside which a coefficient has no effect. Step sizes may
    lie outside: the best step size of GD++ does, because it steps along directions that the curvature has shrunk.
    """
    found = {}
    for name, (low, high) in anywhere.items():
        near = (best[name] / JITTER, best[name] * JITTER)
        found[name] = near if name == "step_size" else (min(max(near[0], low), high), max(min(near[1], high), low))
    return found


def _error(algorithm: Algorithm, prompts: Prompts, steps: int) -> Float[Tensor, " batch"]:
    answers = run(algorithm, prompts, steps).predictions[-1]
    return (answers - prompts.targets).square().mean(-1) / prompts.target_variance


def _size(algorithm: Algorithm, prompts: Prompts, steps: int) -> Float[Tensor, " batch"]:
    answers = run(algorithm, prompts, steps).predictions
    return (answers.square().mean(-1) / prompts.target_variance).amax(0)
