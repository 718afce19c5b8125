"""Metrics from the literature, each by its authors' definition: how alike a subject and a reference algorithm are.

They are shown because readers know them, not because they decide. Each compares two predictors and knows no "none of
these": a value means something beside its controls only. The verdict rests on `mesascope.instruments.identification`.
"""

from collections.abc import Sequence

from mesascope.algorithms import BayesOptimal, ConjugateGradient, LeastSquares, Ridge
from mesascope.instruments.behaving.stress import RIDGE
from mesascope.instruments.instrument import Instrument, sizes
from mesascope.instruments.metrics import akyurek, fu, von_oswald
from mesascope.instruments.metrics.akyurek import prediction_differences
from mesascope.instruments.metrics.fu import similarity_of_errors, similarity_of_weights
from mesascope.instruments.metrics.interpolating import interpolation
from mesascope.instruments.metrics.linear_attention import LinearAttention
from mesascope.instruments.metrics.matching import best_matching_steps, heat_map
from mesascope.instruments.metrics.oracle_step import one_step, oracle
from mesascope.instruments.metrics.panel import AGAIN, NAME, OTHERS, Side
from mesascope.instruments.metrics.reference import ReferenceSubject
from mesascope.instruments.metrics.von_oswald import alignment
from mesascope.types import (
    Figure,
    LinearTask,
    Measurement,
    Scalar,
    Subject,
    Task,
    adjusted,
    bounds,
    is_prescribable,
)

TUNING = 1024  # prompts that the gradient step is tuned on
STEPS = (1, 2, 3)
"""Steps of conjugate gradient, as far as the dimension goes."""


def references(task: Task, *, seed: int = 0) -> tuple[ReferenceSubject, ...]:
    """Least squares, ridge (the Bayes-optimal one, or λ = 0.01 mean eigenvalues without label noise), the best single gradient
    step (tuned on other prompts of the task), and conjugate gradient after a few steps.

    Ridge is left out where the task knows neither noise and prior of its weights nor the size of its inputs.
    """
    ridge: list[ReferenceSubject] = []
    if isinstance(task, LinearTask) and task.noise:
        optimal = BayesOptimal(prior_variance=task.weight_variance, noise=task.noise)
        ridge.append(ReferenceSubject(algorithm=optimal, label="ridge, Bayes-optimal"))
    elif is_prescribable(task):
        size = task.inputs.covariance.mean_eigenvalue(task.dim)
        ridge.append(ReferenceSubject(algorithm=Ridge(ridge=RIDGE * size), label=f"ridge, λ={RIDGE:g}"))
    several = adjusted(task, queries=8).sample(TUNING, seed=seed, stream=f"{NAME}/tuning")
    return (
        ReferenceSubject(algorithm=LeastSquares()),
        *ridge,
        ReferenceSubject(algorithm=one_step(several), label="one tuned gradient step"),
        *(ReferenceSubject(algorithm=ConjugateGradient(), steps=k) for k in STEPS if k <= task.dim),
    )


def literature(
    subject: Subject, task: Task, *, seed: int = 0, n: int = 128, queries: int | None = None
) -> tuple[Measurement, ...]:
    """What the subject answers after its last layer against each of `references`, by every metric that applies.

    SPD, ILWD with both fits' R², SimE (where the subject answers everywhere), SimW, and the three alignment metrics; see
    `prediction_differences`, `similarity_of_errors`, `similarity_of_weights` and `alignment` for definitions and controls.

    Args:
        subject: what to examine.
        task: its training task.
        seed: of the prompts, the untrained weights and the resampling.
        n: prompts.
        queries: fresh queries a prompt; four times the dimension by default.

    Raises:
        ValueError: not more queries than dimensions.
        NotApplicable: the subject does not answer with finite numbers.
    """
    panel = Side.of(subject, task, seed=seed, n=n, queries=queries)
    found: dict[tuple[Scalar, ...], Measurement] = {}
    for reference in references(task, seed=seed):
        pair = panel.pair(reference)
        for m in (*akyurek.compare(pair), *fu.compare(pair), *von_oswald.compare(pair)):
            found.setdefault(
                (m.quantity, *m.coordinates.values()), m
            )  # the subject's own R² comes with every reference
    return tuple(sorted(found.values(), key=lambda m: ORDER.index(m.quantity)))


ORDER = tuple(
    quantity.name
    for quantity in (
        *(metric.quantity for metric in akyurek.METRICS),
        akyurek.LINEARITY,
        *(metric.quantity for metric in (*fu.ERRORS, *fu.WEIGHTS, *von_oswald.METRICS)),
    )
)
"""The metrics, as they are listed."""

COLUMNS = {
    AGAIN: "positive control",
    akyurek.LINEAR: "positive control",
    OTHERS: "another prompt",
    akyurek.MISPAIRED: "another prompt",
}
"""What stands above a control in the table."""


def figure(measurements: Sequence[Measurement]) -> Figure:
    """A small table for each metric, controls beside every number."""
    shown = [m for m in measurements if m.instrument == NAME and m.quantity in ORDER]
    rows: list[dict[str, Scalar]] = []
    for m in shown:
        unit = "" if m.unit == "1" else f" ({m.unit})"
        rows.append(
            {
                "metric": f"{m.quantity}{unit}, {m.coordinates['source']}",
                "against": m.coordinates.get("reference", m.coordinates.get("predictor")),
                "value": m.value,
                **bounds(m.interval),
                **{COLUMNS.get(c.name, c.name): c.value for c in m.controls},
            }
        )
    silent = not any(m.quantity.startswith("SimE") for m in shown)
    return Figure(
        name="metrics",
        section="Metrics from the literature",
        title="How alike the subject and reference algorithms are, by published metrics",
        caption="By their authors' definitions, on the training distribution. None of them can say “none of these”: read "
        "each beside its controls. Positive: the reference against itself, in single precision (for R²: least squares). "
        "Negative: the reference on another prompt (for R²: answers to another prompt's queries); who answers zero; the "
        "untrained network. ILWD means something as far as the linearity R² is near 1."
        + (" SimE is missing: the subject does not answer at every position." if silent and shown else ""),
        kind="table",
        rows=tuple(rows),
        y="value",
        facet="metric",
        low="low",
        high="high",
    )


INSTRUMENT = Instrument(
    name=NAME,
    question="What do the metrics of the literature say of it, and what do they say of subjects that are known?",
    measure=literature,
    quantities=(
        "ILWD",
        "SPD",
        "SimE",
        "SimE, position 0 counted",
        "SimW",
        "SimW over context lengths",
        "linearity R²",
        "prediction difference",
        "sensitivity cosine",
        "sensitivity difference",
    ),
    coordinates=(
        "predictor",
        "reference",
        "source",
    ),
    sizes=sizes(n=(24, 128, 512)),
    figure=figure,
)

__all__ = (
    "INSTRUMENT",
    "LinearAttention",
    "ReferenceSubject",
    "alignment",
    "best_matching_steps",
    "figure",
    "heat_map",
    "interpolation",
    "literature",
    "one_step",
    "oracle",
    "prediction_differences",
    "references",
    "similarity_of_errors",
    "similarity_of_weights",
)
