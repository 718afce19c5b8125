"""Named functions fitted to answers: the coefficients with the least error, and their intervals over prompts."""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.instruments.explaining.filters import Quadratic
from mesascope.instruments.explaining.functions import FunctionFamily
from mesascope.instruments.statistics import bootstrap

COARSE = {0: 1, 1: 48, 2: 14}
"""Values of each coefficient that are tried first, by the number of coefficients."""
FINE = {0: 1, 1: 9, 2: 7}
ROUNDS = 5
"""How often the search looks closer around the best."""
POLISHED = 15
"""Newton steps at most: two coefficients often lie in a narrow valley, which a grid misses."""
ROUNDING = 1e-6
"""A difference of errors below this is rounding."""
STRIDE = 1e-3
"""Of finite differences, in the coefficients' logarithms."""
NEAREST = {0: 1, 1: 16, 2: 6}
"""Counts that are looked at closely, the best in the first search, by the number of coefficients."""
MOST_GAPS = 2000
"""Places tried at most where a filter may jump."""
LEAST_WIDTH = 1e-3
"""No interval is narrower than this share of the value on either side: answers in single precision do not say more."""


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

    A grid over all coefficients for every count, then ever finer ones around the best.

    Args:
        family: the family.
        quadratic: the error as a function of the filter.
        unit: the largest eigenvalue.
        draws: of the bootstrap.
    """
    if not family.smooth:
        return _edge(family, quadratic, draws)
    logs = [
        math.log(c.low * unit**c.power)
        + math.log(c.high / c.low) * torch.linspace(0, 1, COARSE[len(family.coefficients)], dtype=torch.float64)
        for c in family.coefficients
    ]
    tried = sorted(
        (_best(family, count, quadratic, logs) for count in family.counts), key=lambda found: (found[0], found[1])
    )
    closest = [
        _polished(family, _closer(family, found, quadratic, logs), quadratic) for found in tried[: NEAREST[len(logs)]]
    ]
    error, count, at = min(closest, key=lambda found: (found[0], found[1]))
    best = _errors(family, count, quadratic, at[None])[0]
    equal = [c for _, c, there in closest if _as_well(_errors(family, c, quadratic, there[None])[0] - best, draws)]
    spreads = _spreads(family, count, at, quadratic, draws)
    values = tuple(at.exp().tolist())
    intervals = tuple(
        (
            value * math.exp(min(low, -LEAST_WIDTH)),
            min(value * math.exp(max(high, LEAST_WIDTH)), math.inf if c.power else 1.0),
        )
        for c, value, (low, high) in zip(family.coefficients, values, spreads, strict=True)
    )
    return FittedFunction(
        family=family,
        count=count,
        counts=(min(equal, default=count), max(equal, default=count)),
        values=values,
        intervals=intervals,
        error=error,
    )


def _as_well(difference: Float[Tensor, " batch"], draws: Float[Tensor, "repeat batch"]) -> bool:
    """Whether a function's errors are not significantly larger than another's."""
    return bootstrap.estimate(difference[:, None], lambda means: means[:, 0], draws)[1][0] <= ROUNDING


def _edge(family: FunctionFamily, quadratic: Quadratic, draws: Float[Tensor, "repeat batch"]) -> FittedFunction:
    """The member of a family that jumps at its one coefficient: between two neighbouring eigenvalues all members are the same.

    The interval reaches from below the lowest to above the highest gap that is best for some weighting of the prompts.
    """
    seen = quadratic.eigenvalues[quadratic.eigenvalues > 0].unique()
    gaps = (seen[1:] * seen[:-1]).sqrt()
    gaps = gaps[:: math.ceil(len(gaps) / MOST_GAPS)]
    errors = _errors(family, 1, quadratic, gaps.log()[:, None])
    best = int(errors.mean(-1).argmin())
    drawn = torch.cat([(draws @ errors.T).argmin(-1), torch.tensor([best])])
    low, high = bootstrap.interval(drawn.double())
    bounds = (float(gaps[max(math.floor(low) - 1, 0)]), float(gaps[min(math.ceil(high) + 1, len(gaps) - 1)]))
    value = float(gaps[best])
    return FittedFunction(
        family=family, count=1, counts=(1, 1), values=(value,), intervals=(bounds,), error=float(errors[best].mean())
    )


Found = tuple[float, int, Tensor]


def _errors(
    family: FunctionFamily, count: int, quadratic: Quadratic, points: Float[Tensor, "point coefficient"]
) -> Float[Tensor, "point batch"]:
    values = [column[:, None, None] for column in points.exp().unbind(-1)]
    gains = family.gains(quadratic.eigenvalues[None], count, *values) * (quadratic.eigenvalues > 0)
    return quadratic.errors(gains.expand(len(points), -1, -1))


def _best(family: FunctionFamily, count: int, quadratic: Quadratic, logs: list[Tensor]) -> Found:
    points = torch.tensor(list(itertools.product(*[axis.tolist() for axis in logs])), dtype=torch.float64)
    means = _errors(family, count, quadratic, points).mean(-1)
    best = int(means.argmin())
    return float(means[best]), count, points[best]


def _closer(family: FunctionFamily, found: Found, quadratic: Quadratic, logs: list[Tensor]) -> Found:
    if not family.coefficients:
        return found
    steps = [float(axis[1] - axis[0]) for axis in logs]
    for _ in range(ROUNDS):
        axes = [
            centre + step * torch.linspace(-1, 1, FINE[len(logs)], dtype=torch.float64)
            for centre, step in zip(found[2].tolist(), steps, strict=True)
        ]
        found = min(found, _best(family, found[1], quadratic, axes), key=lambda f: f[0])
        steps = [2 * step / (FINE[len(logs)] - 1) for step in steps]
    return found


def _polished(family: FunctionFamily, found: Found, quadratic: Quadratic) -> Found:
    """The end of a few damped Newton steps from a point."""
    if not family.coefficients:
        return found
    for _ in range(POLISHED):
        slopes, curves = (each.mean(-1) for each in _derivatives(family, found[1], found[2], quadratic))
        hessian = curves.unflatten(0, (len(slopes), len(slopes)))
        values, vectors = torch.linalg.eigh((hessian + hessian.T) / 2)
        steps = [
            -(vectors @ ((vectors.T @ slopes) / (values.abs() + damping * values.abs().max()).clamp(min=1e-300)))
            for damping in (1e-12, 1e-4, 1e-2, 1.0)
        ]
        points = found[2] + torch.stack(steps).clamp(-0.5, 0.5)
        means = _errors(family, found[1], quadratic, points).mean(-1)
        best = int(means.argmin())
        if not float(means[best]) < found[0] * (1 - 1e-6):
            break
        found = (float(means[best]), found[1], points[best])
    return found


def _derivatives(
    family: FunctionFamily, count: int, at: Tensor, quadratic: Quadratic
) -> tuple[Float[Tensor, "coefficient batch"], Float[Tensor, "pair batch"]]:
    """First and second derivatives of each prompt's error by the coefficients' logarithms, from finite differences."""
    size = len(at)
    eye = STRIDE * torch.eye(size, dtype=torch.float64)
    pairs = list(itertools.product(range(size), repeat=2))
    corners = [at + a * eye[i] + b * eye[j] for i, j in pairs for a in (1, -1) for b in (1, -1)]
    ends = [at + a * eye[i] for i in range(size) for a in (1, -1)]
    errors = _errors(family, count, quadratic, torch.stack([*ends, *corners]))
    slopes = (errors[: 2 * size : 2] - errors[1 : 2 * size : 2]) / (2 * STRIDE)
    rest = errors[2 * size :].unflatten(0, (-1, 4))
    return slopes, (rest[:, 0] - rest[:, 1] - rest[:, 2] + rest[:, 3]) / (4 * STRIDE**2)


def _spreads(
    family: FunctionFamily, count: int, at: Tensor, quadratic: Quadratic, draws: Float[Tensor, "repeat batch"]
) -> list[tuple[float, float]]:
    """Intervals of the coefficients' logarithms about the fitted ones: a Newton step for each weighting of the prompts."""
    size = len(at)
    if not size:
        return []
    slopes, curves = _derivatives(family, count, at, quadratic)
    hessian = (draws @ curves.T).unflatten(-1, (size, size)) / draws.sum(1)[:, None, None]
    slope = draws @ (slopes - slopes.mean(-1, keepdim=True)).T / draws.sum(1, keepdim=True)
    damped = hessian + 1e-12 * torch.eye(size, dtype=torch.float64)
    moves = -torch.linalg.solve(damped, slope[..., None])[..., 0]
    return [bootstrap.interval(moves[:, i].clamp(-10, 10)) for i in range(size)]


__all__ = ("FittedFunction", "fit_function")
