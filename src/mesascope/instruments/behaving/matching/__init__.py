"""Matching: the member of a one-parameter family of learners whose answers are closest to a subject's.

Any answers have a best match, so it is compared with that of three controls: a member of the family between two grid values,
whose value must be recovered; the subject's answers to other prompts; and the untrained network. A difference D is divided by
the variance of the prompt's target and clipped at 4, as in identification; R² is 1 − Σ D(ŷ, a) / Σ D(ŷ, 0), so that answering
zero is no match.

Source: Akyürek et al. 2023, §4.2 (ridge regression over λ, label noise varied).
Departs from source: the paper compares mean squared differences at a few λ; here the minimum is located between grid values,
with an interval.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mesascope.algorithms import Algorithm
from mesascope.instruments.behaving.matching.bench import (
    AT_BEST,
    BEST,
    CURVE,
    NAME,
    OTHERS,
    SUBJECT,
    UNTRAINED,
    Match,
    Sampled,
)
from mesascope.instruments.behaving.matching.families import (
    FAMILIES,
    KERNEL_RIDGE,
    RIDGE,
    SMOOTHERS,
    Learners,
    log_spaced,
)
from mesascope.instruments.instrument import Instrument, sizes
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.scores import Quantity, measure
from mesascope.types import Control, Figure, LinearTask, Measurement, Scalar, Subject, Task, adjusted, bounds

LEAD = Quantity(name="R² over the first family's", combine=lambda m: (m[:, 0] - m[:, 1]) / m[:, 2])
SLOPE = "slope of the best value on the predicted one"
FOLLOWS = "the member at the predicted value"
STAYS = "one member throughout"


def matching(
    subject: Subject | Algorithm,
    task: Task,
    *,
    families: Sequence[Learners] = FAMILIES,
    seed: int = 0,
    n: int = 256,
    queries: int = 4,
) -> tuple[Measurement, ...]:
    """R² of the match at every value of every family; the best value, R² there, and the gain in R² over the first family.

    The best value has the least mean difference. It is found on a grid three times as fine as the values shown: the minimum
    of the parabola through the best grid value and its neighbours, or the end of the grid, if that is best. The value and its
    interval are chosen on one half of the prompts; R² is measured on the other.

    Positive controls: for the curve, the member itself in single precision; for the best value, R² there and the gain, a
    member between two grid values. Negative controls: the subject's answers to another prompt and the untrained network; for
    the gain also a member of the first family.

    Args:
        subject: what to examine; an algorithm answers with its first iterate.
        task: where the prompts come from.
        families: the families to match with.
        seed: of the prompts, the untrained weights and the resampling.
        n: number of prompts to choose values on, and again to score on.
        queries: queries per prompt.

    Raises:
        NotApplicable: the subject answers zero everywhere, or some answers are not finite.
    """
    bench = Sampled.of(task, seed=seed, n=n, queries=queries)
    planted = {family.name: _planted(family) for family in families}
    cases = bench.cases(subject)
    cases |= {planted[family.name]: bench.answered(family.member(family.between)) for family in families}
    first, ahead = families[0], dict[str, Match]()
    found: list[Measurement] = []
    for family in families:
        fits, curve = bench.match(family, cases)
        found += [*curve, *bench.chosen(family, fits, positive=planted[family.name])]
        if family is first:
            ahead = fits
            continue
        gain = {name: torch.cat([ahead[name].sums[:, :1], fit.sums], 1) for name, fit in fits.items()}
        negative = (planted[first.name], *(name for name in (OTHERS, UNTRAINED) if name in fits))
        found.append(
            measure(
                NAME,
                LEAD,
                gain[SUBJECT],
                bench.draws,
                coordinates={"family": family.name, "parameter": family.parameter, "first": first.name},
                positive={planted[family.name]: gain[planted[family.name]]},
                negative={name: gain[name] for name in negative},
            )
        )
    return tuple(found)


def tracking(
    subject: Subject | Algorithm,
    tasks: Mapping[float, Task],
    *,
    family: Learners = RIDGE,
    seed: int = 0,
    n: int = 256,
    queries: int = 4,
) -> tuple[Measurement, ...]:
    """The best value on each of several tasks, and whether it follows the value that theory predicts for the task.

    The *slope* is that of a regression of the best value's logarithm on the predicted value's: 1 if the best value follows
    the prediction, 0 if it stays the same. With one seed, the prompts of the tasks differ only in what the tasks change, so
    the interval resamples them together.

    Controls. Positive: the member at the predicted value (slope 1). Negative: one and the same member on all tasks (slope
    0), and those of `matching`.

    Args:
        subject, family, seed, n, queries: see `matching`.
        tasks: by the value that is predicted to match best. No member has the value 0: such a task is matched, but does not
            enter the slope.

    Raises:
        ValueError: fewer than two tasks have a predicted value above 0.
        NotApplicable: see `matching`.
    """
    wanted = [value for value in tasks if value > 0]
    if len(wanted) < 2:
        raise ValueError(f"tasks must hold at least 2 with a predicted value above 0; got {len(wanted)}. Add tasks.")
    found: list[Measurement] = []
    kept: dict[str, list[Match]] = {}
    for predicted, task in tasks.items():
        bench = Sampled.of(task, seed=seed, n=n, queries=queries)
        cases = {**bench.cases(subject), STAYS: bench.answered(family.member(family.between))}
        if predicted > 0:
            cases[FOLLOWS] = bench.answered(family.member(predicted))
        fits, curve = bench.match(family, cases)
        measured = [*curve, *bench.chosen(family, fits, positive=FOLLOWS if predicted > 0 else STAYS)]
        found += [dataclasses.replace(m, coordinates={**m.coordinates, "predicted": predicted}) for m in measured]
        if predicted > 0:
            for name, fit in fits.items():
                kept.setdefault(name, []).append(fit)
    slopes = {name: _slope(wanted, fits) for name, fits in kept.items() if len(fits) == len(wanted)}
    value, interval = slopes.pop(SUBJECT)
    slope = Measurement(
        instrument=NAME,
        quantity=SLOPE,
        value=value,
        interval=interval,
        n=n,
        coordinates={"family": family.name, "parameter": family.parameter},
        controls=tuple(
            Control(kind="positive" if name == FOLLOWS else "negative", name=name, value=v, interval=i)
            for name, (v, i) in slopes.items()
        ),
    )
    return (*found, slope)


def over_noises(
    subject: Subject | Algorithm, task: LinearTask, *, noises: Sequence[float], seed: int = 0, n: int = 256
) -> tuple[Measurement, ...]:
    """`tracking` of the ridge penalty over levels of label noise, for which Bayes' rule predicts the penalty.

    Args:
        subject, seed, n: see `matching`.
        task: where the prompts come from; its noise is replaced.
        noises: standard deviations of the label noise.

    Raises:
        ValueError, NotApplicable: see `tracking`.
    """
    tasks = {bayes_ridge(task, noise): adjusted(task, noise=noise) for noise in noises}
    return tracking(subject, tasks, seed=seed, n=n)


def bayes_ridge(task: LinearTask, noise: float) -> float:
    """The Bayes-optimal λ = σ²/τ² for XᵀX + λI (a sum over examples), with σ² the noise's and τ² the weights' variance."""
    return noise**2 / task.weight_variance


def figure(measurements: Sequence[Measurement]) -> Figure:
    """R² by the family's parameter, one panel per family, with the negative controls beside the subject."""
    rows: list[dict[str, Scalar]] = []
    for m in measurements:
        if m.instrument != NAME or m.quantity != CURVE.name:
            continue
        for name, value, interval in [
            ("subject", m.value, m.interval),
            *((c.name, c.value, c.interval) for c in m.controls if c.kind == "negative"),
        ]:
            rows.append({**m.coordinates, "answers": name, "R²": value, **bounds(interval)})
    return Figure(
        name="matching",
        section="Matching",
        title="Which member of a family has the closest answers",
        caption="R² between the subject's answers and each member's, on held-out prompts: 1 if they are equal, 0 if the member "
        "is as far from the subject as answering zero is.",
        kind="lines",
        rows=tuple(rows),
        x="value",
        y="R²",
        series="answers",
        facet="family",
        low="low",
        high="high",
        titles={"value": "value of the family's parameter"},
        log=("x",),
    )


