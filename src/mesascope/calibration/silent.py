"""Calibration of `silent failure`: how often its flag is raised for learners that are fine, and for those known to fail.

It is a part of `mesascope calibrate`; `docs/silent-failure.md` has the figures.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms import NadarayaWatson, Ridge, run
from mesascope.algorithms.kernels import Exponential
from mesascope.calibration.counting import as_count, in_percent, share
from mesascope.instruments.behaving.silent_failure import LEAST_SQUARES, PLANTED, silent_failure
from mesascope.instruments.behaving.silent_rule import FLAG
from mesascope.instruments.behaving.silent_settings import TRAINING, settings
from mesascope.instruments.behaving.stress import RIDGE
from mesascope.models.constructions import conjugate_gradient, gradient_descent
from mesascope.models.scripted import Scripted, followed
from mesascope.seeds import generator
from mesascope.tasks import LinearRegression
from mesascope.types import Control, Figure, Measurement, Prompts, Scalar, Subject
from mesascope.zoo import load

NEAR = f"{TRAINING}, near one example"
TWO = (TRAINING, NEAR)
FINE = LEAST_SQUARES
QUERIES = 16
HOME = LinearRegression(dim=5, examples=20)
HIGH = LinearRegression(dim=64, examples=48, noise=0.1)
TRAINED = ("query-only-4-layers-laptop", "query-only-2-layers-20000-steps-laptop", "query-only-1-layers-laptop")
"""Trained networks that fail silently nowhere. One layer finds half of the order or less, and its error shows it."""
UNFINISHED = "query-only-2-layers-laptop-step-256"
"""A network early in its training: near one example it has 0.58 of ridge's order, where the limit of the rule is half."""
FALSE_ALARM, POWER = "runs with a false alarm", "runs that find the silent failure"
ALL = "all of these"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Known:
    """A subject of which it is known whether it fails silently.

    Attributes:
        name: what it is called in reports.
        make: makes it.
        task: its training task.
        fails: whether it fails silently where all queries lie near one example. If not, it fails silently in no setting.
        where: the names of the settings to look at; all of them if empty.
    """

    name: str
    make: Callable[[], Subject]
    task: LinearRegression = HOME
    fails: bool
    where: tuple[str, ...] = ()

    def flags(self, *, seed: int, n: int) -> dict[str, Measurement]:
        """The flags of one run, by setting."""
        subject, asked = self.make(), dataclasses.replace(self.task, queries=QUERIES)
        table = [s for s in settings(asked, subject.domain) if not self.where or s.name in self.where]
        found = silent_failure(subject, self.task, seed=seed, n=n, table=table)
        return {str(m.coordinates["setting"]): m for m in found if m.quantity == FLAG}


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
    Known(name="conjugate gradient, d = 64", make=conjugate_gradient, task=HIGH, fails=False, where=TWO),
    *(Known(name=name, make=partial(load, name), fails=False) for name in TRAINED),
    Known(name=UNFINISHED, make=partial(load, UNFINISHED), fails=False, where=TWO),
    Known(name="exactly half of ridge's order", make=half_the_order, fails=False),
    Known(name="softmax attention, d = 64", make=lambda: _softmax(1.0), task=HIGH, fails=True, where=TWO),
    Known(name="softmax attention over √d, d = 64", make=lambda: _softmax(8.0), task=HIGH, fails=True, where=TWO),
)


def checked(name: str, *, seed: int, runs: int, n: int = 128) -> tuple[Measurement, ...]:
    """How often the check is wrong about a subject whose answer is known, with Clopper–Pearson intervals.

    A false alarm is a flag in any setting, of a subject that fails silently in none. A failure is found if the flag is raised
    where all queries lie near one example. Runs differ in their seed. The planted failures, which stand beside every
    subject as controls, are counted in the runs of the first one.

    Controls, from the same runs: least squares, which fails silently nowhere (negative), and answers shrunk to the mean
    of the prompt's targets, which do (positive).

    Args:
        name: whom to check: a name in `SUBJECTS`.
        seed: the seed of the first run; the others follow.
        runs: number of runs.
        n: number of prompts per setting.
    """
    known = next(each for each in SUBJECTS if each.name == name)
    flags = [known.flags(seed=seed + i, n=n) for i in range(runs)]
    shrunk, fine = _planted(flags, PLANTED[0]), [any(_control(m, FINE) for m in each.values()) for each in flags]
    controls = (
        Control(kind="positive", name=PLANTED[0], value=sum(shrunk) / runs),
        Control(kind="negative", name=FINE, value=sum(fine) / runs),
    )
    hits = [bool(each[NEAR].value) if known.fails else any(m.value for m in each.values()) for each in flags]
    counted = {(known.name, POWER if known.fails else FALSE_ALARM): hits}
    if known is SUBJECTS[0]:
        counted |= {(failure, POWER): _planted(flags, failure) for failure in PLANTED}
    return tuple(_counted(who, what, sum(hit), len(hit), n, controls) for (who, what), hit in counted.items())


def totals(found: Sequence[Measurement]) -> tuple[Measurement, ...]:
    """False alarms and then failures that are found, of each subject and of all of them.

    Subjects share the prompts of a seed, so that intervals of all of them are somewhat too narrow.
    """
    told: list[Measurement] = []
    for quantity in (FALSE_ALARM, POWER):
        of = [m for m in found if m.quantity == quantity]
        if of:
            hits, runs = sum(round(m.value * m.n) for m in of), sum(m.n for m in of)
            told += [*of, _counted(ALL, quantity, hits, runs, of[0].coordinates["prompts"], of[0].controls)]
    return tuple(told)


def figure(found: Sequence[Measurement]) -> Figure:
    """A table of what `totals` returns."""
    return Figure(
        name="silent failure",
        section="Silent failure",
        title="How often the flag of silent failure is wrong",
        caption="Runs of subjects that fail silently nowhere with a flag in any setting (false alarms; at most 5 % are wanted), "
        "and runs of subjects that do with the flag where all queries lie near one example (found; at least 90 % are wanted). "
        "Intervals: Clopper–Pearson 95 %; those of all are somewhat too narrow, since subjects share the prompts of a seed.",
        kind="table",
        rows=tuple(
            {
                "subject": m.coordinates["subject"],
                "what is counted": "false alarms" if m.quantity == FALSE_ALARM else "found",
                "runs": as_count(m),
                "95 % interval": in_percent(m),
            }
            for m in found
        ),
    )


def sentence(found: Sequence[Measurement]) -> str:
    """The result in a sentence."""
    alarms, right = (
        next(m for m in found if m.coordinates["subject"] == ALL and m.quantity == q) for q in (FALSE_ALARM, POWER)
    )
    return (
        f"Silent failure: a false alarm in {as_count(alarms)} runs of subjects that have none; "
        f"found in {as_count(right)} runs of subjects that do."
    )


def _counted(
    name: str, quantity: str, hits: int, runs: int, prompts: Scalar, controls: tuple[Control, ...]
) -> Measurement:
    value, interval = share(hits, runs)
    return Measurement(
        instrument="silent failure, calibrated",
        quantity=quantity,
        value=value,
        interval=interval,
        n=runs,
        unit="share of runs",
        coordinates={"subject": name, "prompts": prompts},
        controls=controls,
    )


def _planted(flags: list[dict[str, Measurement]], name: str) -> list[bool]:
    """In which runs a planted failure was found where all queries lie near one example."""
    return [bool(_control(each[NEAR], name)) for each in flags]


def _control(flag: Measurement, name: str) -> float:
    return next(control.value for control in flag.controls if control.name == name)
