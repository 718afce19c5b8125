"""Run directories: whether a training may write into one, and whether it has ended there."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mesascope.records import checkpoint as checkpoints
from mesascope.records.directories import Holds, check
from mesascope.records.parsing import Damaged
from mesascope.records.shown import shown
from mesascope.records.store import read_sealed
from mesascope.training.recipe import Recipe
from mesascope.training.spec import difference

log = logging.getLogger("mesascope")
HOLDS: Holds = "a training run"


def check_run(spec: Recipe, out: Path, resume: bool) -> None:
    """Check that this spec may be trained there, without writing. A run without a checkpoint may be overwritten."""
    check(out, HOLDS)
    if not checkpoints.steps(out / "checkpoints") and not (out / "model.json").exists():
        return
    if (known := out / "spec.json").exists():
        try:
            held = read_sealed(known)
        except Damaged as error:
            raise ValueError(f"{error} Move it away: --resume then uses the spec that the checkpoints hold.") from error
        check_same(spec, held, known)
    if not resume:
        raise ValueError(
            f"out must be new; {shown(out)} holds this same run. Pass --resume to continue it, or choose another."
        )


def check_same(spec: Recipe, held: Mapping[str, Any], where: Path) -> None:
    """Check that a specification is the one that was written there.

    Raises:
        ValueError: it differs; the message names the first field.
    """
    if (differs := difference(spec, held)) is not None:
        raise ValueError(
            f"out must be new, or a run of the same spec; {shown(where)} is of another spec, where {differs}. Choose another."
        )


def has_ended(spec: Recipe, directory: Path) -> bool:
    """Whether there are final weights; damaged ones count as missing, and are made again from the last checkpoint."""
    if not (directory / "model.json").exists():
        return False
    try:
        done = checkpoints.read(directory / "model")
    except Damaged as error:
        log.warning("%s Making it again.", error)
        return False
    check_same(spec, done.spec, directory / "model.json")
    return True
