"""One bit turned in anything that is read back: refused, or passed over with a message, and never read as something else."""

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import mesascope as ms
from mesascope.records import checkpoint as checkpoints
from mesascope.records.checkpoint import Checkpoint
from mesascope.records.codec import from_json, to_json
from mesascope.records.journal import Journal, digest
from mesascope.records.lines import append_line, read_lines
from mesascope.records.store import read_sealed, write_json
from mesascope.types import Measured
from mesascope.zoo.shipped import WEIGHTS

FLIPS = 150
"""Of each file. Thousands give the same; these take a second."""


def flipped(path: Path, read: Callable[[], Any]) -> Counter[str]:
    """What came of reading the file with one bit turned, over bits drawn from a seed."""
    whole, before = path.read_bytes(), read()
    assert before is not None
    rng, came, messages = random.Random(path.name), Counter[str](), []
    for bit in rng.sample(range(8 * len(whole)), FLIPS):
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        try:
            after = read()
        except ValueError as error:
            messages.append(str(error))
            came["refused"] += 1
        else:
            came["passed over" if after is None else "the same" if after == before else "another"] += 1
    path.write_bytes(whole)
    assert read() == before
    assert all(message.isprintable() and len(message) < 600 for message in messages)
    return came


def measurement(value: float) -> ms.Measurement:
    control = ms.types.Control(kind="negative", name="untrained", value=0.01)
    return ms.Measurement(
        instrument="probes", quantity="R²", value=value, interval=(0.1, 0.5), n=96, coordinates={"layer": 1}, controls=(control,)
    )  # fmt: skip


def a_shipped_entry(folder: Path) -> tuple[Path, Callable[[], Any]]:
    for ending in (".json", ".safetensors"):
        (folder / f"two-layer{ending}").write_bytes((WEIGHTS / f"two-layer{ending}").read_bytes())

    def read() -> Any:
        subject = ms.load(str(folder / "two-layer"))
        return subject.spec, ms.zoo.default_task(subject)  # type: ignore[attr-defined]

    return folder / "two-layer.json", read


def a_curve(folder: Path) -> tuple[Path, Callable[[], Any]]:
    for step in range(20):
        append_line(folder / "metrics.jsonl", {"step": step, "loss": 1 / (1 + step)})

    def read() -> Any:
        found = read_lines(folder / "metrics.jsonl")
        return (
            found if len(found) == 20 else None
        )  # the last line, which then looks cut off, is left out with a message

    return folder / "metrics.jsonl", read


def a_journal(folder: Path) -> tuple[Path, Callable[[], Any]]:
    kept = Measured(measurements=(measurement(0.25), measurement(0.5)), seconds=1.5)
    Journal(folder).put("probes", kept)
    return folder / "parts" / f"{digest('probes')}.json", lambda: Journal(folder).get("probes", Measured)


def a_checkpoint(folder: Path) -> tuple[Path, Callable[[], Any]]:
    for step in (1, 2):
        tensors = {"model.w": torch.full((3,), float(step)), "optimiser.0.exp_avg": torch.ones(3)}
        extra = {"param_groups": [{"lr": 0.001 * step, "betas": [0.9, 0.999]}], "threads": 1}
        spec = {"type": "TrainingSpec", "name": "x", "learning_rate": 0.001}
        checkpoint = Checkpoint(step=step, spec=spec, tensors=tensors, extra=extra)
        checkpoints.write(checkpoints.stem(folder, step), checkpoint)

    def read() -> Any:
        found = checkpoints.latest(folder, resumable=True)
        assert found is not None
        return None if found.step == 1 else (found.step, found.spec, found.extra)

    return checkpoints.stem(folder, 2).with_suffix(".json"), read


def a_record(folder: Path) -> tuple[Path, Callable[[], Any]]:
    result = ms.StudyResult(
        study="x", title="?", source="B", profile="smoke", outcomes=(), notes=("a note",), figures=(), provenance={"seed": 3},
        measurements=(measurement(0.25),),
    )  # fmt: skip
    write_json(folder / "record.json", to_json(result))
    return folder / "record.json", lambda: from_json(ms.StudyResult, read_sealed(folder / "record.json"), ours=True)


@pytest.mark.parametrize("what", [a_shipped_entry, a_curve, a_journal, a_checkpoint, a_record])
def test_no_bit_turned_is_read_as_something_else(
    what: Callable[[Path], tuple[Path, Callable[[], Any]]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, read = what(tmp_path)
    came = flipped(path, read)
    assert came["another"] == 0
    assert came["refused"] + came["passed over"] > 0.9 * FLIPS
    assert len(caplog.records) >= came["passed over"]  # each with its message
