"""Checkpoints: tensors in a safetensors file, everything else in a JSON file beside it, with the tensors' hash."""

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from mesascope.records.parsing import Damaged, unsealed
from mesascope.records.shown import shown
from mesascope.records.store import read_unchecked, write_json
from mesascope.records.tensors import read_tensors, write_tensors

log = logging.getLogger("mesascope")
FORMAT = "mesascope-checkpoint"
VERSION = 2  # 1 had no seal
FIELDS: dict[str, type] = {
    "format": str,
    "schema_version": int,
    "step": int,
    "weights_only": bool,
    "tensors": str,
    "sha256": str,
    "spec": dict,
    "extra": dict,
}
_STEP = re.compile(r"(?:.*-)?step-(\d+)")
"""Names that contain a step: ``step-00000256`` in a run, ``two-layer-step-256`` in the zoo."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checkpoint:
    """A training state or finished weights.

    Attributes:
        step: number of optimiser steps taken.
        spec: the specification of the run that made it, as JSON.
        tensors: ``model.*`` weights and, while training, ``optimiser.*`` state.
        extra: everything else (metrics, provenance).
    """

    step: int
    spec: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    extra: Mapping[str, Any]

    @property
    def weights(self) -> dict[str, Tensor]:
        """The model's state dict."""
        return {k.removeprefix("model."): v for k, v in self.tensors.items() if k.startswith("model.")}


def write(stem: Path, checkpoint: Checkpoint, *, weights_only: bool = False) -> None:
    """Write the tensors, then the JSON with their hash; if the process is killed in between, the old checkpoint stays.

    The JSON names the tensors' file: ``stem.safetensors``, or ``stem.weights.safetensors`` for weights only.
    """
    tensors = _tensors(stem, weights_only)
    digest = write_tensors(tensors, checkpoint.tensors)
    meta = {
        "format": FORMAT,
        "schema_version": VERSION,
        "step": checkpoint.step,
        "weights_only": weights_only,
        "tensors": tensors.name,
        "sha256": digest,
        "spec": dict(checkpoint.spec),
        "extra": dict(checkpoint.extra),
    }
    write_json(_beside(stem, ".json"), meta)


def read(stem: Path) -> Checkpoint:
    """Read a checkpoint that `write` wrote.

    Raises:
        Damaged: a file is missing, foreign, truncated, altered, or was renamed to another checkpoint's name.
    """
    path = _beside(stem, ".json")
    meta = read_meta(stem)
    named = _STEP.fullmatch(stem.name)
    if named is not None and int(named[1]) != meta["step"]:
        raise Damaged(f"{shown(path)} has the wrong step in its name: it is the checkpoint of step {meta['step']}.")
    expected = _tensors(stem, meta["weights_only"])
    if meta["tensors"] != expected.name:
        raise Damaged(
            f"{shown(path)} was written under another name: its tensors are in {shown(meta['tensors'])}, not in "
            f"{shown(expected.name)}. Give both files their original names."
        )
    tensors = read_tensors(expected, meta["sha256"])
    return Checkpoint(step=meta["step"], spec=meta["spec"], tensors=tensors, extra=meta["extra"])


def read_meta(stem: Path) -> dict[str, Any]:
    """Only the JSON, checked to be whole and unaltered; the tensors are not read.

    Raises:
        Damaged: the JSON is missing, foreign, or altered.
    """
    path = _beside(stem, ".json")
    document = read_unchecked(path)
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise Damaged(f"{shown(path)} is not a mesascope checkpoint. Convert a foreign one with `mesascope convert`.")
    if document.get("schema_version") != VERSION:
        raise Damaged(
            f"{shown(path)} has schema_version {shown(document.get('schema_version'))}; this version of mesascope reads "
            f"{VERSION}. Train or convert it again."
        )
    meta = unsealed(document, shown(path), required=True)
    wrong = [name for name, kind in FIELDS.items() if not isinstance(meta.get(name), kind)]
    if wrong:
        raise Damaged(f"{shown(path)} lacks {', '.join(wrong)}, or has a value of the wrong type there.")
    if unknown := [name for name in meta if name not in FIELDS]:
        raise Damaged(f"{shown(path)} has a field {shown(unknown[0])}, which is not a field of checkpoints.")
    return meta


def steps(directory: Path) -> list[int]:
    """Steps that have a checkpoint in the directory, ascending. The checkpoints may be damaged: this is not checked."""
    names = (re.fullmatch(r"step-(\d+)\.json", path.name) for path in directory.glob("step-*.json"))
    return sorted(int(match[1]) for match in names if match)


def stem(directory: Path, step: int) -> Path:
    """The path of a step's checkpoint, without the ending."""
    return directory / f"step-{step:08d}"


def _beside(stem: Path, ending: str) -> Path:
    return stem.parent / (stem.name + ending)


def _tensors(stem: Path, weights_only: bool) -> Path:
    return _beside(stem, ".weights.safetensors" if weights_only else ".safetensors")


def strip(where: Path) -> None:
    """Reduce a checkpoint to its weights (a resumable one is three times as large). It stays readable if this is killed."""
    full = _tensors(where, weights_only=False)
    if not full.exists():
        return  # already done
    try:
        found = read(where)
        weights = {k: v for k, v in found.tensors.items() if k.startswith("model.")}
        write(where, Checkpoint(step=found.step, spec=found.spec, tensors=weights, extra={}), weights_only=True)
    except Damaged as error:
        log.warning("%s It is left unchanged.", error)
    else:
        full.unlink()


def resumable(directory: Path) -> dict[int, Checkpoint]:
    """By step, the intact checkpoints that hold an optimiser's state; damaged ones are left out with a warning."""
    full = [step for step in steps(directory) if _tensors(stem(directory, step), weights_only=False).exists()]
    return {found.step: found for found in _intact(directory, full)}


def latest(directory: Path, *, resumable: bool = False) -> Checkpoint | None:
    """The last intact checkpoint of a directory; damaged ones are skipped with a warning.

    Args:
        directory: holds ``step-….json`` and ``.safetensors``.
        resumable: consider only checkpoints that hold an optimiser's state.
    """
    for found in _intact(directory, reversed(steps(directory))):
        if not resumable or any(k.startswith("optimiser.") for k in found.tensors):
            return found
    return None


def _intact(directory: Path, at: Iterable[int]) -> Iterator[Checkpoint]:
    """The checkpoints of these steps, but for damaged ones, which are warned of."""
    for step in at:
        try:
            found = read(stem(directory, step))
        except Damaged as error:
            log.warning("%s Looking for an earlier one.", error)
        else:
            yield found
