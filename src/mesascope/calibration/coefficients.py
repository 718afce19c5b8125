"""Coefficients as fixed weights could hold them: near the best ones for the task, too small, or nearly too large."""

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
"""Prompts of each of the two distributions that a subject is tried on."""
JITTER = 1.25
"""The best coefficients are multiplied by up to this, or divided by it, each by its own amount."""
CONDITION = 300.0
LARGEST = 1e6
"""Answers on prompts of this condition, in units of the target's standard deviation, are smaller: what grows beyond leaves
nothing of its first digits to compare."""
ENOUGH = 20
"""Tries near the best coefficients, before others are taken."""


def member(draw: Draw, algorithm: A, steps: int, *, near: bool = False) -> A:
    """The algorithm with coefficients for all prompts that make most training prompts' error smaller than answering zero.

    Twice in three they are near those that are best for the subject's task, as `tuned` finds them. They need not converge on all
    prompts: the best for training are too large for some of those that discriminate.

    Args:
        draw: of the subject.
        algorithm: any member of the family.
        steps: after which the best are best.
        near: always near the best.
    """
    shown = draw.task.sample(SHOWN, seed=draw.seed, stream=f"calibration/shown {draw.index}")
    hard = designs(draw, CONDITION).task.sample(SHOWN, seed=draw.seed, stream=f"calibration/hard {draw.index}")
    anywhere = _ranges(draw, algorithm, shown)
    near = near or draw.choice("coefficients", ("tuned", "tuned", "drawn")) == "tuned"
    close = _close(numbers(tuned(algorithm, shown, steps)), anywhere) if near else anywhere
    tries = 0
    while True:  # ends: small steps converge
        ranges = close if tries < ENOUGH else anywhere
        found = _with(algorithm, {name: draw.number(name.replace("_", " "), *span) for name, span in ranges.items()})
        improved = _error(found, shown, steps) < 1
        if bool(improved.double().mean() > 0.5) and bool((_size(found, hard, steps) < LARGEST**2).all()):
            return found
        tries += 1


def numbers(algorithm: Algorithm) -> dict[str, float]:
    """An algorithm's coefficients, by the names that constructions call them."""
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
    """Where each of the algorithm's coefficients is drawn from."""
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
    """Near the best, but for step sizes not outside the ranges: beyond them a coefficient has no effect. The best step of GD++
    is: it goes along what the curvature has shrunk.
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
