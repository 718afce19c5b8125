"""Results that are kept: whole where a claim rests on them, and refused where nobody could say what made them."""

import dataclasses
from pathlib import Path

import pytest

from mesascope.records import keeping
from mesascope.records.codec import to_json
from mesascope.records.keeping import keep, kept
from mesascope.records.parsing import Damaged
from mesascope.records.store import write_json
from mesascope.types import Evidence, Figure, Findings, Measurement, Outcome, StudyResult


def result(**changes) -> StudyResult:
    counted = Measurement(instrument="ruler", quantity="length", value=2.0, interval=(1.9, 2.1), n=9)
    outcome = Outcome(
        claim="It is long.",
        own=True,
        published=(),
        evidence=(Evidence(rule="at least 1", measurement=counted, holds=True),),
        judgement="reproduced",
        reason="every number lies where the rule says",
    )
    figures = tuple(
        Figure(name=name, section="", title="", caption="", kind="lines", rows=({"x": 1, "y": 2},), x="x", y="y")
        for name in ("first", "second")
    )
    fields = {
        "study": "lengths",
        "title": "How long is it?",
        "source": "own",
        "profile": "laptop",
        "outcomes": (outcome,),
        "notes": ("It was measured twice.",),
        "measurements": (counted, dataclasses.replace(counted, quantity="width")),
        "figures": figures,
        "provenance": {"commit": "0" * 40, "networks": {"small": {"layers": 2}}},
    }
    return StudyResult(**(fields | changes))


def written(folder: Path, found: StudyResult | Findings) -> Path:
    (folder / "run").mkdir()
    write_json(folder / "run" / "record.json", to_json(found))
    return folder / "run"


def test_what_claims_rest_on_is_kept(tmp_path):
    whole = result()
    path = keep(written(tmp_path, whole), tmp_path)
    found = kept(tmp_path, StudyResult)["lengths"]
    assert path == tmp_path / "lengths.json"
    assert (found.outcomes, found.notes, found.figures) == (whole.outcomes, whole.notes, whole.figures[:1])
    assert found.measurements == ()
    assert found.provenance == {"commit": "0" * 40, "networks": ["small"]}


def test_a_calibration_loses_its_long_tables_alone(tmp_path):
    counted = result().measurements
    figures = tuple(
        Figure(name=name, section="", title="", caption="", kind=kind, rows=({"x": 1, "y": 2},) * rows, x="x", y="y")
        for name, kind, rows in (("lines", "lines", 300), ("short", "table", 100), ("subjects", "table", 101))
    )
    whole = Findings(
        title="Calibration",
        sentences=("It is right.",),
        measurements=counted,
        figures=figures,
        provenance={"commit": "0" * 40, "profile": "laptop", "panel": "seed 9", "parts": ["mixed", "power"]},
    )
    assert keep(written(tmp_path, whole), tmp_path) == tmp_path / "seed-9-mixed-power.json"
    assert kept(tmp_path, Findings) == {"seed-9-mixed-power": dataclasses.replace(whole, figures=figures[:2])}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"profile": "smoke"}, "profile must be laptop or full"),
        ({"provenance": {"commit": f"{'0' * 40}+"}}, "commit must name the code"),
        ({"provenance": {"commit": None}}, "commit must name the code"),
    ],
)
def test_what_decides_nothing_or_comes_from_nowhere_is_refused(changes, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        keep(written(tmp_path, result(**changes)), tmp_path)
    assert not (tmp_path / "lengths.json").exists()


def test_a_kept_result_that_was_changed_is_refused(tmp_path):
    path = keep(written(tmp_path, result()), tmp_path)
    path.write_text(path.read_text().replace("at least 1", "at least 0"))
    with pytest.raises(Damaged):
        kept(tmp_path, StudyResult)


def test_what_is_refused_on_the_command_line_is_said_in_a_line(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        keeping._main([str(tmp_path), "--to", str(tmp_path / "kept")])
    said = capsys.readouterr().err
    assert "record.json is missing" in said and "Traceback" not in said
    assert not (tmp_path / "kept").exists()
