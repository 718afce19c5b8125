"""What `examine` writes and says."""

import json
from pathlib import Path

import mesascope as ms
import mesascope.examination as examining

GD = "construction:gradient-descent?layers=2"
SMOKE = ("--profile", "smoke")


def test_examine_on_a_task_of_ones_own_prints_one_document(cheap, command, write):
    task = {"type": "LinearRegression", "dim": 3, "examples": 9, "inputs": {"type": "Uniform"}}
    status, out, err = command("examine", GD, "--task", write("task.json", task), *SMOKE, "--json", "--out", "a/b")
    document = json.loads(out)
    assert (status, err) == (0, "")
    assert out.count("\n") == 1
    assert document["provenance"]["task"]["inputs"]["type"] == "Uniform"
    assert document == json.loads(Path("a/b/record.json").read_text())
    assert {p.name for p in Path("a/b").iterdir()} == {"mesascope.json", "record.json", "report.html"}


def test_examine_says_the_verdict_and_where_the_page_is(cheap, command):
    status, out, _ = command("examine", GD, *SMOKE)
    assert status == 0
    assert out.startswith(
        "gradient-descent: Linear in the labels and the same spectral filter for every prompt (100 % of its"
    )
    assert "identified (gradient-descent)" in out
    folder = Path("out/examine-construction-gradient-descent-layers-2-smoke")
    assert out.splitlines()[-2:] == [str(folder / "report.html"), str(folder / "record.json")]
    assert all(Path(line).is_file() for line in out.splitlines()[-2:])


def test_examine_says_a_silent_failure(cheap, command):
    said = {"setting": "training", "in words": "training: the error looks acceptable, but the order is lost."}
    name, control = "silent failure", ms.types.Control(kind="negative", name="least squares", value=0.0)
    cheap["last"] = lambda: (
        ms.Measurement(
            instrument=name, quantity=name, value=1.0, interval=None, n=8, coordinates=said, controls=(control,)
        ),
    )
    status, out, _ = command("examine", GD, *SMOKE, "--out", "out")
    assert status == 0
    assert "  Silent failure. training: the error looks acceptable, but the order is lost.\n" in out


def test_a_failed_control_is_said_in_the_terminal_too(cheap, command, monkeypatch):
    status, out, _ = command("examine", GD, *SMOKE, "--out", "sound")
    assert status == 0
    assert "did not come out" not in out
    broken = {"instrument": "probes", "control": "a planted target", "expected": "at least 0.9", "observed": "0.2"}
    checked = examining.Checked(rows=({**broken, "kind": "positive", "holds": False},), seconds=0.0)
    monkeypatch.setattr(examining, "_known_subjects", lambda seed, say: checked)
    status, out, _ = command("examine", GD, *SMOKE, "--out", "broken")
    assert status == 0
    assert "controls did not give their known answer (probes). Do not rely on results of these instruments" in out
    assert "probes, a planted target: must be at least 0.9; observed 0.2." in out


def test_an_error_says_in_which_work_it_was(cheap, command):
    def fail() -> tuple:
        raise ValueError("x must be positive; got -1.")

    cheap["last"] = fail
    status, _, err = command("examine", GD, *SMOKE, "--out", "out")
    assert (status, err.splitlines()[-1]) == (2, "mesascope: x must be positive; got -1. (in last)")
