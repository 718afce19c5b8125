"""Many runs: one after the other, or, where their networks are alike, together as one batched program."""

import contextlib
import dataclasses
import functools
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mesascope.machine.devices import check_device, device_memory
from mesascope.machine.progress import progress_bar
from mesascope.records import checkpoint as checkpoints
from mesascope.records.checkpoint import Checkpoint
from mesascope.records.codec import to_json
from mesascope.records.directories import claim
from mesascope.records.shown import shown
from mesascope.records.store import write_json
from mesascope.training.alike import check_alike, grouped
from mesascope.training.folder import HOLDS, check_run, check_same, has_ended
from mesascope.training.loop import train_one
from mesascope.training.members import Members
from mesascope.training.recipe import Recipe
from mesascope.training.run import Diverged, Run, on_grid
from mesascope.training.size import check_fits, needed
from mesascope.training.spec import TrainingSpec
from mesascope.training.stopping import Interrupted, stop_requested

SHARE = 0.5
"""Of the device's memory, what one batched program may need by its estimate."""
WRITERS = 4
"""Runs that are written at a time: most of a checkpoint's time is waiting for the disk."""


def train_many(
    spec: Recipe,
    seeds: Sequence[int],
    out: Path | str,
    *,
    together: bool = False,
    resume: bool = False,
    device: str = "cpu",
    progress: bool = True,
) -> tuple[Path, ...]:
    """Train the same spec from several seeds, each in ``out/seed-N``.

    Resuming skips finished runs. Other arguments and exceptions are those of `mesascope.training.train`.

    Args:
        spec, seeds, out: see above.
        together: train them as one batched program, see `train_together`; else one after the other.
        resume, device, progress: as in `mesascope.training.train`.

    Returns:
        The run directories, in the order of the seeds.

    Raises:
        ValueError: no seeds, one given twice, or one below 0; a spec that can't be trained together.
        Diverged: a loss or a weight is not finite; the other seeds that train together with it have ended.
    """
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds must be one or more different numbers; got {shown(list(seeds))}. Name each seed once.")
    runs = {Path(out) / f"seed-{seed}": dataclasses.replace(spec, seed=seed) for seed in seeds}
    if together:
        check_alike(tuple(runs.values()))
    with stop_requested() as stop:
        _check(runs, resume, device)
        with claim(out, "training runs, one a seed"):
            try:
                if together:
                    lost = _together(runs, stop, resume, device, progress)
                    if lost:
                        raise Diverged("; ".join(f"{where.name}: {why}" for where, why in lost.items()))
                else:
                    for where, each in runs.items():
                        train_one(each, where, stop, resume, device, progress)
            except Interrupted as stopped:
                raise Interrupted(stopped.step, Path(out)) from stopped
    return tuple(runs)


def train_together(
    runs: Mapping[Path, Recipe],
    *,
    resume: bool = False,
    device: str = "cpu",
    progress: bool = True,
) -> dict[Path, Diverged]:
    """Train runs of different specifications; those that are alike are one batched program, see `Members`.

    What is written into each directory is what `mesascope.training.train` writes. A group that needs more than half of the
    device's memory is split. A run whose loss is not finite is left as it was at its last checkpoint, and the others go on.

    Args:
        runs: the specifications by run directory.
        resume, device, progress: as in `mesascope.training.train`.

    Returns:
        Those that diverged, with the reason; all others are finished.

    Raises:
        ValueError, Interrupted, OSError: as in `mesascope.training.train`.
    """
    with stop_requested() as stop:
        _check(runs, resume, device)
        return _together(runs, stop, resume, device, progress)


def _check(runs: Mapping[Path, Recipe], resume: bool, device: str) -> None:
    """Check everything before the first run trains."""
    check_device(device)
    for directory, spec in runs.items():
        check_fits(spec)
        check_run(spec, directory, resume)


