"""Metrics from the literature, each by its authors' definition: how similar a subject and a reference algorithm are.

They are shown because readers know them; the verdict rests on `mesascope.instruments.identification`. Each metric compares
two predictors and cannot say "none of these", so its value must be read beside its controls.
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

TUNING = 1024  # number of prompts on which the gradient step is tuned
STEPS = (1, 2, 3)
"""The numbers of steps of conjugate gradient; those above the dimension are left out."""


def references(task: Task, *, seed: int = 0) -> tuple[ReferenceSubject, ...]:
    """The reference predictors: least squares, ridge, the best single gradient step, and conjugate gradient after a few steps.

    Ridge is Bayes-optimal if labels have noise; otherwise λ is 0.01 times the inputs' mean eigenvalue. It is left out for
    tasks that state neither noise and prior of the weights nor their inputs. The gradient step is tuned on other prompts.

    Args:
        task: where the prompts come from.
        seed: of the prompts to tune on.

    Raises:
        NotApplicable: no gradient step above 0 helps on this task (`one_step`).
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
    """The subject's final answers compared with each of `references`, by every metric that applies.

    The metrics are SPD, ILWD with the R² of both fits, SimE (if the subject answers at every position), SimW, and the three
    alignment metrics; for definitions and controls see `prediction_differences`, `similarity_of_errors`,
    `similarity_of_weights` and `alignment`.

    Args:
        subject: what to examine.
        task: its training task.
        seed: of the prompts, the untrained weights and the resampling.
        n: number of prompts.
        queries: fresh queries per prompt; by default four times the dimension.

    Raises:
        ValueError: there are not more queries than dimensions.
        NotApplicable: some of the subject's answers are not finite.
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
"""The names of the metrics, in the order in which they are listed."""

COLUMNS = {
    AGAIN: "positive control",
    akyurek.LINEAR: "positive control",
    OTHERS: "another prompt",
    akyurek.MISPAIRED: "another prompt",
}
"""The table's column for a control, by the control's name."""


def figure(measurements: Sequence[Measurement]) -> Figure:
    """One small table per metric, with the controls beside every number."""
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
        title="How similar the subject and reference algorithms are, by published metrics",
        caption="By their authors' definitions, on the training distribution. No metric can say “none of these”, so read each "
        "beside its controls. Positive: the reference against itself, in single precision (for R²: least squares). "
        "Negative: the reference on another prompt (for R²: answers to another prompt's queries); answering zero; the "
        "untrained network. ILWD is meaningful only where the linearity R² is near 1."
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
    question="What do published metrics say about it, and about subjects whose algorithm is known?",
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
    through_origin=True,
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
