"""Similarity of errors (SimE) and of induced weights (SimW).

Source: Fu et al. 2023, §3.4.
"""

import torch
from torch import Tensor

from mesascope.algorithms import Algorithm
from mesascope.instruments.asking.applicability import NotApplicable
from mesascope.instruments.metrics.panel import Comparison, Metric, Side, cosine
from mesascope.instruments.metrics.replies import Replies
from mesascope.instruments.statistics.scores import Quantity
from mesascope.types import Measurement, Subject, Task

SOURCE = "Fu et al. 2023"


def _errors(a: Replies, b: Replies, first: int) -> Tensor | None:
    return None if a.errors is None or b.errors is None else cosine(a.errors[:, first:], b.errors[:, first:])


def _weights(a: Replies, b: Replies) -> Tensor | None:
    if a.shorter is None or b.shorter is None:
        return None
    ours, theirs = (torch.cat([r.shorter, r.weights[:, None]], 1) for r in (a, b) if r.shorter is not None)
    return cosine(ours, theirs).mean(-1)


ERRORS = (
    Metric(quantity=Quantity(name="SimE"), sums=lambda a, b: _errors(a, b, 1)),
    Metric(quantity=Quantity(name="SimE, position 0 counted"), sums=lambda a, b: _errors(a, b, 0)),
)
WEIGHTS = (
    Metric(quantity=Quantity(name="SimW"), sums=lambda a, b: cosine(a.weights, b.weights)),
    Metric(quantity=Quantity(name="SimW over context lengths"), sums=_weights),
)


def similarity_of_errors(
    subject: Subject, reference: Algorithm | Subject, task: Task, *, seed: int = 0, n: int = 256
) -> tuple[Measurement, ...]:
    """SimE: the mean over prompts of the cosine between the two predictors' errors at x₂ … x_n and the query.

    Each input is answered from the examples before it. The paper counts positions from the second on; the authors' released
    code also counts the first, where every predictor answers 0 without any example, which adds the same error on both sides.
    Both are reported. With fewer examples than dimensions all errors are large and similar, even those of answering zero;
    the controls show how far this raises the cosine.

    A subject that is trained to answer at every position is run once (``answers_everywhere``); one that takes prompts of any
    length is run on each prefix. An algorithm runs on each prefix, from zero, with the same coefficients.

    Departs from source: the error at the query is measured against the noiseless target.

    Args:
        subject, reference, task, seed, n: see `mesascope.instruments.metrics.akyurek.prediction_differences`.

    Raises:
        ValueError: the reference diverges.
        NotApplicable: the subject or the reference does not answer at every position, or some of the subject's answers are
            not finite.
    """
    pair = Side.of(subject, task, seed=seed, n=n, queries=None).pair(reference)
    for replies in (pair.panel.subject, pair.reference):
        if replies.errors is None:
            raise NotApplicable(
                f"{replies.name} does not answer at every position: it answers only at the query, and takes only prompts "
                f"of {task.examples} examples."
            )
    return pair.compare(ERRORS, SOURCE)


def similarity_of_weights(
    subject: Subject,
    reference: Algorithm | Subject,
    task: Task,
    *,
    seed: int = 0,
    n: int = 256,
    queries: int | None = None,
) -> tuple[Measurement, ...]:
    """SimW: the mean over prompts of the cosine between the weights induced by the two predictors' answers.

    Departs from source: the authors average over all context lengths from 1 on. With one example, the weights of any learner
    are along x₁, so here SimW is taken at the full context; where both predictors take shorter contexts, also as the mean
    over five lengths, evenly spaced up to the full one. Zero weights have no direction and count as cosine 0.

    Args:
        subject, reference, task, seed, n, queries: see `mesascope.instruments.metrics.akyurek.prediction_differences`.

    Raises:
        ValueError: there are not more queries than dimensions, or the reference diverges.
        NotApplicable: some of the subject's answers are not finite.
    """
    return Side.of(subject, task, seed=seed, n=n, queries=queries).pair(reference).compare(WEIGHTS, SOURCE)


def compare(pair: Comparison) -> tuple[Measurement, ...]:
    """The metrics of this module for a pair that has answered; SimE only if both answer at every position."""
    return pair.compare((*ERRORS, *WEIGHTS), SOURCE)
