"""The training loop: it resumes bit for bit, can be stopped at any moment, and raises an error when something goes wrong."""

import dataclasses
import logging
import math
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from mesascope.machine.devices import check_device
from mesascope.records import checkpoint as checkpoints
from mesascope.records.checkpoint import Checkpoint
from mesascope.records.codec import to_json
from mesascope.records.directories import Holds, check, claim
from mesascope.records.lines import append_line, keep_lines
from mesascope.records.parsing import Damaged
from mesascope.records.provenance import provenance
from mesascope.records.shown import shown
from mesascope.records.store import read_sealed, write_json
from mesascope.training.language import LanguageModelling, LanguageSpec
from mesascope.training.objective import Objective
from mesascope.training.optimisers import Optimisers
from mesascope.training.recipe import Recipe
from mesascope.training.regression import Regression
from mesascope.training.size import check_fits
from mesascope.training.spec import TrainingSpec, difference

log = logging.getLogger("mesascope")
HOLDS: Holds = "a training run"


class Interrupted(Exception):
    """Training was stopped by a signal; everything up to ``step`` is on disk."""

    def __init__(self, step: int, directory: Path) -> None:
        super().__init__(f"stopped after step {step}; continue with --resume --out {directory}")
        self.step = step
        self.directory = directory


class Diverged(RuntimeError):
    """A loss or a weight left the finite range."""


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
    with _stop_requested() as stop:
        check_device(device)
        check_fits(spec)
        _check_run(spec, Path(out), resume)
        return _train(spec, Path(out), stop, resume, device, progress)


def train_many(
    spec: Recipe,
    seeds: Sequence[int],
    out: Path | str,
    *,
    resume: bool = False,
    device: str = "cpu",
    progress: bool = True,
) -> tuple[Path, ...]:
    """Train the same spec from several seeds, one after the other, each in ``out/seed-N``.

    Resuming skips finished runs. Arguments and exceptions are those of `train`.

    Returns:
        The run directories, in the order of the seeds.

    Raises:
        ValueError: no seeds, one given twice, or one below 0.
    """
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds must be one or more different numbers; got {shown(list(seeds))}. Name each seed once.")
    runs = {Path(out) / f"seed-{seed}": dataclasses.replace(spec, seed=seed) for seed in seeds}
    with _stop_requested() as stop:
        check_device(device)
        check_fits(spec)
        for directory, each in runs.items():  # check all before the first one trains
            _check_run(each, directory, resume)
        with claim(out, "training runs, one a seed"):
            try:
                return tuple(_train(each, where, stop, resume, device, progress) for where, each in runs.items())
            except Interrupted as stopped:
                raise Interrupted(stopped.step, Path(out)) from stopped


def _train(spec: Recipe, directory: Path, stop: threading.Event, resume: bool, device: str, progress: bool) -> Path:
    """Train one run. Everything that can be refused is refused before the directory is claimed."""
    if resume and _has_ended(spec, directory):
        return directory
    run = _Run(spec, directory, device)
    with claim(directory, HOLDS):
        _check_run(spec, directory, resume)  # again: another process may have trained here in between
        last = checkpoints.latest(directory / "checkpoints", resumable=True) if resume else None
        if last is not None:
            _check_same(spec, last.spec, directory / "checkpoints")
        (directory / "checkpoints").mkdir(exist_ok=True)
        write_json(directory / "spec.json", to_json(spec))
        start = run.restore(last)
        bar = tqdm(total=spec.steps, initial=start, disable=not progress, unit="step", dynamic_ncols=True)
        with bar:
            for batch in run.objective.batches(start):
                run.update(batch)
                bar.update()
                if run.step % spec.log_every == 0 or run.step == spec.steps:
                    bar.set_postfix_str(f"loss {run.log():.4g}")
                if on_grid(run.step, spec) or stop.is_set():
                    run.save()
                if stop.is_set() and run.step < spec.steps:
                    raise Interrupted(run.step, directory)
        run.finish()
    return directory


def objective(spec: Recipe, device: str) -> Objective:
    """What a run of this specification optimises; the model's weights are new.

    Raises:
        ValueError: the task can't be sampled, or there is no such device.
    """
    if isinstance(spec, LanguageSpec):
        return LanguageModelling(spec, device)
    assert isinstance(spec, TrainingSpec)
    spec.task.sample(1, seed=spec.seed, stream="train", dtype=torch.float32)
    return Regression(spec, device)


