"""An instrument as a value: what it asks, of whom, with how many prompts, and what is known of its controls beforehand."""

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
        quantity: whose control it is.
        control: its name.
        words: what its value must be.
        holds: the same as a test.
    """

    quantity: str
    control: str
    words: str
    holds: Callable[[float], bool]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Instrument:
    """Something that is measured of a subject on a task.

    Attributes:
        name: what its measurements say that they are from.
        question: what it answers, as a sentence that ends in a question mark.
        measure: ``measure(subject, task, seed=…, **sizes, **options)`` returns measurements, each with its controls; raises
            `NotApplicable` for a subject or a task that lacks what it needs.
        needs: what a subject and a task must have, in words.
        quantities: everything that it measures, as its measurements name it.
        coordinates: what its measurements say of where they were taken.
        values: by coordinate, the values it can have, where they are known beforehand.
        sizes: how many prompts, by profile, as arguments of ``measure``.
        figure: the picture of what was measured; left out where it has no rows.
        shown: one more, of the subject itself: ``shown(subject, task, seed=…)``.
        expected: the controls whose value is known beforehand. An examination says which of them came out as they must.
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
    expected: tuple[Expected, ...] = field(default=())


def sizes(**numbers: tuple[int, int, int]) -> dict[Profile, dict[str, int]]:
    """Numbers of prompts for `Instrument.sizes`, by argument: for smoke, laptop and full."""
    return {
        profile: {name: by_profile[i] for name, by_profile in numbers.items()} for i, profile in enumerate(PROFILES)
    }


__all__ = ("PROFILES", "Expected", "Instrument", "Profile", "sizes")
