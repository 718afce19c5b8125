"""Contrast: by how much two measurements of one quantity differ, their controls with them."""

import math

from mesascope.types import Control, Measurement, Scalar

Interval = tuple[float, float] | None


def difference(a: Measurement, b: Measurement, **coordinates: Scalar) -> Measurement:
    """``a`` minus ``b``; every control that both have, minus the other's.

    The interval adds both half-widths on a side in quadrature, as for independent estimates. Where both were made on the
    same prompts, their errors mostly go together, and it is wider than it had to be.

    Args:
        a, b: in the same unit.
        coordinates: where the difference stands; by default those that ``a`` and ``b`` have in common.

    Raises:
        ValueError: units that differ.
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
