"""Files that cannot be used: specifications, tasks, checkpoints and weights."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import mesascope as ms

SMOKE = ("--profile", "smoke")


FIELDS = {
    "an unknown key": ({"stepz": 3}, "Did you mean 'steps'"),
    "a wrong type": ({"steps": "many"}, "steps must be a whole number; got 'many'"),
    "dimension 0": ({"task": {"dim": 0}}, "dim must be a whole number of at least 1; got 0"),
    "absurdly many steps": ({"steps": 10**12}, "steps must be at most 100,000,000"),
    "no layer": ({"model": {"layers": 0}}, "layers must be a whole number of at least 1"),
}
WHOLE = {
    "a list": ([1], "must be an object describing a TrainingSpec"),
    "no name": ({"steps": 3}, "spec needs name"),
    "NaN": ('{"name": "x", "learning_rate": NaN}', "learning_rate must lie between 0 and 10; got nan"),
    "half a file": ('{"name": ', "is not JSON"),
}


@pytest.mark.parametrize("case", FIELDS)
def test_a_specification_with(case, spec, refused):
    changes, words = FIELDS[case]
    assert words in refused("train", spec(**changes), "--out", "run")


@pytest.mark.parametrize("case", WHOLE)
def test_a_specification_that_is(case, write, refused):
    content, words = WHOLE[case]
    assert words in refused("train", write("spec.json", content), "--out", "run")


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
def test_a_bad_task_is_refused_before_anything_is_written(fields, words, write, refused):
    task = write("task.json", {"type": "LinearRegression", **fields})
    assert words in refused("examine", "two-layer", "--task", task)


def test_a_task_outside_the_domain_is_refused_before_anything_is_drawn(monkeypatch, write, refused):
    monkeypatch.setattr(ms.tasks.LinearRegression, "sample", lambda *_, **__: pytest.fail("drawn"))
    task = write("task.json", {"dim": 2000, "examples": 5000})
    for arguments in (("identify", "two-layer"), ("examine", "two-layer", "--out", "out")):
        assert "dim must be 5 for this subject; got 2000" in refused(*arguments, "--task", task)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("model.pt", "PK", "mesascope convert"),
        ("model.json", {"layers": 2}, "not a mesascope checkpoint"),
        ("model.safetensors", "?", "is missing"),
        ("notes.txt", "hello", "must be a run directory or a checkpoint"),
    ],
)
def test_a_checkpoint_that_is_foreign(name, content, words, write, refused):
    assert words in refused("examine", write(name, content), "--out", "out")


def test_a_checkpoint_that_was_damaged(command, spec, refused):
    assert command("train", spec(), "--out", "run")[0] == 0
    weights = next(Path("run").rglob("model*.safetensors"))
    whole = weights.read_bytes()
    for damaged in (whole[:-7], whole[:-1] + bytes([whole[-1] ^ 1]), b""):
        weights.write_bytes(damaged)
        assert "damaged" in refused("identify", "run", *SMOKE)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_weights_in_what_is_no_file(make: Callable[[str], None], command, spec, refused) -> None:
    assert command("train", spec(), "--out", "run")[0] == 0
    Path("run/model.safetensors").unlink()
    make("run/model.safetensors")
    assert "model.safetensors is not a file" in refused("identify", "run")


@pytest.mark.parametrize("change", [torch.Tensor.to_sparse, lambda whole: whole.to("meta")], ids=["sparse", "meta"])
def test_tensors_without_numbers_of_their_own(change: Callable[[torch.Tensor], torch.Tensor], refused) -> None:
    held: dict[str, object] = {"model_state_dict": {"_read_in.weight": change(torch.ones(8, 2))}}
    held["itself"] = [held]
    torch.save(held, "state.pt")
    assert "checkpoint must hold dense tensors with values" in refused("convert", "state.pt")
