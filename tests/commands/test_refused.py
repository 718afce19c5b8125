"""What the command line refuses, and that nothing is left of it: not an empty directory, not a claim."""

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mesascope.cli import main
from mesascope.theory import ProverFailed

SPEC = {
    "name": "tiny",
    "task": {"dim": 2, "examples": 4},
    "model": {"dim": 2, "examples": 4, "layers": 1, "width": 8, "heads": 2, "feedforward": 8},
    "steps": 4,
    "batch": 4,
}
GD = "construction:gradient-descent?layers=2"
LONG = "x" * 300


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unchecked: None) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    Path("spec.json").write_text(json.dumps(SPEC))
    Path("empty").mkdir()
    Path("dangling").symlink_to("nowhere")


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command that must end with a status and a line or two, and leave everything as it was; the line."""

    def run(*arguments: str, status: int = 2) -> str:
        before = sorted((str(p), p.lstat().st_size, p.lstat().st_mtime_ns) for p in Path().rglob("*"))
        capsys.readouterr()
        ended = main(arguments)
        out, err = capsys.readouterr()
        assert (ended, out) == (status, ""), err
        assert err.startswith("mesascope: ")
        assert len(err.splitlines()) <= 2
        assert sorted((str(p), p.lstat().st_size, p.lstat().st_mtime_ns) for p in Path().rglob("*")) == before
        return err

    return run


def spec(**changes: object) -> str:
    Path("spec.json").write_text(json.dumps(SPEC | changes))
    return "spec.json"


@pytest.mark.parametrize("out", ["empty", "new/deep"])
def test_a_run_that_cannot_be_leaves_its_directory_to_one_that_can(out: str, refused, capsys) -> None:
    values = {"type": "Fixed", "values": [1.0, 2.0, 3.0]}
    tasks = {"values": {"inputs": {"type": "Gaussian", "covariance": values}}, "noise": {"noise": 1e308}}
    for task in tasks.values():
        refused("train", spec(task=SPEC["task"] | task), "--out", out)  # type: ignore[operator]
    assert "half of a surrogate pair" in refused("train", spec(name="t\ud800"), "--out", out)
    wide = SPEC["model"] | {"width": 800_000}  # type: ignore[operator]
    assert " of memory, and this machine has " in refused("train", spec(model=wide), "--out", out)
    assert main(["train", spec(), "--out", out, "--device", "cpu"]) == 0


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


def test_a_default_name_is_never_too_long(refused) -> None:
    assert "nothing is called" in refused("examine", "x" * 200)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_weights_in_what_is_no_file(make: Callable[[str], None], refused) -> None:
    assert main(["train", "spec.json", "--out", "run"]) == 0
    Path("run/model.safetensors").unlink()
    make("run/model.safetensors")
    assert "model.safetensors is not a file" in refused("identify", "run")


@pytest.mark.parametrize("change", [torch.Tensor.to_sparse, lambda whole: whole.to("meta")], ids=["sparse", "meta"])
def test_tensors_without_numbers_of_their_own(change: Callable[[torch.Tensor], torch.Tensor], refused) -> None:
    held: dict[str, object] = {"model_state_dict": {"_read_in.weight": change(torch.ones(8, 2))}}
    held["itself"] = [held]
    torch.save(held, "state.pt")
    assert "checkpoint must hold dense tensors with values" in refused("convert", "state.pt")


def test_a_marker_of_somebody_else_guards_their_files(refused) -> None:
    Path("empty/mesascope.json").write_text("{}")
    Path("empty/record.json").write_text("thesis")
    assert "mesascope.json in empty is not a marker" in refused("examine", GD, "--out", "empty")


def test_a_prover_that_judges_nothing_is_quoted_in_a_line(refused, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ProverFailed("lean failed outside the statements: unknown package Mathlib\nand more")

    monkeypatch.setattr("mesascope.theory.check", fail)
    assert refused("theory", "check", status=1).endswith("outside the statements: unknown package Mathlib\n")


# ------------------------------------------------------------------------------------- users' code

MINE = """
import sys
import torch
from mesascope.types import Domain, Site, Trace
class Mine:
    name, domain, sites = "mine", Domain(), (Site(layer=0, kind="resid_post"),)
    path = sites
    def trace(self, prompts, *, capture=(), interventions=()):
        held = torch.zeros(*prompts.targets.shape, 3)
        return Trace(predictions=held[..., 0], activations={site: held for site in capture})
    def readout(self, activation, site): return activation.sum(-1)
"""
CODE = {
    "leaves at once": ("sys.exit(0)", r"it raised SystemExit: 0 \(own\d+.py, line 12\)\."),
    "leaves with a word": ("sys.exit('enough')", r"it raised SystemExit: enough \(own\d+.py, line 12\)\."),
    "leaves when called": ("def load(): sys.exit()", r"it raised SystemExit \(own\d+.py, line 12\)\."),
    "has no domain": ("class load(Mine): domain = None", "its domain must be a Domain; got a NoneType"),
    "has a name that is none": ("class load(Mine): name = 3", "its name must be text; got a int"),
    "has names for sites": ("class load(Mine): path = ('a',)", "its sites and its path must consist of mesascope.types.Site"),
    "has no path": ("class load(Mine): path = ()", "must name the residual stream .* its path is empty"),
    "captures nothing": (
        "class load(Mine):\n def trace(self, p, **k): return Trace(predictions=torch.zeros(p.targets.shape), activations={})",
        r"it must capture every site that was asked for; blocks\.0\.hook_resid_post is missing",
    ),
    "answers nothing": (
        "class load(Mine):\n def trace(self, p, **k): pass",
        r"its predictions must have shape \(batch, query\), \(1, 1\) here; got None",
    ),
    "raises": (
        "class load(Mine):\n def trace(self, p, **k): 1 / 0",
        r"the code of 'python:own\d+:load' must answer; it raised ZeroDivisionError: division by zero \(own\d+.py, line 13\)",
    ),
    "raises in torch": (
        "class load(Mine):\n def trace(self, p, **k): torch.ones(2) @ torch.ones(3)",
        r"it raised RuntimeError: .*size.* \(own\d+.py, line 13\)",
    ),
    "raises what we raise": (
        "class load(Mine):\n def trace(self, p, **k): raise ValueError('odd')",
        r"it raised ValueError: odd \(own\d+.py, line 13\)",
    ),
    "leaves while it answers": (
        "class load(Mine):\n def trace(self, p, **k): sys.exit(0)",
        r"it raised SystemExit: 0 \(own\d+.py, line 13\)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("command", ["examine", "identify"])
@pytest.mark.parametrize("case", CODE)
def test_users_code_that_fails_is_named(case: str, command: str, refused) -> None:
    code, words = CODE[case]
    name = f"own{10 * list(CODE).index(case) + len(command)}"  # no module is imported twice
    Path(f"{name}.py").write_text(MINE + code + "\n")
    out = ("--out", "new/deep") if command == "examine" else ()
    assert re.search(words, said := refused(command, f"python:{name}:load", *out, status=1)), said
