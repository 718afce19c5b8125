"""The pages of a record (the verdict, then the evidence) and of other findings (the results, then the evidence)."""

from collections.abc import Iterable, Mapping, Sequence

from markupsafe import Markup

from mesascope.report.description import ladder_table
from mesascope.report.formatting import measured, number
from mesascope.report.shell import PageBlock, Section, document, flat, macro
from mesascope.report.studies import study_page
from mesascope.report.tables import Table, control_text, measurement_tables, tabulate, uncontrolled
from mesascope.types import (
    Answer,
    DistributionVerdict,
    Figure,
    Findings,
    Measurement,
    Record,
    Scalar,
    StudyResult,
    Verdict,
)

_SILENT = "silent failure"
_NO_CONTROLS = "not shown: it came without controls"


def page(record: Record | Findings | StudyResult) -> str:
    """A record, other findings, or a study's result, as one HTML document that needs no network.

    Numbers without controls are not shown; the page says how many there were.
    """
    if isinstance(record, StudyResult):
        return study_page([record])
    return _findings(record) if isinstance(record, Findings) else _examination(record)


def _findings(found: Findings) -> str:
    sections = [*_figures(found.figures), _measurements(found.measurements)]
    sections.append(_provenance((("Run", found.provenance),), found.schema_version))
    return document(found.title, found.sentences, [section for section in sections if section.blocks])


def _examination(record: Record) -> str:
    verdict = record.verdict
    name = str(record.subject.get("name") or verdict.subject)
    known = {figure.name for figure in record.figures}
    figures = [*(f for f in verdict.figures if f.name not in known), *record.figures]
    sections = [*_figures(figures), _invariances(verdict), _measurements(record.measurements)]
    first = bool(sections) and sections[0].title == "Spectral response"
    sections.insert(first, _candidates(verdict))  # what it computes comes first, the names after it
    sections += [_controls(record.controls), _skipped(record)]
    sections.append(_provenance((("Subject", record.subject), ("Run", record.provenance)), record.schema_version))
    return document(
        name,
        [_verdict(record)],
        [section for section in sections if section.blocks],
        subtitle="Which learning algorithm does it run in its forward pass?",
        kicker="Mesascope · examination",
    )


def sentences(verdict: Verdict) -> list[str]:
    """The verdict in plain sentences: the path, the function, the other distribution."""
    on = verdict.discriminating if verdict.basis == "discriminating" else verdict.training
    on = on or verdict.training
    told = [f"On the {verdict.basis} prompts, {_path(verdict, on.path)} {_function(on.function)}"]
    other = verdict.training if verdict.basis == "discriminating" else verdict.discriminating
    if other is not None:
        where = "training" if verdict.basis == "discriminating" else "discriminating"
        same = (other.path.label, set(other.path.algorithms)) == (verdict.label, set(verdict.algorithms))
        answer = "the path gets the same answer" if same else f"the path is {_plain(other.path)}"
        told.append(f"On the {where} prompts {answer}.")
    return told


def failures(record: Record) -> list[str]:
    """Sentences about failed controls: one about all of them, then one about each. Empty if none failed."""
    broken = [row for row in record.controls if row.get("holds") is False]
    if not broken:
        return []
    judged = sum(row.get("holds") is not None for row in record.controls)
    instruments = ", ".join(dict.fromkeys(number(row.get("instrument")) for row in broken))
    return [
        f"{len(broken)} of {judged} controls did not give their known answer ({instruments}). "
        "Do not rely on results of these instruments for this subject.",
        *(
            f"{number(row.get('instrument'))}, {number(row.get('control'))}: must be {number(row.get('expected'))}; "
            f"observed {number(row.get('observed'))}."
            for row in broken
        ),
    ]


def silent_failures(record: Record) -> list[str]:
    """Sentences about settings in which the subject fails silently: the first in full, then the names of the others."""
    flags = [m for m in record.measurements if (m.instrument, m.quantity) == (_SILENT, _SILENT) and m.value]
    if not flags:
        return []
    said = [f"Silent failure. {number(flags[0].coordinates.get('in words'))}"]
    if others := [number(m.coordinates.get("setting")) for m in flags[1:]]:
        where = "another setting" if len(others) == 1 else f"{len(others)} other settings"
        said.append(f"Silent failure in {where}: {'; '.join(others)}.")
    return said


