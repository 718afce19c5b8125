"""Fixed functions of several numbers: Friedman's three, and five of Vacareanu and others."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal, cast, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.tasks.datasets.dataset import DataSet, Functions

FormulaName = Literal[
    "friedman-1", "friedman-2", "friedman-3", "original-1", "original-2", "original-3", "original-4", "original-5"
]
NODES = {1: 400, 2: 200, 3: 80, 4: 32, 5: 16}
"""Quadrature nodes for each input, by the number of inputs: the variances are then right to 1e-4."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Formula:
    """A function of inputs that are independent and uniform.

    Attributes:
        low, high: each input's range.
        values: the function; inputs are on the last axis.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    values: Callable[[Float[Tensor, "*shape dim"]], Float[Tensor, "*shape"]]


def _friedman_1(x: Float[Tensor, "*shape dim"]) -> Float[Tensor, "*shape"]:
    a, b, c, d, e = x.unbind(-1)
    return 10 * torch.sin(math.pi * a * b) + 20 * (c - 0.5) ** 2 + 10 * d + 5 * e


def _reactance(x: Float[Tensor, "*shape dim"]) -> Float[Tensor, "*shape"]:
    """The part that Friedman's second and third function share: ωL − 1/(ωC) of an alternating-current circuit."""
    return x[..., 1] * x[..., 2] - 1 / (x[..., 1] * x[..., 3])


def _friedman_2(x: Float[Tensor, "*shape dim"]) -> Float[Tensor, "*shape"]:
    return (x[..., 0] ** 2 + _reactance(x) ** 2).sqrt()


def _friedman_3(x: Float[Tensor, "*shape dim"]) -> Float[Tensor, "*shape"]:
    return torch.atan2(_reactance(x), x[..., 0])  # the first input is not negative, and may be rounded to 0


def _original_1(x: Float[Tensor, "*shape dim"]) -> Float[Tensor, "*shape"]:
    share = math.pi * x[..., 0] / 100
    return x[..., 0] + 10 * torch.sin(5 * share) + 10 * torch.cos(6 * share)


def _original_2(x: Float[Tensor, "*shape dim"]) -> Float[Tensor, "*shape"]:
    a, b, c, d = x.unbind(-1)
    return (a**4 + (b * c - 2 / (b.sqrt() * d.sqrt())) ** 2) ** 0.75


def _original_3(x: Float[Tensor, "*shape dim"]) -> Float[Tensor, "*shape"]:
    a, b, c, d = x.unbind(-1)
    return a.exp() + b * c / d.sqrt() + (d * a) ** 1.5


def _original_4(x: Float[Tensor, "*shape dim"]) -> Float[Tensor, "*shape"]:
    a, b = x.unbind(-1)
    return b / 10 * a.sin() + a / 10 * b.cos() + a.sqrt() * b.log() / (b.sqrt() * a.log())


def _original_5(x: Float[Tensor, "*shape dim"]) -> Float[Tensor, "*shape"]:
    return 100 * (x / 10).softmax(-1).amax(-1)


_CIRCUIT = {"low": (0.0, 40 * math.pi, 0.0, 1.0), "high": (100.0, 560 * math.pi, 1.0, 11.0)}
FORMULAS: Mapping[FormulaName, Formula] = {
    "friedman-1": Formula(low=(0.0,) * 5, high=(1.0,) * 5, values=_friedman_1),
    "friedman-2": Formula(**_CIRCUIT, values=_friedman_2),
    "friedman-3": Formula(**_CIRCUIT, values=_friedman_3),
    "original-1": Formula(low=(0.0,), high=(100.0,), values=_original_1),
    "original-2": Formula(low=(0.0, 4 * math.pi, 0.0, 1.0), high=(3.0, 56 * math.pi, 2.0, 11.0), values=_original_2),
    "original-3": Formula(low=(1.0, 1.0, 0.0, 1.0), high=(3.0, 10.0, 10.0, 20.0), values=_original_3),
    "original-4": Formula(low=(2.0, 2.0), high=(100.0, 100.0), values=_original_4),
    "original-5": Formula(low=(-25.0,) * 3, high=(25.0,) * 3, values=_original_5),
}


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class FormulaRegression(DataSet):
    """A fixed function of uniform inputs, the same for all prompts: a learner that knows it needs no examples.

    Attributes:
        formula: which function.

    Source: Friedman 1991, eqs. 56, 61 and 62 (as in scikit-learn's ``make_friedman1`` to ``make_friedman3``, with no inputs
    beside those that matter); Vacareanu et al. 2024, appendix (the original functions).
    """

    formula: FormulaName = "friedman-1"

    @property
    def dim(self) -> int:
        """The number of the function's inputs."""
        found = FORMULAS.get(self.formula)
        return 1 if found is None else len(found.low)  # an unknown formula is refused by `check_choices`

    def functions(self, count: int, rng: torch.Generator) -> Functions:
        formula = FORMULAS[self.formula]
        low, high = torch.tensor([formula.low, formula.high], dtype=torch.float64)

        def inputs(number: int, rng: torch.Generator) -> Float[Tensor, "batch number dim"]:
            return low + (high - low) * torch.rand(count, number, len(low), generator=rng, dtype=torch.float64)

        variance = torch.full((count,), formula_variance(self.formula), dtype=torch.float64)
        return Functions(inputs=inputs, values=formula.values, variance=variance)


@cache
def formula_variance(name: FormulaName) -> float:
    """The variance of a formula over its inputs, by Gauss–Legendre quadrature along every axis."""
    formula = FORMULAS[name]
    places, weights = np.polynomial.legendre.leggauss(NODES[len(formula.low)])
    unit, mass = torch.from_numpy(cast(np.ndarray, places + 1) / 2), torch.from_numpy(weights / 2)
    axes = [low + (high - low) * unit for low, high in zip(formula.low, formula.high, strict=True)]
    values = formula.values(torch.stack(torch.meshgrid(*axes, indexing="ij"), -1))

    def mean(table: Tensor) -> Tensor:
        for _ in axes:
            table = table @ mass
        return table

    return float(mean((values - mean(values)).square()))


__all__ = ("FORMULAS", "Formula", "FormulaName", "FormulaRegression", "formula_variance")
