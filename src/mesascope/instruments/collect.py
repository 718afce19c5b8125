"""Run a subject over many prompts in batches and keep only what will be read."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.types import Intervention, Prompts, Site, Subject

BATCH = 512
Reading = Literal["query", "labels", "label mean", "context mean"]
"""Where a residual stream is read: at the queries; at every example's last token, which has seen its label; or pooled
over those, or over all of the context."""


def answers(
    subject: Subject, prompts: Prompts, interventions: Sequence[Intervention] = (), batch: int = BATCH
) -> Float[Tensor, "batch query"]:
    """The subject's predictions, in float64 on the CPU."""
    parts = [subject.trace(p, interventions=interventions).predictions for p in _split(prompts, batch)]
    return torch.cat(parts).double().cpu()


def at_queries(
    subject: Subject, prompts: Prompts, sites: Sequence[Site], batch: int = BATCH
) -> tuple[Float[Tensor, "batch query"], dict[Site, Float[Tensor, "batch query width"]]]:
    """Predictions, and residual-stream activations at the query positions, in the subject's precision on the CPU."""
    return at_positions(subject, prompts, sites, "query", batch)


def at_positions(
    subject: Subject, prompts: Prompts, sites: Sequence[Site], reading: Reading, batch: int = BATCH
) -> tuple[Float[Tensor, "batch query"], dict[Site, Float[Tensor, "batch position width"]]]:
    """As `at_queries`, read where ``reading`` says; a mean has one position, the labels one an example.

    To read a context, ask one query a prompt: a model whose context sees the query has a context for each.
    """
    predictions: list[Tensor] = []
    kept: dict[Site, list[Tensor]] = {site: [] for site in sites}
    for part in _split(prompts, batch):
        trace = subject.trace(part, capture=tuple(sites))
        predictions.append(trace.predictions)
        for site in sites:
            kept[site].append(_read(trace[site], part, reading).cpu())
    return torch.cat(predictions).double().cpu(), {site: torch.cat(parts) for site, parts in kept.items()}


def label_positions(prompts: Prompts, positions: int) -> range:
    """The place of every example's last token among so many positions, queries last. One context for all queries."""
    context = positions - prompts.queries.shape[1]
    tokens = context // prompts.examples
    return range(tokens - 1, context, tokens)


def _read(
    activation: Float[Tensor, "batch position width"], prompts: Prompts, reading: Reading
) -> Float[Tensor, "batch _ width"]:
    if reading == "query":
        return activation[:, -prompts.queries.shape[1] :]
    labels = label_positions(prompts, activation.shape[1])
    if reading == "context mean":
        return activation[:, : labels[-1] + 1].mean(1, keepdim=True)
    chosen = activation[:, list(labels)]
    return chosen if reading == "labels" else chosen.mean(1, keepdim=True)


def _split(prompts: Prompts, batch: int) -> list[Prompts]:
    return [prompts[i : i + batch] for i in range(0, len(prompts), batch)]
