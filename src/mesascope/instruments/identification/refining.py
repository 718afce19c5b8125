"""Nonlinear least squares over a few unknowns, from several starts at once."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor


def levenberg_marquardt(
    residuals: Callable[
        [Int[Tensor, " start"], Float[Tensor, "start point unknown"]],
        tuple[Float[Tensor, "start point value"], Float[Tensor, " value"]],
    ],
    starts: Float[Tensor, "start unknown"],
    *,
    iterations: int,
    difference: float = 1e-7,
) -> Float[Tensor, "start unknown"]:
    """Least squares over a few unknowns in [0, 1], from several starts at once, with Jacobians by finite differences.

    Args:
        residuals: from the indices of some starts, and several points for each, to the residuals at these points and the signs
            with which their squares count: an error may be known but for a part that is subtracted.
        starts: the starting points, one row each.
        iterations: the largest number of iterations.
        difference: the step of the finite differences.

    Returns:
        The point reached from each start.

    Source: Marquardt 1963; three dampings are tried at once.
    """
    found, going = starts.clone(), torch.arange(len(starts))
    for _ in range(iterations):
        unit = found[going]
        ahead = torch.where(unit < 0.5, difference, -difference)
        values, signs = residuals(going, torch.cat([unit[:, None], unit[:, None] + torch.diag_embed(ahead)], 1))
        here, beside = values[:, :1], values[:, 1:]
        jacobian = (beside - here) / ahead[..., None]
        gram, slope = ((jacobian * signs) @ jacobian.mT)[:, None], ((jacobian * signs) @ here.mT)[:, None]
        # The floor keeps an unknown without effect where it is (lstsq would too, but is not reproducible to the last bit).
        damping = (
            torch.tensor([[1e-12], [1e-2], [10.0]], dtype=torch.float64) * gram.diagonal(dim1=-2, dim2=-1).abs()
            + 1e-300
        )
        damped = gram + torch.diag_embed(damping)
        steps = torch.linalg.solve(damped, slope.expand(*damped.shape[:-1], 1))[..., 0].nan_to_num(nan=0.0)
        tries = (unit[:, None] - steps).clamp(0, 1)
        sizes, before = (each.square() @ signs for each in (residuals(going, tries)[0], here[:, 0]))
        size, best = sizes.min(1)
        better = size < before
        found[going[better]] = tries[better, best[better]]
        going = going[size < before - 1e-5 * before.abs()]
        if not len(going):
            break
    return found


def saturating(
    difference: Float[Tensor, "*point layer batch query"],
    units: Float[Tensor, "layer batch"],
    limit: float,
) -> Float[Tensor, "*point value"]:
    """Residuals whose squares sum to Σ D/(1 + D/limit), with D the discrepancy of each layer and prompt.

    Each term is about D for small D and never exceeds the limit, as in the score. So a prompt on which the candidate or the
    subject diverges counts as missed and no more, and the other prompts decide the direction of the search.

    Args:
        difference: subject minus candidate.
        units: the divisors of squared errors.
        limit: the largest value of a term.

    Source: Geman & McClure 1987 (the loss).
    """
    scaled = difference * (units * difference.shape[-1]).rsqrt()[..., None]
    scaled = torch.nan_to_num(scaled, nan=FAR, posinf=FAR, neginf=-FAR).clamp(-FAR, FAR)
    return (scaled * (1 + scaled.square().sum(-1, keepdim=True) / limit).rsqrt()).flatten(-3)


FAR = 1e6
"""The value that replaces what is not finite."""
