"""What a planted subject is: a network or a script whose algorithm is known, made from numbers drawn by a seed."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeVar, final

import torch

from mesascope.algorithms import Algorithm, Problem, tuned
from mesascope.instruments.identification.prompts import Distribution, discriminating, training
from mesascope.seeds import generator
from mesascope.tasks import Eigenvalues, Gaussian, LinearRegression
from mesascope.types import Domain, Prompts, Scalar, Subject

T = TypeVar("T", bound=Scalar)
NONE = "none"
"""A right answer where no candidate describes the subject."""
JITTER = 1.25
"""Tuned coefficients are multiplied by up to this, or divided by it, each by its own amount."""
BOUNDED = frozenset({"momentum", "curvature", "smallest", "scale"})
"""Coefficients whose tuned values are kept inside the range that others are drawn from: beyond it they have no effect, as a
momentum near 0, or the answers are soon infinite, where a power of what is left is taken in every step (GD++, Newton–Schulz)."""
SHOWN = 64
"""Prompts that coefficients are tuned to, and whose largest eigenvalues are their unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What the subjects of a panel are drawn from.

    Attributes:
        sizes: dimension and examples of the task that they are said to be trained on, to choose from.
        weights: the size of that task's weights, to choose from; its labels grow with it.
        input_scale: smallest and largest c of the covariance c·I of its inputs; half of the subjects have 1.
        steps: fewest and most steps of an iteration.
        step_size: smallest and largest, where it is not near the best one, in units of one over the largest eigenvalue of XᵀX/n
            (the median over training prompts). Above 1 the iteration diverges on some of the prompts that discriminate, at
            2 on half of the training prompts.
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

    The first of them make its task. What stands beside an eigenvalue of XᵀX/n is drawn in units of the largest one.

    Attributes:
        task: what the subject is said to be trained on.
        domain: what it takes: any problem or, always with fewer examples than dimensions, that task's sizes alone.
        scale: the variance of an input's coordinate.
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
        inputs = Gaussian(covariance=Eigenvalues(values=(self.scale,) * dim))
        exact = LinearRegression(dim=dim, examples=examples, weights=weights, inputs=inputs)
        label = math.sqrt(self.scale * dim * exact.weight_variance)
        self.task = dataclasses.replace(exact, noise=self.choice("label noise", setting.label_noise) * label)
        fixed = self.choice("takes", ("any sizes", "its own sizes")) == "its own sizes" or examples < dim
        self.domain = Domain(dims=(dim,), examples=(examples,)) if fixed else Domain()

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

    def steps(self, most: int = 1000) -> int:
        """How many steps the iteration takes, ``most`` of them at the most."""
        low, high = self.setting.steps
        return self.whole("steps", low, min(high, most))

    def step_size(self) -> float:
        """A step size, from far too small to one that is too large for some prompts."""
        low, high = self.setting.step_size
        return self.number("step size", low / self.largest, high / self.largest)

    def coefficients(self, algorithm: Algorithm, steps: int) -> dict[str, float]:
        """Numbers that hold for all prompts, by name: twice in three near the best ones for the task, else anywhere.

        Args:
            algorithm: any member of the family.
            steps: after which the best are best.
        """
        near = self.choice("coefficients", ("tuned", "tuned", "drawn")) == "tuned"
        found = {}
        for name, best in _numbers(tuned(algorithm, self._shown, steps)).items():
            low, high = self._range(name)
            if near and name in BOUNDED:
                low, high = (min(max(bound, low), high) for bound in (best / JITTER, best * JITTER))
            elif near:
                low, high = best / JITTER, best * JITTER
            found[name] = self.number(name.replace("_", " "), low, high)
        return found

    def _range(self, name: str) -> tuple[float, float]:
        """Where a coefficient is drawn from."""
        size, asked = self.largest, self._largest_asked
        low, high = self.setting.step_size
        return {
            "step_size": (low / size, high / size),
            "momentum": self.setting.momentum,
            "curvature": (0.03 / size, min(0.5 / size, 1.2 / asked)),
            "smallest": (0.01 * size, 0.4 * size),
            "largest": (0.9 * size, 3 * size),
            "scale": (low / asked, 1.2 / asked),
        }[name]

    @cached_property
    def largest(self) -> float:
        """The median over training prompts of the largest eigenvalue of XᵀX/n."""
        return float(Problem.of(self._shown).bounds[1].median())

    @cached_property
    def _shown(self) -> Prompts:
        return self.task.sample(SHOWN, seed=self.seed, stream=f"calibration/training/{self.index}")

    @cached_property
    def _largest_asked(self) -> float:
        """The largest eigenvalue on the prompts that the subject is identified on."""
        asked = discriminating(self.task, self.domain) or training(self.task)
        return float(Problem.of(asked.task.sample(256, seed=self.seed, stream="calibration/asked")).bounds[1].max())


def _numbers(algorithm: Algorithm) -> dict[str, float]:
    """The coefficients of a tuned algorithm, as constructions call them."""
    fields = {field.name: getattr(algorithm, field.name) for field in dataclasses.fields(algorithm)}
    if "bounds" in fields:
        fields["smallest"], fields["largest"] = fields["bounds"]
    return {name: value for name, value in fields.items() if isinstance(value, float)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A kind of planted subject.

    Attributes:
        name: what it is, in a few words; a row of the table of kinds.
        truth: the algorithms that may stand in its answer, with `NONE` where no candidate reproduces it, so that none is right
            too; empty if nothing but none is right.
        make: a subject from drawn numbers.
        share: how many of 200 subjects are of this kind.
        on: the distribution that it is identified on; None for the prompts that discriminate.
        noisy: whether what its layers say may carry noise.
    """

    name: str
    truth: tuple[str, ...]
    make: Callable[[Draw], Subject]
    share: int
    on: Callable[[LinearRegression], Distribution] | None = None
    noisy: bool = True

    @property
    def described(self) -> bool:
        """Whether a candidate reproduces it."""
        return bool(self.truth) and NONE not in self.truth


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Planted:
    """One subject of a panel.

    Attributes:
        case: its kind.
        clean: the subject as it was made.
        subject: the same in disguise: its stream rotated, its layers' answers noisy.
        task: what it is said to be trained on.
        distribution: what it is identified on; None for the prompts that discriminate.
        settings: the numbers it was made from.
    """

    case: Case
    clean: Subject
    subject: Subject
    task: LinearRegression
    distribution: Distribution | None
    settings: dict[str, Scalar]
