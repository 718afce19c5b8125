"""Linear regression in which every direction of the inputs counts as much for the label as any other."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.tasks.covariance import Eigenvalues
from mesascope.tasks.linear import CHUNK, LinearRegression


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class BalancedRegression(LinearRegression):
    """Linear regression whose weights in an eigen-direction are larger by 1/√λ: each direction gives labels the same variance.

    Raises:
        ValueError: inputs whose covariance is not given by `Eigenvalues` without rotation, or a field that `LinearRegression`
            refuses.

    Source: source C, section 9.6, round 3: y = Σ_b w_bᵀx_b/√λ_b.
    """

    def __post_init__(self) -> None:
        LinearRegression.__post_init__(self)
        covariance = self.inputs.covariance
        if not isinstance(covariance, Eigenvalues) or covariance.rotate:
            raise ValueError(
                f"inputs must have a covariance of given eigenvalues, without rotation, so that weights can be scaled by them; "
                f"got {type(covariance).__name__}, rotate={covariance.rotate}. Pass Gaussian(covariance=Eigenvalues(values=…))."
            )

    @property
    def weight_variance(self) -> float:
        """Prior variance of a coordinate of w, a mean over the coordinates."""
        return float((self._variance / self._eigenvalues).mean())

    @property
    def _variance(self) -> float:
        return 1 / self.dim if self.weights == "unit" else 1.0

    @property
    def _eigenvalues(self) -> Float[Tensor, " dim"]:
        assert isinstance(self.inputs.covariance, Eigenvalues)
        return torch.tensor(self.inputs.covariance.values, dtype=torch.float64)

    def _draw_weights(self, rng: torch.Generator) -> Float[Tensor, "batch dim"]:
        plain = torch.randn(CHUNK, self.dim, generator=rng, dtype=torch.float64) * self._variance**0.5
        return plain / self._eigenvalues.sqrt()