def _together(
    runs: Mapping[Path, Recipe], stop: threading.Event, resume: bool, device: str, progress: bool
) -> dict[Path, Diverged]:
    left = {where: spec for where, spec in runs.items() if not (resume and has_ended(spec, where))}
    lost: dict[Path, Diverged] = {}
    for group in grouped(left):
        if len(group) == 1:
            (where,) = group
            try:
                train_one(left[where], where, stop, resume, device, progress)
            except Diverged as error:
                lost[where] = error
            continue
        each = max(needed(spec) for where in group if isinstance(spec := left[where], TrainingSpec))
        most = max(1, int(device_memory(device) * SHARE) // each)
        for first in range(0, len(group), most):
            part = {where: left[where] for where in group[first : first + most]}
            lost |= _train(part, stop, resume, device, progress)
    return lost


def _train(
    specs: Mapping[Path, Recipe], stop: threading.Event, resume: bool, device: str, progress: bool
) -> dict[Path, Diverged]:
    """Train one group, in which all specifications are alike."""
    lost: dict[Path, Diverged] = {}
    with contextlib.ExitStack() as held:
        for where, spec in specs.items():
            held.enter_context(claim(where, HOLDS))
            check_run(spec, where, resume)  # again: another process may have trained here in between
            (where / "checkpoints").mkdir(exist_ok=True)
            write_json(where / "spec.json", to_json(spec))
        runs = [Run(spec, where, device) for where, spec in specs.items()]
        for begun in _begun(runs) if resume else [{run.directory: None for run in runs}]:
            members = [run for run in runs if run.directory in begun]
            for run in members:
                run.restore(begun[run.directory])
            words = f"{len(members)} networks"
            steps, start = members[0].spec.steps, members[0].step
            with progress_bar(total=steps, start=start, shown=progress, unit="step", desc=words) as bar:
                while members and members[0].step < steps:  # anew with fewer after one has diverged
                    failed = _until_one_fails(members, stop, bar)
                    members = [run for run in members if run.directory not in failed]
                    lost |= failed
            for run in members:
                run.finish()
    return lost


def _until_one_fails(members: Sequence[Run], stop: threading.Event, bar: "tqdm[Any]") -> dict[Path, Diverged]:
    """Train until the last step, or until some diverge, which are returned."""
    program, spec = Members(members), members[0].spec
    for batch in program.batches():
        program.update(batch)
        bar.update()
        step = members[0].step
        logs, saves = step % spec.log_every == 0 or step == spec.steps, on_grid(step, spec) or stop.is_set()
        if not logs and not saves:
            continue
        program.tell()
        with ThreadPoolExecutor(WRITERS) as writers:
            ends = list(writers.map(functools.partial(_written, logs=logs, saves=saves), members))
        failed = {run.directory: error for run, error in zip(members, ends, strict=True) if error is not None}
        if stop.is_set() and step < spec.steps:
            raise Interrupted(step, members[0].directory.parent)
        if failed:
            return failed
    return {}


def _written(run: Run, *, logs: bool, saves: bool) -> Diverged | None:
    """Write a run's line of metrics and its checkpoint, as asked; what is returned says that it diverged."""
    try:
        if logs:
            run.log()
        if saves:
            run.save()
    except Diverged as error:
        return error
    return None


def _begun(runs: Sequence[Run]) -> list[dict[Path, Checkpoint | None]]:
    """Where each run goes on; those in one mapping go on together, from the same step.

    If a run was killed while the members were being saved, some are a checkpoint ahead of the others. All go on from the last
    one that every run has.
    """
    found: dict[Path, dict[int, Checkpoint]] = {
        run.directory: checkpoints.resumable(run.directory / "checkpoints") for run in runs
    }
    for run in runs:
        for held in found[run.directory].values():
            check_same(run.spec, held.spec, run.directory / "checkpoints")
    new: dict[Path, Checkpoint | None] = {where: None for where, held in found.items() if not held}
    begun = {where: held for where, held in found.items() if held}
    common = set.intersection(*(set(held) for held in begun.values())) if begun else set()
    if begun and not common:  # never together before
        by_step: dict[int, dict[Path, Checkpoint | None]] = {}
        for where, held in begun.items():
            by_step.setdefault(max(held), {})[where] = held[max(held)]
        return [*by_step.values(), *([new] if new else [])]
    going: dict[Path, Checkpoint | None] = {where: held[max(common)] for where, held in begun.items()}
    return [part for part in (going, new) if part]
