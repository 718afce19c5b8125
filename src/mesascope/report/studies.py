"""The page of one or many studies: every claim with the published figures and ours, failures first."""

import re
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from mesascope.report.formatting import measured, number
from mesascope.report.shell import PageBlock, Section, document, flat, macro
from mesascope.report.tables import Table, measurement_tables, tabulate
from mesascope.types import Evidence, Measurement, Outcome, StudyResult

JUDGEMENTS = ("not reproduced", "not decidable", "reproduced")
"""All judgements, in the order in which the page shows them."""
MOST = 2000
"""Measurements in the table of all, at most: more would leave no room on the page for the pictures. The record has all."""
SHOWN = 10
"""Numbers of a claim that stand on the page at once, those first that speak against it; the others fold away."""
MARKS = {False: "✗", None: "?", True: "✓"}
"""Of a rule that does not hold, is not decided, or holds."""
HEADS = ("measured", "ours [95 % interval]", "n", "rule")


def study_page(results: Sequence[StudyResult]) -> str:
    """One HTML document: the count, all claims with their figures, then each study with its pictures.

    Args:
        results: the results, at least one.
    """
    alone = results[0] if len(results) == 1 else None
    ordered = sorted(results, key=_worst)
    sections = _all_claims(ordered)
    sections += [_study(result, alone=alone is not None) for result in ordered]
    sections.append(_provenance(ordered))
    return document(
        alone.title if alone else "Published results, put to the test",
        [counted(ordered)] if alone is None else [counted(ordered), *_smoke(alone)],
        sections,
        kicker=f"Mesascope · study {alone.study}" if alone else "Mesascope · studies",
    )


def judged(outcomes: Sequence[Outcome]) -> str:
    """The number of claims per judgement, in words."""
    counts = {j: sum(o.judgement == j for o in outcomes) for j in reversed(JUDGEMENTS)}
    return ", ".join(f"{count} {judgement}" for judgement, count in counts.items() if count)


def _worst(result: StudyResult) -> int:
    return min((JUDGEMENTS.index(o.judgement) for o in result.outcomes), default=len(JUDGEMENTS))


def counted(results: Sequence[StudyResult]) -> str:
    """How many claims hold, in words: the sources', then our own."""
    outcomes = [o for result in results for o in result.outcomes]
    theirs, ours = ([o for o in outcomes if o.own is own] for own in (False, True))
    words = [f"Of {len(theirs)} published claims: {judged(theirs)}."] if theirs else []
    words += [f"Of {len(ours)} claims of our own: {judged(ours)}."] if ours else []
    return " ".join(words)


def _all_claims(results: Sequence[StudyResult]) -> list[Section]:
    """One section per judgement, failures first, with one table per claim and one row per number that it was judged by."""
    sections: list[Section] = []
    for judgement in JUDGEMENTS:
        claims = [(r, o) for r in results for o in r.outcomes if o.judgement == judgement]
        if claims:
            title = f"{judgement[:1].upper()}{judgement[1:]}: {len(claims)}"
            blocks = tuple(block for claim in claims for block in _claim(*claim))
            sections.append(Section(title=title, blocks=blocks))
    return sections


def _claim(result: StudyResult, outcome: Outcome) -> list[PageBlock]:
    figures = "; ".join(f"{number(p.value)} ({p.path.split('/', 1)[-1].replace('_', ' ')})" for p in outcome.published)
    whose, theirs = "Own claim. " if outcome.own else "", f" Published: {figures}." if figures else ""
    # Stable: rows of one kind keep the order in which the study names them.
    rows = [told(evidence) for evidence in sorted(outcome.evidence, key=against)]
    title = f"{result.study}. {whose}{outcome.claim} → {outcome.reason}.{theirs}"
    blocks: list[PageBlock] = [_numbers(title, rows[:SHOWN] or [("not measured", "", "", "")])]
    if more := rows[SHOWN:]:
        table = macro("blocks.html.j2", "table", _numbers("", more))
        blocks.append(macro("record.html.j2", "fold", f"{len(more)} more numbers of this claim", table))
    return blocks


def _numbers(title: str, rows: Sequence[tuple[str, ...]]) -> Table:
    return tabulate(title, {head: [row[place] for row in rows] for place, head in enumerate(HEADS)})


def against(evidence: Evidence) -> int:
    """A key to sort by: what speaks against its claim comes first."""
    return list(MARKS).index(evidence.holds)


def told(evidence: Evidence) -> tuple[str, ...]:
    """What was measured, ours with its interval, the number of prompts or networks, and the rule with a mark."""
    m = evidence.measurement
    named = {name: number(v) for name, v in m.coordinates.items() if v is not None and v != ""}
    where = ", ".join(f"{name} {value}" for name, value in named.items())
    what = f"{m.quantity} ({where})" if where else m.quantity
    bounds = [float(bound) for bound in re.findall(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?", evidence.rule)]
    return what, measured(m.value, m.interval, bounds), number(m.n), f"{MARKS[evidence.holds]} {evidence.rule}"


def _study(result: StudyResult, alone: bool) -> Section:
    """The section of one study. On a page of several, measurements that no claim uses are left out, to make room for figures."""
    evidence = [e.measurement for outcome in result.outcomes for e in outcome.evidence]
    blocks: list[PageBlock] = [f"Source {result.source}, profile {result.profile}: {judged(result.outcomes)}."]
    blocks += [*result.notes, *result.figures]
    shown: dict[str, Sequence[Measurement]] = {"What the claims rest on": evidence}
    if alone:
        count = len(result.measurements)
        some = "All" if count <= MOST else f"The first {MOST:,} of {count:,}"
        shown[f"{some} measurements"] = result.measurements[:MOST]
    for title, measurements in shown.items():
        tables = Markup("").join(macro("blocks.html.j2", "table", table) for table in measurement_tables(measurements))
        blocks.append(macro("record.html.j2", "fold", f"{title}, with controls", tables))
    if not alone:
        blocks.append(
            f"All {len(result.measurements)} measurements, with controls: on the study's own page, beside its record."
        )
    return Section(title=f"{result.study}: {result.title}", blocks=tuple(blocks))


def _smoke(result: StudyResult) -> list[PageBlock]:
    return ["Profile smoke: it shows that the study runs, and decides nothing."] if result.profile == "smoke" else []


def _provenance(results: Sequence[StudyResult]) -> Section:
    """The provenance of each study, then each network once, because many studies examine the same networks."""
    blocks: list[Table] = []
    networks: dict[tuple[str, tuple[tuple[str, str], ...]], None] = {}
    for result in results:
        examined = result.provenance.get("networks")
        specs = examined if isinstance(examined, Mapping) else {}
        rest = {key: value for key, value in result.provenance.items() if key != "networks"}
        blocks.append(_settings(result.study, flat({**rest, "networks": list(specs)})))
        networks |= {(str(name), tuple(flat(spec))): None for name, spec in specs.items()}
    blocks += [_settings(name, rows) for name, rows in networks]
    return Section(title="Provenance", blocks=tuple(blocks), folded=True)


def _settings(title: str, rows: Sequence[tuple[str, str]]) -> Table:
    return tabulate(title, {"setting": [key for key, _ in rows], "value": [value for _, value in rows]})
