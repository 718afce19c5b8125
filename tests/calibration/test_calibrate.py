"""The calibration as a whole, at a tiny budget: cut off and resumed, in one process and in two, on the page, as a command."""

import dataclasses
import importlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

import mesascope as ms
from mesascope.calibration import curves, designs, parts, silent
from mesascope.calibration.judging import Verdicts
from mesascope.calibration.panel import SHIPPED
from mesascope.calibration.parts import PARTS, Budget
from mesascope.calibration.summary import EVERYTHING, NONE, OWN, WITHHELD
from mesascope.cli import main
from mesascope.plans import Here, Plan, Processes, execute
from mesascope.records.codec import from_json, to_json
from mesascope.records.journal import Journal
from mesascope.types import Findings

# By name: the package holds the function where the module would be.
calibrate = importlib.import_module("mesascope.calibration.calibrating")
coverage = importlib.import_module("mesascope.calibration.coverage")
SEED, SUBJECTS = 9, 2
KINDS = ("mixed", "exact", "kernels", "generalised")
ORDER = [("mixed", 0), ("mixed", 1), ("exact", 0), ("exact", 1), ("kernels", 0), ("generalised", 0)]
"""Who is judged, in order."""
BUDGET = Budget(subjects=SUBJECTS, few=1, prompts=20, repetitions=10, runs=1, trials=1)
BESIDE = ("_describe", "_measure")
"""The functions that do what is measured beside the panels."""


@pytest.fixture(scope="module")
def tiny() -> Iterator[pytest.MonkeyPatch]:
    """Everything as it is, and little of it; what is not judged is measured once for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibrate, "BUDGETS", {"smoke": BUDGET})
        patch.setattr(coverage, "POPULATION", 330)
        patch.setattr(silent, "SUBJECTS", silent.SUBJECTS[:1])
        patch.setattr(designs, "PAIRS", designs.PAIRS[:1])
        for name, value in {"POOL": 200, "NOISES": (0.0, 0.2), "COUNTS": (10, 30), "PAIRS": curves.PAIRS[:1]}.items():
            patch.setattr(curves, name, value)
        for name in BESIDE:
            patch.setattr(parts, name, _once(getattr(parts, name)))
        yield patch


def _once(measure: Callable[..., object]) -> Callable[..., object]:
    known: dict[str, object] = {}

    def once(*given: object) -> object:
        key = repr(given[:-1])  # the last says what is being done
        if key not in known:
            known[key] = measure(*given)
        return known[key]

    return once


@pytest.fixture(scope="module")
def verdicts(tiny) -> dict[tuple[str, int], Verdicts]:
    """What the subjects of all panels are truly judged as, in two processes."""
    works = [work for kind in KINDS for work in PARTS[kind].works(SEED, BUDGET, True)]
    done = execute(Plan(words="judge", works=tuple(works)), Journal(None), engine=Processes(workers=2))
    return {(name.partition(",")[0], int(name.split()[-1])): each for name, each in done.items()}


@pytest.fixture
def asked(verdicts, monkeypatch) -> list[tuple[str, int]]:
    """Who is judged, in order; verdicts that are known already are handed out."""
    order: list[tuple[str, int]] = []

    def judge(kind: str, seed: int, index: int, size: int, prompts: int, withheld: bool, say: object) -> Verdicts:
        few = kind in ("kernels", "generalised")
        assert (seed, size, prompts, withheld) == (SEED, 1 if few else SUBJECTS, 20, kind == "mixed")
        order.append((kind, index))
        return verdicts[kind, index]

    monkeypatch.setattr(parts, "_judge", judge)
    return order


def found_by(**options) -> Findings:
    return ms.calibrate(panel_seed=SEED, profile="smoke", **{"engine": Here(), **options})


@pytest.fixture(scope="module")
def whole(tiny, verdicts) -> Findings:
    """What a calibration that nothing interrupts finds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "_judge", lambda kind, seed, index, *rest: verdicts[kind, index])
        return found_by()


def told(found: Findings) -> object:
    """All but when and where it was made."""
    return to_json(dataclasses.replace(found, provenance={}))


