"""Runs of one architecture as one batched program, with an axis of members through parameters, gradients and optimisers."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.training.batches import AHEAD, Batch, dropout, mean_squared_error
from mesascope.training.regularisers import Regularisers, penalty
from mesascope.training.run import Run
from mesascope.training.spec import TrainingSpec
from mesascope.training.stacked import stacked_optimisers

REGULARISERS = tuple(field.name for field in fields(Regularisers))


@final
class Members:
    """The batched program. The runs' models and optimisers become views of its tensors: saving a run is as it always is.

    No operation mixes members. A member's losses are those of its own run alone up to the rounding of batched products: within
    1e-6 after 100 steps of Adam, and within a thousandth with Muon, which rounds to bfloat16 (a test holds both). Its weights are
    close, too, but for the biases of keys: their gradient is zero up to rounding, which Adam scales to full steps, and no answer
    depends on them.

    Args:
        runs: at the same step, with specifications that `mesascope.training.many.grouped` puts together.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        self.runs = tuple(runs)
        self.specs = tuple(spec for run in runs if isinstance(spec := run.spec, TrainingSpec))
        self._model, self._device = copy.deepcopy(runs[0].model), runs[0].device
        self._optimisers = stacked_optimisers(runs)
        self.parameters = {name: leaf for each in self._optimisers for name, leaf in each.stacked.leaves.items()}
        buffers = {
            name: torch.stack([run.model.get_buffer(name) for run in runs]) for name, _ in runs[0].model.named_buffers()
        }
        self._weights = {**self.parameters, **buffers}
        for name, tensor in self._weights.items():
            module, _, own = name.rpartition(".")
            setattr(self._model.get_submodule(module), own, tensor)
        asked = {name: [getattr(spec.regularisers, name) for spec in self.specs] for name in REGULARISERS}
        self._strengths = {name: self._each(each) for name, each in asked.items() if any(each)}
        self.losses: list[Float[Tensor, " member"]] = []

    def batches(self) -> Iterator[Mapping[str, Tensor]]:
        """The tensors of `Batch` by name, each with an axis of members before its own, for the steps that are left.

        Those of several steps are drawn at once.
        """
        spec, step = self.specs[0], self.runs[0].step
        ahead = max(1, AHEAD // spec.batch)
        for first in range(step, spec.steps, ahead):
            count = min(ahead, spec.steps - first)
            size = {"start": first * spec.batch, "stream": "train", "dtype": torch.float32}
            drawn = [each.task.sample(spec.batch * count, seed=each.seed, **size) for each in self.specs]
            parts = {
                name: torch.stack([getattr(d, name) for d in drawn]).to(self._device).split(spec.batch, 1)
                for name in ("xs", "ys", "queries", "targets")
            }
            for i in range(count):
                batch = {name: part[i] for name, part in parts.items()}
                if spec.model.dropout:
                    batch["kept"] = torch.stack([dropout(each, first + i, self._device) for each in self.specs])
                yield batch

    def update(self, batch: Mapping[str, Tensor]) -> None:
        """One step of every member's optimiser."""
        losses, objective = self._losses(batch)
        found = iter(torch.autograd.grad(objective.sum(), list(self.parameters.values())))
        with torch.no_grad():
            gradients = [
                torch.cat([next(found).flatten(1) for _ in each.stacked.leaves], 1) for each in self._optimisers
            ]
            self._clip(gradients)
            for each, gradient in zip(self._optimisers, gradients, strict=True):
                each.update(gradient)
        self.losses.append(losses.detach())
        for run in self.runs:
            run.step += 1

    def tell(self) -> None:
        """Give every run its losses since this was last called."""
        if self.losses:
            for run, column in zip(self.runs, torch.stack(self.losses, 1), strict=True):
                run.losses += column.unbind()
                run.optimisers.resume(run.step)
            for each in self._optimisers:
                each.tell()
            self.losses = []

    def _losses(self, batch: Mapping[str, Tensor]) -> tuple[Float[Tensor, " member"], Float[Tensor, " member"]]:
        """Every member's loss, and what its optimiser lowers: the loss, with what its regularisers add."""
        losses = mean_squared_error(self._model, Batch(**batch, weights=None), self.specs[0].supervision)
        if not self._strengths:
            return losses, losses
        added = penalty(self._weights, self.specs[0].model, **self._strengths)
        assert added is not None, "a strength that is a tensor is always computed with"
        return losses, losses + added

    def _clip(self, gradients: Sequence[Float[Tensor, "member number"]]) -> None:
        """Scale gradients so that their norm, over all parameters of a member, is at most the ``clip`` of its specification."""
        if all(spec.clip is None for spec in self.specs):
            return
        norms = torch.stack([gradient.norm(dim=1) for gradient in gradients]).norm(dim=0)
        bounds = self._each([torch.inf if spec.clip is None else spec.clip for spec in self.specs])
        factors = (bounds / (norms + 1e-6)).clamp(max=1.0)
        for gradient in gradients:
            gradient.mul_(factors[:, None])

    def _each(self, numbers: Sequence[float]) -> Float[Tensor, " member"]:
        return torch.tensor(numbers, dtype=torch.float32, device=self._device)
