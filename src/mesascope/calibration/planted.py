"""What a planted subject is: a network or a script whose algorithm is known, made from numbers drawn by a seed."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar, final

import torch

from mesascope.instruments.identification.prompts import Distribution
from mesascope.seeds import generator
from mesascope.tasks import LinearRegression
from mesascope.types import Scalar, Subject

T = TypeVar("T", bound=Scalar)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What the subjects of a panel are drawn from.

    Attributes:
        dim, examples: of the task that they are said to be trained on.
        steps: fewest and most steps of an iteration.
        step_size: smallest and largest; the largest must converge at the largest eigenvalue of the deciding prompts (4.7).
        momentum: smallest and largest.
        label_noise: standard deviations of the labels' noise, to choose from.
        prediction_noise: shares of the target's variance that are noise in what a layer says, to choose from.
    """

    dim: int = 5
    examples: int = 20
    steps: tuple[int, int] = (2, 7)
    step_size: tuple[float, float] = (0.05, 0.3)
    momentum: tuple[float, float] = (0.2, 0.7)
    label_noise: tuple[float, ...] = (0.0, 0.0, 0.1, 0.3)
    prediction_noise: tuple[float, ...] = (0.0, 0.0, 0.01, 0.05, 0.2)


@final
class Draw:
    """The numbers of one subject, drawn in the order in which they are asked for and kept by name."""

    def __init__(self, setting: Setting, seed: int, index: int) -> None:
        self.setting = setting
        self.seed, self.index = seed, index
        self.made: dict[str, Scalar] = {}
        self._rng = generator(seed, "calibration/settings", index)

    def choice(self, name: str, options: Sequence[T]) -> T:
        """One of several, all alike."""
        value = options[int(torch.randint(len(options), (1,), generator=self._rng))]
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

    def steps(self) -> int:
        """How many steps the iteration takes."""
        return self.whole("steps", *self.setting.steps)

    def step_size(self) -> float:
        """A step size that converges."""
        return self.number("step size", *self.setting.step_size)

    def momentum(self) -> float:
        """A momentum."""
        return self.number("momentum", *self.setting.momentum)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A kind of planted subject.

    Attributes:
        name: what it is, in a few words; a row of the confusion matrix.
        truth: the algorithm that may stand in its answer; empty if none of the candidates describes it.
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