def _planted(family: Learners) -> str:
    return f"{family.name} at {family.parameter} {family.between:.3g}"


def _slope(predicted: Sequence[float], fits: Sequence[Match]) -> tuple[float, tuple[float, float]]:
    x = torch.tensor(predicted, dtype=torch.float64).log()
    x = (x - x.mean()) / (x - x.mean()).square().sum()

    def slope(values: Sequence[Tensor]) -> Tensor:
        return torch.stack([v.log() for v in values], -1) @ x

    value = slope([torch.tensor(fit.value, dtype=torch.float64) for fit in fits])
    return float(value), bootstrap.interval(slope([fit.replicates for fit in fits]))


INSTRUMENT = Instrument(
    name=NAME,
    question="Which member of each family of learners gives answers closest to its own?",
    measure=matching,
    quantities=(
        "R² at the best value",
        "R² of the match",
        "R² over the first family's",
        "best value",
        "slope of the best value on the predicted one",
    ),
    coordinates=(
        "family",
        "first",
        "parameter",
        "predicted",
        "value",
    ),
    sizes=sizes(n=(32, 256, 1024)),
    figure=figure,
)
TRACKING = dataclasses.replace(
    INSTRUMENT,
    name="matching over noises",
    question="Does the best-matching ridge penalty follow the label noise?",
    measure=over_noises,
    needs="a task of linear regression, and levels of label noise",
    quantities=(AT_BEST.name, CURVE.name, BEST, SLOPE),
    coordinates=("family", "parameter", "predicted", "value"),
)

__all__ = (
    "INSTRUMENT",
    "AT_BEST",
    "BEST",
    "CURVE",
    "FAMILIES",
    "FOLLOWS",
    "KERNEL_RIDGE",
    "LEAD",
    "NAME",
    "OTHERS",
    "RIDGE",
    "SLOPE",
    "SMOOTHERS",
    "STAYS",
    "TRACKING",
    "UNTRAINED",
    "Learners",
    "bayes_ridge",
    "figure",
    "log_spaced",
    "matching",
    "over_noises",
    "tracking",
)
