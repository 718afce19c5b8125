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
    """SimE: mean over prompts of the cosine between both predictors' errors at x₂ … x_n and the query, each answered from
    the examples before it.

    The authors' paper counts from one example on; their released code counts the first position too, where everybody
    predicts 0 from nothing and the same error is added on both sides. Both are reported. What else inflates the cosine is in
    the controls: with fewer examples than dimensions all errors are large and much alike, also that of who answers zero.

    A subject that is trained to answer everywhere is asked once (``answers_everywhere``); one that takes prompts of any
    length is shown each prefix. An algorithm runs on each prefix, from zero, with the same coefficients.

    Departs from source: the error at the query is taken from the noiseless target.

    Args:
        subject, reference, task, seed, n: see `mesascope.instruments.metrics.akyurek.prediction_differences`.

    Raises:
        ValueError: a reference that diverges.
        NotApplicable: the subject or the reference does not answer everywhere, or the subject with infinite numbers.
    """
    pair = Side.of(subject, task, seed=seed, n=n, queries=None).pair(reference)
    for replies in (pair.panel.subject, pair.reference):
        if replies.errors is None:
            raise NotApplicable(
                f"{replies.name} does not answer at every position: it is trained at the query alone and takes prompts "
                f"of {task.examples} examples only."
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
    """SimW: mean over prompts of the cosine between the weights that both predictors' answers induce.

    Departs from source: the authors average over all context lengths from 1 on. With one example everybody answers along
    x₁, so here SimW is taken from the full context, and beside it, where both take shorter ones, the mean over five lengths,
    evenly spaced up to the full one. Zero weights have no direction and count as cosine 0.

    Args:
        subject, reference, task, seed, n, queries: see `mesascope.instruments.metrics.akyurek.prediction_differences`.

    Raises:
        ValueError: not more queries than dimensions, or a reference that diverges.
        NotApplicable: the subject does not answer with finite numbers.
    """
    return Side.of(subject, task, seed=seed, n=n, queries=queries).pair(reference).compare(WEIGHTS, SOURCE)


def compare(pair: Comparison) -> tuple[Measurement, ...]:
    """The metrics of a pair that has been asked; without SimE where one of them does not answer everywhere."""
    return pair.compare((*ERRORS, *WEIGHTS), SOURCE)