def test_what_was_cut_off_goes_on_and_finds_the_same(whole, asked, monkeypatch, tmp_path):
    known = parts._judge

    def cut_off(kind: str, seed: int, index: int, *rest: object) -> Verdicts:
        if index == 1:
            raise KeyboardInterrupt
        return known(kind, seed, index, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(parts, "_judge", cut_off)
        with pytest.raises(KeyboardInterrupt):
            found_by(journal=tmp_path / "out")
    assert asked == ORDER[:1]
    resumed = found_by(journal=tmp_path / "out")
    assert asked == ORDER  # the first is not judged again
    assert told(resumed) == told(whole)

    def untouched(*arguments: object, **options: object) -> None:
        raise AssertionError("it was kept")

    for name in (*BESIDE, "_judge"):
        monkeypatch.setattr(parts, name, untouched)
    assert told(found_by(journal=tmp_path / "out")) == told(whole)


def test_two_processes_find_what_one_does(verdicts):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the processes have it: sums over more threads differ in their last bits
    try:
        assert parts._judge("mixed", SEED, 1, SUBJECTS, BUDGET.prompts, True, print) == verdicts["mixed", 1]
    finally:
        torch.set_num_threads(threads)
    assert list(verdicts) == ORDER
    assert len({v.judged[0].case for (kind, _), v in verdicts.items() if kind == "mixed"}) == SUBJECTS


def test_another_panel_is_not_taken_for_this_one(whole, verdicts, monkeypatch, tmp_path):
    """A journal that holds one panel's subjects gives none of them to another."""

    def judge(kind: str, seed: int, index: int, *rest: object) -> Verdicts:
        if index:
            raise KeyboardInterrupt
        return verdicts[kind, 0]

    monkeypatch.setattr(parts, "_judge", judge)
    with pytest.raises(KeyboardInterrupt):
        found_by(journal=tmp_path / "out")
    with pytest.raises(ValueError, match=r"it holds parts of another, .*: 'calibrate, panel seed 9, profile smoke'"):
        ms.calibrate(panel_seed=SEED + 1, profile="smoke", journal=tmp_path / "out", engine=Here())


def test_a_verdict_survives_the_disk(verdicts):
    first = verdicts["mixed", 0].judged[0]
    bare = dataclasses.replace(first, remainder=None, power=None, hardest="", algorithms=(), label="none")
    for held in (*verdicts.values(), Verdicts(judged=(bare,))):
        assert from_json(Verdicts, json.loads(json.dumps(to_json(held))), "subject", ours=True) == held


def test_findings_hold_every_part(whole):
    found = whole
    assert found.title == f"Calibration, panel seed {SEED}"
    assert {m.instrument for m in found.measurements} == {
        "panel",
        "descriptions",
        "silent failure, calibrated",
        "coverage",
        "power",
        "designs",
    }
    names = [figure.name for figure in found.figures]
    panels = [
        f"{kind}, {what}" for kind in KINDS for what in (f"confusion, {OWN}", "kinds", "wrong", "needless", "subjects")
    ]
    assert len(names) == len(set(names))
    assert set(names) == {
        *panels,
        f"mixed, confusion, {WITHHELD}",
        "descriptions",
        "silent failure",
        "power",
        "designs",
    }
    sections = [figure.section == EVERYTHING for figure in found.figures]
    assert sections == sorted(sections)
    assert sum(sections) == len(KINDS)
    assert all(m.controls for m in found.measurements)
    assert len(found.sentences) == 2 + 3 + 1 + 1 + 4 + 1
    assert (found.provenance["subjects"], found.provenance["profile"]) == (SUBJECTS, "smoke")
    assert found.provenance["parts"] == list(PARTS)
    panel = [m for m in found.measurements if m.instrument == "panel" and m.quantity == "wrong"]
    assert [(m.coordinates["panel"], m.coordinates["readout"], m.n) for m in panel] == [
        ("mixed", OWN, SUBJECTS),
        ("mixed", WITHHELD, SUBJECTS),
        ("exact", OWN, SUBJECTS),
        ("kernels", OWN, 1),
        ("generalised", OWN, 1),
    ]


def test_parts_may_be_had_alone(whole, asked, tmp_path):
    """In whatever order they are named, they are told in the usual one."""
    some = found_by(parts=["silent", "exact"], journal=tmp_path / "out")
    assert asked == ORDER[2:4]
    assert list(dict.fromkeys(m.instrument for m in some.measurements)) == ["panel", "silent failure, calibrated"]
    assert some.provenance["parts"] == ["exact", "silent"]
    assert some.measurements == tuple(
        m
        for m in whole.measurements
        if m.instrument == "silent failure, calibrated" or m.coordinates.get("panel") == "exact"
    )


def test_subjects_may_be_judged_as_they_are_alone(verdicts, tiny, monkeypatch, tmp_path):
    def judge(kind: str, seed: int, index: int, size: int, prompts: int, withheld: bool, say: object) -> Verdicts:
        assert not withheld
        return Verdicts(judged=verdicts[kind, index].judged[:1])

    monkeypatch.setattr(parts, "_judge", judge)
    found = found_by(withheld=False, parts=["mixed"])
    assert {m.coordinates["readout"] for m in found.measurements if m.instrument == "panel"} == {OWN}
    assert sum("confusion" in figure.name for figure in found.figures) == 1


def test_the_page_shows_the_matrix(whole, tmp_path):
    ms.save(whole, tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    record = json.loads((tmp_path / "out" / "record.json").read_text())
    matrices = [figure for figure in record["figures"] if figure["name"].startswith("mixed, confusion")]
    assert [sum(row["subjects"] for row in matrix["rows"]) for matrix in matrices] == [SUBJECTS] * 2
    assert f"Panel seed {SEED}" in page
    for words in (OWN, WITHHELD):
        assert f"What subjects with a known answer were said to run, {words}" in page
    assert NONE in page
    assert f"of {SUBJECTS} subjects got a wrong answer" in page


def test_arguments_must_make_sense(tiny, unchecked, tmp_path):
    with pytest.raises(ValueError, match="profile must be one of smoke.*; got 'quick'"):
        ms.calibrate(profile="quick")
    with pytest.raises(ValueError, match=f"panel_seed must be 0 or more; got -1. {SHIPPED} is the default panel"):
        ms.calibrate(panel_seed=-1, profile="smoke")
    with pytest.raises(
        ValueError, match="parts must be names out of mixed, exact, .*; got 'mixed, nope'. Leave it out for all"
    ):
        ms.calibrate(parts=["mixed", "nope"], profile="smoke")
    with pytest.raises(ValueError, match="parts must be names out of"):
        ms.calibrate(parts=[], profile="smoke")
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
    assert asked == ORDER
    assert {path.name for path in out.iterdir()} == {"mesascope.json", "record.json", "report.html"}
    assert printed[0].startswith(f"Panel seed {SEED}, as they are: ")
    assert printed[-2:] == [str(out / "report.html"), str(out / "record.json")]


def test_as_json_it_prints_one_document(whole, unchecked, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ms, "calibrate", lambda **options: whole)
    assert main(["calibrate", "--profile", "smoke", "--panel-seed", str(SEED), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["title"] == f"Calibration, panel seed {SEED}"
    assert (tmp_path / "out" / f"calibrate-seed-{SEED}-smoke" / "report.html").exists()


def test_some_parts_do_not_overwrite_what_was_found_of_all(whole, unchecked, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ms, "calibrate", lambda **options: whole)
    arguments = ["calibrate", "--profile", "smoke", "--panel-seed", str(SEED)]
    for further in ((), ("--parts", "exact,silent"), ("--own-readout-only",)):
        assert main([*arguments, *further]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        f"calibrate-seed-{SEED}-smoke",
        f"calibrate-seed-{SEED}-exact-silent-smoke",
        f"calibrate-seed-{SEED}-own-readout-only-smoke",
    }
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 100


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--profile", "quick"], "quick"),
        (["--parts", "mixed,nope"], "nope"),
        (["--panel-seed", "-1"], "panel-seed"),
        (["--panel-seed", "S"], "S"),
    ],
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
