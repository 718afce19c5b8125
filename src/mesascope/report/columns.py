"""A figure's rows in the form that the drawing code needs: columns with safe names, labels and tooltips in words.

Vega-Lite reads ``a.b`` and ``a[0]`` as paths into a value, so foreign column names never reach it: the roles have
fixed names (``x``, ``y``, ``v`` value, ``s`` series, ``f`` facet, ``lo``, ``hi``), other columns are called ``t0``, …
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mesascope.report.formatting import measured, number, one_line
from mesascope.types import Figure, Scalar

_TOOLTIP_KEYWORDS = ("title", "image")  # Vega's tooltip draws these as a heading and as a picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The data of one picture.

    Attributes:
        rows: one mapping per mark.
        labels: for each role that holds labels, the labels in the order of their first appearance.
        tooltip: Vega-Lite's tooltip channel.
        hidden: number of points that a logarithmic axis cannot show.
    """

    rows: list[dict[str, Scalar]]
    labels: dict[str, list[str]]
    tooltip: list[dict[str, str]]
    hidden: int


def title(figure: Figure, column: str) -> str:
    """The title that is printed for a column.

    Vega-Lite inserts titles into expressions and escapes only their quotation marks, so a backslash could end a string.
    """
    return _safe(figure.titles.get(column, column))


def numeric(figure: Figure, column: str) -> bool:
    """Whether a column holds only numbers and gaps."""
    present = [v for v in (row.get(column) for row in figure.rows) if v is not None and v == v]
    return bool(present) and all(_finite(v) is not None for v in present)


def prepare(figure: Figure, labels: Sequence[str] = ()) -> Columns:
    """Rename, format and check the rows.

    Args:
        figure: the picture.
        labels: those of the roles ``x`` and ``y`` that hold labels, not positions on an axis.
    """
    positions = {"x": figure.x, "y": figure.y, "v": figure.value, "lo": figure.low, "hi": figure.high}
    names = {"s": figure.series, "f": figure.facet, **{role: positions.pop(role) for role in labels}}
    positions = {role: column for role, column in positions.items() if column}
    names = {role: column for role, column in names.items() if column}
    axes = {"x": "x", "y": "y", "lo": "y", "hi": "y", "v": "value"}
    extras = _extras(figure)
    rows: list[dict[str, Scalar]] = []
    hidden = 0
    for row in figure.rows:
        out: dict[str, Scalar] = {}
        for role, column in positions.items():
            value = _finite(row.get(column))
            if value is not None and value <= 0 and axes[role] in figure.log:
                value = None
                hidden += role not in ("lo", "hi")
            out[role] = value
        for role, column in names.items():
            value = row.get(column)
            bare = role == "f" and isinstance(value, int | float)  # "layer 1", but "conjugate gradient"
            out[role] = f"{title(figure, column)} {number(value)}" if bare else _text(value)
        out["tip"] = _tip(figure, row)
        if "x" in positions:
            out["tx"] = _text(row.get(figure.x))
        out.update({f"t{i}": _text(row.get(column)) for i, column in enumerate(extras)})
        rows.append(out)
    order = {role: list(dict.fromkeys(str(row[role]) for row in rows)) for role in names}
    return Columns(rows=rows, labels=order, tooltip=_tooltip(figure, labels, extras), hidden=hidden)


def _safe(text: str) -> str:
    return one_line(text).replace("\\", "\N{SET MINUS}")


def _text(value: Scalar) -> str:
    return one_line(number(value))


def _tip(figure: Figure, row: Mapping[str, Scalar]) -> str:
    value = row.get(figure.value or figure.y)
    low, high = row.get(figure.low), row.get(figure.high)
    if (low is None and high is None) or not isinstance(value, int | float):
        return _text(value)
    bounds = [float(v) if isinstance(v, int | float) else math.nan for v in (low, high)]
    return measured(float(value), bounds)


def _extras(figure: Figure) -> list[str]:
    used = {figure.x, figure.y, figure.value, figure.series, figure.facet, figure.low, figure.high}
    return [column for column in dict.fromkeys(c for row in figure.rows for c in row) if column not in used]


def _tooltip(figure: Figure, labels: Sequence[str], extras: list[str]) -> list[dict[str, str]]:
    fields = [("f", figure.facet), ("s", figure.series), ("x" if "x" in labels else "tx", figure.x)]
    fields += [("y", figure.y)] if figure.value else []
    fields += [("tip", figure.value or figure.y)] + [(f"t{i}", column) for i, column in enumerate(extras)]
    tooltip: list[dict[str, str]] = []
    used: set[str] = set(_TOOLTIP_KEYWORDS)
    for name, column in fields:
        if not column:
            continue
        text = title(figure, column) or _safe(column) or name
        if name == "tip" and figure.low and figure.high:
            text += " [95 % interval]"
        while text in used:  # a tooltip is keyed by its titles, so all must differ
            text += "\u200b"
        used.add(text)
        tooltip.append({"field": name, "type": "nominal", "title": text})
    return tooltip


def _finite(value: object) -> float | int | None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if good else None  # type: ignore[return-value]
