"""Calibration of `silent failure`: how often its flag is raised for learners that are fine, and for those known to fail.

Tested on seeds that were not used while the rule was made: see `docs/calibration.md`.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms import NadarayaWatson, Ridge, run
from mesascope.algorithms.kernels import Exponential
from mesascope.calibration.counting import share
from mesascope.instruments.behaving.silent_failure import PLANTED, silent_failure
from mesascope.instruments.behaving.silent_rule import FLAG
from mesascope.instruments.behaving.silent_settings import TRAINING, planted_failures
from mesascope.instruments.behaving.stress import RIDGE
from mesascope.models.constructions import conjugate_gradient, gradient_descent
from mesascope.models.scripted import Scripted, followed
from mesascope.seeds import generator
from mesascope.tasks import LinearRegression
from mesascope.types import Control, Measurement, Prompts, Subject
from mesascope.zoo import load

NEAR = f"{TRAINING}, near one example"
HOME = LinearRegression(dim=5, examples=20)
HIGH = LinearRegression(dim=64, examples=48, noise=0.1)
FALSE_ALARM, POWER = "share of runs with a false alarm", "share of runs that find the silent failure"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Known:
    """A subject of which it is known whether it fails silently.

    Attributes:
        name: what it is called in reports.
        make: makes it.
        task: its training task.
        fails: whether it fails silently where all queries lie near one example. If not, it fails silently in no setting.
    """

    name: str
    make: Callable[[], Subject]
    task: LinearRegression = HOME
    fails: bool


def _planted(kind: int) -> Subject:
    return Scripted(name=PLANTED[kind], layers=1, script=lambda prompts: planted_failures(prompts)[kind][None])


def half_the_order() -> Subject:
    """Ridge regression in half of the prompts, and in the others its answers in random order: just not bad enough.

    The prompts' mean rank correlation is half of ridge regression's in expectation, the limit of the rule in every setting.
    """

    def script(prompts: Prompts) -> Float[Tensor, "layer batch query"]:
        right = run(Ridge(ridge=RIDGE), prompts).predictions[1]
        order = torch.rand(right.shape, generator=generator(0, "calibration/half the order")).argsort(-1)
        return torch.where(prompts.xs[:, :1, 0] > 0, right, right.gather(1, order))[None]

    return Scripted(name="half the order", layers=1, script=script)


def _softmax(temperature: float) -> Subject:
    return followed("softmax attention", NadarayaWatson(kernel=Exponential(temperature=temperature)), (1,))


SUBJECTS: tuple[Known, ...] = (
    Known(name="ridge regression", make=lambda: followed("ridge", Ridge(ridge=RIDGE), (1,)), fails=False),
    Known(name="gradient descent, 8 steps", make=gradient_descent, fails=False),
    Known(name="conjugate gradient", make=conjugate_gradient, fails=False),
    Known(name="conjugate gradient, d = 64", make=conjugate_gradient, task=HIGH, fails=False),
    Known(name="query-only-4-layers-laptop", make=lambda: load("query-only-4-layers-laptop"), fails=False),
    Known(name="exactly half of ridge's order", make=half_the_order, fails=False),
    *(Known(name=name, make=functools.partial(_planted, kind), fails=True) for kind, name in enumerate(PLANTED)),
    Known(name="softmax attention, d = 64", make=lambda: _softmax(1.0), task=HIGH, fails=True),
    Known(name="softmax attention over √d, d = 64", make=lambda: _softmax(8.0), task=HIGH, fails=True),
)


def silent_calibration(
    *, seed: int = 0, runs: int = 20, n: int = 128, subjects: tuple[Known, ...] = SUBJECTS
) -> tuple[Measurement, ...]:
    """How often the check is wrong about subjects whose answer is known, with Clopper–Pearson intervals.

    A false alarm is a flag in any setting, of a subject that fails silently in none. A failure is found if the flag is raised
    where all queries lie near one example. Runs differ in their seed.

    Controls, from the same runs: least squares, which fails silently nowhere (negative), and answers shrunk to the mean
    of the prompt's targets, which do (positive).

    Args:
        seed: the seed of the first run; the others follow.
        runs: number of runs per subject.
        n: number of prompts per setting.
        subjects: whom to check.
    """
    found: list[Measurement] = []
    for known in subjects:
        subject = known.make()
        flags = [_flags(silent_failure(subject, known.task, seed=seed + i, n=n)) for i in range(runs)]
        hits = [bool(each[NEAR].value) if known.fails else any(m.value for m in each.values()) for each in flags]
        value, interval = share(sum(hits), runs)
        fine = [any(_control(m, "least squares") for m in each.values()) for each in flags]
        shrunk = [bool(_control(each[NEAR], PLANTED[0])) for each in flags]
        found.append(
            Measurement(
                instrument="silent failure, calibrated",
                quantity=POWER if known.fails else FALSE_ALARM,
                value=value,
                interval=interval,
                n=runs,
                coordinates={"subject": known.name, "prompts": n},
                controls=(
                    Control(kind="positive", name=PLANTED[0], value=sum(shrunk) / runs),
                    Control(kind="negative", name="least squares", value=sum(fine) / runs),
                ),
            )
        )
    return tuple(found)


def _flags(found: tuple[Measurement, ...]) -> dict[str, Measurement]:
    return {str(m.coordinates["setting"]): m for m in found if m.quantity == FLAG}


def _control(flag: Measurement, name: str) -> float:
    return next(control.value for control in flag.controls if control.name == name)
