"""The calibration as a whole, at a tiny budget: cut off and resumed, in one process and in two, on the page, as a command."""

import dataclasses
import functools
import importlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

import mesascope as ms
from mesascope.calibration.calibrating import Budget
from mesascope.calibration.judging import Verdicts
from mesascope.calibration.summary import NONE, OWN, WITHHELD
from mesascope.cli import main
from mesascope.plans import Here, Processes, execute
from mesascope.plans.work import Say
from mesascope.records.codec import from_json, to_json
from mesascope.records.journal import Journal
from mesascope.types import Findings, Measured

# By name: the package holds the function where the module would be.
calibrate = importlib.import_module("mesascope.calibration.calibrating")
curves = importlib.import_module("mesascope.calibration.curves")
SEED, SUBJECTS = 9, 2
BUDGET = Budget(subjects=SUBJECTS, prompts=20, repetitions=10)


@pytest.fixture(scope="module")
def tiny() -> Iterator[pytest.MonkeyPatch]:
    """Everything as it is, and little of it; what is not judged is measured once for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibrate, "BUDGETS", {"smoke": BUDGET})
        patch.setattr(importlib.import_module("mesascope.calibration.coverage"), "POPULATION", 330)
        for name, value in {"POOL": 200, "NOISES": (0.0, 0.2), "COUNTS": (10, 30), "PAIRS": curves.PAIRS[:1]}.items():
            patch.setattr(curves, name, value)
        describe, beside = functools.cache(calibrate._describe), calibrate.BESIDE.items()
        patch.setattr(calibrate, "_describe", lambda seed, index, say: describe(seed, index, print))
        patch.setattr(calibrate, "BESIDE", {name: _once(measure) for name, measure in beside})
        yield patch


def _once(measure: Callable[[int, Budget, Say], Measured]) -> Callable[[int, Budget, Say], Measured]:
    known = functools.cache(measure)
    return lambda seed, budget, say: known(seed, budget, print)


@pytest.fixture(scope="module")
def verdicts(tiny) -> list[Verdicts]:
    """What the subjects are truly judged as, in two processes."""
    plan = calibrate.calibration(SEED, "smoke", True)
    subjects = dataclasses.replace(plan, works=plan.works[:SUBJECTS])
    return list(execute(subjects, Journal(None), engine=Processes(workers=2)).values())


@pytest.fixture
def asked(verdicts, monkeypatch) -> list[int]:
    """Who is judged, in order; verdicts that are known already are handed out."""
    order: list[int] = []

    def judge(seed: int, budget: Budget, withheld: bool, index: int, say: object) -> Verdicts:
        assert (seed, budget, withheld) == (SEED, BUDGET, True)
        order.append(index)
        return verdicts[index]

    monkeypatch.setattr(calibrate, "_judge", judge)
    return order


def found_by(**options) -> Findings:
    return ms.calibrate(panel_seed=SEED, profile="smoke", **{"engine": Here(), **options})


@pytest.fixture(scope="module")
def whole(tiny, verdicts) -> Findings:
    """What a calibration that nothing interrupts finds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibrate, "_judge", lambda seed, budget, withheld, index, say: verdicts[index])
        return found_by()


def told(found: Findings) -> object:
    """All but when and where it was made."""
    return to_json(dataclasses.replace(found, provenance={}))


def test_what_was_cut_off_goes_on_and_finds_the_same(whole, asked, monkeypatch, tmp_path):
    known = calibrate._judge

    def cut_off(seed: int, budget: Budget, withheld: bool, index: int, say: object) -> Verdicts:
        if index == 1:
            raise KeyboardInterrupt
        return known(seed, budget, withheld, index, say)

    with monkeypatch.context() as patch:
        patch.setattr(calibrate, "_judge", cut_off)
        with pytest.raises(KeyboardInterrupt):
            found_by(journal=tmp_path / "out")
    assert asked == [0]
    resumed = found_by(journal=tmp_path / "out")
    assert asked == [0, 1]  # the first is not judged again
    assert told(resumed) == told(whole)

    def untouched(*arguments: object, **options: object) -> None:
        raise AssertionError("it was kept")

    monkeypatch.setattr(calibrate, "_describe", untouched)
    monkeypatch.setattr(calibrate, "BESIDE", dict.fromkeys(calibrate.BESIDE, untouched))
    assert told(found_by(journal=tmp_path / "out")) == told(whole)
    assert asked == [0, 1]


def test_two_processes_find_what_one_does(verdicts):
    """In the same order. The parts beside the panel run in the parent in either case."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the processes have it: sums over more threads differ in their last bits
    try:
        assert calibrate._judge(SEED, BUDGET, True, 1, print) == verdicts[1]
    finally:
        torch.set_num_threads(threads)
    assert len({v.judged[0].case for v in verdicts}) == len(verdicts) == SUBJECTS


def test_another_panel_is_not_taken_for_this_one(whole, verdicts, monkeypatch, tmp_path):
    """A journal that holds one panel's subjects gives none of them to another."""

    def judge(seed: int, budget: Budget, withheld: bool, index: int, say: object) -> Verdicts:
        if index:
            raise KeyboardInterrupt
        return verdicts[0]

    monkeypatch.setattr(calibrate, "_judge", judge)
    with pytest.raises(KeyboardInterrupt):
        found_by(journal=tmp_path / "out")
    with pytest.raises(ValueError, match=r"it holds parts of another, .*: 'calibrate, panel seed 9, profile smoke'"):
        ms.calibrate(panel_seed=SEED + 1, profile="smoke", journal=tmp_path / "out", engine=Here())


