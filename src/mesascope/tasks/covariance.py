"""Covariances of the inputs, which determine the conditioning of the problems.

`Identity`, `Diagonal` and `Toeplitz` have *mean eigenvalue 1* (trace equal to the dimension) unless ``scale`` or ``size`` says
otherwise, so that changing the condition number does not also change the size of the inputs. `Eigenvalues` and `LogUniform`
are not rescaled.
"""

import abc
import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.records.checks import check_choices
from mesascope.records.shown import shown
from mesascope.seeds import generator

Scale = Literal["mean", "largest", "smallest", "determinant"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Covariance(abc.ABC):
    """Abstract base class. With ``rotate``, each prompt's eigenvectors are rotated by a random rotation (Haar measure)."""

    rotate: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """One name for each member of the mixture; prompts take them in turn."""
        return (type(self).__name__.lower(),)

    @abc.abstractmethod
    def eigenvalues(self, dim: int, member: int, count: int, rng: torch.Generator) -> Float[Tensor, "count dim"]:
        """Eigenvalues for ``count`` prompts of a member of the mixture."""

    def mean_eigenvalue(self, dim: int) -> float:
        """The mean eigenvalue over all members; if eigenvalues are random, over 256 prompts."""
        rng = generator(0, "covariance/mean eigenvalue")
        return float(torch.stack([self.eigenvalues(dim, m, 256, rng) for m in range(len(self.names))]).mean())

    def basis(self, dim: int) -> Float[Tensor, "dim dim"]:
        """Eigenvectors (columns) before any rotation."""
        return torch.eye(dim, dtype=torch.float64)

    def roots(self, dim: int, indices: Tensor, seed: int, stream: str, chunk: int) -> Float[Tensor, "batch dim dim"]:
        """Matrices R with R Rᵀ = Σ, one for each prompt of a chunk: R = V √Λ, the scaled eigenvectors.

        Args:
            dim: dimension of the inputs.
            indices: the prompts' running numbers; a prompt's number modulo the size of the mixture selects its member.
            seed, stream, chunk: the arguments of the random generator.
        """
        rng = generator(seed, f"{stream}/eigenvalues", chunk)
        per_member = [self.eigenvalues(dim, m, len(indices), rng) for m in range(len(self.names))]
        member = indices % len(self.names)
        values = torch.stack(per_member)[member, torch.arange(len(indices))]
        basis = self.basis(dim).expand(len(indices), dim, dim)
        if self.rotate:
            basis = rotations(len(indices), dim, generator(seed, f"{stream}/rotation", chunk)) @ basis
        return basis * values.sqrt()[:, None, :]


def rotations(count: int, dim: int, rng: torch.Generator) -> Float[Tensor, "count dim dim"]:
    """Orthogonal matrices from the Haar measure (QR of a Gaussian matrix, signs fixed; Mezzadri 2007)."""
    gaussian = torch.randn(count, dim, dim, generator=rng, dtype=torch.float64)
    q, r = torch.linalg.qr(gaussian)
    return q * r.diagonal(dim1=-2, dim2=-1).sign()[:, None, :]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity(Covariance):
    """Isotropic inputs."""

    def eigenvalues(self, dim: int, member: int, count: int, rng: torch.Generator) -> Float[Tensor, "count dim"]:
        return torch.ones(count, dim, dtype=torch.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagonal(Covariance):
    """Eigenvalues log-spaced from the largest down to the smallest, axis-aligned unless rotated.

    Attributes:
        condition: largest over smallest eigenvalue; several values make a mixture, which prompts take in turn.
        scale: the quantity that is set to ``size``: the ``mean`` eigenvalue, the ``largest``, the ``smallest``, or their
            geometric mean (``determinant``).
        size: the square of the inputs' unit.

    Raises:
        ValueError: no condition number, one below 1 or not finite, an unknown scale, or a size that is not positive and
            finite; on sampling, a condition number above 1 in one dimension.
    """

    condition: float | tuple[float, ...] = 10.0
    scale: Scale = "mean"
    size: float = 1.0

    def __post_init__(self) -> None:
        check_choices(self)
        if not 0 < self.size < math.inf:
            raise ValueError(
                f"size must be finite and above 0; got {self.size}. It is an eigenvalue, that is, a variance: pass 1.0 for "
                "inputs of unit scale."
            )
        if not self.conditions:
            raise ValueError("condition must hold at least one number; got (). Pass 1.0 for isotropic inputs.")
        for value in self.conditions:
            _check_condition(value)

    @property
    def conditions(self) -> tuple[float, ...]:
        return self.condition if isinstance(self.condition, tuple) else (self.condition,)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"κ={c:g}" for c in self.conditions)

    def eigenvalues(self, dim: int, member: int, count: int, rng: torch.Generator) -> Float[Tensor, "count dim"]:
        if dim == 1 and self.conditions[member] > 1:
            raise ValueError(
                f"condition must be 1 in one dimension, which has one eigenvalue; got {self.conditions[member]:g}. "
                "Raise dim to 2 or more."
            )
        exponents = torch.linspace(0, -1, dim, dtype=torch.float64) if dim > 1 else torch.zeros(1, dtype=torch.float64)
        return (self.size * rescale(self.conditions[member] ** exponents, self.scale)).expand(count, dim)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogUniform(Covariance):
    """Eigenvalues drawn independently and log-uniformly from [low, high]: every order of magnitude is equally likely.

    Raises:
        ValueError: not 0 < low ≤ high, both finite.
    """

    low: float = 0.01
    high: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.low <= self.high < math.inf:
            raise ValueError(
                f"low and high must be finite and satisfy 0 < low <= high; got low={self.low}, high={self.high}. "
                "Eigenvalues are variances: pass, for example, 0.01 and 2.0."
            )

    def eigenvalues(self, dim: int, member: int, count: int, rng: torch.Generator) -> Float[Tensor, "count dim"]:
        uniform = torch.rand(count, dim, generator=rng, dtype=torch.float64)
        return self.low * (self.high / self.low) ** uniform


@dataclass(frozen=True, slots=True, kw_only=True)
class Eigenvalues(Covariance):
    """Given eigenvalues, which are never rescaled.

    Raises:
        ValueError: no values, or one that is not positive and finite; on sampling, if their number is not the dimension.
    """

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.values or not all(0 < value < math.inf for value in self.values):
            raise ValueError(
                f"values must be positive, finite eigenvalues, at least one; got {shown(self.values)}. For a direction "
                "without variance pass a small number, such as 1e-6."
            )

    def eigenvalues(self, dim: int, member: int, count: int, rng: torch.Generator) -> Float[Tensor, "count dim"]:
        if len(self.values) != dim:
            raise ValueError(
                f"values must hold one eigenvalue for each of the {dim} dimensions; got {len(self.values)}. Pass {dim} "
                f"values, or set dim={len(self.values)}."
            )
        return torch.tensor(self.values, dtype=torch.float64).expand(count, dim)


@dataclass(frozen=True, slots=True, kw_only=True)
class Toeplitz(Covariance):
    """Correlated inputs: Σᵢⱼ = correlation^|i−j| (unit variances). In five dimensions, 0.75 gives condition number 21.

    Raises:
        ValueError: a correlation outside (−1, 1).
    """

    correlation: float = 0.75

    def __post_init__(self) -> None:
        if not -1 < self.correlation < 1:
            raise ValueError(
                f"correlation must lie between -1 and 1, both excluded; got {shown(self.correlation)}. Pass 0.99 for inputs "
                "that are nearly equal."
            )

    def _eigen(self, dim: int) -> tuple[Tensor, Tensor]:
        index = torch.arange(dim, dtype=torch.float64)
        return torch.linalg.eigh(torch.tensor(self.correlation, dtype=torch.float64) ** (index[:, None] - index).abs())

    def eigenvalues(self, dim: int, member: int, count: int, rng: torch.Generator) -> Float[Tensor, "count dim"]:
        return self._eigen(dim)[0].expand(count, dim)

    def basis(self, dim: int) -> Float[Tensor, "dim dim"]:
        return self._eigen(dim)[1]


def rescale(values: Tensor, scale: Scale) -> Tensor:
    """Eigenvalues times the factor that sets the quantity named by ``scale`` to 1."""
    reference = {
        "mean": lambda: values.mean(),
        "largest": lambda: values.max(),
        "smallest": lambda: values.min(),
        "determinant": lambda: values.log().mean().exp(),
    }[scale]()
    return values / reference


def _check_condition(value: float) -> None:
    if not 1 <= value < float("inf"):
        remedy = f"pass {1 / value:g} for this ratio" if 0 < value < 1 else "pass 1.0 for isotropic inputs"
        raise ValueError(
            f"condition must be at least 1 and finite; got {value:g}. A condition number is the largest over the "
            f"smallest eigenvalue: {remedy}."
        )
