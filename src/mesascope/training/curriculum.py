"""Where a run stands in its curriculum, and what that makes of a batch."""

from collections.abc import Mapping
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.training.batches import Batch
from mesascope.training.spec import TrainingSpec


@final
class Course:
    """How many dimensions are active, and what decides when the next one joins. Without a curriculum: all, for ever.

    Attributes:
        active: dimensions of the inputs that are not held at zero.
    """

    def __init__(self, spec: TrainingSpec, device: str) -> None:
        self.curriculum, self.dim, self.device = spec.curriculum, spec.task.dim, device
        self.active = self.dim if self.curriculum is None else self.curriculum.start
        self.taken = 0  # steps in this stage
        self.errors: list[Tensor] = []  # (of the model, of answering zero), a pair a step; read once a window

    @property
    def complete(self) -> bool:
        return self.active == self.dim

    def restrict(self, batch: Batch) -> Batch:
        """The batch as the course has it now."""
        return batch if self.complete else restrict(batch, self.active)

    def record(self, loss: Float[Tensor, ""], zero: Float[Tensor, ""]) -> None:
        """Take note of a step's loss and of what answering zero would have given; a dimension joins where the rule is met."""
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
        """As JSON: all that the next decision depends on."""
        return {"active": self.active, "taken": self.taken, "errors": [e.tolist() for e in self.errors]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a `state`."""
        self.active, self.taken = state["active"], state["taken"]
        self.errors = [torch.tensor(e, device=self.device) for e in state["errors"]]


def restrict(batch: Batch, active: int) -> Batch:
    """The same prompts in their first ``active`` dimensions: the other coordinates of all inputs are zero.

    Labels and targets are those of the weights that are left, times √(dim/active), so that isotropic prompts keep
    their variance. The labels' noise stays as it was drawn.
    """
    assert batch.weights is not None, "a spec with a curriculum has a linear task"
    dim = batch.weights.shape[-1]
    mask = (torch.arange(dim, device=batch.weights.device) < active).to(batch.weights.dtype)
    weights = (batch.weights * mask * (dim / active) ** 0.5)[..., None]
    noise = batch.ys - (batch.xs @ batch.weights[..., None]).squeeze(-1)
    return Batch(
        xs=batch.xs * mask,
        ys=(batch.xs @ weights).squeeze(-1) + noise,
        queries=batch.queries * mask,
        targets=(batch.queries @ weights).squeeze(-1),
        weights=weights.squeeze(-1),
    )
