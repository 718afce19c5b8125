"""Every study at ``smoke``: it runs, brings back what its claims name, and gives a page."""

from pathlib import Path

import pytest
from markupsafe import escape

import mesascope as ms
from mesascope.records.codec import from_json, to_json
from mesascope.studies import STUDIES, run_study


@pytest.mark.parametrize("name", STUDIES)
def test_it_runs(name: str, tmp_path: Path) -> None:
    result = run_study(name, tmp_path, profile="smoke")
    study = STUDIES[name]
    assert len(result.outcomes) == len(study.claims)
    assert {o.judgement for o in result.outcomes} == {"not decidable"}  # smoke decides nothing
    assert result.figures and all(figure.rows for figure in result.figures)
    evidence = [e for outcome in result.outcomes for e in outcome.evidence]
    assert evidence
    for m in (e.measurement for e in evidence):
        assert m.controls, f"{m.quantity} at {dict(m.coordinates)} came without a control"
    assert from_json(ms.StudyResult, to_json(result), ours=True).study == name
    page = ms.report.page(result)
    assert str(escape(study.title)) in page and "decides nothing" in page
