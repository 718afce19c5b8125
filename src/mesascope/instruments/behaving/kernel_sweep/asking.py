"""What `kernel sweep` is asked: the grid of cells, the learners in them, and what is drawn."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from mesascope.algorithms.problem import check_ridge
from mesascope.instruments.behaving.kernel_sweep.drawing import Streams
from mesascope.records.checks import check_choices, check_count
from mesascope.records.shown import shown
from mesascope.tasks import Diagonal

SOFTMAX, DESCENT, NORMALISED, RICHARDSON = (
    "softmax attention",
    "kernel descent",
    "row-normalised kernel descent",
    "Richardson iteration",
)
KERNEL_RIDGE, CROSS_VALIDATED = "kernel ridge", "kernel ridge, width by cross-validation"
LINEAR_RIDGE = "linear ridge"
PLAIN, SCALED = "as they are", "over √d"
LEARNERS = (SOFTMAX, DESCENT, NORMALISED, RICHARDSON, KERNEL_RIDGE, CROSS_VALIDATED, LINEAR_RIDGE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell at one condition number: ``temperature`` is that of the kernel, ``t`` the axis's value."""

    t: float
    scaled: bool
    temperature: float
    ridge: float
    noise: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """All combinations of these are cells.

    Attributes:
        temperatures: τ of the kernel exp(⟨x, x′⟩/τ).
        scaled: whether τ is multiplied by √d, as in attention with scaled logits.
        conditions: condition numbers of the inputs' covariance.
        ridges: λ of kernel ridge regression and of Richardson's iteration.
        noises: standard deviations of the label noise.
        near: also ask queries near the first example, as cells of their own.

    Raises:
        ValueError: an axis without values, or a value out of its range.
    """

    temperatures: tuple[float, ...] = (1.0,)
    scaled: tuple[bool, ...] = (False,)
    conditions: tuple[float, ...] = (1.0,)
    ridges: tuple[float, ...] = (0.01,)
    noises: tuple[float, ...] = (0.1,)
    near: bool = False

    def __post_init__(self) -> None:
        for name in ("temperatures", "scaled", "conditions", "ridges", "noises"):
            if not getattr(self, name):
                raise ValueError(f"{name} must hold at least one value; got (). Leave it out for the default.")
        for value in self.temperatures:
            if not 0 < value < math.inf:
                raise ValueError(
                    f"temperatures must be finite and above 0; got {shown(value)}. Pass 1.0 for plain inner products."
                )
        for value in self.conditions:
            Diagonal(condition=value)
        for value in self.ridges:
            check_ridge(value)
        for value in self.noises:
            if not 0 <= value < math.inf:
                raise ValueError(
                    f"noises must be finite and at least 0; got {shown(value)}. Pass 0.0 for exact labels."
                )

    def kernels(self, dim: int) -> dict[tuple[float, bool], float]:
        """The temperature that the kernel has for each value of the axis, scaled or not."""
        return {(t, s): t * dim**0.5 if s else t for s, t in itertools.product(self.scaled, self.temperatures)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is drawn, and who answers.

    Attributes:
        learners: those with measurements of their own, of `LEARNERS`; the network always has them.
        quantities: the names of those that are measured; empty for all.
        steps: of the iterations, one per layer.
        ridge: λ of the network's own oracle, linear ridge regression.
        streams: where prompts come from, see `drawing.Streams`.
        seeds: number of independent seeds, each with ``n`` prompts.
        network_seeds: number of these in which the network answers; None for all.

    Raises:
        ValueError: an unknown learner or stream, a number below 1, or a ridge below 0.
    """

    learners: tuple[str, ...] = LEARNERS
    quantities: tuple[str, ...] = ()
    steps: int = 8
    ridge: float = 0.01
    streams: Streams = "independent"
    seeds: int = 20
    network_seeds: int | None = None

    def __post_init__(self) -> None:
        check_choices(self)
        for name in self.learners:
            if name not in LEARNERS:
                raise ValueError(
                    f"learners must be some of {', '.join(LEARNERS)}; got {shown(name)}. Leave it out for all."
                )
        check_count("steps", self.steps)
        check_count("seeds", self.seeds)
        if self.network_seeds is not None:
            check_count("network_seeds", self.network_seeds)
        check_ridge(self.ridge)


def cells(grid: Grid, dim: int) -> Iterator[Cell]:
    """Every cell at one condition number."""
    for (t, scaled), temperature in grid.kernels(dim).items():
        for ridge, noise in itertools.product(grid.ridges, grid.noises):
            yield Cell(t=t, scaled=scaled, temperature=temperature, ridge=ridge, noise=noise)
