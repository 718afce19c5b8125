"""Stress: the subject's error on other distributions within its domain, compared with ridge regression.

Source: the two-to-eight-layer study, its table of covariances (model MSE, ridge MSE, their ratio).
Departs from source: the study gives neither ridge's λ nor the scale of its covariances. λ = 0.01 (XᵀX + λI, noiseless
labels) and determinant 1 come near its errors; covariances with mean eigenvalue 1 are measured too.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms import LeastSquares, Ridge, run
from mesascope.instruments.asking.applicability import latent_weights, prescribable, untrained
from mesascope.instruments.asking.collect import answers
from mesascope.instruments.instrument import Instrument, sizes
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.scores import (
    Quantity,
    correlation,
    measure,
    moments,
    normalised_error,
    partners,
    ratio,
    squared_error,
)
from mesascope.tasks import (
    CentredExponential,
    Diagonal,
    Eigenvalues,
    Gaussian,
    Inputs,
    Laplace,
    Rademacher,
    Toeplitz,
    Uniform,
)
from mesascope.types import Figure, Measurement, PrescribableTask, Prompts, Scalar, Subject, Task, adjusted

NAME = "stress"
RIDGE = 0.01
"""Ridge's λ where labels have no noise, in units of the inputs' mean eigenvalue; with noise, λ is the Bayes-optimal one."""

REFERENCE = 128  # number of prompts on which the untrained network is run


MSE = Quantity(name="MSE", unit="y²")
NORMALISED = Quantity(name="normalised error")
EXCESS = Quantity(name="excess of normalised error over ridge's")
RATIO = Quantity(name="MSE over ridge's", combine=ratio)
RANK = Quantity(name="rank correlation with ridge", combine=correlation)


@dataclass(frozen=True, slots=True, kw_only=True)
class StressTest:
    """One row of the table.

    Attributes:
        name: what it is called in reports.
        task: where its prompts come from.
        label_scale: the factor of labels and targets.
        unit: the mean eigenvalue of the inputs in training, the unit of ridge's λ.
        size: inputs, and labels with them, are multiplied by √size. It is ``unit`` where the row's inputs replace those of
            training, so that they have the size of those in training.
        seen: whether each query is one of the context's inputs.
    """

    name: str
    task: PrescribableTask
    label_scale: float = 1.0
    unit: float = 1.0
    size: float = 1.0
    seen: bool = False

    def sample(self, n: int, *, seed: int, stream: str) -> Prompts:
        """Prompts of this distribution.

        Raises:
            NotApplicable: queries come from the context (``seen``), and the task has no latent weights.
        """
        factor = self.size**0.5
        p = adjusted(self.task, noise=self.task.noise / factor).sample(n, seed=seed, stream=stream)
        if factor != 1.0:
            p = dataclasses.replace(
                p,
                xs=p.xs * factor,
                ys=p.ys * factor,
                queries=p.queries * factor,
                targets=p.targets * factor,
                target_variance=p.target_variance * self.size,
            )
        if self.seen:
            w = latent_weights(p)
            queries = p.xs[:, torch.arange(p.queries.shape[1]) % p.examples]
            # Queries are now distributed as the context's inputs, so their second moment replaces the covariance.
            variance = (p.xs @ w[..., None]).square().mean((-1, -2))
            targets = (queries @ w[..., None])[..., 0]
            p = dataclasses.replace(p, queries=queries, targets=targets, target_variance=variance)
        if self.label_scale == 1.0:
            return p
        return dataclasses.replace(
            p,
            ys=p.ys * self.label_scale,
            targets=p.targets * self.label_scale,
            target_variance=p.target_variance * self.label_scale**2,
            weights=None if p.weights is None else p.weights * self.label_scale,
        )

    @property
    def ridge(self) -> float:
        """λ of the ridge regression that the subject is compared with."""
        if self.task.noise:
            return self.task.noise**2 / self.task.weight_variance
        return RIDGE * self.unit


def distributions(task: PrescribableTask) -> tuple[StressTest, ...]:
    """The table: variations of the training task with the same dimension and number of examples.

    Each row changes one thing about the training task's inputs, labels or queries. Changed inputs are Gaussian unless the
    row says otherwise, and scaled so that an eigenvalue of 1 becomes training's mean eigenvalue. Eigenvalues of ``Diagonal``
    are log-spaced. Label noise is a share of the labels' root mean square.
    """
    unit = task.inputs.covariance.mean_eigenvalue(task.dim)
    label = (unit * task.dim * task.weight_variance) ** 0.5

    def inputs(name: str, distribution: Inputs) -> StressTest:
        return StressTest(name=name, task=adjusted(task, inputs=distribution, query_inputs=None), unit=unit, size=unit)

    def scaled(factor: float) -> Gaussian:
        return Gaussian(covariance=Eigenvalues(values=(factor**2,) * task.dim))

    identity = inputs("identity", Gaussian())
    conditioned = [
        inputs("diagonal κ=100, determinant 1", Gaussian(covariance=Diagonal(condition=100.0, scale="determinant"))),
        inputs("diagonal κ=100, mean 1", Gaussian(covariance=Diagonal(condition=100.0))),
        inputs("diagonal κ=10,000, determinant 1", Gaussian(covariance=Diagonal(condition=1e4, scale="determinant"))),
        inputs("diagonal κ=10,000, mean 1", Gaussian(covariance=Diagonal(condition=1e4))),
        inputs("correlated (Toeplitz 0.75)", Gaussian(covariance=Toeplitz())),
    ]
    return (
        StressTest(name="training", task=task, unit=unit),
        *([identity] if identity.task != task else []),
        *(conditioned if task.dim > 1 else []),  # one dimension has one eigenvalue
        inputs("uniform", Uniform()),
        inputs("Laplace", Laplace()),
        inputs("Rademacher", Rademacher()),
        inputs("skewed (exponential)", CentredExponential()),
        inputs("x halved", scaled(0.5)),
        inputs("x doubled", scaled(2.0)),
        StressTest(name="labels halved", task=task, unit=unit, label_scale=0.5),
        StressTest(name="labels doubled", task=task, unit=unit, label_scale=2.0),
        StressTest(name="label noise 0.5", task=adjusted(task, noise=0.5 * label), unit=unit),
        StressTest(name="queries from the context", task=task, unit=unit, seen=True),
    )


def stress(
    subject: Subject,
    task: Task,
    *,
    seed: int = 0,
    n: int = 256,
    queries: int = 8,
    table: Sequence[StressTest] | None = None,
) -> tuple[Measurement, ...]:
    """The subject's error on each distribution, compared with ridge's.

    Five quantities: the mean squared error; the normalised error (over the variance of each prompt's target); its excess
    over ridge's; the ratio of the mean squared errors; and Spearman's correlation between the subject's and ridge's answers,
    ranked over all queries of all prompts together, so that it also depends on how answers differ in size between prompts.
    Intervals resample prompts and keep the ranks.

    Controls. Positive: ridge itself (ratio and correlation 1) and least squares, both scored like the subject.
    Negative: the untrained network, and ridge's answers to another prompt.

    Args:
        subject: what to examine.
        task: its training task.
        seed: of the prompts, the untrained weights and the resampling.
        n: number of prompts per distribution.
        queries: queries per prompt; errors at single queries are too heavy-tailed for ratios.
        table: the distributions; by default `distributions` of the task.

    Raises:
        NotApplicable: no table is given, and the task's inputs cannot be replaced.
    """
    if table is None:
        table = distributions(adjusted(prescribable(task, "the table of other distributions needs"), queries=queries))
    fresh = untrained(subject, seed)
    found: list[Measurement] = []
    for row in table:
        prompts = row.sample(n, seed=seed, stream=NAME)
        draws = bootstrap.weights(n, seed=seed, strata=prompts.strata)
        ridge = run(Ridge(ridge=row.ridge), prompts).predictions[1]
        blank = None if fresh is None else answers(fresh, prompts[:REFERENCE])
        rivals = {"ridge": ridge, "least squares": run(LeastSquares(), prompts).predictions[1]}
        strangers = {"ridge's answers to another prompt": ridge[partners(prompts)]}
        if blank is not None:
            strangers["untrained network"] = blank
        own = answers(subject, prompts)
        for quantity in (MSE, NORMALISED, EXCESS, RATIO, RANK):
            found.append(
                measure(
                    NAME,
                    quantity,
                    _sums(quantity, own, ridge, prompts),
                    draws,
                    coordinates={"distribution": row.name, "ridge λ": row.ridge},
                    positive={name: _sums(quantity, rival, ridge, prompts) for name, rival in rivals.items()},
                    negative={name: _sums(quantity, other, ridge, prompts) for name, other in strangers.items()},
                )
            )
    return tuple(found)


def figure(measurements: Sequence[Measurement]) -> Figure:
    """The stress table."""
    rows: dict[Scalar, dict[str, Scalar]] = {}
    for m in measurements:
        if m.instrument != NAME:
            continue
        row = rows.setdefault(m.coordinates["distribution"], dict(m.coordinates))
        row[m.quantity] = m.value
        if m.quantity == MSE.name:
            row["ridge's MSE"] = next(c.value for c in m.controls if c.name == "ridge")
    return Figure(
        name="stress",
        section="Stress",
        title="Errors on other distributions",
        caption="Errors of the model and of ridge regression with the λ in the table. Normalised errors and their excess are "
        "shares of the target's variance.",
        kind="table",
        rows=tuple(rows.values()),
    )


def ranks(values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Ranks among all values; equal values get the mean of their ranks."""
    _, inverse, counts = values.double().flatten().unique(return_inverse=True, return_counts=True)
    mean = counts.cumsum(0) - (counts - 1) / 2
    return mean.double()[inverse].view(values.shape)


def _sums(quantity: Quantity, predictions: Tensor, ridge: Tensor, prompts: Prompts) -> Tensor:
    """Each prompt's contributions to a quantity, for the first ``len(predictions)`` prompts."""
    prompts, ridge = prompts[: len(predictions)], ridge[: len(predictions)]
    if quantity is MSE:
        return squared_error(predictions, prompts)
    if quantity is NORMALISED:
        return normalised_error(predictions, prompts)
    if quantity is EXCESS:
        return normalised_error(predictions, prompts) - normalised_error(ridge, prompts)
    if quantity is RATIO:
        return torch.stack([squared_error(predictions, prompts), squared_error(ridge, prompts)], -1)
    return moments(ranks(predictions), ranks(ridge))


INSTRUMENT = Instrument(
    name=NAME,
    question="Does it still solve the problem with other inputs, scales and noise than in training?",
    measure=stress,
    quantities=(
        "MSE",
        "MSE over ridge's",
        "excess of normalised error over ridge's",
        "normalised error",
        "rank correlation with ridge",
    ),
    coordinates=(
        "distribution",
        "ridge λ",
    ),
    sizes=sizes(n=(32, 256, 2048)),
    figure=figure,
)
