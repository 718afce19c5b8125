"""What the command line refuses, and that nothing is left of it: not an empty directory, not a claim."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mesascope.theory import ProverFailed

GD = "construction:gradient-descent?layers=2"
LONG = "x" * 300


@pytest.fixture(autouse=True)
def surroundings(elsewhere: None, spec: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A specification, an empty directory, and a link to nothing."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    spec()
    Path("empty").mkdir()
    Path("dangling").symlink_to("nowhere")


@pytest.mark.parametrize("out", ["empty", "new/deep"])
def test_a_run_that_cannot_be_leaves_its_directory_to_one_that_can(out: str, command, spec, refused) -> None:
    values = {"type": "Fixed", "values": [1.0, 2.0, 3.0]}
    tasks = {"values": {"inputs": {"type": "Gaussian", "covariance": values}}, "noise": {"noise": 1e308}}
    for task in tasks.values():
        refused("train", spec(task={"dim": 2, "examples": 4, **task}), "--out", out)
    assert "half of a surrogate pair" in refused("train", spec(name="t\ud800"), "--out", out)
    wide = {"dim": 2, "examples": 4, "layers": 1, "width": 800_000, "heads": 2, "feedforward": 8}
    assert " of memory, and this machine has " in refused("train", spec(model=wide), "--out", out)
    assert command("train", spec(), "--out", out, "--device", "cpu")[0] == 0


@pytest.mark.parametrize("out", ["empty", "new/deep"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("examine", "nope"),
        ("examine", GD, "--task", "nope.json"),
        ("convert", "nope.pt"),
        ("study", "run", "nope"),
        ("calibrate", "--profile", "quick"),
        ("calibrate", "--parts", "mixed,nope"),
        ("train", "nope.json"),
        ("train", "spec.json", "--seeds", "1,x"),
    ],
    ids=" ".join,
)
def test_what_cannot_begin_claims_nothing(arguments: tuple[str, ...], out: str, refused) -> None:
    refused(*arguments, "--out", out)


UNUSABLE = {
    "an unknown candidate": (
        ["identify", GD, "--algorithms", "conjugate-gradiant"],
        "Did you mean 'conjugate-gradient'",
    ),
    "a distance without a design": (["identify", GD, "--distance", "0.2"], "add --design"),
    "three candidates for a design": (["identify", GD, "--compare", "cg,pcg,gd"], "two candidates"),
    "a distance below 0": (
        ["identify", GD, "--compare", "cg,pcg", "--design", "--distance", "-1"],
        "distance must be 0 or more",
    ),
    "no name for out": (["train", "spec.json", "--out", ""], "--out: must not be empty"),
    "no seeds": (["train", "spec.json", "--seeds", ""], "seeds must be whole numbers"),
    "no task": (["identify", GD, "--task", " "], "--task: must not be empty"),
    "no networks": (["study", "run", "depth-loss", "--networks", ""], "--networks: must not be empty"),
    "a file for networks": (
        ["study", "run", "depth-loss", "--networks", "spec.json"],
        "--networks must be a directory",
    ),
    "no candidates": (["identify", GD, "--algorithms", "gd,"], "--algorithms: must not be empty"),
    "dashes for a number": (["identify", GD, "--threads=--"], "--threads must have a value; got '--'"),
    "dashes for a name": (["examine", GD, "--out=--"], "--out must have a value; got '--'"),
    "too many threads": (["list", "models", "--threads", "20000"], "--threads must be at least 1 and at most"),
    "a device that torch knows alone": (
        ["identify", GD, "--device", "hpu"],
        "--device must be a device that this machine has",
    ),
    "a name too long for out": (["train", "spec.json", "--out", LONG], "is too long"),
    "one below out": (["train", "spec.json", "--out", f"new/{LONG}"], "is too long"),
    "one for a task": (
        ["identify", GD, "--task", LONG],
        "task must be a JSON file, python:module:factory, or a data set of",
    ),
    "one for a spec": (["train", LONG], "spec must be a JSON file or one of"),
    "one for a checkpoint": (["convert", LONG], "checkpoint must be a .pt file"),
    "one for results": (["study", "report", LONG], "DIR must be a directory"),
    "one for a project": (["theory", "check", "--lean", LONG], "--lean must be a folder"),
    "one for statements": (["theory", "export", "--to", "smt", LONG], "is too long"),
    "a link to nothing": (["train", "spec.json", "--out", "dangling"], "dangling is a link to nothing"),
    "below a link to nothing": (["theory", "export", "--to", "smt", "dangling/a"], "dangling is a link to nothing"),
    "closed forms to compare": (["identify", GD, "--compare", "ols,ridge"], "least-squares has no steps"),
    "closed forms to design for": (["identify", GD, "--compare", "cg,ols", "--design"], "least-squares has no steps"),
    "a design without a comparison": (["identify", GD, "--algorithms", "ols", "--design"], "as in --compare cg,pcg"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_options_that_cannot_be_used(case: str, refused) -> None:
    arguments, words = UNUSABLE[case]
    assert words in refused(*arguments)


def test_a_device_that_cannot_compute(refused):
    for device in ("nonsense", "meta", "cuda:99"):
        assert f"--device must be a device that this machine has; got '{device}'" in refused(
            "identify", GD, "--device", device
        )


@pytest.mark.parametrize("seeds", ["1,x", "1,1", "-1", "1,,2"])
def test_seeds_that_are_none(seeds, refused):
    assert "seeds must" in refused("train", "spec.json", "--seeds", seeds)


def test_a_default_name_is_never_too_long(refused) -> None:
    assert "nothing is called" in refused("examine", "x" * 200)


@pytest.mark.parametrize("out", ["theirs", "theirs/file", "theirs/file/below"])
def test_output_goes_nowhere_that_is_not_ours(out, write, refused):
    Path("theirs").mkdir()
    write("theirs/file", "thesis")
    for arguments in (("examine", GD), ("train", "spec.json"), ("train", "spec.json", "--seeds", "1,2")):
        assert "out must be" in refused(*arguments, "--out", out)


def test_a_marker_of_somebody_else_guards_their_files(refused) -> None:
    Path("empty/mesascope.json").write_text("{}")
    Path("empty/record.json").write_text("thesis")
    assert "mesascope.json in empty is not a marker" in refused("examine", GD, "--out", "empty")


def test_a_prover_that_judges_nothing_is_quoted_in_a_line(refused, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ProverFailed("lean failed outside the statements: unknown package Mathlib\nand more")

    monkeypatch.setattr("mesascope.theory.check", fail)
    assert refused("theory", "check", status=1).endswith("outside the statements: unknown package Mathlib\n")
