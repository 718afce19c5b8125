"""An instrument as a value: its question, what it needs, how many prompts it takes, and which values its controls must have."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from mesascope.types import Figure, Measurement, Scalar

Profile = Literal["smoke", "laptop", "full"]
PROFILES: tuple[Profile, ...] = ("smoke", "laptop", "full")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Expected:
    """A control whose value is known before it is measured.

    Attributes:
        quantity: the quantity that the control belongs to.
        control: the control's name.
        words: what its value must be, in words.
        holds: the same rule as a function of the value.
    """

    quantity: str
    control: str
    words: str
    holds: Callable[[float], bool]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Instrument:
    """Something that is measured of a subject on a task.

    Attributes:
        name: its name, which its measurements carry as their ``instrument``.
        question: the question it answers, which ends in a question mark.
        measure: ``measure(subject, task, seed=…, **sizes, **options)`` returns measurements, each with its controls; raises
            `NotApplicable` for a subject or a task that lacks what it needs.
        needs: what a subject and a task must have, in words.
        quantities: the names of all quantities that its measurements can have.
        coordinates: the names of the coordinates that say where a measurement was taken (a layer, a site, a target).
        values: for each of these coordinates, the values that it can have, if they are known beforehand.
        sizes: the numbers of prompts for each profile, as arguments of ``measure``.
        figure: makes the picture of the measurements; a figure without rows is left out of the report.
        shown: makes a second picture, of the subject itself: ``shown(subject, task, seed=…)``.
        through_origin: it compares the subject with regressions through the origin on the inputs as they are. Of a subject that
            reads numbers as text, an examination leaves it out.
        by_part: it runs the subject once for each head or sub-layer. Of a deep subject that reads text, an examination leaves
            it out.
        expected: the controls whose value is known beforehand. An examination says which of them have the value they must have.
    """

    name: str
    question: str
    measure: Callable[..., tuple[Measurement, ...]]
    needs: str = "any subject and task"
    quantities: tuple[str, ...]
    coordinates: tuple[str, ...]
    sizes: Mapping[Profile, Mapping[str, int]]
    values: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)
    figure: Callable[[Sequence[Measurement]], Figure] | None = None
    shown: Callable[..., Figure] | None = None
    through_origin: bool = False
    by_part: bool = False
    expected: tuple[Expected, ...] = field(default=())


def sizes(**numbers: tuple[int, int, int]) -> dict[Profile, dict[str, int]]:
    """`Instrument.sizes` from three numbers for each argument: those for smoke, laptop and full."""
    return {
        profile: {name: by_profile[i] for name, by_profile in numbers.items()} for i, profile in enumerate(PROFILES)
    }


__all__ = ("PROFILES", "Expected", "Instrument", "Profile", "sizes")
