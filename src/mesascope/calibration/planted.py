"""What a planted subject is: a network or a script whose algorithm is known."""

from collections.abc import Callable
from dataclasses import dataclass

from mesascope.calibration.drawing import Draw
from mesascope.instruments.identification.prompts import Distribution
from mesascope.types import Scalar, Subject, Task

UNDESCRIBED = "none"
"""Beside an algorithm's name in the truth: no candidate reproduces the subject, so that none is right too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A kind of planted subject.

    Attributes:
        name: what it is, in a few words; a row of the table of kinds.
        truth: the algorithms that may stand in its answer, with `UNDESCRIBED` where no candidate reproduces it; empty if nothing
            but none is right.
        make: a subject from drawn numbers.
        share: how many of 200 subjects are of this kind.
        on: the distribution that it is identified on; None for the prompts that discriminate.
        noisy: whether what its layers say may carry noise.
    """

    name: str
    truth: tuple[str, ...]
    make: Callable[[Draw], Subject]
    share: int
    on: Callable[[Draw], Distribution] | None = None
    noisy: bool = True

    @property
    def described(self) -> bool:
        """Whether a candidate reproduces it."""
        return bool(self.truth) and UNDESCRIBED not in self.truth


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Planted:
    """One subject of a panel.

    Attributes:
        case: its kind.
        clean: the subject as it was made.
        subject: the same in disguise: its stream rotated, its layers' answers noisy.
        task: what it is said to be trained on.
        distribution: what it is identified on; None for the prompts that discriminate.
        settings: the numbers it was made from.
    """

    case: Case
    clean: Subject
    subject: Subject
    task: Task
    distribution: Distribution | None
    settings: dict[str, Scalar]