def _path(verdict: Verdict, path: Answer) -> str:
    tried = len(path.scores)
    best = next((s for s in path.scores if s.candidate in verdict.algorithms), None)
    if verdict.label == "identified":
        score = (
            f" (score {measured(best.score, best.interval)}, n = {number(path.n)})" if best and path.controls else ""
        )
        names = " and ".join(verdict.algorithms)
        return (
            f"the layers of {verdict.subject} follow {names}{score}; of the {tried} candidates tried, "
            "no other stays in the 95 % confidence set."
        )
    if verdict.label == "indistinguishable":
        return (
            f"the layers of {verdict.subject} follow {_either(verdict.algorithms)}: "
            f"of the {tried} candidates tried, the evidence does not tell these apart."
        )
    return f"none of the {tried} candidates tried describes what the layers of {verdict.subject} do."


def _function(function: Answer) -> str:
    steps = {score.candidate: score.timing.get("steps") for score in function.scores}
    names = [name if steps.get(name) is None else f"{_steps(steps[name])} of {name}" for name in function.algorithms]
    if function.label == "identified":
        return f"Its last layer computes the same function as {' and '.join(names)}."
    if function.label == "indistinguishable":
        return f"Its last layer computes the same function as {_either(names)}, which cannot be told apart here."
    if not function.scores:
        return "No candidate was tried for the function that its last layer computes."
    return f"None of the {len(function.scores)} functions tried describes its last layer."


def _steps(count: Scalar) -> str:
    return "1 step" if count == 1 else f"{number(count)} steps"


def _plain(answer: Answer) -> str:
    if answer.label == "none":
        return "none of those tried"
    return f"{answer.label}: {' or '.join(answer.algorithms)}"


def _either(names: Iterable[str]) -> str:
    *most, last = list(names) or ["unnamed candidates"]
    return f"{', '.join(most)} or {last}" if most else last


def _verdict(record: Record) -> Markup:
    warnings = [" ".join(told) for told in (failures(record), silent_failures(record)) if told]
    described = record.verdict.description
    table = None if described is None else ladder_table(described)
    ladder = "" if table is None else macro("blocks.html.j2", "table", table)
    lead = macro("record.html.j2", "verdict", record, ladder, sentences(record.verdict), warnings)
    columns = [("Training distribution", _pair(record.verdict.training))]
    if record.verdict.discriminating is not None:
        columns.append(("Discriminating distribution", _pair(record.verdict.discriminating)))
    inner = macro("record.html.j2", "answers", columns, _explain)
    return lead + macro("record.html.j2", "fold", "Both questions on both distributions: scores and controls", inner)


def _pair(pair: DistributionVerdict) -> Mapping[str, Answer]:
    return {"path": pair.path, "function": pair.function}


def _explain(answer: Answer) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = [("Distribution", answer.distribution)]
    if answer.scores:
        best = next((s for s in answer.scores if s.candidate in answer.algorithms), answer.scores[0])
        score = measured(best.score, best.interval) if answer.controls else _NO_CONTROLS
        rows.append(("Score", score if len(answer.algorithms) == 1 else f"{score} ({best.candidate})"))
    rows += [("Remainder", number(answer.remainder)), ("n", f"{number(answer.n)} prompts"), ("Readout", answer.readout)]
    return rows + [(f"{c.kind.capitalize()} control", control_text(c)) for c in answer.controls]


def _candidates(verdict: Verdict) -> Section:
    blocks: list[PageBlock] = []
    for where, pair in (("training", verdict.training), ("discriminating", verdict.discriminating)):
        if pair is None:
            continue
        for answer in (pair.path, pair.function):
            inner = Markup("").join(macro("blocks.html.j2", "table", table) for table in _scores(answer))
            kept = sum(score.kept for score in answer.scores)
            tried = f"{len(answer.scores)} tried, {kept} in the confidence set"
            title = f"{answer.question.capitalize()}, {where} prompts: {tried}"
            blocks.append(macro("record.html.j2", "fold", title, inner))
    return Section(title="All candidates", blocks=tuple(blocks))


