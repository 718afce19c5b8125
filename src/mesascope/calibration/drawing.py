"""The random numbers from which a planted subject is made, and its stated training task."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar, final

import torch

from mesascope.instruments.identification.prompts import QUERIES, Distribution
from mesascope.seeds import generator
from mesascope.tasks import Diagonal, Gaussian, GeneralisedLinearRegression, LinearRegression
from mesascope.types import Domain, GlmFamily, Scalar

T = TypeVar("T", bound=Scalar)
ROOM = 8
"""Prompts for a subject that accepts any sizes have at least this many dimensions, and three times as many examples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """The choices and ranges from which the subjects of a panel are drawn.

    Attributes:
        sizes: choices for (dimension, examples) of the stated training task.
        weights: choices for the size of that task's weights; its labels grow with it.
        input_scale: smallest and largest c of the covariance c·I of its inputs; half of the subjects have 1.
        steps: fewest and most steps of an iteration.
        step_size: smallest and largest step size, if it is not near the best one, in units of one over the largest
            eigenvalue of the iteration's system matrix (the median over training prompts).
        momentum: smallest and largest momentum. Below 0.1, it has no visible effect in a few layers.
        label_noise: choices for the standard deviation of the label noise, in units of an exact label's.
        prediction_noise: choices for the noise in a layer's answers, as shares of the target's variance.
        families: choices for the distribution of the labels of a generalised linear model, each with the standard deviation of
            its linear predictor; with none, tasks are linear.
    """

    sizes: tuple[tuple[int, int], ...] = ((5, 20), (5, 20), (3, 12), (8, 32), (6, 4))
    weights: tuple[Literal["unit", "standard"], ...] = ("unit", "standard")
    input_scale: tuple[float, float] = (1e-2, 1e2)
    steps: tuple[int, int] = (2, 16)
    step_size: tuple[float, float] = (0.05, 1.9)
    momentum: tuple[float, float] = (0.1, 0.9)
    label_noise: tuple[float, ...] = (0.0, 0.0, 0.1, 0.3)
    prediction_noise: tuple[float, ...] = (0.0, 0.0, 0.01, 0.05, 0.2)
    families: tuple[tuple[GlmFamily, float], ...] = ()


@final
class Draw:
    """The random numbers of one subject, drawn in the order of the calls and kept by name.

    Attributes:
        task: the stated training task of the subject, made from the first numbers.
        generalised: the one with binary labels or counts, which is then the subject's; None in other settings.
        domain: the stated domain: any problem, or only problems of the task's sizes (always so if there are fewer examples
            than dimensions).
        scale: the variance of an input's coordinate.
        made: the numbers drawn so far, by name.
    """

    def __init__(self, setting: Setting, seed: int, index: int) -> None:
        self.setting = setting
        self.seed, self.index = seed, index
        self.made: dict[str, Scalar] = {}
        self._rng = generator(seed, "calibration/drawn", index)
        dim, examples = setting.sizes[self._below(len(setting.sizes))]
        self.made |= {"dim": dim, "examples": examples}
        weights = self.choice("weights", setting.weights)
        self.scale = self.number("input scale", *(setting.input_scale if self._below(2) else (1.0, 1.0)))
        inputs = Gaussian(covariance=Diagonal(condition=1.0, size=self.scale))
        exact = LinearRegression(dim=dim, examples=examples, weights=weights, inputs=inputs)
        label = math.sqrt(self.scale * dim * exact.weight_variance)
        self.task = dataclasses.replace(exact, noise=self.choice("label noise", setting.label_noise) * label)
        self.generalised: GeneralisedLinearRegression | None = None
        if setting.families:
            family, strength = setting.families[self._below(len(setting.families))]
            self.made |= {"family": family, "strength": strength}
            self.generalised = GeneralisedLinearRegression(
                dim=dim, examples=examples, inputs=inputs, family=family, strength=strength
            )
        takes = self.choice("takes", ("its own sizes", "any sizes" if examples >= dim else "its own sizes"))
        self.domain = Domain() if takes == "any sizes" else Domain(dims=(dim,), examples=(examples,))

    def _below(self, count: int) -> int:
        return int(torch.randint(count, (1,), generator=self._rng))

    def choice(self, name: str, options: Sequence[T]) -> T:
        """One of several options, with equal probability."""
        value = options[self._below(len(options))]
        self.made[name] = value
        return value

    def whole(self, name: str, low: int, high: int) -> int:
        """A whole number from ``low`` to ``high``, both included."""
        return self.choice(name, range(low, high + 1))

    def number(self, name: str, low: float, high: float) -> float:
        """A number between two positive bounds, uniform in its logarithm, rounded to three digits."""
        unit = float(torch.rand(1, generator=self._rng, dtype=torch.float64))
        value = float(f"{low * math.exp(unit * math.log(high / low)):.3g}")
        self.made[name] = value
        return value

    def steps(self, least: int = 1, most: int = 1000) -> int:
        """The number of steps of the iteration, drawn from the setting's range within these bounds."""
        low, high = self.setting.steps
        return self.whole("steps", max(low, least), min(high, most))


def designs(draw: Draw, condition: float, *, domain: Domain | None = None) -> Distribution:
    """Prompts for a subject with a given condition number of XᵀX/n, randomly rotated in each; its mean eigenvalue is the task's.

    Args:
        draw: the subject's random numbers.
        condition: the condition number; exact unless there are fewer examples than dimensions.
        domain: the subject's domain, if it is not the drawn one.
    """
    task, domain = draw.task, draw.domain if domain is None else domain
    dim = max(task.dim, ROOM) if domain.dims is None else task.dim
    examples = max(task.examples, 3 * dim) if domain.examples is None else task.examples
    inputs = Gaussian(covariance=Diagonal(condition=condition, size=draw.scale, rotate=True), exact=examples >= dim)
    queries = Gaussian(covariance=Diagonal(condition=1.0, size=draw.scale))
    return Distribution(
        name="given",
        words=f"κ of XᵀX = {condition:g}",
        task=dataclasses.replace(
            task, dim=dim, examples=examples, queries=QUERIES, inputs=inputs, query_inputs=queries
        ),
    )
