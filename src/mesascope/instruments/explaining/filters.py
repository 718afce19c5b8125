"""Filters of the eigenvalues: how well one explains answers, the best one, and the best polynomial.

A prediction is Σᵢ f(λᵢ)·cᵢ with the channel shares c of `mesascope.instruments.spectral.channels`, so the squared error of a
prompt is a quadratic function of f at the prompt's eigenvalues. Its coefficients are computed once; every filter is then scored
on all prompts with a few small products.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.instruments.spectral.channels import SpectralChannels, hats
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.discrepancy import CLIP
from mesascope.types import FilterPoint

KNOTS = 18
FEW = 36
"""So many eigenvalues, apart from one another, are few."""
APART = 1.02
"""Least ratio of two neighbouring knots."""
SMOOTH = 1e-6
"""Weight of the filter's curvature beside the error: it decides only where there is hardly any energy."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Quadratic:
    """The error of each prompt, in units of its variance, as a function of the filter: size − 2·moment·f + f·gram·f.

    Attributes:
        eigenvalues: where the filter counts, prompt by prompt; 0 in the null space.
        gram, moment, size: means over the prompt's queries of products of channel shares and answers.
    """

    eigenvalues: Float[Tensor, "batch dim"]
    gram: Float[Tensor, "batch dim dim"]
    moment: Float[Tensor, "batch dim"]
    size: Float[Tensor, " batch"]

    @classmethod
    def of(
        cls, channels: SpectralChannels, answers: Float[Tensor, "batch query"], units: Float[Tensor, " batch"]
    ) -> "Quadratic":
        """The error of a filter on prompts, as a description of these answers. Prompts with answers that are not finite count for
        nothing.
        """
        good = answers.isfinite().all(-1)
        scale = torch.where(good, units.rsqrt(), 0.0) / answers.shape[-1] ** 0.5
        shares = channels.shares * scale[:, None, None]
        scaled = torch.nan_to_num(answers, posinf=0.0, neginf=0.0) * scale[:, None]
        return cls(
            eigenvalues=channels.eigenvalues,
            gram=shares.mT @ shares,
            moment=(scaled[:, None] @ shares)[:, 0],
            size=scaled.square().sum(-1),
        )

    def errors(self, gains: Float[Tensor, "*any batch dim"]) -> Float[Tensor, "*any batch"]:
        """The error of filters with these gains, clipped as every error is."""
        curved = torch.einsum("...bi,bij->...bj", gains, self.gram)
        raw = self.size + ((curved - 2 * self.moment) * gains).sum(-1)
        return torch.nan_to_num(raw, nan=CLIP, posinf=CLIP).clamp(0, CLIP)

    def solve(
        self,
        basis: Float[Tensor, "batch dim feature"],
        draws: Float[Tensor, "repeat batch"] | None = None,
        smooth: float = 0.0,
    ) -> Float[Tensor, "repeat feature"]:
        """The filter in the span of a basis with the least error, for each weighting of the prompts; by default one."""
        gram = basis.mT @ self.gram @ basis
        moment = (self.moment[:, None] @ basis)[:, 0]
        draws = torch.ones(1, len(gram), dtype=torch.float64) if draws is None else draws
        left = (draws @ gram.flatten(1)).unflatten(1, gram.shape[1:])
        right = draws @ moment
        count = left.shape[-1]
        scale = left.diagonal(dim1=-2, dim2=-1).mean(-1).clamp(min=1e-300)[:, None, None]
        bend = torch.eye(count, dtype=torch.float64)
        if smooth and count > 2:
            bend = 1e-3 * bend + torch.diff(bend, n=2, dim=0).T @ torch.diff(bend, n=2, dim=0)
        left = left + max(smooth, 1e-13) * scale * bend
        return torch.linalg.solve(left, right[..., None])[..., 0]


def grid_of(eigenvalues: Float[Tensor, "batch dim"]) -> Float[Tensor, " knot"]:
    """Knots at all eigenvalues where there are only a few, as in prescribed spectra; else at their quantiles, so that each has
    eigenvalues near it.
    """
    seen = eigenvalues[eigenvalues > 0].sort().values
    few = _apart(seen.tolist())
    if len(few) > FEW:
        places = torch.linspace(0.005, 0.995, KNOTS, dtype=torch.float64) * (len(seen) - 1)
        few = _apart(seen[places.round().long()].tolist())
    return torch.tensor(few if len(few) > 1 else [few[0], 2 * few[0]], dtype=torch.float64)


def _apart(ascending: list[float]) -> list[float]:
    kept: list[float] = []
    for value in ascending:
        if not kept or value > APART * kept[-1]:
            kept.append(value)
    return kept


def best_filter(
    quadratic: Quadratic, at: Float[Tensor, " knot"], draws: Float[Tensor, "repeat batch"]
) -> tuple[Float[Tensor, " knot"], tuple[FilterPoint, ...]]:
    """The gains at the knots with the least error; and as points, with their intervals over prompts."""
    basis = hats(quadratic.eigenvalues, at)
    gains = quadratic.solve(basis, smooth=SMOOTH)[0]
    replicates = quadratic.solve(basis, draws, smooth=SMOOTH)
    points = []
    for place, (eigenvalue, gain) in enumerate(zip(at.tolist(), gains.tolist(), strict=True)):
        low, high = bootstrap.interval(replicates[:, place])
        points.append(FilterPoint(eigenvalue=eigenvalue, gain=gain, low=min(low, gain), high=max(high, gain)))
    return gains, tuple(points)


def at_eigenvalues(
    eigenvalues: Float[Tensor, "batch dim"], at: Float[Tensor, " knot"], gains: Float[Tensor, " knot"]
) -> Float[Tensor, "batch dim"]:
    """A filter given at knots, at other eigenvalues."""
    return hats(eigenvalues, at) @ gains


def powers(eigenvalues: Float[Tensor, "batch dim"], degree: int, unit: float) -> Float[Tensor, "batch dim power"]:
    """λ, λ², …, in units of the largest eigenvalue: the polynomials that answers of the form x_qᵀ p(XᵀX/n) Xᵀy/n can have."""
    return (eigenvalues / unit)[..., None] ** torch.arange(1, degree + 1, dtype=eigenvalues.dtype)


__all__ = ("KNOTS", "Quadratic", "at_eigenvalues", "best_filter", "grid_of", "powers")
