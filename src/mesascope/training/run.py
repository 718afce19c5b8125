"""One training run: its model, optimisers and step, and how they are written to disk and read back."""

import logging
import math
import time
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from mesascope.records import checkpoint as checkpoints
from mesascope.records.checkpoint import Checkpoint
from mesascope.records.codec import to_json
from mesascope.records.lines import append_line, keep_lines
from mesascope.records.provenance import provenance
from mesascope.training.language import LanguageModelling, LanguageSpec
from mesascope.training.objective import Objective
from mesascope.training.optimisers import Optimisers
from mesascope.training.recipe import Recipe
from mesascope.training.regression import Regression
from mesascope.training.spec import TrainingSpec

log = logging.getLogger("mesascope")


class Diverged(RuntimeError):
    """A loss or a weight left the finite range."""


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


@final
class Run:
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
        penalty = self.objective.penalty()
        self.optimisers.zero_grad()
        (loss if penalty is None else loss + penalty).backward()
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
            extra={**self.objective.evaluate(), "provenance": provenance(self.device)},
        )
        checkpoints.write(self.directory / "model", result)


def on_grid(step: int, spec: Recipe) -> bool:
    """Whether a training keeps a checkpoint of this step."""
    return step % spec.checkpoint_every == 0 or math.log2(step).is_integer() or step == spec.steps
