"""Tables of values: headings, cells as text, and which columns hold numbers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mesascope.report import formatting
from mesascope.types import Control, Figure, Measurement, Scalar

_COLUMNS_OF_CONTROLS = 4  # more different controls than this share one cell


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table for the page: text only, escaped where it is printed.

    Attributes:
        title: the title above the table; empty for none.
        head: one heading per column.
        rows: the cells as printed text.
        numbers: for each column, whether it holds numbers (set flush right).
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: tuple[bool, ...]


def tabulate(title: str, columns: Mapping[str, Sequence[object]]) -> Table:
    """Columns of values as a table. Numbers of one column have the same number of decimals; text is unchanged."""
    cells = [formatting.column(list(values)) for values in columns.values()]
    return Table(
        title=title,
        head=tuple(columns),
        rows=tuple(zip(*cells, strict=True)),
        numbers=tuple(_numeric(values) for values in columns.values()),
    )


def figure_tables(figure: Figure) -> list[Table]:
    """A figure of kind ``table``, with one table per facet; an interval's bounds are printed in the cell of its value."""
    names = list(dict.fromkeys(column for row in figure.rows for column in row if column != figure.facet))
    bounded = (figure.value or figure.y) if figure.low and figure.high else ""
    groups: dict[str, list[Mapping[str, Scalar]]] = {}
    for row in figure.rows:
        groups.setdefault(formatting.number(row.get(figure.facet)) if figure.facet else "", []).append(row)
    tables = []
    for facet, rows in groups.items():
        columns: dict[str, Sequence[object]] = {}
        for name in names:
            if bounded and name in (figure.low, figure.high):
                continue
            values: list[object] = [row.get(name) for row in rows]
            if name == bounded:
                values = [_measured(row.get(name), row.get(figure.low), row.get(figure.high)) for row in rows]
            heading = figure.titles.get(name, name) + (" [95 % interval]" if name == bounded else "")
            columns[heading if heading not in columns else f"{heading} ({name})"] = values
        tables.append(tabulate(facet, columns))
    return tables


def measurement_tables(measurements: Sequence[Measurement]) -> list[Table]:
    """One table per quantity of each instrument, with controls beside every number.

    A measurement without controls is left out: see `uncontrolled`.
    """
    groups: dict[tuple[str, str], list[Measurement]] = {}
    for measurement in measurements:
        if measurement.controls:
            groups.setdefault((measurement.instrument, measurement.quantity), []).append(measurement)
    return [_measurements(instrument, quantity, group) for (instrument, quantity), group in groups.items()]


def uncontrolled(measurements: Sequence[Measurement]) -> dict[str, int]:
    """For each instrument, the number of its measurements that are not shown because they have no controls."""
    counts: dict[str, int] = {}
    for measurement in measurements:
        if not measurement.controls:
            counts[measurement.instrument] = counts.get(measurement.instrument, 0) + 1
    return counts


def control_text(control: Control) -> str:
    """A control as it is printed beside a number."""
    return f"{control.name}: {_control(control)}"


def _control(control: Control) -> str:
    said = formatting.measured(control.value, control.interval)
    return f"{said} ({control.degenerate})" if control.degenerate else said


def _measurements(instrument: str, quantity: str, group: list[Measurement]) -> Table:
    columns: dict[str, Sequence[object]] = {}
    for name in dict.fromkeys(name for m in group for name in m.coordinates):
        columns[name] = [m.coordinates.get(name) for m in group]
    units = {m.unit for m in group}
    unit = f" ({units.pop()})" if len(units) == 1 and units != {"1"} else ""
    columns[f"{quantity}{unit} [95 % interval]"] = [formatting.measured(m.value, m.interval) for m in group]
    if units and units != {"1"}:
        columns["unit"] = [m.unit for m in group]
    columns["n"] = [m.n for m in group]
    controls = list(dict.fromkeys((c.kind, c.name) for m in group for c in m.controls))
    if len(controls) <= _COLUMNS_OF_CONTROLS:
        for kind, name in controls:
            found = [next((c for c in m.controls if (c.kind, c.name) == (kind, name)), None) for m in group]
            columns[f"{kind} control: {name}"] = [c and _control(c) for c in found]
    else:
        for kind in dict.fromkeys(kind for kind, _ in controls):
            texts = ["; ".join(control_text(c) for c in m.controls if c.kind == kind) or None for m in group]
            columns[f"{kind} controls"] = texts
    return tabulate(f"{instrument}: {quantity}", columns)


def _measured(value: object, low: object, high: object) -> str:
    number = float(value) if isinstance(value, int | float) else None
    if number is None or (low is None and high is None):
        return formatting.number(value)
    return formatting.measured(number, [float(v) if isinstance(v, int | float) else math.nan for v in (low, high)])


def _numeric(values: Sequence[object]) -> bool:
    present = [v for v in values if v is not None and v != formatting.MISSING]
    return bool(present) and all(_looks_numeric(v) for v in present)


def _looks_numeric(value: object) -> bool:
    if isinstance(value, str):  # a number as text, possibly with its interval
        return value[:1] in tuple("−0123456789∞") and not value.strip("−0123456789.,×⁰¹²³⁴⁵⁶⁷⁸⁹⁻[]–∞ \u202f")
    return isinstance(value, int | float) and not isinstance(value, bool)


def text_table(figure: Figure, *, most: int = 20) -> list[str]:
    """A figure of kind ``table`` as lines for a terminal: its first rows, and how many more there are."""
    lines: list[str] = []
    for table in figure_tables(figure):
        shown = [table.head, *table.rows[:most]]
        widths = [max(len(row[i]) for row in shown) for i in range(len(table.head))]
        for row in shown:
            cells = (
                f"{cell:>{width}}" if number else f"{cell:<{width}}"
                for cell, width, number in zip(row, widths, table.numbers, strict=True)
            )
            lines.append("  ".join(cells).rstrip())
        if len(table.rows) > most:
            lines.append(f"… and {len(table.rows) - most} more rows")
    return lines
