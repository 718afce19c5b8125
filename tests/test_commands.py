"""The command line from outside: exit status, one or two lines on stderr, and nothing written when nothing can be done."""

import importlib.metadata
import json
from pathlib import Path

import pytest

from mesascope.cli import main


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unchecked) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    try:
        status = main(list(arguments))
    except SystemExit as stop:  # argparse's own --help
        status = int(stop.code or 0)
    out, err = capsys.readouterr()
    return status, out, err


def written(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def task_file(folder: Path, **fields) -> str:
    path = folder / "task.json"
    path.write_text(json.dumps({"type": "LinearRegression", **fields}))
    return str(path)


def test_the_version_is_that_of_the_package(capsys):
    assert run(capsys, "--version") == (0, f"mesascope {importlib.metadata.version('mesascope')}\n", "")


UNUSABLE = {
    "unknown model": (["examine", "two-layre"], "Did you mean 'two-layer'"),
    "unknown construction": (["identify", "construction:gradient-decent"], "gradient-descent"),
    "unknown candidate": (["identify", "two-layer", "--algorithms", "conjugate-gradiant"], "conjugate-gradient"),
    "unknown command": (["exmine", "two-layer"], "exmine"),
    "unknown profile": (["examine", "two-layer", "--profile", "quick"], "quick"),
    "no threads": (["identify", "two-layer", "--threads", "0"], "--threads must be at least 1"),
    "no such device": (["identify", "two-layer", "--device", "nonsense"], "--device"),
    "negative seed": (["identify", "two-layer", "--seed", "-1"], "seed"),
    "no such spec": (["train", "two-layre"], "Did you mean 'two-layer'"),
    "a design for no candidates": (["identify", "two-layer", "--design"], "as in --compare cg,pcg"),
    "a distance without a design": (["identify", "two-layer", "--distance", "0.2"], "add --design"),
    "three candidates without a design": (["identify", "two-layer", "--compare", "cg,pcg,gd"], "two candidates"),
    "a distance below 0": (
        ["identify", "two-layer", "--compare", "cg,pcg", "--design", "--distance", "-1"],
        "distance must be 0 or more",
    ),
    "one candidate to compare": (["identify", "two-layer", "--compare", "cg"], "two candidates"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_what_cannot_be_used_ends_with_2_and_writes_nothing(case, capsys, tmp_path):
    arguments, words = UNUSABLE[case]
    status, out, err = run(capsys, *arguments)
    assert status == 2
    assert out == ""
    assert words in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) <= 2
    assert written(tmp_path) == []


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"dim": 0}, "dim"),
        ({"dmi": 5}, "Did you mean 'dim'"),
        ({"noise": "loud"}, "noise"),
        (
            {"inputs": {"type": "Gaussian", "covariance": {"type": "Diagonal", "condition": 0.5}}},
            "condition must be at least 1",
        ),
        ({"dim": 7}, "dim must be 5"),
    ],
)
def test_a_bad_task_is_refused_before_anything_is_written(fields, words, capsys, tmp_path):
    status, _, err = run(capsys, "examine", "two-layer", "--task", task_file(tmp_path, **fields))
    assert status == 2
    assert words in err
    assert written(tmp_path) == ["task.json"]


def test_a_directory_that_is_not_ours_is_left_alone(capsys, tmp_path):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "thesis.tex").write_text("chapter 1")
    status, _, err = run(capsys, "examine", "two-layer", "--out", str(theirs))
    assert status == 2
    assert "holds other files" in err
    assert written(theirs) == ["thesis.tex"]


def test_identify_prints_one_json_document(capsys, tmp_path):
    arguments = ("construction:gradient-descent?layers=2", "--profile", "smoke", "--algorithms", "gd,cg", "--json")
    status, out, _ = run(capsys, "identify", *arguments)
    found = json.loads(out)
    assert status == 0
    assert found["label"] == "identified"
    assert found["algorithms"] == ["gradient-descent"]
    assert written(tmp_path) == []


def test_compare_answers_per_condition_number(capsys):
    status, out, _ = run(capsys, "identify", "two-layer", "--compare", "cg,pcg", "--noise", "0.05", "--json")
    rows = json.loads(out)
    assert status == 0
    assert [row["coordinates"]["condition"] for row in rows] == [1.0, 3.0, 30.0, 300.0]
    assert rows[0]["value"] is None  # at κ = 1 nothing is enough


def test_a_design_says_what_it_buys(capsys, tmp_path):
    arguments = ("identify", "two-layer", "--compare", "cg,pcg", "--design", "--distance", "0.2")
    status, out, _ = run(capsys, *arguments)
    assert status == 0
    lines = out.splitlines()
    assert [line.split()[0] for line in lines[-3:]] == ["training", "standard", "designed"]
    assert any("eigenvalues of" in line for line in lines)
    status, out, _ = run(capsys, *arguments, "--json")
    found = json.loads(out)
    assert status == 0
    assert [row["coordinates"]["condition"] for row in found["conditions"]] == [1.0, 3.0, 30.0, 300.0]
    assert found["design"]["distance"] <= 0.2
    assert f" {found['design']['after']['value']:.0f} " in lines[-1]
    assert written(tmp_path) == []


@pytest.mark.parametrize("what", ["models", "tasks", "algorithms", "regressors", "instruments", "specs", "studies"])
def test_list(what, capsys):
    status, out, _ = run(capsys, "list", what, "--json")
    assert status == 0
    assert isinstance(json.loads(out), list)
    if what == "models":
        assert {"two-layer", "four-layer", "construction:conjugate-gradient"} <= set(json.loads(out))
    if what == "tasks":
        assert {"LinearRegression", "FormulaRegression", "friedman-2", "linear-1-of-3"} <= set(json.loads(out))
    if what == "regressors":
        assert {"random-forest", "ridge-tuned", "algorithm:conjugate-gradient"} <= set(json.loads(out))


def test_train_resume_and_examine_the_run(capsys, tmp_path):
    spec = {
        "type": "TrainingSpec",
        "name": "tiny",
        "task": {"type": "LinearRegression", "dim": 2, "examples": 4},
        "model": {"dim": 2, "examples": 4, "layers": 1, "width": 8, "heads": 2, "feedforward": 8},
        "steps": 12,
        "batch": 8,
    }
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    assert run(capsys, "train", "spec.json", "--out", "run")[0] == 0
    status, _, err = run(capsys, "train", "spec.json", "--out", "run")
    assert (status, "--resume" in err) == (2, True)
    assert run(capsys, "train", "spec.json", "--out", "run", "--resume")[0] == 0
    assert run(capsys, "identify", "run", "--profile", "smoke", "--algorithms", "gd,cg", "--json")[0] == 0


def test_a_full_disk_ends_with_1_and_leaves_no_half_written_record(capsys, tmp_path, monkeypatch):
    import errno
    import os

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    status, _, err = run(
        capsys, "examine", "construction:gradient-descent?layers=2", "--profile", "smoke", "--out", "out"
    )
    assert status == 1
    assert "disk is full" in err
    assert not [name for name in written(tmp_path) if name.endswith(("record.json", "report.html"))]


@pytest.mark.parametrize("words", [("list", "instruments"), ("list", "studies"), ("study", "list")])
def test_lists_with_questions_fit_into_a_terminal(words, capsys):
    status, out, _ = run(capsys, *words)
    assert status == 0
    assert max(map(len, out.splitlines())) <= 100
    assert "?" in out
