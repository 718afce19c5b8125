"""Run a subject on many prompts in batches and keep only the activations that will be read."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.instruments.asking.tokens import along, asked, layout
from mesascope.types import Intervention, Prompts, Site, Subject

BATCH = 512
WRITTEN = 32
"""The same for prompts that are text: each takes about a hundred tokens, in a wider model."""
Position = Literal["query", "labels", "label mean", "context mean"]
"""Where a residual stream is read: at the queries, at every label's last token, averaged over those tokens, or averaged over
all tokens of the context."""


def answers(
    subject: Subject, prompts: Prompts, interventions: Sequence[Intervention] = (), batch: int | None = None
) -> Float[Tensor, "batch query"]:
    """The subject's predictions, in float64 on the CPU."""
    # An intervention may hold what it puts in for every prompt of a batch, so its caller says how large one is.
    each = batch or (BATCH if interventions else _size(subject))
    parts = [subject.trace(p, interventions=interventions).predictions for p in _split(prompts, each)]
    return torch.cat(parts).double().cpu()


def at_queries(
    subject: Subject, prompts: Prompts, sites: Sequence[Site], batch: int | None = None
) -> tuple[Float[Tensor, "batch query"], dict[Site, Float[Tensor, "batch query width"]]]:
    """Predictions in float64, and activations at the queries' last tokens in the subject's precision, both on the CPU."""
    return at_positions(subject, prompts, sites, "query", batch)


def at_positions(
    subject: Subject, prompts: Prompts, sites: Sequence[Site], reading: Position, batch: int | None = None
) -> tuple[Float[Tensor, "batch query"], dict[Site, Float[Tensor, "batch position width"]]]:
    """As `at_queries`, read where ``reading`` says: a mean has one position, ``labels`` has one per example.

    A model whose context sees the query has one context per query; the first query's context is read.

    Raises:
        NotApplicable: ``reading`` is in the context, and the positions of its tokens are unknown (see `tokens.layout`).
    """
    read = _reader(subject, prompts, reading)
    predictions: list[Tensor] = []
    kept: dict[Site, list[Tensor]] = {site: [] for site in sites}
    for part in _split(prompts, batch or _size(subject)):
        trace = subject.trace(part, capture=tuple(sites))
        predictions.append(trace.predictions)
        for site in sites:
            kept[site].append(read(trace[site]).cpu())
    return torch.cat(predictions).double().cpu(), {site: torch.cat(parts) for site, parts in kept.items()}


def _reader(subject: Subject, prompts: Prompts, reading: Position) -> Callable[[Tensor], Tensor]:
    """The function that takes from a site's activation the part that is read."""
    if reading == "query":
        answered = along(asked(subject, prompts)[:, -1])
        return lambda activation: activation[:, answered]
    places = layout(subject, prompts)
    last, context = places.labels[0, :, -1].tolist(), along(places.context[0])
    return {
        "labels": lambda activation: activation[:, last],
        "label mean": lambda activation: activation[:, last].mean(1, keepdim=True),
        "context mean": lambda activation: activation[:, context].mean(1, keepdim=True),
    }[reading]


def _size(subject: Subject) -> int:
    return WRITTEN if subject.domain.written else BATCH


def _split(prompts: Prompts, batch: int) -> list[Prompts]:
    return [prompts[i : i + batch] for i in range(0, len(prompts), batch)]
