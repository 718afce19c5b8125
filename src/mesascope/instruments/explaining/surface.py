"""The error of a family's members as a function of their coefficients, whose logarithms are the coordinates."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.instruments.explaining.filters import Quadratic
from mesascope.instruments.explaining.functions import FunctionFamily

STRIDE = 1e-3
"""Of finite differences."""
MARGIN = 2.5
"""How far beyond what is tried first the logarithm of a coefficient may go."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Surface:
    """The error of the members of a family with one count.

    Attributes:
        family: the family.
        count: the count; 1 where nothing is counted.
        quadratic: the error as a function of the filter.
        axes: for each coefficient the values that are tried first.
    """

    family: FunctionFamily
    count: int
    quadratic: Quadratic
    axes: tuple[Float[Tensor, " _"], ...] = ()

    def within(self, points: Float[Tensor, "point coefficient"]) -> Float[Tensor, "point coefficient"]:
        """The points, or the nearest where coefficients are looked for at all: up to `MARGIN` beyond what is tried first."""
        columns = [
            column.clamp(float(axis[0]) - MARGIN, min(float(axis[-1]) + MARGIN, math.log(c.most)))
            for column, axis, c in zip(points.unbind(-1), self.axes, self.family.coefficients, strict=True)
        ]
        return torch.stack(columns, -1)

    def errors(self, points: Float[Tensor, "point coefficient"]) -> Float[Tensor, "point batch"]:
        """Each prompt's error at points."""
        return self.quadratic.errors(self.gains(points))

    def gains(self, points: Float[Tensor, "point coefficient"]) -> Float[Tensor, "point batch dim"]:
        """The filter at each prompt's eigenvalues."""
        values = [column[:, None, None] for column in points.exp().unbind(-1)]
        eigenvalues = self.quadratic.eigenvalues
        gains = self.family.gains(eigenvalues[None], self.count, *values) * (eigenvalues > 0)
        return gains.expand(len(points), -1, -1)

    def means(self, points: Float[Tensor, "point coefficient"]) -> Float[Tensor, " point"]:
        """The mean error at points."""
        return self.errors(points).mean(-1)

    def beside(self, points: Float[Tensor, "point coefficient"]) -> Float[Tensor, "point place batch dim"]:
        """The filters of `derivatives`: at points, and with each coefficient a little larger, and a little smaller."""
        moved = STRIDE * torch.eye(points.shape[-1], dtype=torch.float64)
        places = torch.cat([points[:, None], points[:, None] + moved, points[:, None] - moved], 1)
        return self.gains(places.flatten(0, 1)).unflatten(0, places.shape[:2])


def derivatives(
    quadratic: Quadratic, beside: Float[Tensor, "*point place batch dim"]
) -> tuple[Float[Tensor, "*point batch coefficient"], Float[Tensor, "*point batch coefficient coefficient"]]:
    """First derivatives of each prompt's error, and the second ones as Gauss and Newton have them: without the curvature of the
    gains, so that they are never negative. Derivatives of the gains are finite differences.

    Args:
        quadratic: the error as a function of the filter.
        beside: filters, as `Surface.beside` gives them.
    """
    size = beside.shape[-3] // 2
    here, up, down = beside.split([1, size, size], -3)
    change = ((up - down) / (2 * STRIDE)).transpose(-3, -2)  # (…, batch, coefficient, dim)
    curved = change @ quadratic.gram
    slopes = 2 * (curved @ here.transpose(-3, -2).mT - change @ quadratic.moment[..., None])[..., 0]
    return slopes, 2 * curved @ change.mT


__all__ = ("Surface", "derivatives")