def _scores(answer: Answer) -> list[Table]:
    scores = answer.scores if answer.controls else ()
    said = [s.timing for s in scores]
    columns: dict[str, list[object]] = {
        "candidate": [s.candidate for s in scores],
        "score [95 % interval]": [measured(s.score, s.interval) for s in scores],
        "in the confidence set": [s.kept for s in scores],
        "coefficients": [s.told or None for s in scores],
    }
    columns |= {key: [each.get(key) for each in said] for key in dict.fromkeys(key for each in said for key in each)}
    if any(s.excluded for s in scores):
        columns["excluded because"] = [s.excluded or None for s in scores]
    tables = [tabulate("", columns)] if scores else []
    if answer.agreement:
        names = list(answer.agreement)
        agreement: dict[str, list[object]] = {"": list(names)}
        agreement |= {name: [answer.agreement[row].get(name) for row in names] for name in names}
        tables.append(tabulate("How alike the candidates are on these prompts (1 is equal)", agreement))
    return tables


def _figures(figures: Iterable[Figure]) -> list[Section]:
    sections: dict[str, list[Figure]] = {}
    for figure in figures:
        sections.setdefault(figure.section, []).append(figure)
    return [Section(title=title[:1].upper() + title[1:], blocks=tuple(group)) for title, group in sections.items()]


def _invariances(verdict: Verdict) -> Section:
    return Section(
        title="Invariances", blocks=(*measurement_tables(verdict.invariances), *_withheld(verdict.invariances))
    )


def _measurements(measurements: Sequence[Measurement]) -> Section:
    tables: dict[str, list[Markup]] = {}
    for table in measurement_tables(measurements):
        tables.setdefault(table.title.split(": ")[0], []).append(macro("blocks.html.j2", "table", table))
    blocks: list[PageBlock] = [
        macro("record.html.j2", "fold", title, Markup("").join(group)) for title, group in tables.items()
    ]
    return Section(title="All measurements", blocks=(*blocks, *_withheld(measurements)))


def _withheld(measurements: Sequence[Measurement]) -> list[str]:
    counts = uncontrolled(measurements)
    if not counts:
        return []
    listed = ", ".join(f"{name} ({count})" for name, count in counts.items())
    return [f"Measurements not shown, because they have no controls: {sum(counts.values())} from {listed}."]


def _controls(controls: Sequence[Mapping[str, Scalar]]) -> Section:
    rows = sorted(controls, key=lambda row: row.get("holds") is not False)  # failed controls first
    if not rows:
        return Section(title="Controls", blocks=("No control was run.",))
    keys = list(dict.fromkeys(key for row in rows for key in row))
    columns: dict[str, list[object]] = {key: [row.get(key) for row in rows] for key in keys if key != "holds"}
    came_out: dict[object, str] = {True: "✓ yes", False: "✗ no"}
    columns["as expected"] = [came_out.get(row.get("holds")) for row in rows]
    judged = [row for row in rows if row.get("holds") is not None]
    held = sum(row.get("holds") is True for row in judged)
    lead = f"Cases with a known answer, measured in this run: {held} of {len(judged)} gave this answer."
    return Section(title="Controls", blocks=(lead, tabulate("", columns)))


def _skipped(record: Record) -> Section:
    table = tabulate("", {"instrument": list(record.skipped), "reason": list(record.skipped.values())})
    return Section(title="What was not measured, and why", blocks=(table,) if record.skipped else ())


def _provenance(parts: Iterable[tuple[str, Mapping[str, object]]], version: int) -> Section:
    blocks = []
    for title, content in parts:
        rows = flat(content)
        if rows:
            blocks.append(tabulate(title, {"setting": [key for key, _ in rows], "value": [value for _, value in rows]}))
    blocks.append(f"Format of the record: version {version}.")
    return Section(title="Provenance", blocks=tuple(blocks), folded=True)
