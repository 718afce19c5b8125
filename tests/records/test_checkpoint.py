"""Checkpoints: what comes back, what is refused, what is passed over."""

import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from mesascope.records import checkpoint as checkpoints
from mesascope.records.checkpoint import Checkpoint
from mesascope.records.parsing import Damaged
from mesascope.records.store import read_sealed, write_json


def make(step: int) -> Checkpoint:
    tensors = {"model.w": torch.full((3,), float(step)), "optimiser.0.exp_avg": torch.ones(3)}
    return Checkpoint(step=step, spec={"type": "TrainingSpec", "name": "x"}, tensors=tensors, extra={"a": [0.1]})


@pytest.fixture
def run(tmp_path: Path) -> Path:
    for step in (1, 2, 4):
        checkpoints.write(checkpoints.stem(tmp_path, step), make(step))
    return tmp_path


def test_what_is_written_is_read(run: Path) -> None:
    found = checkpoints.read(checkpoints.stem(run, 2))
    assert (found.step, found.spec, found.extra) == (2, make(2).spec, make(2).extra)
    assert found.tensors.keys() == make(2).tensors.keys()
    assert torch.equal(found.weights["w"], torch.full((3,), 2.0))
    assert list(found.weights) == ["w"]


def test_a_name_with_a_dot_keeps_it(tmp_path: Path) -> None:
    checkpoints.write(tmp_path / "two.layer", make(1))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["two.layer.json", "two.layer.safetensors"]
    assert checkpoints.read(tmp_path / "two.layer").step == 1


def test_steps_ascend_and_other_files_are_no_steps(run: Path) -> None:
    for name in ("step-x.json", "step-.json", "notes.json", "step-00000009.safetensors"):
        (run / name).write_text("")
    assert checkpoints.steps(run) == [1, 2, 4]
    assert checkpoints.steps(run / "none") == []


def edit(stem: Path, **changes: Any) -> None:
    """Other contents, sealed again: what another program might write. None takes a field away."""
    path = stem.with_suffix(".json")
    meta = read_sealed(path) | changes
    write_json(path, {k: v for k, v in meta.items() if v is not None})


def by_hand(stem: Path, old: str, new: str) -> None:
    """An edit that leaves the seal as it was."""
    path = stem.with_suffix(".json")
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def unsealed(stem: Path) -> None:
    path = stem.with_suffix(".json")
    path.write_text(json.dumps(read_sealed(path)))


def under_the_name_of(stem: Path, other: Path, *, files: tuple[str, ...] = (".json", ".safetensors")) -> None:
    for ending in files:
        shutil.copy(other.with_suffix(ending), stem.with_suffix(ending))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


