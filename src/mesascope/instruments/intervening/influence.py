"""Influence: on which examples' labels an answer depends, and on how many.

The answers of a subject that learns from its context depend on all examples. Those of a subject that only reads what stands
at certain positions depend on one or two examples.
"""

import dataclasses
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms import LeastSquares, run
from mesascope.instruments.asking.collect import answers
from mesascope.instruments.behaving.errors import from_one_example
from mesascope.instruments.instrument import Instrument, sizes
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.scores import Quantity, measure
from mesascope.types import Figure, Measurement, Prompts, Scalar, Subject, Task, adjusted, bounds

NAME = "influence"
SHARE = "share of the influence"
COUNT = Quantity(name="examples that count", combine=lambda m: m.sum(-1).square() / m.square().sum(-1), unit="examples")
Answers = Callable[[Prompts], Float[Tensor, "batch query"]]


def influence(
    subject: Subject, task: Task, *, seed: int = 0, n: int = 128, queries: int = 4
) -> tuple[Measurement, ...]:
    """How far the answers move when one example's label is changed, by the position of the example.

    A label is raised by the standard deviation of its prompt's targets. With m_k the mean squared move, over the target's
    variance, when it is the k-th example's label, the share of the k-th example is m_k/Σm, and the number of examples that
    count is (Σm)²/Σm²: n if all positions count equally, 1 if the answers depend on one position. Resampling makes positions
    differ more than they do, so near n the interval lies slightly too low. A subject that chooses examples by their content
    and not by their position counts as using all of them.

    Controls. Positive: least squares, which uses every example (equal shares, n examples that count). Negative:
    `from_one_example`, which uses the first (1 example that counts).

    Args:
        subject: what to examine.
        task: where the prompts come from.
        seed: of the prompts and the resampling.
        n: number of prompts.
        queries: queries per prompt.
    """
    prompts = adjusted(task, queries=queries).sample(n, seed=seed, stream=NAME)
    draws = bootstrap.weights(n, seed=seed, strata=prompts.strata)
    own = _moves(lambda p: answers(subject, p), prompts)
    everything = _moves(lambda p: run(LeastSquares(), p).predictions[1], prompts)
    first = _moves(from_one_example, prompts)
    quantities = [(COUNT, {})]
    quantities += [(_share(k), {"example": k + 1}) for k in range(prompts.examples)]
    return tuple(
        measure(
            NAME,
            quantity,
            own,
            draws,
            coordinates=where,
            positive={"least squares": everything},
            negative={"the first example alone": first},
        )
        for quantity, where in quantities
    )


def figure(measurements: Sequence[Measurement], series: str = "") -> Figure:
    """The share of every example, with the controls beside the subject.

    Args:
        measurements: from `influence`.
        series: the coordinate that tells several subjects apart; without it there is one series, "subject".
    """
    rows: list[dict[str, Scalar]] = []
    for m in measurements:
        if m.instrument != NAME or m.quantity != SHARE:
            continue
        who = str(m.coordinates.get(series, "subject"))
        example = m.coordinates["example"]
        rows.append({"example": example, "whose": who, "share": m.value, **bounds(m.interval)})
        for c in m.controls:
            if not any(row["example"] == example and row["whose"] == c.name for row in rows):
                rows.append({"example": example, "whose": c.name, "share": c.value, "low": None, "high": None})
    return Figure(
        name="influence",
        section="Influence",
        title="On which examples' labels the answers depend",
        caption="Mean squared move of the answers when one example's label is changed, as a share of all examples' moves.",
        kind="lines",
        rows=tuple(rows),
        x="example",
        y="share",
        series="whose",
        low="low",
        high="high",
        titles={"example": "position of the example", "share": "share of the influence"},
    )


def _share(k: int) -> Quantity:
    return Quantity(name=SHARE, combine=lambda m: m[:, k] / m.sum(-1))


def _moves(predict: Answers, prompts: Prompts) -> Float[Tensor, "batch example"]:
    """Squared move of the answers over the target's variance, by the example whose label is raised."""
    before = predict(prompts)
    variance = prompts.target_variance.double().cpu()
    moves: list[Tensor] = []
    for k in range(prompts.examples):
        ys = prompts.ys.clone()
        ys[:, k] += prompts.target_variance.sqrt()
        moves.append(
            (predict(dataclasses.replace(prompts, ys=ys)) - before).double().cpu().square().mean(-1) / variance
        )
    return torch.stack(moves, -1)


INSTRUMENT = Instrument(
    name=NAME,
    question="Which examples does the answer depend on?",
    measure=influence,
    quantities=(
        "examples that count",
        "share of the influence",
    ),
    coordinates=("example",),
    sizes=sizes(n=(32, 256, 1024)),
    figure=figure,
)
