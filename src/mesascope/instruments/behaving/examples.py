"""Examples: how the error falls with the number of examples, compared with ridge and with the best multiple of Xᵀy.

With n examples in d isotropic dimensions, the best multiple of Xᵀy leaves (d + 1)/(n + d + 1) of the target's variance, and
least squares leaves nothing from n = d on. The error of a learner that only rescales Xᵀy cannot fall faster than the former;
that of a learner that inverts XᵀX can.

Many networks take one number of examples only, because their query has a fixed position. For these the examples are repeated
until the context is full. That leaves XᵀX/n and Xᵀy/n, and so every learner that uses nothing else, unchanged.

Source: the two-to-eight-layer study varies n/d and prints no figures; the error of a multiple of Xᵀy follows by Gaussian
integration by parts.
"""

import dataclasses
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms import LeastSquares, Ridge, run
from mesascope.instruments.asking.applicability import untrained
from mesascope.instruments.asking.collect import answers
from mesascope.instruments.behaving.stress import REFERENCE, RIDGE
from mesascope.instruments.instrument import Instrument, sizes
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.scores import Quantity, measure, normalised_error, partners, ratio
from mesascope.types import Figure, Measurement, Prompts, Scalar, Subject, Task, adjusted, bounds

NAME = "examples"
NORMALISED = Quantity(name="normalised error")
TO_RIDGE = Quantity(name="distance to ridge's answers")
TO_MULTIPLE = Quantity(name="distance to the best multiple of Xᵀy")
OVER_MULTIPLE = Quantity(name="error over that of the best multiple of Xᵀy", combine=ratio)

MULTIPLE = "best multiple of Xᵀy"


def by_examples(
    subject: Subject,
    task: Task,
    *,
    counts: Sequence[int] = (),
    seed: int = 0,
    n: int = 256,
    queries: int = 8,
    repeat_to: int | None = None,
) -> tuple[Measurement, ...]:
    """Normalised error, its ratio to that of the best multiple of Xᵀy, and the distances to the answers of both references.

    The best multiple is one number for all prompts, fitted to the targets of the same prompts. Distances are mean squared
    differences over the variance of each prompt's target. Intervals resample prompts.

    Controls. Positive: ridge (λ = 0.01) and least squares. Negative: the best multiple of Xᵀy, ridge's answers to another
    prompt, and the untrained network.

    Args:
        subject: what to examine.
        task: where the prompts come from; its number of examples is replaced.
        counts: the numbers of different examples; by default the task's own number.
        seed: of the prompts, the untrained weights and the resampling.
        n: number of prompts for each count.
        queries: queries per prompt.
        repeat_to: repeat the examples until the context holds this many; by default they are shown once.

    Raises:
        ValueError: a count is larger than ``repeat_to``, or the subject cannot take that many examples.
    """
    counts = counts or (task.examples,)
    if repeat_to is not None and max(counts) > repeat_to:
        raise ValueError(
            f"counts must be at most repeat_to={repeat_to}; got {max(counts)}. Pass smaller counts: no example is left out."
        )
    fresh = untrained(subject, seed)
    found: list[Measurement] = []
    for count in counts:
        row = adjusted(task, examples=count, queries=queries)
        prompts = row.sample(n, seed=seed, stream=NAME)
        asked = prompts if repeat_to is None else repeated(prompts, repeat_to)
        draws = bootstrap.weights(n, seed=seed, strata=prompts.strata)
        ridge = run(Ridge(ridge=RIDGE), prompts).predictions[1]
        multiple = best_multiple(prompts)
        own = answers(subject, asked)
        positive = {"ridge": ridge, "least squares": run(LeastSquares(), prompts).predictions[1]}
        negative = {MULTIPLE: multiple, "ridge's answers to another prompt": ridge[partners(prompts)]}
        if fresh is not None:
            negative["untrained network"] = answers(fresh, asked[:REFERENCE])
        for quantity in (NORMALISED, OVER_MULTIPLE, TO_RIDGE, TO_MULTIPLE):
            found.append(
                measure(
                    NAME,
                    quantity,
                    _sums(quantity, own, ridge, multiple, prompts),
                    draws,
                    coordinates={
                        "examples": count,
                        "examples per dimension": count / task.dim,
                        "shown": "once" if repeat_to is None else f"repeated to {repeat_to}",
                    },
                    positive={k: _sums(quantity, v, ridge, multiple, prompts) for k, v in positive.items()},
                    negative={k: _sums(quantity, v, ridge, multiple, prompts) for k, v in negative.items()},
                )
            )
    return tuple(found)


def repeated(prompts: Prompts, examples: int) -> Prompts:
    """The prompts with their examples repeated, in order, until there are ``examples`` of them."""
    index = torch.arange(examples) % prompts.examples
    return dataclasses.replace(prompts, xs=prompts.xs[:, index], ys=prompts.ys[:, index])


def best_multiple(prompts: Prompts) -> Float[Tensor, "batch query"]:
    """s·⟨x_q, Xᵀy⟩/n with the one s that has the least normalised error over all of these prompts."""
    moment = (prompts.ys[:, None] @ prompts.xs).mT / prompts.examples
    inner = (prompts.queries @ moment)[..., 0]
    weight = 1 / prompts.target_variance[:, None]
    return inner * ((inner * prompts.targets * weight).sum() / (inner.square() * weight).sum())


def figure(measurements: Sequence[Measurement]) -> Figure:
    """Normalised error by examples per dimension, with the references beside the subject."""
    rows: list[dict[str, Scalar]] = []
    for m in measurements:
        if m.instrument != NAME or m.quantity != NORMALISED.name:
            continue
        cases = [("subject", m.value, m.interval), *((c.name, c.value, c.interval) for c in m.controls)]
        for name, value, interval in cases:
            if name == "least squares":
                continue  # 0 to rounding, which a logarithmic axis cannot show
            rows.append({**m.coordinates, "who": name, NORMALISED.name: value, **bounds(interval)})
    return Figure(
        name="examples",
        section="Examples",
        title="The error as more examples are shown",
        caption="Mean squared error over the target's variance. Least squares has error 0 from one example per dimension on.",
        kind="lines",
        rows=tuple(rows),
        x="examples per dimension",
        y=NORMALISED.name,
        series="who",
        facet="shown",
        low="low",
        high="high",
        log=("y",),
    )


def _sums(quantity: Quantity, predictions: Tensor, ridge: Tensor, multiple: Tensor, prompts: Prompts) -> Tensor:
    """Each prompt's contributions to a quantity, for the first ``len(predictions)`` prompts."""
    some = prompts[: len(predictions)]
    ridge, multiple = ridge[: len(predictions)], multiple[: len(predictions)]
    if quantity is NORMALISED:
        return normalised_error(predictions, some)
    if quantity is OVER_MULTIPLE:
        return torch.stack([normalised_error(predictions, some), normalised_error(multiple, some)], -1)
    reference = ridge if quantity is TO_RIDGE else multiple
    return (predictions - reference).square().mean(-1) / some.target_variance


INSTRUMENT = Instrument(
    name=NAME,
    question="How does its error fall with the number of examples?",
    measure=by_examples,
    quantities=(
        "distance to ridge's answers",
        "distance to the best multiple of Xᵀy",
        "error over that of the best multiple of Xᵀy",
        "normalised error",
    ),
    coordinates=(
        "examples",
        "examples per dimension",
        "shown",
    ),
    sizes=sizes(n=(32, 256, 1024)),
    figure=figure,
)
