"""Linear regression in which every direction of the inputs counts as much for the label as any other."""

import math
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.records.shown import shown
from mesascope.tasks.linear import CHUNK, LinearRegression


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class BalancedRegression(LinearRegression):
    """Linear regression whose weights make up for the variances of the inputs: w_i is larger by 1/√λ_i.

    On inputs whose coordinates have these variances, each coordinate gives labels the same variance.

    Attributes:
        variances: λ, one for each dimension. They scale the weights alone; the inputs are those of ``inputs``.

    Raises:
        ValueError: not one positive, finite variance for each dimension, or a field that `LinearRegression` refuses.

    Source: source C, section 9.6, round 3: y = Σ_b w_bᵀx_b/√λ_b.
    """

    variances: tuple[float, ...] = (1.0,) * 5

    def __post_init__(self) -> None:
        LinearRegression.__post_init__(self)
        if len(self.variances) != self.dim or not all(0 < value < math.inf for value in self.variances):
            raise ValueError(
                f"variances must hold one positive, finite number for each of the dim={self.dim} dimensions; got "
                f"{shown(list(self.variances))}. Pass the eigenvalues of the inputs' covariance."
            )

    @property
    def weight_variance(self) -> float:
        """Prior variance of a coordinate of w, a mean over the coordinates."""
        return float(self.weight_variances.mean())

    @property
    def weight_variances(self) -> Float[Tensor, " dim"]:
        """Prior variance of each coordinate of w."""
        plain = 1 / self.dim if self.weights == "unit" else 1.0
        return plain / torch.tensor(self.variances, dtype=torch.float64)

    def _draw_weights(self, rng: torch.Generator) -> Float[Tensor, "batch dim"]:
        return torch.randn(CHUNK, self.dim, generator=rng, dtype=torch.float64) * self.weight_variances.sqrt()
