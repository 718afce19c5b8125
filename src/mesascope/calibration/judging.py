"""The identifier's verdict on one planted subject, compared with the truth."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from mesascope.calibration.disguise import Disguised
from mesascope.calibration.distinguishing import Power, power
from mesascope.calibration.planted import UNDESCRIBED, Planted, algorithm_of
from mesascope.instruments.identification import PROMPTS, identify_path
from mesascope.instruments.statistics.discrepancy import SAME
from mesascope.types import Answer, Label, Scalar

Grade = Literal["identified", "undecided", "none", "missed", "wrong"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The verdict on one subject.

    Attributes:
        case: the subject's kind.
        truth: the algorithms that an answer may name; empty if it may name none.
        settings: the numbers that the subject was made from.
        readout: ``own``, or ``fitted`` if its own readout was withheld.
        label, algorithms, reason: the answer.
        outcome: ``identified`` (only the truth is named), ``undecided`` (the truth among others; or, for a subject that runs
            none of the candidates, only such as agree with it, noise apart, as candidates agree: `SAME`), ``none`` (rightly),
            ``missed`` (none, although a candidate describes the subject), ``wrong`` (any other names).
        score, remainder: those of the best candidate.
        power: the chance that the reference algorithms alone distinguish the subject's algorithm from every other; None if
            no candidate describes the subject.
        hardest: the candidate that is hardest to distinguish from the subject.
    """

    case: str
    truth: tuple[str, ...]
    settings: dict[str, Scalar]
    readout: Literal["own", "fitted"]
    label: Label
    algorithms: tuple[str, ...]
    reason: str
    outcome: Grade
    score: float
    remainder: float | None
    power: float | None
    hardest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """The verdicts on one subject, as stored on disk: with its own readout, and with that readout withheld."""

    judged: tuple[Judged, ...]


def judge(planted: Planted, *, seed: int, prompts: int = PROMPTS, withheld: bool = True) -> tuple[Judged, ...]:
    """The verdict with the subject's own readout, and the verdict with that readout withheld.

    Args:
        planted: the subject.
        seed: the seed of the prompts.
        prompts: number of prompts in each of the two halves.
        withheld: whether to return the second verdict too.
    """
    known = power(planted, seed=seed, prompts=prompts)
    answers = identify_path(
        planted.subject,
        planted.task,
        seed=seed,
        prompts=prompts,
        readouts=("auto", "fitted") if withheld else ("auto",),
        distribution=planted.distribution,
    )
    return tuple(_judged(planted, answer, known, seed) for answer in answers)


def _judged(planted: Planted, answer: Answer, known: Power | None, seed: int) -> Judged:
    best = answer.scores[0]
    graded = outcome(planted.case.truth, answer.algorithms)
    if graded == "wrong" and not planted.case.described and _alike(planted, answer, seed):
        graded = "undecided"
    return Judged(
        case=planted.case.name,
        truth=planted.case.truth,
        settings=planted.settings,
        readout=answer.readout,
        label=answer.label,
        algorithms=answer.algorithms,
        reason=answer.reason,
        outcome=graded,
        score=best.score,
        remainder=answer.remainder,
        power=None if known is None else known.value,
        hardest="" if known is None else known.hardest,
    )


def _alike(planted: Planted, named: Answer, seed: int) -> bool:
    """Whether each algorithm that is named agrees with the subject without its noise as two candidates agree (`SAME`).

    Online least mean squares is gradient descent but for terms of second order in its rate: at a small rate no more is left
    than may lie between two candidates that count as one another's equal.
    """
    assert isinstance(planted.subject, Disguised), "planted subjects are disguised"
    (answer,) = identify_path(
        replace(planted.subject, noise=0.0),
        planted.task,
        seed=seed,
        prompts=named.n,
        algorithms=named.algorithms,
        distribution=planted.distribution,
    )
    return min(row.score for row in answer.scores if row.candidate in named.algorithms) >= 1 - SAME


def outcome(truth: Sequence[str], algorithms: Sequence[str]) -> Grade:
    """The outcome of comparing an answer set with the truth; variants count as the algorithm, see `algorithm_of`."""
    named = {algorithm_of(name) for name in algorithms}
    if not named:
        return "missed" if truth and UNDESCRIBED not in truth else "none"
    if not named & set(truth):
        return "wrong"
    return "identified" if named <= set(truth) else "undecided"
