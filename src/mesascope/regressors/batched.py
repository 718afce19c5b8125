"""Regressors for all prompts at once: this package's algorithms, and two baselines."""

import math
from dataclasses import dataclass, replace
from typing import Literal, final

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms import Algorithm, run
from mesascope.records.checks import check_choices, check_count
from mesascope.records.shown import shown
from mesascope.regressors.regressor import check_examples
from mesascope.seeds import generator
from mesascope.types import Prompts

Preparation = Literal["none", "centred", "standardised"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class AlgorithmRegressor:
    """An algorithm of this package as a regressor, in double precision.

    Attributes:
        name: its name in tables.
        algorithm: the algorithm.
        steps: after how many steps it answers; closed forms take one.
        prepared: what is done to a prompt's numbers first. ``centred``: the examples' means are subtracted from inputs and
            labels, and the answer is given the labels' mean back; so a linear method has an intercept. ``standardised``: inputs
            are divided by the examples' standard deviations too (one that is zero is left out).

    Raises:
        ValueError: fewer than one step, or an unknown preparation.
    """

    name: str
    algorithm: Algorithm
    steps: int = 1
    prepared: Preparation = "none"

    def __post_init__(self) -> None:
        check_choices(self)
        check_count("steps", self.steps)

    def predict(self, prompts: Prompts, *, seed: int = 0) -> Float[Tensor, "batch query"]:
        """The answers; NaN where the algorithm diverges. See `mesascope.regressors.Regressor`."""
        check_examples(prompts)
        p = prompts.to(dtype=torch.float64)
        if self.prepared == "none":
            return run(self.algorithm, p, self.steps).predictions[-1].to(prompts.ys.dtype)
        mean, level = p.xs.mean(1, keepdim=True), p.ys.mean(1, keepdim=True)
        unit = torch.ones_like(mean)
        if self.prepared == "standardised":
            spread = p.xs.std(1, keepdim=True, unbiased=False)
            unit = torch.where(spread > 0, spread, 1.0)
        ready = replace(p, xs=(p.xs - mean) / unit, queries=(p.queries - mean) / unit, ys=p.ys - level, weights=None)
        return (run(self.algorithm, ready, self.steps).predictions[-1] + level).to(prompts.ys.dtype)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class RandomLabel:
    """The label of one example, whatever the query: the one at a place that the seed chooses, the same for all prompts."""

    name: str = "random-label"

    def predict(self, prompts: Prompts, *, seed: int = 0) -> Float[Tensor, "batch query"]:
        """The answers. See `mesascope.regressors.Regressor`."""
        check_examples(prompts)
        place = int(torch.randint(prompts.examples, (), generator=generator(seed, "regressors/random-label")))
        return prompts.ys[:, place, None].repeat(1, prompts.queries.shape[1])


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """The same number, whatever the prompt.

    Attributes:
        name: its name in tables.
        value: the number.

    Raises:
        ValueError: a value that is not finite.
    """

    name: str = "constant"
    value: float = 0.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise ValueError(f"value must be finite; got {shown(self.value)}. Pass the number that is always answered.")

    def predict(self, prompts: Prompts, *, seed: int = 0) -> Float[Tensor, "batch query"]:
        """The answers. See `mesascope.regressors.Regressor`."""
        check_examples(prompts)
        return torch.full_like(prompts.targets, self.value)


__all__ = ("AlgorithmRegressor", "Constant", "Preparation", "RandomLabel")
