"""The page of one study, or of many: every claim with the published figures and ours, failures first."""

from collections.abc import Sequence

from markupsafe import Markup

from mesascope.report.formatting import measured, number
from mesascope.report.shell import Block, Section, document, flat, macro
from mesascope.report.tables import Table, control_text, measurement_tables, tabulate
from mesascope.types import Outcome, StudyResult

JUDGEMENTS = ("not reproduced", "not decidable", "reproduced")
"""In the order in which a reader wants them."""


_HEADS = ("study", "claim", "published", "ours [95 % interval]", "n", "controls", "rule", "why")


def study_page(results: Sequence[StudyResult]) -> str:
    """One HTML document: the count, all claims with their figures, then each study with its pictures.

    Args:
        results: at least one.
    """
    alone = results[0] if len(results) == 1 else None
    ordered = sorted(results, key=_worst)
    sections = [Section(title="Claims and figures", blocks=tuple(_all_claims(ordered)))]
    sections += [_study(result) for result in ordered]
    sections += [_measurements(result, len(ordered)) for result in ordered]
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
    """A table for each judgement, failures first: one row a number that a claim was judged by, or a published figure."""
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
    figures = "; ".join(f"{number(p.value)} ({p.path.replace('_', ' ')})" for p in outcome.published)
    figures = figures or ("own claim" if outcome.own else "")
    lead = (result.study, outcome.claim, figures)
    if not outcome.evidence:
        return [(*lead, "not measured", "", "", "", outcome.reason)]
    rows = []
    for i, evidence in enumerate(outcome.evidence):
        m = evidence.measurement
        where = ", ".join(str(v) for k, v in m.coordinates.items() if v is not None)
        came = {True: "✓", False: "✗", None: "?"}[evidence.holds]
        controls = "; ".join(f"{c.kind}: {control_text(c)}" for c in m.controls)
        ours = f"{m.quantity}: {measured(m.value, m.interval)} ({where})"
        rows.append((*(lead if i == 0 else ("", "", "")), ours, str(m.n), controls, f"{came} {evidence.rule}"))
    return [(*row, outcome.reason if i == 0 else "") for i, row in enumerate(rows)]


def _study(result: StudyResult) -> Section:
    title = f"{result.study}: {result.title}"
    blocks: list[Block] = [f"Source {result.source}, profile {result.profile}: {judged(result.outcomes)}."]
    return Section(title=title, blocks=(*blocks, *result.notes, *result.figures))


def _smoke(result: StudyResult) -> list[Block]:
    return ["Profile smoke: it shows that the study runs, and decides nothing."] if result.profile == "smoke" else []


def _measurements(result: StudyResult, of: int) -> Section:
    tables: dict[str, list[Markup]] = {}
    for table in measurement_tables(result.measurements):
        tables.setdefault(table.title.split(": ")[0], []).append(macro("blocks.html.j2", "table", table))
    blocks = [macro("record.html.j2", "fold", title, Markup("").join(group)) for title, group in tables.items()]
    title = "All measurements" if of == 1 else f"All measurements: {result.study}"
    return Section(title=title, blocks=tuple(blocks), folded=True)


def _provenance(results: Sequence[StudyResult]) -> Section:
    blocks: list[Table] = []
    for result in results:
        rows = flat(result.provenance)
        columns = {"setting": [key for key, _ in rows], "value": [value for _, value in rows]}
        blocks.append(tabulate(result.study, columns))
    return Section(title="Provenance", blocks=tuple(blocks), folded=True)
