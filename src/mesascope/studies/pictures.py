"""Rows and pictures from a study's measurements."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from mesascope.types import Figure, Measurement, Scalar, bounds

POINTS = 80
"""Of a training curve that are drawn, at most."""
lines = functools.partial(Figure, kind="lines", low="low", high="high")
bars = functools.partial(Figure, kind="bars", low="low", high="high")
"""Pictures whose rows have an interval, as `bounds` names its ends."""
heatmap = functools.partial(Figure, kind="heatmap")
table = functools.partial(Figure, kind="table")
Column = str | Callable[[Measurement], Any]
"""What a column shows: a coordinate, or a function of the measurement."""


def only(
    found: Sequence[Measurement], *, instrument: str = "", quantity: str = "", **coordinates: Scalar
) -> list[Measurement]:
    """The measurements at these coordinates, of an instrument and a quantity if named; None stands for no such coordinate."""
    return [
        m
        for m in found
        if instrument in ("", m.instrument)
        and quantity in ("", m.quantity)
        and all(m.coordinates.get(name) == value for name, value in coordinates.items())
    ]


def titled(figure: Figure, title: str) -> Figure:
    """The same picture under another title."""
    return replace(figure, title=title)


def curve_rows(curve: Sequence[Mapping[str, float]], **columns: Scalar) -> list[dict[str, Scalar]]:
    """A training curve as at most `POINTS` rows, each with the mean loss of as many lines."""
    size = math.ceil(len(curve) / POINTS)
    parts = (curve[i : i + size] for i in range(0, len(curve), size))
    return [{**columns, "step": part[-1]["step"], "loss": fmean(line["loss"] for line in part)} for part in parts]


def rows(found: Sequence[Measurement], quantity: str, value: str, **columns: Column) -> tuple[dict[str, Scalar], ...]:
    """One row for each measurement of a quantity: the columns, then the value with its interval and n.

    Args:
        found: the measurements.
        quantity: which of them.
        value: what the column of the value is called.
        columns: what the others are called, and what they show.
    """
    return tuple(
        {
            **{name: show(m) if callable(show) else m.coordinates[show] for name, show in columns.items()},
            value: m.value,
            **bounds(m.interval),
            "n": m.n,
        }
        for m in found
        if m.quantity == quantity
    )
