"""What is said of planted subjects, for controls: found once in a process, since it does not depend on the subject examined."""

import functools

from mesascope.instruments.explaining import planted
from mesascope.instruments.explaining.asked import ask
from mesascope.instruments.explaining.explanation import explain, share_of
from mesascope.instruments.explaining.functions import GRADIENT_FLOW
from mesascope.types import Explanation, RungKind, Task

KNOWN_TIME = 4.0
"""Time of the planted gradient flow, in units of the inverse mean square of a coordinate."""

Known = tuple[float, tuple[float, float]]
"""A value and its interval."""


@functools.lru_cache(maxsize=256)
def shares(task: Task, kind: RungKind, *, seed: int, prompts: int) -> tuple[Known, Known]:
    """The share that a class explains of the answers of a subject exactly in it, and of one just above it.

    Args:
        task: where the prompts come from.
        kind: the class.
        seed: of the prompts, the planted subjects and the resampling.
        prompts: prompts in each half.
    """
    pair = planted.pairs(_size(task, seed, prompts), task, seed)[kind]
    within, above = (
        share_of(ask(subject, task, seed=seed, prompts=prompts), kind) for subject in (pair.within, pair.above)
    )
    return within, above


@functools.lru_cache(maxsize=16)
def flow_and_filter(task: Task, *, seed: int, prompts: int) -> tuple[Known, Known]:
    """The time that is found of a planted gradient flow, and the share that one filter explains of a planted filter's answers."""
    size = _size(task, seed, prompts)
    flow = planted.planted("flow", planted.gradient_flow(KNOWN_TIME / size), task)
    bump = planted.planted("filter", planted.random_filter(seed, size), task)
    found = time_of(explain(ask(flow, task, seed=seed, prompts=prompts), ""))
    return found, share_of(ask(bump, task, seed=seed, prompts=prompts), "filter")


def time_of(explanation: Explanation) -> Known:
    """The time of the nearest gradient flow; 0 if none was fitted."""
    flow = next((f for f in explanation.functions if f.name == GRADIENT_FLOW.name), None)
    return (0.0, (0.0, 0.0)) if flow is None else (flow.coefficients["time"], flow.intervals["time"])


def _size(task: Task, seed: int, prompts: int) -> float:
    """The mean square of a coordinate."""
    return float(task.sample(prompts, seed=seed).xs.square().mean())
