"""One-parameter families of learners."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from mesascope.algorithms import RBF, Algorithm, Exponential, KernelRidge, NadarayaWatson, Ridge


@dataclass(frozen=True, slots=True, kw_only=True)
class Learners:
    """Learners that differ in one positive parameter.

    Attributes:
        name, parameter: what the family and its parameter are called in reports.
        member: returns the learner at a value; its answer after one step is compared.
        values: the values for which the match is shown, in ascending order.

    Raises:
        ValueError: there are fewer than three values, or they are not positive and ascending.
    """

    name: str
    parameter: str
    member: Callable[[float], Algorithm]
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.values) < 3 or self.values[0] <= 0 or list(self.values) != sorted(set(self.values)):
            raise ValueError(
                f"values must be at least 3, positive and ascending; got {self.values}. Make them with log_spaced."
            )

    @property
    def grid(self) -> tuple[float, ...]:
        """The values among which the best one is sought: those shown, and two between each and the next."""
        steps = zip(self.values, self.values[1:], strict=False)
        return (*(a * (b / a) ** (k / 3) for a, b in steps for k in range(3)), self.values[-1])

    @property
    def between(self) -> float:
        """A value near the middle, half-way (in logarithm) between two of ``values``."""
        middle = len(self.values) // 2
        return math.sqrt(self.values[middle - 1] * self.values[middle])


def log_spaced(low: float, high: float, count: int) -> tuple[float, ...]:
    """``count`` values from ``low`` to ``high``, evenly spaced on a logarithmic scale."""
    return tuple(torch.logspace(math.log10(low), math.log10(high), count, dtype=torch.float64).tolist())


KERNEL_PENALTY = 0.01
"""λ of kernel ridge regression, the same for all members, which differ in the kernel's parameter."""

RIDGE = Learners(name="ridge", parameter="λ", member=lambda v: Ridge(ridge=v), values=log_spaced(1e-3, 1e2, 21))
SMOOTHERS = (
    Learners(
        name="Nadaraya–Watson, RBF",
        parameter="bandwidth",
        member=lambda v: NadarayaWatson(kernel=RBF(bandwidth=v)),
        values=log_spaced(0.2, 5, 13),
    ),
    Learners(
        name="Nadaraya–Watson, exponential",
        parameter="temperature",
        member=lambda v: NadarayaWatson(kernel=Exponential(temperature=v)),
        values=log_spaced(0.2, 20, 13),
    ),
)
KERNEL_RIDGE = (
    Learners(
        name="kernel ridge, RBF",
        parameter="bandwidth",
        member=lambda v: KernelRidge(kernel=RBF(bandwidth=v), ridge=KERNEL_PENALTY),
        values=log_spaced(0.5, 50, 13),
    ),
    Learners(
        name="kernel ridge, exponential",
        parameter="temperature",
        member=lambda v: KernelRidge(kernel=Exponential(temperature=v), ridge=KERNEL_PENALTY),
        values=log_spaced(1, 1000, 13),
    ),
)
FAMILIES = (RIDGE, *SMOOTHERS, *KERNEL_RIDGE)
"""The default families, ridge first. Kernel ridge regression with the linear kernel is ridge, so it is not listed again."""
