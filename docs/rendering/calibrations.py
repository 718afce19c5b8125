"""How often verdicts are right about planted subjects, and what else was calibrated: from committed calibrations."""

from functools import cache

from markupsafe import Markup

from mesascope.calibration.counting import as_count, in_percent
from mesascope.records.keeping import kept
from mesascope.types import Findings
from rendering import CALIBRATIONS
from rendering.pictures import fold, picture, table
from rendering.provenance import made_by


@cache
def calibrations() -> dict[str, Findings]:
    """Every calibration that was kept, by its panel and parts: ``S-mixed``."""
    return kept(CALIBRATIONS, Findings)


def told(name: str) -> Markup:
    """What a calibration says in sentences, and by which code it was run."""
    found = calibrations()[name]
    sentences = Markup("").join(Markup("<li>{}</li>").format(sentence) for sentence in found.sentences)
    return Markup("<ul>{}</ul>{}").format(sentences, made_by(found.provenance, f"../calibrations/{name}.json"))


def shares(kind: str, name: str) -> Markup:
    """How many subjects got which answer, with 95 % intervals, and how many would if names were drawn at random.

    Args:
        kind: of panel: ``mixed``, ``exact``, ``kernels`` or ``generalised``.
        name: of a calibration.
    """
    rows = tuple(
        (m.quantity, as_count(m), in_percent(m), *(f"{control.value:.1%}" for control in m.controls))
        for m in calibrations()[name].measurements
        if m.coordinates["panel"] == kind
    )
    return table(("", "subjects", "95 % interval", "a name drawn at random"), rows)


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
