"""The models that ship: what each is, and what its examination found."""

from functools import cache

from markupsafe import Markup

from mesascope.records.keeping import kept
from mesascope.records.store import read_sealed
from mesascope.report.formatting import LABELS, number
from mesascope.types import Record
from mesascope.zoo.shipped import WEIGHTS, names
from rendering import GALLERY


@cache
def examined() -> dict[str, Record]:
    """Every examination that was kept, by the file's name."""
    return kept(GALLERY, Record)


def verdict(name: str, *, built: str) -> str:
    """What was found of a network that was trained, and of one that was built by hand.

    Args:
        name: the trained network.
        built: a network built by hand, whose algorithm is known.
    """
    trained, known = examined()[name], examined()[built]
    lines = Markup("").join(
        Markup("<p><code>{}</code>, {}: <strong>{}{}.</strong><br>{}</p>").format(
            record.subject["name"], words, LABELS[record.verdict.label], _named(record), _sentence(record)
        )
        for record, words in ((known, "eight layers built by hand"), (trained, "trained"))
    )
    return Markup('<div class="verdicts">{}</div>').format(lines)


def models() -> str:
    """Every model that ships with its architecture, training and error, and what it computes."""
    rows = Markup("").join(_row(name) for name in names())
    head = Markup("<thead><tr><th>Model</th><th>What it computes</th></tr></thead>")
    return Markup('<table class="models">{}<tbody>{}</tbody></table>').format(head, rows)


def _row(name: str) -> Markup:
    held = read_sealed(WEIGHTS / f"{name}.json")
    spec, extra = held["spec"], held["extra"]
    task, model = spec.get("task"), spec["model"]
    size = f"{model['layers']} layers of width {model['width']}, {number(held['step'])} steps of {spec['batch']}"
    if task is None or "dim" not in task:
        about = "text in digits and repeated blocks"
    else:
        about = f"{task['type']}, {task['dim']} dimensions, {task['examples']} examples"
    error = extra.get("query_mse")
    told = f"; error {number(error)}" if isinstance(error, float) else ""
    found = examined()[name]
    return Markup(
        "<tr><td><code>{}</code><br><small>{}; {}{}</small></td><td>{} <strong>{}{}.</strong></td></tr>"
    ).format(name, about, size, told, _sentence(found), LABELS[found.verdict.label], _named(found))


def _sentence(record: Record) -> str:
    description = record.verdict.description
    return description.sentence if description else record.verdict.reason


def _named(record: Record) -> str:
    names = record.verdict.algorithms
    return f": {' or '.join(names)}" if names else ""
