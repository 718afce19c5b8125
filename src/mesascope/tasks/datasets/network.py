"""Random networks of one hidden layer."""

from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.records.checks import check_count
from mesascope.tasks.datasets.dataset import DataSet, Functions

NODES = 48
"""Quadrature nodes."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkRegression(DataSet):
    """The output of an untrained network, drawn anew for each prompt: standard normal inputs, one hidden layer of ReLUs.

    All weights and biases are uniform, up to 1 over the root of the number of a unit's inputs, as torch's ``nn.Linear`` has them.

    Attributes:
        dim: number of inputs.
        hidden: number of hidden units.

    Source: Vacareanu et al. 2024, section 4 (5 inputs, 5 hidden units).
    """

    dim: int = 5
    hidden: int = 5

    def __post_init__(self) -> None:
        DataSet.__post_init__(self)
        check_count("hidden", self.hidden)

    def functions(self, count: int, rng: torch.Generator) -> Functions:
        def uniform(*shape: int, fan_in: int) -> Tensor:
            return (2 * torch.rand(count, *shape, generator=rng, dtype=torch.float64) - 1) / fan_in**0.5

        return network(
            uniform(self.hidden, self.dim, fan_in=self.dim),
            uniform(self.hidden, fan_in=self.dim),
            uniform(self.hidden, fan_in=self.hidden),
            uniform(1, fan_in=self.hidden),
        )


def network(
    inner: Float[Tensor, "batch hidden dim"],
    bias: Float[Tensor, "batch hidden"],
    outer: Float[Tensor, "batch hidden"],
    last: Float[Tensor, "batch 1"],
) -> Functions:
    """The functions vᵀ max(0, Wx + b) + c of standard normal inputs x.

    Args:
        inner, bias: W and b.
        outer, last: v and c.
    """
    count, _, dim = inner.shape

    def inputs(number: int, rng: torch.Generator) -> Float[Tensor, "batch number dim"]:
        return torch.randn(count, number, dim, generator=rng, dtype=torch.float64)

    def values(xs: Float[Tensor, "batch number dim"]) -> Float[Tensor, "batch number"]:
        return ((xs @ inner.mT + bias[:, None]).relu() @ outer[..., None])[..., 0] + last

    variance = torch.einsum("bh,bhk,bk->b", outer, rectified_covariance(inner @ inner.mT, bias), outer)
    return Functions(inputs=inputs, values=values, variance=variance)


def rectified_covariance(
    covariance: Float[Tensor, "batch hidden hidden"], mean: Float[Tensor, "batch hidden"]
) -> Float[Tensor, "batch hidden hidden"]:
    """The covariances of max(0, z) for normal z.

    As a function of the correlation r of z_h and z_k, its second derivative is the normal density at 0 (Price's theorem), which
    is integrated twice from r = 0. With r = sin θ the integrand stays smooth up to r = ±1.

    Source: Price 1958, theorem 1; Drezner & Wesolowsky 1990, for the substitution.
    """
    deviation = covariance.diagonal(dim1=-2, dim2=-1).sqrt()
    product = deviation[..., None] * deviation[:, None]
    correlation = (covariance / product).clamp(-1, 1)
    ratio = mean / deviation
    positive = torch.special.ndtr(ratio)
    nodes, weights = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(NODES))
    half = correlation.asin()[..., None] / 2
    sine, cosine = (half * (nodes + 1)).sin(), (half * (nodes + 1)).cos()
    h, k = ratio[:, :, None, None], ratio[:, None, :, None]
    density = (-(h.square() + k.square() - 2 * h * k * sine) / (2 * cosine.square())).exp() / (2 * torch.pi)
    curved = ((correlation[..., None] - sine) * density * weights * half).sum(-1)
    return product * (correlation * positive[..., None] * positive[:, None] + curved)


__all__ = ("NetworkRegression", "network", "rectified_covariance")
