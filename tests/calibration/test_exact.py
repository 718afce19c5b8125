"""Exact subjects and the table of what they are called."""

import dataclasses

from mesascope.calibration.exact import COLUMNS, judge_exact, table
from mesascope.calibration.judging import Judged, outcome
from mesascope.calibration.panel import exact, planted

GD, CG, HB = "gradient-descent", "conjugate-gradient", "heavy-ball"


def judged(truth: str, answer: tuple[str, ...], power: float | None) -> Judged:
    return Judged(
        case=truth,
        truth=(truth,),
        settings={},
        readout="own",
        label="none" if not answer else "identified" if len(answer) == 1 else "indistinguishable",
        algorithms=answer,
        reason="",
        outcome=outcome((truth,), answer),
        score=0.9,
        remainder=None,
        power=power,
        hardest=HB,
    )


def test_the_table_counts_by_truth_and_in_all():
    rows = [
        *[judged(GD, (GD,), 0.99)] * 3,
        judged(GD, (GD, HB), 0.95),
        judged(GD, (GD, HB), 0.5),
        judged(CG, (), 0.99),
        judged(CG, (HB,), None),
    ]
    head, *lines = table(rows).splitlines()
    assert tuple(part.strip() for part in head.split("  ") if part.strip()) == COLUMNS
    assert {line.split()[0]: [int(n) for n in line.split()[1:]] for line in lines} == {
        CG: [2, 1, 1, 0, 0, 1, 0],
        GD: [5, 0, 0, 2, 3, 4, 3],
        "all": [7, 1, 1, 2, 3, 5, 3],
    }


def test_all_run_a_candidate_and_are_exact():
    panel = exact(12)
    assert {case.truth for case in panel.cases} == {(case.truth[0],) for case in panel.cases}
    assert {case.truth[0] for case in panel.cases} >= {
        GD,
        CG,
        HB,
        "nesterov",
        "chebyshev-iteration",
        "gd-plus-plus",
        "newton-schulz",
    }
    for index in (0, 70, 199):
        subject = planted(panel, index)
        assert (subject.task.noise, subject.settings.get("prediction noise", 0.0)) == (0.0, 0.0)
        assert subject.distribution is None


def test_those_who_are_not_identified_are_said(monkeypatch):
    said: list[str] = []
    found = judge_exact(12, chosen=[150], prompts=20, withheld=True, workers=1, say=said.append)
    assert [len(verdicts) for verdicts in found] == [2]
    subject = planted(exact(12), 150)
    for verdict in found[0]:
        assert (verdict.case, verdict.truth, verdict.settings) == (
            subject.case.name,
            subject.case.truth,
            subject.settings,
        )
        told = [line for line in said if f"({verdict.readout})" in line]
        assert len(told) == (verdict.outcome != "identified")
    assert sum(line.splitlines()[-1].startswith("all ") for line in said) == 2
    again = judge_exact(12, chosen=[150], prompts=20, workers=1, say=said.append)
    assert dataclasses.asdict(again[0][0]) == dataclasses.asdict(found[0][0])
