"""Distributions of the inputs: independent unit-variance coordinates, shaped by a covariance."""

import abc
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.tasks.covariance import Covariance, Identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs(abc.ABC):
    """Abstract base class of input distributions.

    Attributes:
        covariance: the covariance, or a mixture of several.
        exact: whether XᵀX/n of the *sampled* design equals the covariance exactly, not only in expectation. This needs at
            least as many examples as dimensions. Queries are not adjusted.
    """

    covariance: Covariance = field(default_factory=Identity)
    exact: bool = False

    @abc.abstractmethod
    def standard(self, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
        """Independent coordinates with mean 0 and variance 1."""

    def design(self, roots: Float[Tensor, "batch dim dim"], examples: int, rng: torch.Generator) -> Tensor:
        """Context inputs (batch, example, dim) whose covariance is R Rᵀ for each prompt's root R."""
        batch, dim, _ = roots.shape
        unit = self.standard((batch, examples, dim), rng)
        if self.exact:
            if examples < dim:
                raise ValueError(
                    "exact=True needs at least as many examples as dimensions, or XᵀX cannot have full rank; got "
                    f"examples={examples}, dim={dim}. Raise examples to {dim}."
                )
            left, _, right = torch.linalg.svd(unit, full_matrices=False)
            unit = (left @ right) * examples**0.5  # the nearest design with UᵀU/n = I
        return unit @ roots.transpose(-1, -2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gaussian(Inputs):
    """Normally distributed coordinates."""

    def standard(self, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
        return torch.randn(shape, generator=rng, dtype=torch.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Uniform(Inputs):
    """Coordinates uniform on [−√3, √3]."""

    def standard(self, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
        return (torch.rand(shape, generator=rng, dtype=torch.float64) * 2 - 1) * 3**0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Laplace(Inputs):
    """Coordinates with the Laplace (double exponential) distribution of scale 1/√2."""

    def standard(self, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
        uniform = torch.rand(shape, generator=rng, dtype=torch.float64) - 0.5
        return -uniform.sign() * torch.log1p(-2 * uniform.abs()) / 2**0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Rademacher(Inputs):
    """Coordinates ±1 with equal probability."""

    def standard(self, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
        return torch.randint(0, 2, shape, generator=rng).double() * 2 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CentredExponential(Inputs):
    """Exponentially distributed coordinates, centred: mean 0, variance 1, skewness 2."""

    def standard(self, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
        return torch.empty(shape, dtype=torch.float64).exponential_(generator=rng) - 1
