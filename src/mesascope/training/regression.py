"""Training on regression: the transformer, its squared error on new prompts, and the curriculum."""

from collections.abc import Iterator, Mapping
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.models.transformer import Transformer
from mesascope.training.batches import Batch, batches, mean_squared_error, zero_error
from mesascope.training.curriculum import Course
from mesascope.training.regularisers import penalty
from mesascope.training.size import EVALUATED
from mesascope.training.spec import TrainingSpec
from mesascope.types import Task

EVALUATION_PROMPTS = 8192


@final
class Regression:
    """The `Objective` of a `TrainingSpec`."""

    blocks = "blocks."

    def __init__(self, spec: TrainingSpec, device: str) -> None:
        self.spec, self.device = spec, device
        self.model = Transformer(spec.model, seed=spec.seed).to(device)
        self.course = Course(spec, device)

    def batches(self, start: int) -> Iterator[Batch]:
        return batches(self.spec, start, self.device)

    def loss(self, batch: Batch) -> Float[Tensor, ""]:
        batch = self.course.restrict(batch)
        loss = mean_squared_error(self.model, batch, self.spec.supervision)
        self.course.record(loss.detach(), zero_error(batch, self.spec.supervision))
        return loss

    def penalty(self) -> Float[Tensor, ""] | None:
        asked, weights = (
            self.spec.regularisers,
            {**dict(self.model.named_parameters()), **dict(self.model.named_buffers())},
        )
        return penalty(weights, self.spec.model, orthogonality=asked.orthogonality, diversity=asked.diversity)

    @torch.no_grad()
    def told(self) -> dict[str, Any]:
        """The active dimensions under a curriculum, and the penalty of the weights as they are, if there is one."""
        found: dict[str, Any] = {} if self.spec.curriculum is None else {"active_dims": self.course.active}
        if (added := self.penalty()) is not None:
            found["penalty"] = float(added)
        return found

    def state(self) -> dict[str, Any]:
        return self.course.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        if self.spec.curriculum is not None:
            self.course.restore(state)

    def evaluate(self) -> dict[str, Any]:
        error = evaluate(self.model, self.spec.task, seed=self.spec.seed, device=self.device)
        return {"query_mse": error, "evaluation_prompts": EVALUATION_PROMPTS}


@torch.no_grad()
def evaluate(model: Transformer, task: Task, *, seed: int, device: str = "cpu") -> float:
    """Mean squared error per query, over prompts that training never saw."""
    total = 0.0
    for start in range(0, EVALUATION_PROMPTS, EVALUATED):
        count = min(EVALUATED, EVALUATION_PROMPTS - start)
        p = task.sample(count, seed=seed, stream="evaluation", start=start, dtype=torch.float32).to(device)
        total += float((model(p.xs, p.ys, p.queries) - p.targets).square().mean(-1).sum())
    return total / EVALUATION_PROMPTS
