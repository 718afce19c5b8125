"""The difference between two measurements of one quantity, and between their controls."""

import math

from mesascope.types import Control, Measurement, Scalar

Interval = tuple[float, float] | None


def difference(a: Measurement, b: Measurement, **coordinates: Scalar) -> Measurement:
    """``a`` minus ``b``, and the same difference for every control that both have.

    On either side the interval is √(p² + q²) wide, where p and q are the half-widths of the two intervals: right for
    independent estimates, and mostly too wide for measurements on the same prompts, whose errors are correlated.

    Args:
        a, b: measurements in the same unit.
        coordinates: of the difference; by default those on which ``a`` and ``b`` agree.

    Raises:
        ValueError: the units differ.
    """
    if a.unit != b.unit:
        raise ValueError(f"a and b must have the same unit; got {a.unit!r} and {b.unit!r}. Measure the same quantity.")
    common = {k: v for k, v in a.coordinates.items() if k in b.coordinates and b.coordinates[k] == v}
    theirs = {(c.kind, c.name): c for c in b.controls}
    controls = tuple(
        Control(
            kind=c.kind,
            name=c.name,
            value=c.value - other.value,
            interval=_interval(c.value, c.interval, other.value, other.interval),
        )
        for c in a.controls
        if (other := theirs.get((c.kind, c.name))) is not None
    )
    return Measurement(
        instrument=a.instrument,
        quantity=f"{a.quantity}, difference",
        value=a.value - b.value,
        interval=_interval(a.value, a.interval, b.value, b.interval),
        n=min(a.n, b.n),
        unit=a.unit,
        coordinates=coordinates or common,
        controls=controls,
    )


def _interval(a: float, of_a: Interval, b: float, of_b: Interval) -> Interval:
    if of_a is None or of_b is None:
        return None
    below, above = math.hypot(a - of_a[0], of_b[1] - b), math.hypot(of_a[1] - a, b - of_b[0])
    return (a - b - below, a - b + above)
