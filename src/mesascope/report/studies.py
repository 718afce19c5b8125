"""The page of one study, or of many: every claim with the published figures and ours, failures first."""

from collections.abc import Sequence

from markupsafe import Markup

from mesascope.report.formatting import measured, number
from mesascope.report.shell import Block, Section, document, flat, macro
from mesascope.report.tables import Table, measurement_tables, tabulate
from mesascope.types import Outcome, StudyResult

JUDGEMENTS = ("not reproduced", "not decidable", "reproduced")
"""In the order in which a reader wants them."""


_HEADS = ("claim", "published", "measured", "ours [95 % interval]", "n", "rule")


def study_page(results: Sequence[StudyResult]) -> str:
    """One HTML document: the count, all claims with their figures, then each study with its pictures.

    Args:
        results: at least one.
    """
    alone = results[0] if len(results) == 1 else None
    ordered = sorted(results, key=_worst)
    sections = [Section(title="Claims and figures", blocks=tuple(_all_claims(ordered)))]
    sections += [_study(result) for result in ordered]
    sections.append(_provenance(ordered))
    return document(
        alone.title if alone else "Published results, put to the test",
        [_count(ordered)] if alone is None else [_count(ordered), *_smoke(alone)],
        sections,
        kicker=f"Mesascope · study {alone.study}" if alone else "Mesascope · studies",
    )


def judged(outcomes: Sequence[Outcome]) -> str:
    """How many claims came out how, in words."""
    counts = {j: sum(o.judgement == j for o in outcomes) for j in reversed(JUDGEMENTS)}
    return ", ".join(f"{count} {judgement}" for judgement, count in counts.items() if count)


def _worst(result: StudyResult) -> int:
    return min((JUDGEMENTS.index(o.judgement) for o in result.outcomes), default=len(JUDGEMENTS))


def _count(results: Sequence[StudyResult]) -> str:
    outcomes = [o for result in results for o in result.outcomes]
    theirs, ours = ([o for o in outcomes if o.own is own] for own in (False, True))
    told = [f"Of {len(theirs)} published claims: {judged(theirs)}."] if theirs else []
    told += [f"Of {len(ours)} claims of our own: {judged(ours)}."] if ours else []
    return " ".join(told)


def _all_claims(results: Sequence[StudyResult]) -> list[Block]:
    """A table for each judgement, failures first: a row for each number that a claim was judged by."""
    blocks: list[Block] = []
    for judgement in JUDGEMENTS:
        rows = [
            row
            for result in results
            for outcome in result.outcomes
            if outcome.judgement == judgement
            for row in _rows(result, outcome)
        ]
        if rows:
            columns: dict[str, list[object]] = {head: [row[i] for row in rows] for i, head in enumerate(_HEADS)}
            blocks.append(tabulate(f"{judgement[:1].upper()}{judgement[1:]}", columns))
    return blocks


def _rows(result: StudyResult, outcome: Outcome) -> list[tuple[str, ...]]:
    figures = "; ".join(f"{number(p.value)} ({p.path.split('/', 1)[-1].replace('_', ' ')})" for p in outcome.published)
    whose = "Own claim. " if outcome.own else ""
    lead = (f"{result.study}. {whose}{outcome.claim} → {outcome.reason}.", figures)
    if not outcome.evidence:
        return [(*lead, "not measured", "", "", "")]
    rows = []
    for i, evidence in enumerate(outcome.evidence):
        m = evidence.measurement
        where = ", ".join(str(v) for v in m.coordinates.values() if v is not None)
        came = {True: "✓", False: "✗", None: "?"}[evidence.holds]
        what = f"{m.quantity} ({where})" if where else m.quantity
        rows.append(
            (*(lead if i == 0 else ("", "")), what, measured(m.value, m.interval), str(m.n), f"{came} {evidence.rule}")
        )
    return rows


def _study(result: StudyResult) -> Section:
    evidence = [e.measurement for outcome in result.outcomes for e in outcome.evidence]
    blocks: list[Block] = [f"Source {result.source}, profile {result.profile}: {judged(result.outcomes)}."]
    blocks += [*result.notes, *result.figures]
    for title, measurements in (("What the claims rest on", evidence), ("All measurements", result.measurements)):
        tables = Markup("").join(macro("blocks.html.j2", "table", table) for table in measurement_tables(measurements))
        blocks.append(macro("record.html.j2", "fold", f"{title}, with controls", tables))
    return Section(title=f"{result.study}: {result.title}", blocks=tuple(blocks))


def _smoke(result: StudyResult) -> list[Block]:
    return ["Profile smoke: it shows that the study runs, and decides nothing."] if result.profile == "smoke" else []


def _provenance(results: Sequence[StudyResult]) -> Section:
    blocks: list[Table] = []
    for result in results:
        rows = flat(result.provenance)
        columns = {"setting": [key for key, _ in rows], "value": [value for _, value in rows]}
        blocks.append(tabulate(result.study, columns))
    return Section(title="Provenance", blocks=tuple(blocks), folded=True)
