"""A run's progress in its curriculum, and its effect on a batch."""

from collections.abc import Mapping
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.training.batches import Batch
from mesascope.training.spec import TrainingSpec


@final
class Course:
    """The number of active dimensions, and the rule that activates the next one. Without a curriculum, all are always active.

    Attributes:
        active: number of dimensions of the inputs that are not set to zero.
    """

    def __init__(self, spec: TrainingSpec, device: str) -> None:
        self.curriculum, self.dim, self.device = spec.curriculum, spec.task.dim, device
        self.active = self.dim if self.curriculum is None else self.curriculum.start
        self.taken = 0  # steps in this stage
        self.errors: list[Tensor] = []  # (of the model, of answering zero), one pair per step; read once per window

    @property
    def complete(self) -> bool:
        return self.active == self.dim

    def restrict(self, batch: Batch) -> Batch:
        """The batch with only the active dimensions."""
        return batch if self.complete else restrict(batch, self.active)

    def record(self, loss: Float[Tensor, ""], zero: Float[Tensor, ""]) -> None:
        """Record a step's loss and the loss of answering zero; activate the next dimension if the rule is met."""
        if self.curriculum is None or self.complete:
            return
        self.taken += 1
        self.errors.append(torch.stack([loss, zero]))
        if len(self.errors) < self.curriculum.window:
            return
        model, nothing = torch.stack(self.errors).mean(0).tolist()
        self.errors = []
        if model < self.curriculum.below * nothing or self.taken >= self.curriculum.patience:
            self.active, self.taken = self.active + 1, 0

    def state(self) -> dict[str, Any]:
        """Everything that the next decision depends on, as JSON."""
        return {"active": self.active, "taken": self.taken, "errors": [e.tolist() for e in self.errors]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state`."""
        self.active, self.taken = state["active"], state["taken"]
        self.errors = [torch.tensor(e, device=self.device) for e in state["errors"]]


def restrict(batch: Batch, active: int) -> Batch:
    """The same prompts in their first ``active`` dimensions: the other coordinates of all inputs are zero.

    Labels and targets are computed from the remaining weights, times √(dim/active), so that isotropic prompts keep
    their variance. The labels' noise stays as it was drawn.
    """
    assert batch.weights is not None, "a spec with a curriculum has a linear task"
    dim = batch.weights.shape[-1]
    mask = (torch.arange(dim, device=batch.weights.device) < active).to(batch.weights.dtype)
    weights = (batch.weights * mask * (dim / active) ** 0.5)[..., None]
    noise = batch.ys - (batch.xs @ batch.weights[..., None]).squeeze(-1)
    return batch._replace(
        xs=batch.xs * mask,
        ys=(batch.xs @ weights).squeeze(-1) + noise,
        queries=batch.queries * mask,
        targets=(batch.queries @ weights).squeeze(-1),
        weights=weights.squeeze(-1),
    )
