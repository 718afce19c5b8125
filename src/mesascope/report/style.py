"""The style of figures: a palette that colour-blind readers can distinguish, with dashes and shapes besides colours."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

PAGE = 760
"""Width of the text column, in CSS pixels."""

# Okabe and Ito's palette, black first and without its yellow, which does not show on white paper.
PALETTE = ("#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
SINGLE = "#0072b2"
_DASHES: tuple[list[int], ...] = ([1, 0], [6, 2], [2, 2], [8, 2, 2, 2], [4, 4], [10, 3], [1, 3], [6, 2, 2, 2, 2, 2])
_SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right", "triangle-left")
_FONT = "'Helvetica Neue', Arial, 'Liberation Sans', sans-serif"


def panel(panels: int) -> tuple[float, float]:
    """Width and height of one panel, given the number of panels."""
    if panels <= 1:
        return (740.0, 290.0)
    return (320.0, 210.0) if panels == 2 else (202.0, 160.0)


def series(names: Sequence[str], mark: Literal["line", "point", "bar"]) -> dict[str, dict[str, Any]]:
    """Channels that distinguish series: ``color`` for all marks, ``dash`` for lines, ``shape`` for points.

    The legend shows ``mark``: dashes for lines without points, shapes for points.

    With seven colours and eight dashes or shapes, a combination repeats only after 56 series.
    """
    if not names or (mark == "bar" and len(names) < 2):
        return {"color": {}, "dash": {}, "shape": {}}
    # Black bars would hide the error bars, so bars start at blue.
    colours = (*PALETTE[1:], "#666666") if mark == "bar" else PALETTE
    legend = {"title": None, "orient": "top", "symbolOpacity": 1, "labelLimit": 260}
    legend |= (
        {"symbolType": "stroke", "symbolSize": 400, "symbolStrokeWidth": 1.8}
        if mark == "line"
        else {"symbolSize": 60, "symbolStrokeWidth": 0}
    )

    def channel(values: Sequence[object]) -> dict[str, Any]:
        scale = {"domain": list(names), "range": [values[i % len(values)] for i in range(len(names))]}
        return {"field": "s", "type": "nominal", "scale": scale, "legend": legend if len(names) > 1 else None}

    return {
        "color": {"color": channel(colours)},
        "dash": {"strokeDash": channel(_DASHES)},
        "shape": {"shape": channel(_SHAPES)},
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Heat:
    """A colour scale for cells, and a test for colours so dark that text on them must be white."""

    scale: dict[str, Any]
    dark: Callable[[object], bool]


def heat(values: Sequence[float], logarithmic: bool) -> Heat:
    """Cividis for amounts; for values on both sides of zero, blue to orange with white at zero."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    if low == high:
        low, high = low - 0.5 * (low != 0 and not logarithmic), high + 0.5
    if low < 0 < high and not logarithmic:
        bound = max(-low, high)

        def dark_diverging(value: object) -> bool:
            return isinstance(value, int | float) and abs(value) > 0.72 * bound

        return Heat(scale={"scheme": "blueorange", "domain": [-bound, bound]}, dark=dark_diverging)

    def dark_sequential(value: object) -> bool:
        if not isinstance(value, int | float) or (logarithmic and value <= 0):
            return False
        share = math.log(value / low) / math.log(high / low) if logarithmic else (value - low) / (high - low)
        return share < 0.52

    kind = {"type": "log"} if logarithmic else {"zero": False}
    return Heat(scale={**kind, "scheme": "cividis", "domain": [low, high], "nice": False}, dark=dark_sequential)


def config(legend_columns: int) -> dict[str, Any]:
    """The configuration that all figures share."""
    axis = {"labelFontSize": 11, "titleFontSize": 11, "titleFontWeight": "normal", "titlePadding": 6}
    colours = {
        "domainColor": "#666",
        "tickColor": "#666",
        "gridColor": "#e9e9e9",
        "labelColor": "#222",
        "titleColor": "#222",
    }
    legend = {"labelFontSize": 11, "titleFontSize": 11, "titleFontWeight": "normal", "columns": legend_columns}
    return {
        "font": _FONT,
        "background": "#ffffff",
        "view": {"stroke": None},
        "axis": {**axis, **colours, "tickSize": 4, "labelOverlap": True},
        "legend": {**legend, "labelColor": "#222", "titleColor": "#222", "columnPadding": 14, "rowPadding": 3},
        "facet": {"spacing": 24},
        "header": {"labelColor": "#222"},
    }
