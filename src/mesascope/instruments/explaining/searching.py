"""The coefficients with the least error: a coarse grid, and damped Newton steps from its lowest places."""

import itertools
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.instruments.explaining.surface import Surface, derivatives

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


def least(surfaces: Sequence[Surface]) -> list[tuple[float, Float[Tensor, " coefficient"]]]:
    """The least mean error of each of some surfaces, which differ in nothing but the count, and where it is.

    Steps are taken on all surfaces at once: each is little work, and would be mostly overhead.
    """
    axes = surfaces[0].axes
    if not axes:
        nowhere = torch.zeros(0, dtype=torch.float64)
        return [(float(surface.means(nowhere[None])[0]), nowhere) for surface in surfaces]
    points = torch.tensor(list(itertools.product(*[axis.tolist() for axis in axes])), dtype=torch.float64)
    places = torch.arange(len(points)).reshape(-1, len(axes[-1])).chunk(STARTS, dim=-1)
    grids = torch.stack([surface.means(points) for surface in surfaces])
    starts = [part.flatten()[grids[:, part.flatten()].argmin(-1)] for part in places]
    chosen = torch.stack(starts, 1)  # (surface, start)
    errors, ends = _polished(surfaces, grids.gather(1, chosen), points[chosen])
    best = errors.argmin(1).tolist()
    return [(float(errors[i, b]), ends[i, b]) for i, b in enumerate(best)]


def _polished(
    surfaces: Sequence[Surface], errors: Float[Tensor, "count start"], at: Float[Tensor, "count start coefficient"]
) -> tuple[Float[Tensor, "count start"], Float[Tensor, "count start coefficient"]]:
    """The ends of damped Newton steps from some points of each surface, and the errors there.

    Source: Marquardt 1963.
    """
    errors, at = errors.clone(), at.clone()
    size, quadratic = at.shape[-1], surfaces[0].quadratic
    damping = torch.tensor(DAMPING, dtype=torch.float64)[:, None, None] * torch.eye(size, dtype=torch.float64)
    moving = torch.ones(errors.shape, dtype=torch.bool)
    for _ in range(STEPS):
        going = moving.any(1).nonzero()[:, 0].tolist()
        if not going:
            break
        beside = torch.stack([surfaces[i].beside(at[i]) for i in going])
        slopes, curves = (each.mean(2) for each in derivatives(quadratic, beside))
        scale = curves.diagonal(dim1=-2, dim2=-1).clamp(min=1e-300).sqrt()
        damped = (curves / scale[..., None, :] / scale[..., None])[:, :, None] + damping
        right = (slopes / scale)[:, :, None, :, None].expand(*damped.shape[:-1], 1)
        steps = -torch.linalg.solve(damped, right)[..., 0] / scale[:, :, None]
        tries = at[going, :, None] + steps / (steps.abs().amax(-1, keepdim=True) / FARTHEST).clamp(min=1)
        tries = surfaces[0].within(tries.flatten(0, -2)).reshape(tries.shape)
        gains = torch.stack([surfaces[i].gains(each.flatten(0, 1)) for i, each in zip(going, tries, strict=True)])
        lowest, best = quadratic.errors(gains).mean(-1).reshape(tries.shape[:-1]).min(-1)
        better = moving[going] & (lowest < errors[going] * (1 - WORTH))
        errors[going] = torch.where(better, lowest, errors[going])
        reached = tries.gather(2, best[..., None, None].expand(*best.shape, 1, size))[:, :, 0]
        at[going] = torch.where(better[..., None], reached, at[going])
        moving[going] = better
    return errors, at


__all__ = ("least",)