DAMAGE = {
    "no JSON": (lambda s: s.with_suffix(".json").unlink(), "is missing"),
    "no tensors": (lambda s: s.with_suffix(".safetensors").unlink(), r"\.safetensors is missing"),
    "cut JSON": (lambda s: truncate(s.with_suffix(".json")), "is not JSON"),
    "cut tensors": (lambda s: truncate(s.with_suffix(".safetensors")), "its hash is not the one recorded"),
    "one bit": (lambda s: flip(s.with_suffix(".safetensors")), "its hash is not the one recorded"),
    "foreign": (lambda s: s.with_suffix(".json").write_text('{"a": 1}'), "not a mesascope checkpoint. Convert"),
    "a list": (lambda s: s.with_suffix(".json").write_text("[1]"), "not a mesascope checkpoint. Convert"),
    "later version": (
        lambda s: edit(s, schema_version=3),
        r"schema_version 3; this version of mesascope reads 2\. Train",
    ),
    "first version": (
        lambda s: edit(s, schema_version=1),
        r"schema_version 1; this version of mesascope reads 2\. Train",
    ),
    "no hash": (lambda s: edit(s, sha256=None), "lacks sha256, or has a value of the wrong type"),
    "wrong kinds": (lambda s: edit(s, step="2", extra=[]), "lacks step, extra, or has a value of the wrong type"),
    "one field too many": (lambda s: edit(s, colour=1), "has a field 'colour', which is not a field of checkpoints"),
    "elsewhere": (lambda s: edit(s, tensors="../../secret"), r"its tensors are in '\.\./\.\./secret', not in"),
    "no name": (lambda s: edit(s, tensors=3), "lacks tensors, or has a value of the wrong type"),
    "no seal": (unsealed, r"step-00000004\.json has no content_sha256"),
    "another spec": (lambda s: by_hand(s, '"name": "x"', '"name": "y"'), "was changed after it was written"),
    "another setting": (lambda s: by_hand(s, "0.1", "0.2"), "was changed after it was written"),
    "another's files": (
        lambda s: under_the_name_of(s, checkpoints.stem(s.parent, 1)),
        r"step-00000004\.json has the wrong step in its name: it is the checkpoint of step 1\.",
    ),
    "another's tensors": (
        lambda s: under_the_name_of(s, checkpoints.stem(s.parent, 1), files=(".safetensors",)),
        "its hash is not the one recorded",
    ),
    "another's tensors named": (
        lambda s: edit(s, tensors="step-00000001.safetensors"),
        r"its tensors are in 'step-00000001\.safetensors', not in 'step-00000004\.safetensors'\. Give both files",
    ),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_recognised_and_the_previous_one_used_with_a_message(
    run: Path, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    damage, message = DAMAGE[case]
    damage(checkpoints.stem(run, 4))  # type: ignore[no-untyped-call]
    with pytest.raises(Damaged, match=message):
        checkpoints.read(checkpoints.stem(run, 4))
    found = checkpoints.latest(run)
    assert found is not None
    assert found.step == 2
    if case != "no JSON":  # then nothing speaks of a step 4
        assert [r.levelno for r in caplog.records] == [logging.WARNING]
        assert "step-00000004" in caplog.text
        assert "Looking for an earlier one" in caplog.text


def test_a_late_checkpoint_under_an_early_name_is_noticed(run: Path) -> None:
    """Both files renamed, the JSON telling its own step: neither order nor hash would show it."""
    under_the_name_of(checkpoints.stem(run, 1), checkpoints.stem(run, 4))
    with pytest.raises(Damaged, match=r"step-00000001\.json has the wrong step in its name.* of step 4"):
        checkpoints.read(checkpoints.stem(run, 1))
    under_the_name_of(run / "two-layer-step-256", checkpoints.stem(run, 4))
    with pytest.raises(Damaged, match=r"two-layer-step-256\.json has the wrong step in its name"):
        checkpoints.read(run / "two-layer-step-256")
    under_the_name_of(run / "model", checkpoints.stem(run, 4))
    with pytest.raises(Damaged, match=r"model\.json was written under another name"):
        checkpoints.read(run / "model")


def test_no_checkpoint_is_none(run: Path) -> None:
    for step in (1, 2, 4):
        truncate(checkpoints.stem(run, step).with_suffix(".json"))
    assert checkpoints.latest(run) is None
    assert checkpoints.latest(run / "none") is None


def test_stripping_leaves_the_weights(run: Path) -> None:
    stem = checkpoints.stem(run, 4)
    for _ in range(2):
        checkpoints.strip(stem)
        assert list(checkpoints.read(stem).tensors) == ["model.w"]
        assert not stem.with_suffix(".safetensors").exists()
    latest, resumable = checkpoints.latest(run), checkpoints.latest(run, resumable=True)
    assert latest is not None
    assert resumable is not None
    assert (latest.step, resumable.step) == (4, 2)


def test_stripping_something_damaged_says_so_and_leaves_it(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = checkpoints.stem(run, 4).with_suffix(".safetensors")
    flip(path)
    before = path.read_bytes()
    checkpoints.strip(checkpoints.stem(run, 4))
    assert path.read_bytes() == before
    assert "It is left unchanged" in caplog.text


class Killed(BaseException):
    """Stands for SIGKILL: nobody handles it."""


@pytest.mark.parametrize("at", range(1, 6))
def test_killed_while_stripping_or_writing_a_checkpoint_is_whole(
    run: Path, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0
    real = os.fsync

    def fsync(handle: int) -> None:
        nonlocal calls
        calls += 1
        if calls == at:
            raise Killed
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    stem = checkpoints.stem(run, 4)
    for work in (lambda: checkpoints.strip(stem), lambda: checkpoints.write(stem, make(4))):
        calls = 0
        if at < 5:  # two files, each synchronised with its directory
            with pytest.raises(Killed):
                work()
        else:
            work()
        assert torch.equal(checkpoints.read(stem).weights["w"], torch.full((3,), 4.0))