class _Run:
    """Model, optimiser and schedule of one run, with their saving and restoring."""

    def __init__(self, spec: Recipe, directory: Path, device: str) -> None:
        self.spec, self.directory, self.device = spec, directory, device
        self.objective = objective(spec, device)
        self.model = self.objective.model
        self.optimisers = Optimisers(self.objective, spec)
        self.step = 0
        self.losses: list[
            Tensor
        ] = []  # of the steps since the last metrics line; read only then, as reading waits for the GPU
        self.timed_from, self.clock = 0, time.perf_counter()

    def update(self, batch: Any) -> None:
        """One optimiser step."""
        loss = self.objective.loss(batch)
        self.optimisers.zero_grad()
        loss.backward()
        if self.spec.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.spec.clip)
        self.optimisers.step()
        self.step += 1
        self.losses.append(loss.detach())

    def log(self) -> float:
        """Append a line of metrics; return the mean loss since the previous line."""
        mean = self._mean_loss()
        now = time.perf_counter()
        line = {
            "step": self.step,
            "loss": mean,
            "learning_rate": self.optimisers.learning_rate,
            "steps_per_second": round((self.step - self.timed_from) / (now - self.clock), 3),
            **self.objective.told(),
        }
        append_line(self.directory / "metrics.jsonl", line)
        self.losses, self.timed_from, self.clock = [], self.step, now
        return mean

    def _mean_loss(self) -> float:
        losses = torch.stack(self.losses)
        finite = torch.isfinite(losses)
        if not bool(finite.all()):
            step = self.step - len(losses) + 1 + int((~finite).nonzero()[0, 0])
            raise self._diverged(f"the loss was not finite at step {step}")
        return float(losses.mean())

    def _diverged(self, what: str) -> Diverged:
        good = checkpoints.latest(self.directory / "checkpoints")
        return Diverged(
            f"{what}. The last good checkpoint is {'none' if good is None else f'that of step {good.step}'}. Lower "
            f"learning_rate (now {self.spec.learning_rate:g}), or bound the gradient with clip=1.0, and train anew."
        )

    def save(self) -> None:
        """Write a checkpoint, and reduce all but the last two checkpoints to their weights."""
        if self.losses:
            self._mean_loss()  # never save a state that resulted from a loss that was not finite
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()} | self.optimisers.tensors()
        if not all(bool(torch.isfinite(v).all()) for v in tensors.values()):  # a finite loss can have an infinite slope
            raise self._diverged(f"a weight or the optimiser's state was not finite after step {self.step}")
        extra: dict[str, Any] = {
            "pending_losses": [float(v) for v in self.losses],
            "course": self.objective.state(),
            "threads": torch.get_num_threads(),
        }
        folder = self.directory / "checkpoints"
        checkpoints.write(
            checkpoints.stem(folder, self.step),
            Checkpoint(step=self.step, spec=to_json(self.spec), tensors=tensors, extra=extra),
        )
        for old in checkpoints.steps(folder)[:-2]:
            checkpoints.strip(checkpoints.stem(folder, old))

    def restore(self, found: Checkpoint | None) -> int:
        """Continue from a resumable checkpoint, or begin anew if there is none; return the step."""
        step = 0 if found is None else found.step
        if (metrics := self.directory / "metrics.jsonl").exists():
            keep_lines(metrics, lambda line: line["step"] <= step)
        if found is None:
            return 0
        if found.extra["threads"] != torch.get_num_threads():
            log.warning(
                "this run began with %d threads and continues with %d: its last bits may differ from those of an "
                "uninterrupted run. Pass --threads %d to avoid that.",
                *(found.extra["threads"], torch.get_num_threads(), found.extra["threads"]),
            )
        self.model.load_state_dict(found.weights)
        self.optimisers.restore(found.tensors, step)
        self.objective.restore(found.extra["course"])
        self.losses = [torch.tensor(v, device=self.device) for v in found.extra["pending_losses"]]
        self.step = self.timed_from = step
        return step

    def finish(self) -> None:
        """Write the last checkpoint, and the final weights with their held-out error."""
        if self.step not in checkpoints.steps(self.directory / "checkpoints"):
            self.save()
        result = Checkpoint(
            step=self.step,
            spec=to_json(self.spec),
            tensors={f"model.{k}": v for k, v in self.model.state_dict().items()},
            extra={**self.objective.evaluate(), "provenance": provenance()},
        )
        checkpoints.write(self.directory / "model", result)


def _check_run(spec: Recipe, out: Path, resume: bool) -> None:
    """Check that this spec may be trained there, without writing. A run without a checkpoint may be overwritten."""
    check(out, HOLDS)
    if not checkpoints.steps(out / "checkpoints") and not (out / "model.json").exists():
        return
    if (known := out / "spec.json").exists():
        try:
            held = read_sealed(known)
        except Damaged as error:
            raise ValueError(f"{error} Move it away: --resume then uses the spec that the checkpoints hold.") from error
        _check_same(spec, held, known)
    if not resume:
        raise ValueError(
            f"out must be new; {shown(out)} holds this same run. Pass --resume to continue it, or choose another."
        )


def _check_same(spec: Recipe, held: Mapping[str, Any], where: Path) -> None:
    if (differs := difference(spec, held)) is not None:
        raise ValueError(
            f"out must be new, or a run of the same spec; {shown(where)} is of another spec, where {differs}. Choose another."
        )


def _has_ended(spec: Recipe, directory: Path) -> bool:
    """Whether there are final weights; damaged ones count as missing, and are made again from the last checkpoint."""
    if not (directory / "model.json").exists():
        return False
    try:
        done = checkpoints.read(directory / "model")
    except Damaged as error:
        log.warning("%s Making it again.", error)
        return False
    _check_same(spec, done.spec, directory / "model.json")
    return True


def on_grid(step: int, spec: Recipe) -> bool:
    """Whether a training keeps a checkpoint of this step."""
    return step % spec.checkpoint_every == 0 or math.log2(step).is_integer() or step == spec.steps


@contextmanager
def _stop_requested() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set, so that training stops between two steps. The second signal stops at once.

    After training, the last signal is raised again, so that the outer signal handler receives it.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    came: list[int] = []

    def request(signum: int, frame: FrameType | None) -> None:
        came.append(signum)
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {s: signal.signal(s, request) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        signal.raise_signal(came[-1])
