"""Squared prediction difference (SPD) and implicit linear weight difference (ILWD).

Source: Akyürek et al. 2023, §4.1.
"""

import torch
from torch import Tensor

from mesascope.algorithms import Algorithm, LeastSquares
from mesascope.instruments.metrics.panel import NAME, Comparison, Metric, Side
from mesascope.instruments.metrics.question import Queries
from mesascope.instruments.metrics.reference import ReferenceSubject
from mesascope.instruments.metrics.replies import Replies
from mesascope.instruments.statistics.scores import Quantity, measure, partners
from mesascope.types import Measurement, Subject, Task

SOURCE = "Akyürek et al. 2023"
LINEAR = "least squares"
MISPAIRED = "answers to other queries"


def _linearity(means: Tensor) -> Tensor:
    return 1 - means[:, 0] / means[:, 1].clamp(min=torch.finfo(means.dtype).tiny)


SPD = Quantity(name="SPD", unit="y²")
ILWD = Quantity(name="ILWD", unit="(y/x)²")
LINEARITY = Quantity(name="linearity R²", combine=_linearity)

METRICS = (
    Metric(quantity=SPD, sums=lambda a, b: (a.predictions - b.predictions).square().mean(-1)),
    Metric(quantity=ILWD, sums=lambda a, b: (a.weights - b.weights).square().sum(-1)),
)


def prediction_differences(
    subject: Subject,
    reference: Algorithm | Subject,
    task: Task,
    *,
    seed: int = 0,
    n: int = 256,
    queries: int | None = None,
) -> tuple[Measurement, ...]:
    """SPD, ILWD, and the linearity of both predictors.

    SPD is the mean over prompts and fresh queries x′ of (A(x′) − B(x′))². ILWD is the mean over prompts of ‖ŵ_A − ŵ_B‖²,
    where ŵ is the least-squares fit of a predictor's answers on the fresh queries. ILWD is meaningful only where the R² of
    the fits is near 1.

    Departs from source: queries come from the task's own distribution, not always N(0, I). R² is adjusted for the fit's
    degrees of freedom. Since the fit has no intercept, R² compares with answering zero: answers that are independent of the
    queries score 0 on average, not dim/queries. A predictor that always answers zero counts as linear.

    Args:
        subject: what to examine.
        reference: an algorithm (compared after one step; pass a `ReferenceSubject` for more) or another subject.
        task: where the prompts come from.
        seed: of the prompts, the untrained weights and the resampling.
        n: number of prompts.
        queries: fresh queries per prompt; by default four times the dimension.

    Raises:
        ValueError: there are not more queries than dimensions, or the reference diverges.
        NotApplicable: some of the subject's answers are not finite.
    """
    return compare(Side.of(subject, task, seed=seed, n=n, queries=queries).pair(reference))


def compare(pair: Comparison) -> tuple[Measurement, ...]:
    """The metrics of this module for a subject and a reference that have answered."""
    return (*pair.compare(METRICS, SOURCE), *(linearity(pair.panel, r) for r in (pair.panel.subject, pair.reference)))


def linearity(panel: Side, replies: Replies) -> Measurement:
    """R² of the linear fit of a predictor's answers on the queries, pooled over all prompts.

    Controls. Positive: least squares in single precision, which is linear. Negative: the predictor's answers to another
    prompt's queries, fitted on this prompt's queries.
    """
    question = panel.question
    known = ReferenceSubject(algorithm=LeastSquares(), dtype=torch.float32).trace(question.prompts).predictions.double()
    return measure(
        NAME,
        LINEARITY,
        _fit(question, replies.predictions),
        panel.draws,
        coordinates={"predictor": replies.name, "source": SOURCE},
        positive={LINEAR: _fit(question, known)},
        negative={MISPAIRED: _fit(question, replies.predictions[partners(question.prompts)])},
    )


def _fit(question: Queries, predictions: Tensor) -> Tensor:
    """Each prompt's sum of squared residuals, and of squared answers, each over its degrees of freedom."""
    queries = question.prompts.queries.double()
    residual = predictions - (queries @ question.induced(predictions)[..., None])[..., 0]
    free = queries.shape[1] - queries.shape[2]
    return torch.stack([residual.square().sum(-1) / free, predictions.square().mean(-1)], -1)
