"""Summary of a panel's verdicts: confusion matrix, wrong answers, and needlessly undecided answers."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from mesascope.calibration.counting import as_count, in_percent, share
from mesascope.calibration.distinguishing import ENOUGH
from mesascope.calibration.judging import Grade, Judged
from mesascope.calibration.planted import UNDESCRIBED, algorithm_of
from mesascope.types import Control, Figure, Measurement, Scalar

NONE, UNDECIDED, UNDECIDED_WRONG = "none of these", "undecided, with it", "undecided, without it"
ReadoutAccess = Literal["as they are", "own readout withheld"]
OWN: ReadoutAccess = "as they are"
WITHHELD: ReadoutAccess = "own readout withheld"
EVERYTHING = "All subjects"
"""The section of long tables; it is the last one."""


def distinguishable(judged: Judged) -> bool:
    """Whether the reference algorithms alone distinguish the subject's algorithm from all others, with power 0.9 or more."""
    return judged.power is not None and judged.power >= ENOUGH


def answered(judged: Judged) -> str:
    """The subject's column in the confusion matrix."""
    if judged.outcome in ("none", "missed"):
        return NONE
    names = sorted({algorithm_of(name) for name in judged.algorithms})
    if len(names) == 1:
        return names[0]
    return UNDECIDED_WRONG if judged.outcome == "wrong" else UNDECIDED


JudgedPanel = Mapping[ReadoutAccess, Sequence[Judged]]


def by_readout(subjects: Sequence[Sequence[Judged]]) -> JudgedPanel:
    """The verdicts by readout: with own readouts and, if judged a second time, with own readouts withheld."""
    return dict(zip((OWN, WITHHELD), zip(*subjects, strict=True), strict=False))


def figures(panel: JudgedPanel, kind: str, words: str) -> tuple[Figure, ...]:
    """The confusion matrices, the tables of wrong and of needlessly undecided answers, and a long one of every subject.

    Args:
        panel: the verdicts.
        kind: the panel's kind, which names of figures begin with.
        words: what the panel is called.
    """
    section = words[0].upper() + words[1:]
    return (
        *(confusion(judged, f"{kind}, confusion, {readout}", section, readout) for readout, judged in panel.items()),
        _by_kind(panel, f"{kind}, kinds", section),
        Figure(
            name=f"{kind}, wrong",
            section=section,
            title="Wrong answers",
            caption="An answer set that lacks the truth.",
            kind="table",
            rows=_with_reasons(panel, lambda j: j.outcome == "wrong"),
        ),
        Figure(
            name=f"{kind}, needless",
            section=section,
            title="Distinguishable and not identified",
            caption=f"The reference algorithms alone tell these subjects' algorithm from every other with power {ENOUGH} or "
            "more, at this number of prompts and the subject's noise, and yet it was not identified.",
            kind="table",
            rows=_with_reasons(panel, lambda j: distinguishable(j) and j.outcome in ("undecided", "missed")),
        ),
        Figure(
            name=f"{kind}, subjects",
            section=EVERYTHING,
            title=section,
            caption="What each was made from, and what was said of it.",
            kind="table",
            rows=tuple(_row(readout, j) for readout, judged in panel.items() for j in judged),
        ),
    )


def confusion(judged: Sequence[Judged], name: str, section: str, readout: ReadoutAccess) -> Figure:
    """The confusion matrix: counts of subjects by truth and answer."""
    counts = Counter((_truth(j), answered(j)) for j in judged)
    truths = [*sorted({_truth(j) for j in judged} - {NONE}), NONE]
    answers = [*(t for t in truths if t != NONE), UNDECIDED, UNDECIDED_WRONG, NONE]
    answers += sorted({answered(j) for j in judged} - set(answers))
    return Figure(
        name=name,
        section=section,
        title=f"What subjects with a known answer were said to run, {readout}",
        caption=f"{len(judged)} subjects. Rows: what they run. Columns: what was said. Right: the diagonal and, where the truth "
        "has a name, 'undecided, with it'. 'None of these' is right in rows that name it; in the others an algorithm was missed. "
        "Every other cell is a wrong answer.",
        kind="heatmap",
        rows=tuple({"truth": t, "answer": a, "subjects": counts[t, a]} for t in truths for a in answers),
        x="answer",
        y="truth",
        value="subjects",
    )


