"""Intervals of fitted coefficients: all values at which the error is hardly larger than the least.

The bootstrap over prompts says by how much: if the error were a parabola, the interval would be the bootstrap's. It often is
none, because a penalty can be anything that is small enough, and two coefficients can stand in for each other. There an interval
that is symmetric about the fitted value holds the truth too seldom.

Answers without noise have no spread over prompts. Their interval is a numerical tolerance: the values that change the answers by
a mean square of at most `TOLERANCE`.

Source: Chandler & Bate 2007 (a likelihood's profile, scaled by the spread between clusters: here, prompts); Bell & McCaffrey 2002
(the spread from fits without the cluster).
"""

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.instruments.explaining.surface import STRIDE, Surface, derivatives
from mesascope.instruments.statistics import bootstrap

TOLERANCE = 1e-8
"""Share of the target's variance below which answers are the same: a ten-thousandth of their size, which single precision and the
search for the best coefficients keep.
"""
FARTHEST = 10.0
"""How far the logarithm of a coefficient is followed."""
GROWTH = 1.3
"""Ratio of the distances from the fitted value that are tried one after the other."""
VALUES, NEWTON = 10, 5
"""How many values of the other coefficient are tried, and how many Newton steps follow from the best."""
FIRST, LARGEST = 0.4, 0.2
"""The first of them, as a share of the distance at which a parabola would end, and at most."""


def intervals(
    surface: Surface, at: Float[Tensor, " coefficient"], draws: Float[Tensor, "repeat batch"]
) -> list[tuple[float, float]]:
    """95 % intervals of the coefficients' logarithms, relative to the fitted ones.

    Args:
        surface: the error as a function of the coefficients.
        at: where it is least.
        draws: of the bootstrap over prompts.
    """
    size = len(at)
    if not size:
        return []
    slopes, curves = derivatives(surface.quadratic, surface.beside(at[None])[0])
    values, vectors = torch.linalg.eigh(curves.mean(0))
    steep = values.abs().clamp(min=1e-10 * float(values.abs().max()) + 1e-300)
    inverse = vectors @ torch.diag(1 / steep) @ vectors.T
    # Each prompt's slope where the fit is made without it: few prompts can decide a coefficient, and the fit follows their noise.
    # One that decides alone leaves no fit without it, and counts as it is (the pseudo-inverse, as in Bell & McCaffrey).
    weight = torch.eye(size, dtype=torch.float64) - curves @ inverse / len(curves)
    slopes = (torch.linalg.pinv(weight) @ (slopes - slopes.mean(0))[..., None])[..., 0]
    moves = (draws @ slopes / draws.sum(1, keepdim=True)) @ inverse
    reach = torch.tensor([(high - low) / 2 for low, high in map(bootstrap.interval, moves.T)], dtype=torch.float64)
    allowed = (reach.square() / inverse.diagonal() / 2).clamp(min=TOLERANCE)
    ends = _ends(surface, at, allowed, (2 * allowed * inverse.diagonal()).sqrt())
    return [(-low, high) for low, high in zip(ends[:size].tolist(), ends[size:].tolist(), strict=True)]


def _ends(
    surface: Surface, at: Float[Tensor, " coefficient"], allowed: Tensor, parabola: Tensor
) -> Float[Tensor, " side"]:
    """How far each coefficient can go down, and up, before the error rises by more than is allowed, the other one fitted anew.

    Args:
        surface: the error.
        at: where it is least.
        allowed: for each coefficient, by how much the error may rise.
        parabola: how far it could go if the error were a parabola.
    """
    size = len(at)
    moving = torch.cat([-torch.eye(size, dtype=torch.float64), torch.eye(size, dtype=torch.float64)])
    limit, distance = allowed.repeat(2).sqrt(), (FIRST * parabola).clamp(max=LARGEST).repeat(2)
    least = surface.means(at[None])
    before, risen = torch.zeros(2 * size, dtype=torch.float64), torch.zeros(2 * size, dtype=torch.float64)
    found, points = torch.full_like(before, FARTHEST), at.expand(2 * size, -1)
    open_ = torch.ones(2 * size, dtype=torch.bool)
    while bool(open_.any()):
        distance = distance.clamp(max=FARTHEST)
        moved = points + moving * (distance - before)[:, None]
        points = _refitted(surface, moved, moving)
        root = (surface.means(points) - least).clamp(min=0).sqrt()
        # The root of the rise is nearly a line.
        crossing = before + (distance - before) * (limit - risen) / (root - risen).clamp(min=1e-300)
        crossed = open_ & (root >= limit)
        found = torch.where(crossed, crossing, found)
        open_ = open_ & ~crossed & (distance < FARTHEST)
        before, risen, distance = distance, root, GROWTH * distance
    return found


def _refitted(
    surface: Surface, points: Float[Tensor, "side coefficient"], held: Float[Tensor, "side coefficient"]
) -> Float[Tensor, "side coefficient"]:
    """The points with the coefficient that is not held moved to the least error: over all its values, then by Newton steps."""
    if points.shape[1] == 1:
        return points
    free = 1 - held.abs()
    axes = torch.stack([axis[torch.linspace(0, len(axis) - 1, VALUES).round().long()] for axis in surface.axes], -1)
    tried = torch.cat([points[None], torch.where(free[None] > 0, axes[:, None], points[None])])
    best = surface.means(tried.flatten(0, 1)).unflatten(0, tried.shape[:2]).argmin(0)
    points = tried[best, torch.arange(len(points))]
    for _ in range(NEWTON):
        down, here, up = surface.means(torch.cat([points - STRIDE * free, points, points + STRIDE * free])).chunk(3)
        slope, curve = (up - down) / (2 * STRIDE), (up - 2 * here + down) / STRIDE**2
        step = (-slope / curve.abs().clamp(min=1e-300)).clamp(-0.5, 0.5)
        points = surface.within(points + free * step[:, None])
    return points


__all__ = ("TOLERANCE", "intervals")
