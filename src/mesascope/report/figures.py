"""Vega-Lite specs of figures, with one function per kind of picture."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from mesascope.report import style
from mesascope.report.columns import Columns, numeric, prepare, title
from mesascope.report.formatting import one_line
from mesascope.types import Figure

Spec = dict[str, Any]


def draw(figure: Figure) -> Spec:
    """The Vega-Lite spec of a figure: data, marks, scales, tooltips and style, without external resources.

    The first series to appear is drawn in black, so put the subject first. The page adds title and caption. ``usermeta`` tells
    the page the widths of one panel and of one legend entry, so that it can choose how many fit, and the number of points that
    a logarithmic axis hides because they are not positive: the caption must state this number.

    Raises:
        ValueError: the figure is a table (`mesascope.report.tables` has those), has no rows, or names a missing column.
    """
    if figure.kind not in _KINDS:
        raise ValueError(
            f"kind must be one of {', '.join(_KINDS)} to be drawn; got {figure.kind!r} for {figure.name!r}."
        )
    if not figure.rows:
        raise ValueError(f"rows must not be empty; got none for figure {figure.name!r}. Leave the figure out.")
    present = {column for row in figure.rows for column in row}
    for role in ("x", "y", "value", "series", "facet", "low", "high"):
        column = getattr(figure, role)
        if column and column not in present:
            raise ValueError(f"{role} must name a column of rows; got {column!r} for figure {figure.name!r}.")
    needed = ("x", "y", "value") if figure.kind == "heatmap" else ("x", "y")
    for role in needed:
        if not getattr(figure, role):
            raise ValueError(f"{role} must be given for kind {figure.kind!r}; it is empty for figure {figure.name!r}.")
    return _KINDS[figure.kind](figure)


def _lines(figure: Figure) -> Spec:
    positions = numeric(figure, figure.x)
    data = prepare(figure, labels=() if positions else ("x",))
    panels = len(data.labels.get("f", []))
    width, height = style.panel(panels)
    y = _axis(figure, "y")
    encoding: Spec = {"x": _axis(figure, "x") if positions else _labels(figure, data, "x"), "y": y}
    layers: list[Spec] = []
    if figure.low and figure.high:
        span = {"y": {**y, "field": "lo"}, "y2": {"field": "hi"}}
        # A band over positions; bars over labels, because there is nothing between two labels.
        mark = {"type": "area", "opacity": 0.16} if positions else {"type": "rule", "strokeWidth": 1.2}
        layers.append({"mark": {**mark, "aria": False}, "encoding": span})
    # Along a dense line, points are invisible and serve only for tooltips.
    dense = len(data.rows) > 60 * max(1, len(data.labels.get("s", []))) * max(1, panels)
    series = style.series(data.labels.get("s", []), "line" if dense else "point")
    layers.append({"mark": {"type": "line", "strokeWidth": 1.6, "aria": False}, "encoding": series["dash"]})
    point = {"type": "point", "filled": True, "size": 34, "opacity": 0 if dense else 1, "aria": not dense}
    layers.append({"mark": point, "encoding": {**({} if dense else series["shape"]), "tooltip": data.tooltip}})
    encoding |= series["color"]
    return _assemble(figure, data, {"encoding": encoding, "layer": layers}, width, height, fit=True)


def _heatmap(figure: Figure) -> Spec:
    data = prepare(figure, labels=("x", "y"))
    for out, row in zip(data.rows, figure.rows, strict=True):
        out["m"] = bool(row.get(figure.series)) if figure.series else False
    columns, rows = len(data.labels["x"]), len(data.labels["y"])
    few = columns <= 14 and rows <= 14
    panels = len(data.labels.get("f", []))
    across = _across(panels, 2 if few and columns > 6 else 3)
    # Whole pixels: cells that end between two pixels leave seams.
    cell = max(2, int(min(44 if few else 14, (style.PAGE / across - 60) / columns)))
    width, height = cell * columns, (min(cell, 26) if few else cell) * rows
    colour = style.heat([v for row in data.rows if isinstance(v := row.get("v"), int | float)], "value" in figure.log)
    position = {"x": _labels(figure, data, "x"), "y": _labels(figure, data, "y")}
    rect: Spec = {"type": "rect", "aria": len(data.rows) <= 500, **({"stroke": "#fff"} if few else {})}
    shade = {"field": "v", "type": "quantitative", "scale": colour.scale, "title": title(figure, figure.value)}
    shade["legend"] = {"orient": "top", "gradientLength": 160, "gradientThickness": 9, "tickCount": 4}
    layers: list[Spec] = [{"mark": rect, "encoding": {"color": shade, "tooltip": data.tooltip}}]
    if few and cell >= 26:
        for out in data.rows:
            out["dark"] = colour.dark(out["v"])
            out["c"] = _short(out["v"])
        text = {"type": "text", "fontSize": 9.5, "aria": False}
        ink = {"condition": {"test": {"field": "dark", "equal": True}, "value": "#fff"}, "value": "#111"}
        layers.append({"mark": text, "encoding": {"text": {"field": "c"}, "color": ink, "tooltip": data.tooltip}})
    if any(out["m"] for out in data.rows):
        box = {"type": "rect", "filled": False, "stroke": "#d55e00", "strokeWidth": 2, "aria": False}
        layers.append(
            {
                "transform": [{"filter": {"field": "m", "equal": True}}],
                "mark": box,
                "encoding": {"tooltip": data.tooltip},
            }
        )
    return _assemble(figure, data, {"encoding": position, "layer": layers}, width, height, fit=False)


def _bars(figure: Figure) -> Spec:
    data = prepare(figure, labels=("x",))
    names = data.labels.get("s", [])
    panels = len(data.labels.get("f", []))
    width, _ = style.panel(panels)
    step = max(18, 11 * len(names) + 7)
    value = _axis(figure, "y")
    logarithmic = "y" in figure.log
    offset = {"yOffset": {"field": "s", "type": "nominal", "scale": {"domain": names}}} if len(names) > 1 else {}
    encoding: Spec = {"x": value, "y": {**_labels(figure, data, "x"), "axis": _label_axis()}, **offset}
    series = style.series(names, "point" if logarithmic else "bar")
    tooltip = {"tooltip": data.tooltip}
    # A bar starts at zero; a logarithmic axis has no zero, so there a point marks the value.
    mark: Spec = {"type": "point", "filled": True, "size": 46} if logarithmic else {"type": "bar"}
    colour = series["color"] or {"color": {"value": style.SINGLE}}
    layers: list[Spec] = [{"mark": mark, "encoding": {**colour, **(series["shape"] if logarithmic else {}), **tooltip}}]
    if figure.low and figure.high:
        span = {"x": {**value, "field": "lo"}, "x2": {"field": "hi"}}
        layers.append({"mark": {"type": "rule", "strokeWidth": 1.3, "color": "#222", "aria": False}, "encoding": span})
    return _assemble(
        figure, data, {"encoding": encoding, "layer": layers}, width, step * len(data.labels["x"]), fit=True
    )


_KINDS: Mapping[str, Callable[[Figure], Spec]] = {"lines": _lines, "heatmap": _heatmap, "bars": _bars}


def _across(panels: int, most: int) -> int:
    """Number of panels per row, for rows of similar length: four panels make two rows of two, not three and one."""
    return math.ceil(panels / math.ceil(panels / most)) if panels else 1


def _axis(figure: Figure, role: str) -> Spec:
    column = figure.x if role == "x" else figure.y
    scale: Spec = {"type": "log"} if role in figure.log else {"zero": False} if figure.kind == "lines" else {}
    axis: Spec = {"tickCount": 5}
    values = [row.get(column) for row in figure.rows]
    if role not in figure.log and all(isinstance(v, int) for v in values):
        axis |= {"tickMinStep": 1, "format": "d"}
    if role in figure.log:
        scale |= {"nice": False}
        axis = {"format": "~g", "values": _decades([v for v in values if isinstance(v, int | float) and v > 0])}
    return {"field": role, "type": "quantitative", "scale": scale, "axis": axis, "title": title(figure, column) or None}


def _decades(values: list[int | float]) -> list[float]:
    """Ticks at 1, 10, 100, …, six at most; also at 2, 5, 20, 50, … if the range spans at most two powers of ten."""
    low, high = math.floor(math.log10(min(values, default=1))), math.ceil(math.log10(max(values, default=1)))
    if high - low <= 2:
        return [m * 10.0**k for k in range(low, high + 1) for m in (1, 2, 5)]
    step = math.ceil((high - low) / 6)
    return [10.0**k for k in range(low, high + 1) if k % step == 0]


def _labels(figure: Figure, data: Columns, role: str) -> Spec:
    column = figure.x if role == "x" else figure.y
    return {
        "field": role,
        "type": "ordinal",
        "scale": {"domain": data.labels[role]},
        "axis": {**_label_axis(), **_thinned(data.labels[role], role)},
        "title": title(figure, column) or None,
    }


def _label_axis() -> Spec:
    return {"ticks": False, "domain": False, "labelPadding": 5, "labelLimit": 190, "labelOverlap": False}


def _thinned(labels: list[str], role: str) -> Spec:
    """Horizontal labels if they are short; if there are very many, only every fifth or tenth."""
    out: Spec = {"labelAngle": 0 if role == "y" or max(map(len, labels)) <= 4 else -40}
    if len(labels) > 14:
        step = max(2, math.ceil(len(labels) / 50) * 5)
        out["values"] = labels[::step]
    return out


def _short(value: object) -> str:
    """A number that fits into a cell."""
    if not isinstance(value, int | float):
        return ""
    if isinstance(value, int) and abs(value) < 1000:
        return str(value).replace("-", "−")
    return (
        f"{value:.2f}".replace("-", "−") if abs(value) < 10 else f"{value:.0f}" if abs(value) < 1000 else f"{value:.0e}"
    )


def _assemble(figure: Figure, data: Columns, view: Spec, width: float, height: float, *, fit: bool) -> Spec:
    facets = data.labels.get("f", [])
    names = data.labels.get("s", []) if figure.kind != "heatmap" else []
    legend = 40 + 6.2 * max((min(len(name), 40) for name in names), default=0)
    spec: Spec = {
        "description": one_line(f"{figure.title}. {figure.caption}"),
        "data": {"values": data.rows},
        "config": style.config(max(1, int(style.PAGE // legend))),
        "usermeta": {
            "legend": legend,
            "panel": width + 48,
            "panels": len(facets),
            "hidden": data.hidden,
            "fit": fit and not facets,
            "columns": [[column["field"], column["title"]] for column in data.tooltip],
        },
    }
    if not facets:
        fitted = {"autosize": {"type": "fit-x", "contains": "padding"}} if fit else {}
        return {**spec, **fitted, "width": width, "height": height, **view}
    header = {"title": None, "labelFontWeight": 600, "labelFontSize": 11, "labelPadding": 4, "labelLimit": width}
    across = _across(len(facets), max(1, int(style.PAGE // (width + 48))))
    # In an incomplete grid, a shared axis would be drawn below a missing panel.
    ragged = {"resolve": {"axis": {"x": "independent"}}} if len(facets) % across else {}
    return {
        **spec,
        **ragged,
        "columns": across,
        "facet": {"field": "f", "type": "nominal", "sort": facets, "header": header, "title": None},
        "spec": {"width": width, "height": height, **view},
    }
