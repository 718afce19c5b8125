"""Claims as tables: what is claimed, what is published, what was measured here, and the verdict; failures first."""

from collections.abc import Sequence
from functools import cache

from markupsafe import Markup

from mesascope.commands.index import index
from mesascope.records.keeping import kept
from mesascope.report.formatting import number
from mesascope.report.studies import HEADS, JUDGEMENTS, MARKS, against, counted, told
from mesascope.types import Evidence, Outcome, PublishedFigure, StudyResult
from rendering import FINDINGS
from rendering.pictures import fold, picture, table
from rendering.provenance import made_by
from rendering.themes import page, themes

COLUMNS = ("reproduced", "not reproduced", "not decidable")
"""Verdicts in the order of the columns that count them."""
VERDICTS = dict(zip(JUDGEMENTS, MARKS.values(), strict=True))
"""The mark of each verdict, failures first."""
PRINTED = 3
"""How many published figures stand in the table; the others fold away with the numbers."""
ROWS = 40
"""How many numbers of one claim are listed, those first that speak against it; the record has all."""


@cache
def findings() -> dict[str, StudyResult]:
    """Every study that was run and kept, by name."""
    return kept(FINDINGS, StudyResult)


def claims(theme: str) -> str:
    """One table of all claims of a theme, failures first; the numbers behind each claim fold out.

    Args:
        theme: a folder of studies. Those without a committed result are listed below the table as not run.
    """
    studies = themes()[theme]
    found = [findings()[name] for name in studies if name in findings()]
    pairs = [(result, outcome) for result in found for outcome in result.outcomes]
    body = _claims(pairs) if pairs else Markup("")
    return Markup("<p>{}</p>{}{}").format(counted(found), body, _missing([s for s in studies if s not in findings()]))


def about(study: str, instrument: str) -> str:
    """The claims of a study that rest on an instrument, as in `claims`."""
    result = findings()[study]
    held = [o for o in result.outcomes if any(e.measurement.instrument == instrument for e in o.evidence)]
    return _claims([(result, outcome) for outcome in held])


def evidence(theme: str) -> str:
    """For each study of a theme its question, its first picture, what else came out, and by which code it was run."""
    return Markup("").join(_study(findings()[name]) for name in themes()[theme] if name in findings())


def overview() -> str:
    """Every study of every theme with the number of its claims by verdict."""
    questions, lines = index()["studies"], []
    for theme, studies in themes().items():
        for name in studies:
            outcomes = findings()[name].outcomes if name in findings() else ()
            counts = [sum(o.judgement == j for o in outcomes) for j in COLUMNS]
            cells = Markup("").join(Markup("<td>{}</td>").format(c or "·") for c in counts)
            last = cells if outcomes else Markup('<td colspan="3">not run yet</td>')
            link = Markup('<a href="../{0}#{1}">{1}</a><br><small>{2}</small>').format(
                page(theme), name, questions[name]
            )
            lines.append(Markup("<tr><td>{}</td>{}</tr>").format(link, last))
    heads = Markup("").join(Markup("<th>{}</th>").format(text) for text in ("Study", *COLUMNS))
    head = Markup("<tr>{}</tr>").format(heads)
    total = counted(list(findings().values()))
    return Markup("<p>{}</p><table><thead>{}</thead><tbody>{}</tbody></table>").format(
        total, head, Markup("").join(lines)
    )


def _claims(pairs: Sequence[tuple[StudyResult, Outcome]]) -> Markup:
    failures_first = sorted(pairs, key=lambda pair: JUDGEMENTS.index(pair[1].judgement))
    rows = Markup("").join(_row(result, outcome) for result, outcome in failures_first)
    head = Markup(
        "<thead><tr><th>Claim</th><th>Published</th><th>Ours [95 % interval]</th><th>Verdict</th></tr></thead>"
    )
    return Markup('<table class="claims">{}<tbody>{}</tbody></table>').format(head, rows)


def _row(result: StudyResult, outcome: Outcome) -> Markup:
    numbers = sorted(outcome.evidence, key=against)
    cell = Markup('<td data-label="{}">{}</td>')
    whose = Markup(" <small>our own claim</small>") if outcome.own else Markup("")
    study = Markup('<small><a href="#{0}">{0}</a></small>').format(result.study)
    claim = Markup("{}{} {}{}").format(outcome.claim, whose, study, _behind(outcome, numbers))
    shade = outcome.judgement.replace(" ", "-")
    verdict = Markup('<span class="{}">{} {}</span>').format(shade, VERDICTS[outcome.judgement], outcome.judgement)
    cells = (
        ("Claim", claim),
        ("Published", _published(outcome.published)),
        ("Ours", _ours(numbers)),
        ("Verdict", verdict),
    )
    return Markup("<tr>{}</tr>").format(Markup("").join(cell.format(label, inner) for label, inner in cells))


def _published(figures: Sequence[PublishedFigure]) -> Markup:
    shown = "; ".join(number(figure.value) for figure in figures[:PRINTED])
    more = f" and {len(figures) - PRINTED} more" if len(figures) > PRINTED else ""
    return Markup("{}{}").format(shown or "–", more)


def _ours(numbers: Sequence[Evidence]) -> Markup:
    """The number that speaks most against the claim, and how many there are."""
    if not numbers:
        return Markup("not measured")
    quantity, ours = numbers[0].measurement.quantity, told(numbers[0])[1]
    against = sum(e.holds is False for e in numbers)
    more = f"; {against} of {len(numbers)} against" if against else f"; one of {len(numbers)}"
    words = f"{quantity}{more if len(numbers) > 1 else ''}"
    return Markup("{} <small>{}</small>").format(ours, words)


def _behind(outcome: Outcome, numbers: Sequence[Evidence]) -> Markup:
    rows = tuple(told(e) for e in numbers[:ROWS])
    reason = Markup("<p>{}.</p>").format(outcome.reason[:1].upper() + outcome.reason[1:])
    printed = "; ".join(f"{number(f.value)} ({f.path.replace('_', ' ')})" for f in outcome.published)
    source = Markup("<p>Published: {}.</p>").format(printed) if printed else Markup("")
    listed = table(HEADS, rows) if rows else Markup("")
    left = Markup("<p>And {} more, which all hold or are no worse.</p>").format(len(numbers) - ROWS)
    return fold(
        {0: "why", 1: "1 number"}.get(len(numbers), f"{len(numbers)} numbers"),
        reason + source + listed + (left if len(numbers) > ROWS else Markup("")),
    )


def _study(result: StudyResult) -> Markup:
    by = made_by(result.provenance, f"../../findings/{result.study}.json", source=result.source)
    notes = Markup("").join(Markup("<li>{}</li>").format(note) for note in result.notes)
    pictures = Markup("").join(picture(figure) for figure in result.figures[:1])
    folded = fold("Departures and notes", Markup("<ul>{}</ul>").format(notes)) if result.notes else Markup("")
    return Markup('<h3 id="{0}">{0}</h3><p>{1}</p>{2}{3}{4}').format(result.study, result.title, pictures, folded, by)


def _missing(studies: Sequence[str]) -> Markup:
    if not studies:
        return Markup("")
    items = Markup("").join(
        Markup(
            '<li id="{0}"><code>{0}</code>: {1} Not run yet for this page: <code>mesascope study run {0}</code></li>'
        ).format(name, index()["studies"][name])
        for name in studies
    )
    return Markup("<p>Without a committed result:</p><ul>{}</ul>").format(items)
