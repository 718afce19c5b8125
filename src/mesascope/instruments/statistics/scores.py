"""From each prompt's contributions to a measurement: the same statistic for the subject and for each control."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mesascope.instruments.statistics.bootstrap import estimate
from mesascope.types import Control, Measurement, Prompts, Scalar

Sums = Float[Tensor, "batch statistic"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """A statistic that is a function of means over prompts.

    Attributes:
        name: what it is called in reports.
        combine: computes the statistic from means over prompts, one row per bootstrap repetition.
        unit: its unit; ``y²`` for squared labels.
    """

    name: str
    combine: Callable[[Tensor], Tensor] = lambda means: means[:, 0]
    unit: str = "1"


def ratio(means: Tensor) -> Tensor:
    """First mean over second."""
    return means[:, 0] / means[:, 1]


def explained(means: Tensor) -> Tensor:
    """1 − first mean over second: R² from (squared error, squared deviation)."""
    return 1 - means[:, 0] / means[:, 1]


def r_squared(means: Tensor) -> Tensor:
    """R² from the means of (squared error, target, squared target)."""
    return 1 - means[:, 0] / (means[:, 2] - means[:, 1].square())


def correlation(means: Tensor) -> Tensor:
    """Pearson's correlation from the means of `moments`."""
    a, b, aa, bb, ab = means.unbind(-1)
    return (ab - a * b) / ((aa - a * a) * (bb - b * b)).sqrt()


def moments(a: Float[Tensor, "batch query"], b: Float[Tensor, "batch query"]) -> Float[Tensor, "batch moment"]:
    """(a, b, a², b², ab), each the mean over a prompt's queries."""
    return torch.stack([a.mean(-1), b.mean(-1), a.square().mean(-1), b.square().mean(-1), (a * b).mean(-1)], -1)


def squared_error(predictions: Float[Tensor, "batch query"], prompts: Prompts) -> Float[Tensor, " batch"]:
    """Mean squared error over a prompt's queries, in float64."""
    return (predictions.double().cpu() - prompts.targets.double().cpu()).square().mean(-1)


def normalised_error(predictions: Float[Tensor, "batch query"], prompts: Prompts) -> Float[Tensor, " batch"]:
    """`squared_error` over the variance of the prompt's target: 0 for exact answers, about 1 for answering zero."""
    return squared_error(predictions, prompts) / prompts.target_variance.double().cpu()


def partners(prompts: Prompts) -> Int[Tensor, " batch"]:
    """For each prompt the index of another one of its stratum, for controls that pair a prompt with another's answer.

    Prompts are independent draws, so the next one is as good as any. The only prompt of a stratum is paired with itself.
    """
    strata = torch.zeros(len(prompts), dtype=torch.long) if prompts.strata is None else prompts.strata.cpu()
    other = torch.empty_like(strata)
    for label in strata.unique():
        members = (strata == label).nonzero()[:, 0]
        other[members] = members.roll(-1)
    return other


def measure(
    instrument: str,
    quantity: Quantity,
    sums: Sums | Float[Tensor, " batch"],
    draws: Float[Tensor, "repeat batch"],
    *,
    coordinates: Mapping[str, Scalar],
    positive: Mapping[str, Tensor | float] | None = None,
    negative: Mapping[str, Tensor | float] | None = None,
) -> Measurement:
    """A statistic of the subject with the same statistic of its controls.

    Args:
        instrument, quantity, coordinates: what is measured, and where.
        sums: each prompt's contributions; without the second axis if there is one statistic.
        draws: from `bootstrap.weights`. If there are fewer prompts than columns, the first columns are used.
        positive, negative: each control's contributions, or its value where that is known without sampling.
    """
    value, interval = _estimate(quantity, sums, draws)
    controls: list[Control] = []
    kinds: tuple[tuple[Literal["positive", "negative"], Mapping[str, Tensor | float]], ...]
    kinds = (("positive", positive or {}), ("negative", negative or {}))
    for kind, cases in kinds:
        for name, case in cases.items():
            known, bounds = _estimate(quantity, case, draws)
            controls.append(Control(kind=kind, name=name, value=known, interval=bounds))
    return Measurement(
        instrument=instrument,
        quantity=quantity.name,
        value=value,
        interval=interval,
        n=len(sums),
        unit=quantity.unit,
        coordinates=dict(coordinates),
        controls=tuple(controls),
    )


def left_out(measurement: Measurement, why: Mapping[str, str]) -> Measurement:
    """The measurement with the reason why controls, by name, say nothing in this case: checks leave them out."""
    controls = (replace(c, degenerate=why.get(c.name, c.degenerate)) for c in measurement.controls)
    return replace(measurement, controls=tuple(controls))


def _estimate(quantity: Quantity, case: Tensor | float, draws: Tensor) -> tuple[float, tuple[float, float] | None]:
    if not isinstance(case, Tensor):
        return float(case), None
    sums = case[:, None] if case.ndim == 1 else case
    value, bounds = estimate(sums, quantity.combine, draws[:, : len(sums)])
    return value, bounds if all(map(math.isfinite, (value, *bounds))) else None
