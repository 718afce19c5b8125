"""Alignment of a network with one that takes a gradient step, by predictions and by their gradients at the query.

Source: von Oswald et al. 2023, §3; the released code's ``analyse``.
"""

import torch

from mesascope.algorithms import Algorithm
from mesascope.instruments.metrics.panel import Comparison, Metric, Side, cosine
from mesascope.instruments.statistics.scores import Quantity
from mesascope.types import Measurement, Subject, Task

SOURCE = "von Oswald et al. 2023"

METRICS = (
    Metric(quantity=Quantity(name="sensitivity cosine"), sums=lambda a, b: cosine(a.sensitivity, b.sensitivity)),
    Metric(
        quantity=Quantity(name="sensitivity difference", unit="y/x"),
        sums=lambda a, b: torch.linalg.vector_norm(a.sensitivity - b.sensitivity, dim=-1),
    ),
    Metric(
        quantity=Quantity(name="prediction difference", unit="y"),
        sums=lambda a, b: (a.predictions - b.predictions).abs().mean(-1),
    ),
)


def alignment(
    subject: Subject,
    reference: Algorithm | Subject,
    task: Task,
    *,
    seed: int = 0,
    n: int = 256,
    queries: int | None = None,
) -> tuple[Measurement, ...]:
    """The three alignment metrics, each a mean over prompts.

    With ∇ the gradient of a prediction with respect to its query, they are the cosine between ∇A and ∇B, the norm
    ‖∇A − ∇B‖₂, and |A − B|. A zero gradient has no direction and counts as cosine 0.

    Departs from source: gradients are central differences (`mesascope.instruments.metrics.replies.Replies.of`), which work
    for every subject; the control of the reference against itself shows their error. Prediction differences are averaged
    over all queries of a prompt; gradients are taken at the first query.

    Args:
        subject, reference, task, seed, n, queries: see `mesascope.instruments.metrics.akyurek.prediction_differences`.

    Raises:
        ValueError: there are not more queries than dimensions, or the reference diverges.
        NotApplicable: some of the subject's answers are not finite.
    """
    return compare(Side.of(subject, task, seed=seed, n=n, queries=queries).pair(reference))


def compare(pair: Comparison) -> tuple[Measurement, ...]:
    """The metrics of this module for a subject and a reference that have answered."""
    return pair.compare(METRICS, SOURCE)
