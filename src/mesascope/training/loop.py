"""The training loop: it resumes bit for bit, can be stopped at any moment, and raises an error when something goes wrong."""

import threading
from pathlib import Path

from mesascope.machine.devices import check_device
from mesascope.machine.progress import progress_bar
from mesascope.records import checkpoint as checkpoints
from mesascope.records.codec import to_json
from mesascope.records.directories import claim
from mesascope.records.store import write_json
from mesascope.training.folder import HOLDS, check_run, check_same, has_ended
from mesascope.training.recipe import Recipe
from mesascope.training.run import Run, on_grid
from mesascope.training.size import check_fits
from mesascope.training.stopping import Interrupted, stop_requested


def train(
    spec: Recipe,
    out: Path | str,
    *,
    resume: bool = False,
    device: str = "cpu",
    progress: bool = True,
) -> Path:
    """Train a model and write a run directory: ``spec.json``, ``metrics.jsonl``, ``checkpoints/``, ``model.safetensors``.

    Batches are a function of (seed, step), and a checkpoint holds weights, optimiser, schedule, curriculum and step: a
    run that was killed and resumed ends with the same bits as an uninterrupted run (same machine, same number of threads).

    Args:
        spec: the specification.
        out: the run directory: new, empty, or a run of the same spec.
        resume: continue from the last intact checkpoint. Otherwise a directory that has checkpoints is refused.
        device: where to compute.
        progress: show a progress bar on stderr.

    Returns:
        The run directory.

    Raises:
        ValueError: the directory is not usable for this spec, or another process trains there; the spec needs more memory
            than this machine has; there is no such device.
        Diverged: a loss or a weight is not finite.
        Interrupted: SIGINT or SIGTERM arrived, and the state was saved. (A second signal stops without saving.)
        OSError: for example, the disk is full. The last checkpoint is intact, and a resumed run continues from there.
    """
    with stop_requested() as stop:
        check_device(device)
        check_fits(spec)
        check_run(spec, Path(out), resume)
        return train_one(spec, Path(out), stop, resume, device, progress)


def train_one(spec: Recipe, directory: Path, stop: threading.Event, resume: bool, device: str, progress: bool) -> Path:
    """Train one run until the event is set. Everything that can be refused is refused before the directory is claimed."""
    if resume and has_ended(spec, directory):
        return directory
    run = Run(spec, directory, device)
    with claim(directory, HOLDS):
        check_run(spec, directory, resume)  # again: another process may have trained here in between
        last = checkpoints.latest(directory / "checkpoints", resumable=True) if resume else None
        if last is not None:
            check_same(spec, last.spec, directory / "checkpoints")
        (directory / "checkpoints").mkdir(exist_ok=True)
        write_json(directory / "spec.json", to_json(spec))
        start = run.restore(last)
        with progress_bar(total=spec.steps, start=start, shown=progress, unit="step") as bar:
            for batch in run.objective.batches(start):
                run.update(batch)
                bar.update()
                if run.step % spec.log_every == 0 or run.step == spec.steps:
                    bar.set_postfix_str(f"loss {run.log():.4g}", refresh=False)
                if on_grid(run.step, spec) or stop.is_set():
                    run.save()
                if stop.is_set() and run.step < spec.steps:
                    raise Interrupted(run.step, directory)
        run.finish()
    return directory
