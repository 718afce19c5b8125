"""What the quick commands print: help, lists, verdicts and comparisons."""

import argparse
import importlib.metadata
import json
from pathlib import Path

import pytest

import mesascope as ms
from mesascope.commands.arguments import out_directory, subject_and_task
from mesascope.records.codec import to_json

GD = "construction:gradient-descent?layers=2"


def test_the_version_is_that_of_the_package(command):
    assert command("--version") == (0, f"mesascope {importlib.metadata.version('mesascope')}\n", "")


def test_help_is_no_error(command):
    for arguments in ((), ("--help",), ("examine", "--help")):
        status, out, err = command(*arguments)
        assert (status, err) == (0, "")
        assert out.startswith("usage: mesascope")


@pytest.mark.parametrize("what", ["models", "tasks", "algorithms", "regressors", "instruments", "specs", "studies"])
def test_list(what, command):
    status, out, _ = command("list", what, "--json")
    assert status == 0
    assert isinstance(json.loads(out), list)
    if what == "models":
        assert {"two-layer", "four-layer", "construction:conjugate-gradient"} <= set(json.loads(out))
    if what == "tasks":
        assert {"LinearRegression", "FormulaRegression", "friedman-2", "linear-1-of-3"} <= set(json.loads(out))
    if what == "regressors":
        assert {"random-forest", "ridge-tuned", "algorithm:conjugate-gradient"} <= set(json.loads(out))


@pytest.mark.parametrize("words", [("list", "instruments"), ("list", "studies"), ("study", "list")])
def test_lists_with_questions_fit_into_a_terminal(words, command):
    status, out, _ = command(*words)
    assert status == 0
    assert max(map(len, out.splitlines())) <= 100
    assert "?" in out


def test_identify_prints_one_json_document(command):
    arguments = ("construction:gradient-descent?layers=2", "--profile", "smoke", "--algorithms", "gd,cg", "--json")
    status, out, _ = command("identify", *arguments)
    found = json.loads(out)
    assert status == 0
    assert found["label"] == "identified"
    assert found["algorithms"] == ["gradient-descent"]
    assert not list(Path().iterdir())


def test_compare_answers_per_condition_number(command):
    status, out, _ = command("identify", "two-layer", "--compare", "cg,pcg", "--noise", "0.05", "--json")
    rows = json.loads(out)
    assert status == 0
    assert [row["coordinates"]["condition"] for row in rows] == [1.0, 3.0, 30.0, 300.0]
    assert rows[0]["value"] is None  # at κ = 1 nothing is enough


def test_a_design_says_what_it_buys(command):
    arguments = ("identify", "two-layer", "--compare", "cg,pcg", "--design", "--distance", "0.2")
    status, out, _ = command(*arguments)
    assert status == 0
    lines = out.splitlines()
    assert [line.split()[0] for line in lines[-3:]] == ["training", "standard", "designed"]
    assert any("eigenvalues of" in line for line in lines)
    status, out, _ = command(*arguments, "--json")
    found = json.loads(out)
    assert status == 0
    assert [row["coordinates"]["condition"] for row in found["conditions"]] == [1.0, 3.0, 30.0, 300.0]
    assert found["design"]["distance"] <= 0.2
    assert f" {found['design']['after']['value']:.0f} " in lines[-1]
    assert not list(Path().iterdir())


@pytest.mark.parametrize("task", [*ms.tasks.DATASETS.values(), ms.tasks.DigitRegression(), ms.tasks.PooledRegression()])
def test_every_kind_of_task_is_read_from_a_file(task, write):
    options = argparse.Namespace(model=GD, device="cpu", task=write("task.json", to_json(task)))
    assert subject_and_task(options)[1] == task


def test_a_data_set_is_a_task_by_its_name(refused):
    options = argparse.Namespace(model=GD, device="cpu", task="friedman-1")
    assert subject_and_task(options)[1] == ms.tasks.DATASETS["friedman-1"]
    assert "Did you mean 'friedman-1'" in refused("identify", GD, "--task", "freidman-1")


@pytest.mark.parametrize(
    ("names", "others", "folder"),
    [
        (("two-layer", None), {}, "examine-two-layer"),
        (("runs/first", "friedman-1"), {}, "examine-runs-first-friedman-1"),
        (
            ("two-layer", "tasks/a b.json"),
            {"seed": 3, "profile": "smoke"},
            "examine-two-layer-tasks-a-b.json-seed-3-smoke",
        ),
        (("…",), {"seed": 0, "profile": "laptop"}, "examine-model"),
    ],
)
def test_what_differs_from_the_defaults_is_part_of_the_folders_name(names, others, folder):
    options = argparse.Namespace(command="examine", out=None, **others)
    assert out_directory(options, "an examination", *names) == Path("out", folder)
