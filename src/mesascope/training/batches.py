"""The batches of training steps, and the squared errors on them."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mesascope.models.architecture import positions
from mesascope.seeds import generator
from mesascope.training.spec import Supervision, TrainingSpec
from mesascope.types import Prompts

AHEAD = 2048
"""Prompts drawn at once, if a batch has fewer."""


class Batch(NamedTuple):
    """One step's prompts, of one run or of many (``member``), with only the tensors that a step reads.

    The checks of `Prompts` would make a GPU wait every step.
    """

    xs: Float[Tensor, "*member batch example dim"]
    ys: Float[Tensor, "*member batch example"]
    queries: Float[Tensor, "*member batch query dim"]
    targets: Float[Tensor, "*member batch query"]
    weights: Float[Tensor, "batch dim"] | None
    kept: Bool[Tensor, "*member layer batch 2 position width"] | None = None
    """With dropout, which numbers it keeps (see `mesascope.models.Transformer`)."""


def batches(spec: TrainingSpec, start: int, device: str) -> Iterator[Batch]:
    """The batches of steps ``start``, ``start + 1``, …; several are drawn at once, because each draw has a fixed cost."""
    ahead = max(1, AHEAD // spec.batch)
    for first in range(start, spec.steps, ahead):
        count = min(ahead, spec.steps - first)
        drawn = spec.task.sample(
            spec.batch * count, seed=spec.seed, stream="train", start=first * spec.batch, dtype=torch.float32
        ).to(device)
        parts = (drawn.xs, drawn.ys, drawn.queries, drawn.targets, drawn.weights)
        split = map(Batch, *([None] * count if part is None else part.split(spec.batch) for part in parts))
        for step, batch in enumerate(split, first):
            yield batch._replace(kept=dropout(spec, step, device)) if spec.model.dropout else batch


def dropout(spec: TrainingSpec, step: int, device: str) -> Bool[Tensor, "layer batch 2 position width"]:
    """Which numbers dropout keeps at a step."""
    model, task = spec.model, spec.task
    size = (model.layers, spec.batch, 2, positions(model, task.examples, task.queries), model.width)
    return (torch.rand(size, generator=generator(spec.seed, "dropout", step)) >= model.dropout).to(device)


def mean_squared_error(
    model: Callable[..., Tensor], prompts: Prompts | Batch, supervision: Supervision
) -> Float[Tensor, "*member"]:
    """The training loss, a mean over prompts and queries, or (supervision ``everywhere``) over all answered inputs.

    With ``everywhere``, answers at the context's inputs are compared with their noisy labels, and answers at queries with
    noiseless targets.
    """
    kept = prompts.kept if isinstance(prompts, Batch) else None
    answers = model(prompts.xs, prompts.ys, prompts.queries, everywhere=supervision == "everywhere", kept=kept)
    return (answers - _wanted(prompts, supervision)).square().mean((-2, -1))


def zero_error(prompts: Prompts | Batch, supervision: Supervision) -> Float[Tensor, ""]:
    """The training loss of a model that answers zero; every untrained model is close to it."""
    return _wanted(prompts, supervision).square().mean()


def _wanted(prompts: Prompts | Batch, supervision: Supervision) -> Float[Tensor, "*member batch answer"]:
    return prompts.targets if supervision == "query" else torch.cat([prompts.ys, prompts.targets], -1)
