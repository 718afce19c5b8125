"""A description as a small table of the classes of explanation, for the terminal and for the page."""

from mesascope.report.formatting import MISSING
from mesascope.report.tables import Table, tabulate, text_table
from mesascope.types import Description, Explanation, Figure, Rung, RungKind, Scalar

NAMES: dict[RungKind, str] = {
    "labels": "linear in the labels",
    "labels and query": "and linear in the query",
    "own polynomial": "each prompt's own polynomial in XᵀX",
    "diagonal": "own gain for each direction of XᵀX",
    "smoother": "a weighted mean of the labels",
    "query alone": "a function of the query alone",
    "filter": "one filter for all prompts",
    "polynomial": "one polynomial for all prompts",
    "function": "a function with a name",
}


def ladder(description: Description) -> list[str]:
    """The share of the answers that each class explains, as lines of a table; the class that holds is marked."""
    rows = _rows(description)
    figure = Figure(name="ladder", section="", title="", caption="", kind="table", rows=tuple(rows))
    return text_table(figure) if rows else []


def ladder_table(description: Description) -> Table | None:
    """The same as a table of the page; None if no class could be measured."""
    rows = _rows(description)
    return tabulate("", {name: [row[name] for row in rows] for name in rows[0]}) if rows else None


def _rows(description: Description) -> list[dict[str, Scalar]]:
    columns = {"discriminating": description.discriminating, "training": description.training}
    measured = {name: explanation for name, explanation in columns.items() if explanation is not None}
    rows: list[dict[str, Scalar]] = []
    for kind, words in NAMES.items():
        found = {name: explanation.of(kind) for name, explanation in measured.items()}
        if any(found.values()):
            detail = next((rung.detail for rung in found.values() if rung is not None and rung.detail), "")
            cells = {name: _cell(rung, measured[name]) for name, rung in found.items()}
            rows.append(
                {
                    "share of the answers explained by": words,
                    **cells,
                    "such as": detail.removeprefix("Nadaraya–Watson, "),  # every weighted mean that is tried is one
                }
            )
    return rows


def _cell(rung: Rung | None, explanation: Explanation) -> str:
    if rung is None:
        return MISSING
    share = max(rung.share, 0.0)
    text = f"{100 * share:.2f} %" if 0.99 <= share < 0.99995 else f"{100 * share:.1f} %"
    return text + (" ←" if rung.kind == explanation.rung else "")


__all__ = ("ladder", "ladder_table")
