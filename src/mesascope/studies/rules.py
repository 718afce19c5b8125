"""Rules: which evidence, among all that was measured, must lie where."""

import abc
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

from mesascope.instruments.statistics.contrast import difference
from mesascope.types import Measurement, Scalar


@dataclass(frozen=True, slots=True, kw_only=True)
class Between:
    """Where a number has to lie: from ``low`` to ``high``, both included."""

    low: float = -math.inf
    high: float = math.inf

    def __str__(self) -> str:
        if math.isinf(self.low):
            return f"at most {self.high:.4g}"
        return f"at least {self.low:.4g}" if math.isinf(self.high) else f"from {self.low:.4g} to {self.high:.4g}"

    def holds(self, measurement: Measurement) -> bool | None:
        """Whether the interval (or the value, where there is none) lies inside; None if it straddles a bound."""
        low, high = measurement.interval or (measurement.value, measurement.value)
        if not all(map(math.isfinite, (low, high))):  # an interval that could not be had says nothing
            low = high = measurement.value
        if math.isnan(low):
            return None
        if self.low <= low and high <= self.high:
            return True
        return False if high < self.low or low > self.high else None


class Addressed(abc.ABC):
    """Evidence that a rule can be made about."""

    __slots__ = ()

    @abc.abstractmethod
    def among(self, found: Sequence[Measurement]) -> tuple[Measurement, ...]:
        """The evidence among all measurements."""

    def between(self, low: float = -math.inf, high: float = math.inf) -> "Rule":
        """All of it must lie there, the bounds included."""
        return Rule(self, Between(low=low, high=high))

    def near(self, value: float, factor: float) -> "Rule":
        """All of it must be the value, within a factor."""
        return Rule(self, Between(low=value / factor, high=value * factor))


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Where(Addressed):
    """Evidence by address: all measurements of a quantity at some coordinates; see `where`."""

    quantity: str
    control: str
    coordinates: Mapping[str, tuple[Scalar, ...]]

    def __str__(self) -> str:
        control = [f"of {self.control}"] if self.control else []
        places = [f"{name} {' or '.join(map(str, values))}" for name, values in self.coordinates.items()]
        return ", ".join([self.quantity, *control, *places])

    def among(self, found: Sequence[Measurement]) -> tuple[Measurement, ...]:
        """The evidence, in the order in which it was measured."""
        return tuple(known(m, self.control) if self.control else m for m in found if self.has(m))

    def has(self, measurement: Measurement) -> bool:
        """Whether a measurement is at this address."""
        there = measurement.coordinates
        return self.quantity in ("", measurement.quantity) and all(
            there.get(name) in values for name, values in self.coordinates.items()
        )


def where(quantity: Any = "", *, control: str = "", **coordinates: Scalar | Sequence[Scalar]) -> Where:
    """All measurements of a quantity at some coordinates.

    Args:
        quantity: its name, or a quantity that has one; any, if none is named.
        control: take the value of this control in place of the measurement's own.
        coordinates: what each must be, or be one of; those that are not named may be anything.
    """
    return Where(
        quantity=getattr(quantity, "name", quantity),
        control=control,
        coordinates={
            name: tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else (value,)  # type: ignore[arg-type]
            for name, value in coordinates.items()
        },
    )


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Derived(Addressed):
    """Evidence that is computed from measurements, such as a difference.

    Attributes:
        words: what it is.
        of: computes it from all measurements; returns nothing where what it needs was not measured.
        uses: the evidence that it is computed from.
        lacks: what there was too little of, in words, where it returns nothing; empty if there is no more to say.
    """

    words: str
    of: Callable[[Sequence[Measurement]], Sequence[Measurement]]
    uses: tuple[Where, ...] = ()
    lacks: Callable[[Sequence[Measurement]], str] = lambda found: ""

    def __str__(self) -> str:
        return self.words

    def among(self, found: Sequence[Measurement]) -> tuple[Measurement, ...]:
        """The evidence."""
        return tuple(self.of(found))


def apart(words: str, a: Where, b: Where, *shared: str) -> Derived:
    """How far networks are apart: each measurement of ``a`` less each of ``b`` at the same of the ``shared`` coordinates."""

    def of(found: Sequence[Measurement]) -> list[Measurement]:
        return [
            difference(
                m, less, of=str(m.coordinates["network"]), less=str(less.coordinates["network"]), **_at(m, shared)
            )
            for m in a.among(found)
            for less in b.among(found)
            if _at(m, shared) == _at(less, shared)
        ]

    return Derived(words=words, of=of, uses=(a, b))


def largest(of: Where, *by: str) -> Derived:
    """The largest of some evidence, and of each of its controls, for each value of the coordinates ``by``."""

    def among(found: Sequence[Measurement]) -> list[Measurement]:
        groups: dict[tuple[Scalar, ...], list[Measurement]] = {}
        for m in of.among(found):
            groups.setdefault(tuple(_at(m, by).values()), []).append(m)
        return [_largest(group, by) for group in groups.values()]

    return Derived(words=f"largest {of}, by {' and '.join(by)}", of=among, uses=(of,))


def _largest(group: Sequence[Measurement], by: Sequence[str]) -> Measurement:
    most = max(group, key=lambda m: m.value)
    controls = (max(same, key=lambda c: c.value) for same in zip(*(m.controls for m in group), strict=True))
    common = {k: v for k, v in most.coordinates.items() if k in by or all(m.coordinates[k] == v for m in group)}
    return replace(most, quantity=f"largest {most.quantity}", coordinates=common, controls=tuple(controls))


def _at(measurement: Measurement, names: Sequence[str]) -> dict[str, Scalar]:
    return {name: measurement.coordinates[name] for name in names}


@dataclass(frozen=True, slots=True)
class Rule:
    """Where all of some evidence must lie."""

    evidence: Addressed
    bound: Between


def pick(measurements: Sequence[Measurement], quantity: str, **coordinates: Scalar) -> Measurement:
    """The one measurement of a quantity at these coordinates.

    Raises:
        LookupError: there is none, or more than one.
    """
    found = Where(quantity=quantity, control="", coordinates={k: (v,) for k, v in coordinates.items()}).among(
        measurements
    )
    if len(found) != 1:
        raise LookupError(f"{len(found)} measurements of {quantity!r} at {coordinates}; one was wanted.")
    return found[0]


def labelled(measurements: Sequence[Measurement], **coordinates: Scalar) -> tuple[Measurement, ...]:
    """The measurements with more coordinates, before their own."""
    return tuple(replace(m, coordinates={**coordinates, **m.coordinates}) for m in measurements)


def known(measurement: Measurement, control: str) -> Measurement:
    """A control's value as a measurement of its own, beside the other controls.

    Raises:
        LookupError: there is no control of that name.
    """
    for found in measurement.controls:
        if found.name == control:
            rest = tuple(c for c in measurement.controls if c is not found)
            quantity = f"{measurement.quantity} of {control}"
            return replace(measurement, quantity=quantity, value=found.value, interval=found.interval, controls=rest)
    raise LookupError(f"{measurement.quantity!r} has no control {control!r}.")
