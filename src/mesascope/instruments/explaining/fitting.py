"""Named functions fitted to answers: the coefficients with the least error, and their intervals over prompts."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mesascope.instruments.explaining.filters import Quadratic
from mesascope.instruments.explaining.functions import FunctionFamily
from mesascope.instruments.explaining.intervals import intervals
from mesascope.instruments.explaining.searching import least
from mesascope.instruments.explaining.surface import Surface
from mesascope.instruments.statistics import bootstrap

COARSE = {0: (), 1: (48,), 2: (28, 10)}
"""How many values of each coefficient are tried first, by the number of coefficients. A family's first is the one that matters
most.
"""
ROUNDING = 1e-6
"""A difference of errors below this is rounding."""
MOST_GAPS = 2000
"""Places tried at most where a filter may jump."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FittedFunction:
    """A member of a family.

    Attributes:
        family: whose member.
        count: its count (1 where nothing is counted).
        counts: the least and the largest count that fit as well.
        values: its coefficients.
        intervals: their 95 % intervals.
        error: mean error on the prompts that it was fitted to.
    """

    family: FunctionFamily
    count: int
    counts: tuple[int, int]
    values: tuple[float, ...]
    intervals: tuple[tuple[float, float], ...]
    error: float

    def gains(self, eigenvalues: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """The filter at eigenvalues; 0 in the null space."""
        values = (torch.tensor(value, dtype=eigenvalues.dtype) for value in self.values)
        return self.family.gains(eigenvalues, self.count, *values) * (eigenvalues > 0)

    @property
    def coefficients(self) -> Mapping[str, float]:
        """Coefficients by name, the count among them."""
        named = {c.name: v for c, v in zip(self.family.coefficients, self.values, strict=True)}
        return {self.family.count: float(self.count), **named} if self.family.count else named

    @property
    def coefficient_intervals(self) -> Mapping[str, tuple[float, float]]:
        """Intervals by name, the count among them."""
        named = {c.name: i for c, i in zip(self.family.coefficients, self.intervals, strict=True)}
        low, high = self.counts
        return {self.family.count: (float(low), float(high)), **named} if self.family.count else named


def fit_function(
    family: FunctionFamily, quadratic: Quadratic, unit: float, draws: Float[Tensor, "repeat batch"]
) -> FittedFunction:
    """The member of a family with the least error.

    Every count is tried.

    Args:
        family: the family.
        quadratic: the error as a function of the filter.
        unit: the largest eigenvalue.
        draws: of the bootstrap.
    """
    if not family.smooth:
        return _edge(family, quadratic, unit, draws)
    axes = tuple(
        math.log(c.low * unit**c.power) + math.log(c.high / c.low) * torch.linspace(0, 1, size, dtype=torch.float64)
        for c, size in zip(family.coefficients, COARSE[len(family.coefficients)], strict=True)
    )
    surfaces = [Surface(family=family, count=count, quadratic=quadratic, axes=axes) for count in family.counts]
    found = least(surfaces)
    best = min(range(len(found)), key=lambda i: found[i][0])
    errors = torch.stack([surface.errors(at[None])[0] for surface, (_, at) in zip(surfaces, found, strict=True)])
    equal = [c for c, well in zip(family.counts, _as_well(errors - errors[best], draws).tolist(), strict=True) if well]
    count, (error, at) = family.counts[best], found[best]
    values = tuple(at.exp().tolist())
    spreads = intervals(surfaces[best], at, draws)
    bounds = tuple(
        (value * math.exp(low), min(value * math.exp(high), c.most))
        for c, value, (low, high) in zip(family.coefficients, values, spreads, strict=True)
    )
    return FittedFunction(
        family=family,
        count=count,
        counts=(min(equal, default=count), max(equal, default=count)),
        values=values,
        intervals=bounds,
        error=error,
    )


def _as_well(
    differences: Float[Tensor, "member batch"], draws: Float[Tensor, "repeat batch"]
) -> Bool[Tensor, " member"]:
    """Which functions' errors are not significantly larger than another's."""
    means = draws @ differences.T / draws.sum(1, keepdim=True)
    return torch.quantile(means, (1 - bootstrap.LEVEL) / 2, dim=0) <= ROUNDING


def _edge(
    family: FunctionFamily, quadratic: Quadratic, unit: float, draws: Float[Tensor, "repeat batch"]
) -> FittedFunction:
    """The member of a family that jumps at its one coefficient: between two neighbouring eigenvalues all members are the same.

    The interval reaches over all gaps between eigenvalues that fit as well as the best.
    """
    seen = quadratic.eigenvalues[quadratic.eigenvalues > 0].unique()
    seen = seen[:: math.ceil(len(seen) / MOST_GAPS)]
    nothing_cut = min(family.coefficients[0].low * unit, float(seen[0]) / 2)
    seen = torch.cat([torch.tensor([nothing_cut], dtype=torch.float64), seen])
    gaps = (seen[1:] * seen[:-1]).sqrt()
    errors = Surface(family=family, count=1, quadratic=quadratic).errors(gaps.log()[:, None])
    best = int(errors.mean(-1).argmin())
    equal = _as_well(errors - errors[best], draws).nonzero()[:, 0]
    return FittedFunction(
        family=family,
        count=1,
        counts=(1, 1),
        values=(float(gaps[best]),),
        intervals=((float(seen[equal[0]]), float(seen[equal[-1] + 1])),),
        error=float(errors[best].mean()),
    )


__all__ = ("FittedFunction", "fit_function")
