"""What the identifier says of one planted subject, against what is known of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mesascope.calibration.distinguishing import Power, power
from mesascope.calibration.planted import UNDESCRIBED, Planted
from mesascope.instruments.identification import PROMPTS, identify_path
from mesascope.types import Answer, Label, Scalar

Outcome = Literal["identified", "undecided", "none", "missed", "wrong"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One subject's verdict.

    Attributes:
        case: its kind.
        truth: the algorithm that may be named; empty if none may.
        settings: what it was made from.
        readout: ``own``, or ``fitted`` where its own readout was withheld.
        label, algorithms, reason: the answer.
        outcome: ``identified`` (the truth, alone), ``undecided`` (among others), ``none`` (rightly), ``missed`` (none,
            though a candidate it is), ``wrong`` (names that lack the truth).
        score, remainder: of the best candidate.
        power: chance that the reference algorithms alone tell its own from every other; None where it has none among the
            candidates.
        hardest: the candidate that is hardest to tell from it.
    """

    case: str
    truth: tuple[str, ...]
    settings: dict[str, Scalar]
    readout: Literal["own", "fitted"]
    label: Label
    algorithms: tuple[str, ...]
    reason: str
    outcome: Outcome
    score: float
    remainder: float | None
    power: float | None
    hardest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """What was said of one subject, as it is kept on disk: as it is, and with its own readout withheld."""

    judged: tuple[Judged, ...]


def judge(planted: Planted, *, seed: int, prompts: int = PROMPTS, withheld: bool = True) -> tuple[Judged, ...]:
    """The verdict by the subject's own readout, and the one with that readout withheld.

    Args:
        planted: the subject.
        seed: of the prompts.
        prompts: prompts in each half.
        withheld: whether to give the second too.
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
    return tuple(_judged(planted, answer, known) for answer in answers)


def _judged(planted: Planted, answer: Answer, known: Power | None) -> Judged:
    best = answer.scores[0]
    return Judged(
        case=planted.case.name,
        truth=planted.case.truth,
        settings=planted.settings,
        readout=answer.readout,
        label=answer.label,
        algorithms=answer.algorithms,
        reason=answer.reason,
        outcome=outcome(planted.case.truth, answer.algorithms),
        score=best.score,
        remainder=answer.remainder,
        power=None if known is None else known.value,
        hardest="" if known is None else known.hardest,
    )


def outcome(truth: Sequence[str], algorithms: Sequence[str]) -> Outcome:
    """How an answer set compares with the truth; variants of an algorithm count as the algorithm."""
    named = {name.split(":")[0] for name in algorithms}
    if not named:
        return "missed" if truth and UNDESCRIBED not in truth else "none"
    if not named & set(truth):
        return "wrong"
    return "identified" if named <= set(truth) else "undecided"
