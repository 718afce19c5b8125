"""Planted subjects: networks or scripts whose algorithm is known."""

from collections.abc import Callable
from dataclasses import dataclass

from mesascope.calibration.drawing import Draw
from mesascope.instruments.identification.prompts import Distribution
from mesascope.types import Scalar, Subject, Task

UNDESCRIBED = "none"
"""In the truth, beside an algorithm's name: no candidate reproduces the subject, so "none" is also a right answer."""


OTHERS = (":damped", ":raw-labels", "-inner")
"""Ends of the names of variants that are other algorithms: another objective, or another number of steps within a step."""


def algorithm_of(candidate: str) -> str:
    """The algorithm that a candidate's name stands for in the truth.

    Variants with coefficients of another scope, or with another start, are the same algorithm; those in `OTHERS` are not.
    """
    return candidate if candidate.endswith(OTHERS) else candidate.split(":")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A kind of planted subject.

    Attributes:
        name: the kind in a few words, as in the table of kinds.
        truth: the algorithms that an answer may name (see `algorithm_of`), with `UNDESCRIBED` if no candidate reproduces the
            subject; empty if the only right answer is "none".
        make: makes a subject from random numbers.
        share: how many subjects of this kind a panel has, in proportion to the other kinds.
        on: the distribution that it is identified on; None for the discriminating prompts.
        noisy: whether its layers' answers may have noise.
    """

    name: str
    truth: tuple[str, ...]
    make: Callable[[Draw], Subject]
    share: int
    on: Callable[[Draw], Distribution] | None = None
    noisy: bool = True

    @property
    def described(self) -> bool:
        """Whether a candidate reproduces subjects of this kind."""
        return bool(self.truth) and UNDESCRIBED not in self.truth


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Planted:
    """One subject of a panel.

    Attributes:
        case: its kind.
        clean: the subject as it was made.
        subject: the same subject in disguise: its stream is rotated, and its layers' answers are noisy.
        task: its stated training task.
        distribution: the distribution that it is identified on; None for the discriminating prompts.
        settings: the numbers that it was made from.
    """

    case: Case
    clean: Subject
    subject: Subject
    task: Task
    distribution: Distribution | None
    settings: dict[str, Scalar]
