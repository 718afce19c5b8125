"""Checkpoints: tensors in safetensors, everything else in a JSON beside them that knows the tensors' hash."""

import logging
import re
from collections.abc import Mapping
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
"""Names that say a step: ``step-00000256`` in a run, ``two-layer-step-256`` in the zoo."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checkpoint:
    """A training state or finished weights.

    Attributes:
        step: optimiser steps taken.
        spec: the specification that made it, as JSON.
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
    """Write the tensors, then the JSON that vouches for them; a kill in between leaves what was there before.

    The tensors' file is named in the JSON: ``stem.safetensors``, or ``stem.weights.safetensors`` for weights only.
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
    """Read what `write` wrote.

    Raises:
        Damaged: a file missing, foreign, truncated, altered, or under another's name.
    """
    path = _beside(stem, ".json")
    meta = read_meta(stem)
    named = _STEP.fullmatch(stem.name)
    if named is not None and int(named[1]) != meta["step"]:
        raise Damaged(
            f"{shown(path)} is named after another step than its own: it is the checkpoint of step {meta['step']}."
        )
    expected = _tensors(stem, meta["weights_only"])
    if meta["tensors"] != expected.name:
        raise Damaged(
            f"{shown(path)} was written under another name: its tensors are those of {shown(meta['tensors'])}, not of "
            f"{shown(expected.name)}. Give both files the name that they had."
        )
    tensors = read_tensors(expected, meta["sha256"])
    return Checkpoint(step=meta["step"], spec=meta["spec"], tensors=tensors, extra=meta["extra"])


def read_meta(stem: Path) -> dict[str, Any]:
    """The JSON alone, whole and as it was written; the tensors are not looked at.

    Raises:
        Damaged: missing, foreign, or altered.
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
        raise Damaged(f"{shown(path)} lacks {', '.join(wrong)}, or holds something else there.")
    if unknown := [name for name in meta if name not in FIELDS]:
        raise Damaged(f"{shown(path)} has a field {shown(unknown[0])}, which no checkpoint has.")
    return meta


def steps(directory: Path) -> list[int]:
    """Steps that have a checkpoint in the directory, ascending; whether they are intact is not checked."""
    names = (re.fullmatch(r"step-(\d+)\.json", path.name) for path in directory.glob("step-*.json"))
    return sorted(int(match[1]) for match in names if match)


def stem(directory: Path, step: int) -> Path:
    """Where the checkpoint of a step lives."""
    return directory / f"step-{step:08d}"


def _beside(stem: Path, ending: str) -> Path:
    return stem.parent / (stem.name + ending)


def _tensors(stem: Path, weights_only: bool) -> Path:
    return _beside(stem, ".weights.safetensors" if weights_only else ".safetensors")


def strip(where: Path) -> None:
    """Leave a checkpoint its weights only (a resumable one is three times as large). Killed half-way, it is whole."""
    full = _tensors(where, weights_only=False)
    if not full.exists():
        return  # done before
    try:
        found = read(where)
        weights = {k: v for k, v in found.tensors.items() if k.startswith("model.")}
        write(where, Checkpoint(step=found.step, spec=found.spec, tensors=weights, extra={}), weights_only=True)
    except Damaged as error:
        log.warning("%s It is left as it is.", error)
    else:
        full.unlink()


def latest(directory: Path, *, resumable: bool = False) -> Checkpoint | None:
    """The last intact checkpoint of a directory; damaged ones are passed over with a message.

    Args:
        directory: holds ``step-….json`` and ``.safetensors``.
        resumable: only those that hold an optimiser's state.
    """
    for step in reversed(steps(directory)):
        try:
            found = read(stem(directory, step))
        except Damaged as error:
            log.warning("%s Looking for one before it.", error)
            continue
        if not resumable or any(k.startswith("optimiser.") for k in found.tensors):
            return found
    return None