def measurements(panel: JudgedPanel, kind: str) -> tuple[Measurement, ...]:
    """Shares of subjects of a kind of panel by outcome, with Clopper–Pearson intervals; none of a group that nobody is in.

    Controls. Negative: the same share for a verdict that names an algorithm at random, each with the frequency with which it is
    the truth.
    """
    found: list[Measurement] = []
    for readout, judged in panel.items():
        able = [j for j in judged if distinguishable(j)]
        nothing = [j for j in judged if not j.truth]
        unable = [j for j in judged if j.truth and UNDESCRIBED not in j.truth and not distinguishable(j)]
        drawn = Counter(next(iter(j.truth), UNDESCRIBED) for j in judged)
        hits = {name: sum(name in (j.truth or (UNDESCRIBED,)) for j in judged) for name in drawn}
        chance = sum(drawn[name] * hits[name] for name in drawn) / len(judged) ** 2
        silent = drawn[UNDESCRIBED] / len(judged)
        named = chance - silent * hits.get(UNDESCRIBED, 0) / len(judged)
        for quantity, group, outcomes, control in (
            ("wrong", judged, ("wrong",), 1 - chance),
            ("distinguishable and identified", able, ("identified",), named),
            ("distinguishable and undecided", able, ("undecided",), 0.0),
            ("distinguishable and called none", able, ("missed",), silent),
            ("none of these and called so", nothing, ("none",), silent),
            ("not distinguishable and identified rightly", unable, ("identified",), named),
        ):
            if not group:
                continue
            value, interval = share(sum(j.outcome in outcomes for j in group), len(group))
            found.append(
                Measurement(
                    instrument="panel",
                    quantity=quantity,
                    value=value,
                    interval=interval,
                    n=len(group),
                    unit="share of subjects",
                    coordinates={"panel": kind, "readout": readout},
                    controls=(Control(kind="negative", name="a name drawn at random", value=control),),
                )
            )
    return tuple(found)


def sentences(words: str, found: Sequence[Measurement]) -> tuple[str, ...]:
    """The results of the panel with this name in a sentence for each readout."""
    told = []
    for readout in dict.fromkeys(m.coordinates["readout"] for m in found):
        by = {m.quantity: m for m in found if m.coordinates["readout"] == readout}
        clauses = [
            f"{as_count(by[quantity])} {said} ({in_percent(by[quantity])})"
            for quantity, said in (
                ("distinguishable and identified", "of those that can be told apart were identified"),
                ("none of these and called so", "of those that run none of the candidates were called so"),
            )
            if quantity in by
        ]
        wrong = f"{as_count(by['wrong'])} subjects got a wrong answer (95 % interval {in_percent(by['wrong'])})"
        told.append(f"{words[0].upper()}{words[1:]}, {readout}: {'; '.join((wrong, *clauses))}.")
    return tuple(told)


def _truth(judged: Judged) -> str:
    return " or ".join(NONE if name == UNDESCRIBED else name for name in judged.truth) or NONE


def _by_kind(panel: JudgedPanel, name: str, section: str) -> Figure:
    kinds = list(dict.fromkeys(j.case for j in panel[OWN]))
    order: tuple[Grade, ...] = ("identified", "undecided", "none", "missed", "wrong")
    rows = []
    for kind in kinds:
        row: dict[str, Scalar] = {"kind": kind}
        for readout, judged in panel.items():
            counts = Counter(j.outcome for j in judged if j.case == kind)
            row[readout] = ", ".join(f"{counts[o]} {o}" for o in order if counts[o])
        row["distinguishable"] = sum(distinguishable(j) for j in panel[OWN] if j.case == kind)
        rows.append(row)
    return Figure(
        name=name,
        section=section,
        title="By kind of subject",
        caption="Identified: named alone and rightly. Undecided: among others. None: rightly none of the candidates. "
        "Missed: none, though a candidate describes it.",
        kind="table",
        rows=tuple(rows),
    )


def _with_reasons(panel: JudgedPanel, chosen: Callable[[Judged], bool]) -> tuple[dict[str, Scalar], ...]:
    return tuple(
        {**_row(readout, j), "reason": j.reason} for readout, judged in panel.items() for j in judged if chosen(j)
    )


def _row(readout: ReadoutAccess, j: Judged) -> dict[str, Scalar]:
    return {
        "kind": j.case,
        "readout": readout,
        "outcome": j.outcome,
        "answer": ", ".join(j.algorithms) or "none",
        "score": j.score,
        "remainder": j.remainder,
        "power": j.power,
        "hardest to tell from": j.hardest,
        "made from": ", ".join(f"{key} {value}" for key, value in j.settings.items()),
    }
