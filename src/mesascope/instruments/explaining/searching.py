"""The coefficients with the least error: a coarse grid, and damped Newton steps from its lowest places."""

import itertools

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.instruments.explaining.surface import Surface

STARTS = 2
"""Places of the grid that the steps begin at, the lowest for small and for large values of the last coefficient: where a penalty
is nearly zero the error hardly changes with it.
"""
STEPS = 40
"""At most. Valleys are narrow where one coefficient can stand in for another."""
DAMPING = (1e-12, 1e-6, 1e-4, 1e-2, 1.0)
FARTHEST = 1.0
"""How far a step moves the logarithm of a coefficient at most."""
WORTH = 1e-6
"""The share of the error by which a step must lower it."""


def least(surface: Surface) -> tuple[float, Float[Tensor, " coefficient"]]:
    """The least mean error and where it is."""
    axes = surface.axes
    if not axes:
        nowhere = torch.zeros(0, dtype=torch.float64)
        return float(surface.means(nowhere[None])[0]), nowhere
    points = torch.tensor(list(itertools.product(*[axis.tolist() for axis in axes])), dtype=torch.float64)
    grid = surface.means(points).reshape(-1, len(axes[-1]))
    parts = torch.arange(grid.numel()).reshape(grid.shape).chunk(STARTS, dim=-1)
    starts = [part.flatten()[int(grid.flatten()[part.flatten()].argmin())] for part in parts]
    return min((_polished(surface, points[start]) for start in starts), key=lambda found: found[0])


def _polished(surface: Surface, at: Float[Tensor, " coefficient"]) -> tuple[float, Float[Tensor, " coefficient"]]:
    """The end of damped Newton steps from a point.

    Source: Marquardt 1963.
    """
    error = float(surface.means(at[None])[0])
    for _ in range(STEPS):
        slopes, curves = (each.mean(0) for each in surface.derivatives(at))
        scale = curves.diagonal().clamp(min=1e-300).sqrt()
        matrix = curves / scale / scale[:, None]
        damped = torch.stack([matrix + damping * torch.eye(len(scale), dtype=torch.float64) for damping in DAMPING])
        steps = -torch.linalg.solve(damped, slopes / scale) / scale
        points = surface.within(at + steps / (steps.abs().amax(-1, keepdim=True) / FARTHEST).clamp(min=1))
        means = surface.means(points)
        best = int(means.argmin())
        if not float(means[best]) < error * (1 - WORTH):
            break
        error, at = float(means[best]), points[best]
    return error, at


__all__ = ("least",)
