"""How often verdicts are right about planted subjects, and what else was calibrated: from committed calibrations."""

from functools import cache

from markupsafe import Markup

from mesascope.records.keeping import kept
from mesascope.types import Findings, Measurement
from rendering import CALIBRATIONS
from rendering.pictures import fold, picture, table
from rendering.provenance import made_by


@cache
def calibrations() -> dict[str, Findings]:
    """Every calibration that was kept, by its panel and parts: ``S-mixed``."""
    return kept(CALIBRATIONS, Findings)


def told(*names: str) -> Markup:
    """What calibrations say in sentences, and by which code they were run."""
    return Markup("").join(map(_told, names))


def shares(kind: str, *names: str) -> Markup:
    """How many subjects got which answer, a column for each calibration and way of reading a subject.

    Args:
        kind: of panel: ``mixed``, ``exact``, ``kernels`` or ``generalised``.
        names: of calibrations.
    """
    columns: dict[str, dict[str, Measurement]] = {}
    for name in names:
        for m in calibrations()[name].measurements:
            if m.coordinates.get("panel") == kind:
                head = f"{calibrations()[name].provenance['panel']}, {m.coordinates['readout']}"
                columns.setdefault(head, {})[m.quantity] = m
    quantities = dict.fromkeys(quantity for column in columns.values() for quantity in column)
    rows = tuple((q, *(_share(column.get(q)) for column in columns.values())) for q in quantities)
    return table(("", *columns), rows)


def shown(name: str, *figures: str) -> Markup:
    """Pictures and tables of a calibration, by their names."""
    held = {figure.name: figure for figure in calibrations()[name].figures}
    return Markup("").join(picture(held[figure]) for figure in figures)


def folded(summary: str, name: str, *figures: str) -> Markup:
    """As `shown`, for the reader to open."""
    return fold(summary, shown(name, *figures))


def mistakes(kind: str, name: str) -> Markup:
    """Every wrong answer of a panel, and every subject that could have been identified and was not, with the verdict's reason.

    Args:
        kind: of panel, as for `shares`.
        name: of a calibration.
    """
    held = {figure.name: figure.rows for figure in calibrations()[name].figures}
    lines = [
        Markup("<li><strong>{}</strong> ({}): {} <small>It was made from: {}.</small></li>").format(
            row["kind"], said, row["reason"], row["made from"]
        )
        for table, said in (("wrong", "wrong"), ("needless", "not identified"))
        for row in held[f"{kind}, {table}"]
    ]
    return Markup("<ul>{}</ul>").format(Markup("").join(lines)) if lines else Markup("<p>None.</p>")


def _told(name: str) -> Markup:
    found = calibrations()[name]
    sentences = Markup("").join(Markup("<li>{}</li>").format(sentence) for sentence in found.sentences)
    return Markup("<ul>{}</ul>{}").format(sentences, made_by(found.provenance, f"../calibrations/{name}.json"))


def _share(m: Measurement | None) -> str:
    if m is None:
        return "–"
    low, high = m.interval or (0.0, 1.0)
    return f"{round(m.value * m.n)} of {m.n} ({100 * low:.1f} to {100 * high:.1f} %)"