def test_a_verdict_survives_the_disk(verdicts):
    first = verdicts[0].judged[0]
    bare = dataclasses.replace(first, remainder=None, power=None, hardest="", algorithms=(), label="none")
    for held in (*verdicts, Verdicts(judged=(bare,))):
        assert from_json(Verdicts, json.loads(json.dumps(to_json(held))), "subject", ours=True) == held


def test_findings_hold_every_part(whole):
    found = whole
    assert found.title == f"Calibration, panel seed {SEED}"
    assert {m.instrument for m in found.measurements} >= {"panel", "coverage", "power"}
    names = [figure.name for figure in found.figures]
    assert len(set(names)) == len(names) == 8
    assert {"kinds", "wrong", "needless", "subjects", "power", "descriptions"} < set(names)
    assert sum(name.startswith("confusion") for name in names) == 2
    assert all(m.controls for m in found.measurements)
    assert len(found.sentences) == 2 + 4 + 1
    assert (found.provenance["subjects"], found.provenance["profile"]) == (SUBJECTS, "smoke")
    panel = [m for m in found.measurements if m.instrument == "panel" and m.quantity == "wrong"]
    assert [m.n for m in panel] == [SUBJECTS, SUBJECTS]


def test_subjects_may_be_judged_as_they_are_alone(verdicts, tiny, monkeypatch, tmp_path):
    def judge(seed: int, budget: Budget, withheld: bool, index: int, say: object) -> Verdicts:
        assert not withheld
        return Verdicts(judged=verdicts[index].judged[:1])

    monkeypatch.setattr(calibrate, "_judge", judge)
    found = found_by(withheld=False)
    assert {m.coordinates["readout"] for m in found.measurements if m.instrument == "panel"} == {OWN}
    assert sum(figure.name.startswith("confusion") for figure in found.figures) == 1


def test_the_page_shows_the_matrix(whole, tmp_path):
    ms.save(whole, tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    record = json.loads((tmp_path / "out" / "record.json").read_text())
    matrices = [figure for figure in record["figures"] if figure["name"].startswith("confusion")]
    assert [sum(row["subjects"] for row in matrix["rows"]) for matrix in matrices] == [SUBJECTS] * 2
    assert "Confusion matrix" in page
    for words in (OWN, WITHHELD):
        assert f"What subjects with a known answer were said to run, {words}" in page
    assert NONE in page
    assert f"of {SUBJECTS} subjects got a wrong answer" in page


def test_arguments_must_make_sense(tiny, unchecked, tmp_path):
    with pytest.raises(ValueError, match="profile must be one of smoke.*; got 'quick'"):
        ms.calibrate(profile="quick")
    with pytest.raises(ValueError, match="panel_seed must be 0 or more; got -1. 66 is the default panel"):
        ms.calibrate(panel_seed=-1, profile="smoke")
    (tmp_path / "thesis.tex").write_text("chapter 1")
    with pytest.raises(ValueError, match="holds other files"):
        ms.calibrate(profile="smoke", journal=tmp_path)


# ------------------------------------------------------------------------------------------------ the command


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_the_command_writes_a_page_and_a_record(asked, threads, unchecked, capsys, tmp_path):
    out = tmp_path / "out"
    status = main(["calibrate", "--profile", "smoke", "--panel-seed", str(SEED), "--threads", "1", "--out", str(out)])
    printed = capsys.readouterr().out.splitlines()
    assert status == 0
    assert asked == [0, 1]
    assert {path.name for path in out.iterdir()} == {"mesascope.json", "record.json", "report.html"}
    assert printed[0].startswith(f"Panel seed {SEED}, as they are: ")
    assert printed[-2:] == [str(out / "report.html"), str(out / "record.json")]


def test_as_json_it_prints_one_document(whole, unchecked, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ms, "calibrate", lambda **options: whole)
    assert main(["calibrate", "--profile", "smoke", "--panel-seed", str(SEED), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["title"] == f"Calibration, panel seed {SEED}"
    assert (tmp_path / "out" / f"calibrate-seed-{SEED}" / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--profile", "quick"], "quick"), (["--panel-seed", "-1"], "panel-seed"), (["--panel-seed", "S"], "S")],
)
def test_what_cannot_be_used_ends_with_2_and_writes_nothing(
    arguments, words, unchecked, capsys, tmp_path: Path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    try:
        status = main(["calibrate", *arguments])
    except SystemExit as stop:
        status = int(stop.code or 0)
    out, err = capsys.readouterr()
    assert (status, out) == (2, "")
    assert words in err
    assert len(err.strip().splitlines()) <= 2
    assert list(tmp_path.iterdir()) == []
