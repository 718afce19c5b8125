"""The numbers that a planted subject is made from, and the task that it is said to be trained on."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar, final

import torch

from mesascope.instruments.identification.prompts import QUERIES, Distribution
from mesascope.seeds import generator
from mesascope.tasks import Diagonal, Gaussian, LinearRegression
from mesascope.types import Domain, Scalar

T = TypeVar("T", bound=Scalar)
ROOM = 8
"""Dimensions of the prompts for a subject that takes any number, if its task has fewer; three times as many examples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What the subjects of a panel are drawn from.

    Attributes:
        sizes: dimension and examples of the task that they are said to be trained on, to choose from.
        weights: the size of that task's weights, to choose from; its labels grow with it.
        input_scale: smallest and largest c of the covariance c·I of its inputs; half of the subjects have 1.
        steps: fewest and most steps of an iteration.
        step_size: smallest and largest, where it is not near the best one, in units of one over the largest eigenvalue of
            what the iteration steps along (the median over training prompts).
        momentum: smallest and largest. Below a tenth, a few layers cannot show it.
        label_noise: standard deviations of the labels' noise, to choose from, in units of an exact label's.
        prediction_noise: shares of the target's variance that are noise in what a layer says, to choose from.
    """

    sizes: tuple[tuple[int, int], ...] = ((5, 20), (5, 20), (3, 12), (8, 32), (6, 4))
    weights: tuple[Literal["unit", "standard"], ...] = ("unit", "standard")
    input_scale: tuple[float, float] = (1e-2, 1e2)
    steps: tuple[int, int] = (2, 16)
    step_size: tuple[float, float] = (0.05, 1.9)
    momentum: tuple[float, float] = (0.1, 0.9)
    label_noise: tuple[float, ...] = (0.0, 0.0, 0.1, 0.3)
    prediction_noise: tuple[float, ...] = (0.0, 0.0, 0.01, 0.05, 0.2)


@final
class Draw:
    """The numbers of one subject, drawn in the order in which they are asked for and kept by name.

    Attributes:
        task: what the subject is said to be trained on; the first numbers make it.
        domain: what it is said to take: any problem, or, always where examples are fewer than dimensions, problems of that
            task's sizes alone.
        scale: the variance of an input's coordinate.
        made: the numbers.
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
        takes = self.choice("takes", ("its own sizes", "any sizes" if examples >= dim else "its own sizes"))
        self.domain = Domain() if takes == "any sizes" else Domain(dims=(dim,), examples=(examples,))

    def _below(self, count: int) -> int:
        return int(torch.randint(count, (1,), generator=self._rng))

    def choice(self, name: str, options: Sequence[T]) -> T:
        """One of several, all alike."""
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
        """How many steps the iteration takes: as many as the setting says, inside these bounds."""
        low, high = self.setting.steps
        return self.whole("steps", max(low, least), min(high, most))


def designs(draw: Draw, condition: float, *, domain: Domain | None = None) -> Distribution:
    """Prompts of a subject whose XᵀX/n has a condition number, rotated anew in each; its mean eigenvalue is that of the task.

    Args:
        draw: the subject's.
        condition: exactly this one, unless the examples are fewer than the dimensions.
        domain: what the subject takes, if not what was drawn.
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
