"""Linear functions of which only some inputs matter."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.records.checks import check_count
from mesascope.tasks.datasets.dataset import DataSet, Functions

LARGEST_WEIGHT = 100.0


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class InformativeRegression(DataSet):
    """y = wᵀx with standard normal inputs, of which ``informative`` have a weight, uniform from 0 to 100; all others have none.

    Which inputs matter is drawn anew for each prompt, as the weights are.

    Attributes:
        dim: number of inputs.
        informative: number of inputs that matter.

    Raises:
        ValueError: more informative inputs than there are, or what `DataSet` refuses.

    Source: scikit-learn's ``make_regression``; Vacareanu et al. 2024, section 3.
    """

    dim: int = 3
    informative: int = 3

    def __post_init__(self) -> None:
        DataSet.__post_init__(self)
        check_count("informative", self.informative)
        if self.informative > self.dim:
            raise ValueError(
                f"informative must be at most dim, the number of inputs; got informative={self.informative} and dim={self.dim}. "
                "Raise dim, or the data set is another one under its name."
            )

    def functions(self, count: int, rng: torch.Generator) -> Functions:
        sizes = LARGEST_WEIGHT * torch.rand(count, self.dim, generator=rng, dtype=torch.float64)
        order = torch.rand(count, self.dim, generator=rng).argsort(-1)
        return linear(torch.where(order < self.informative, sizes, 0.0))


def linear(weights: Float[Tensor, "batch dim"]) -> Functions:
    """Linear functions of standard normal inputs."""
    count, dim = weights.shape

    def inputs(number: int, rng: torch.Generator) -> Float[Tensor, "batch number dim"]:
        return torch.randn(count, number, dim, generator=rng, dtype=torch.float64)

    return Functions(
        inputs=inputs,
        values=lambda xs: (xs @ weights[..., None])[..., 0],
        variance=weights.square().sum(-1),
        weights=weights,
    )


__all__ = ("InformativeRegression", "linear")
