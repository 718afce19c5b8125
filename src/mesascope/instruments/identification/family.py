"""What a candidate is: a family of algorithms, and the coefficients that are fitted."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

import numpy as np
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms import Algorithm

CoefficientValue = float | Tensor
GENERALISED = "glm-"
"""How the names of algorithms for a generalised linear model begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coefficient:
    """A number to fit, searched on a grid between bounds and then refined continuously.

    Attributes:
        name: the algorithm's name for it.
        low, high: the bounds, for inputs whose mean eigenvalue is 1.
        scale: the scale on which the grid is evenly spaced.
        power: the power of the inputs' mean eigenvalue with which the bounds scale (−1 for a step size).
        noticeable: for a coefficient without which a family is a smaller one: the least value that makes it another algorithm,
            for inputs whose mean eigenvalue is 1.
        layer: the layer whose coefficient it is, counted from 1; ``None`` if it is the same for all layers.
        density: how many times more grid points than usual: where iterations amplify a small change of it, minima are narrow.
    """

    name: str
    low: float
    high: float
    scale: Literal["log", "linear"] = "log"
    power: float = 0.0
    layer: int | None = None
    noticeable: float | None = None
    density: int = 1

    @property
    def words(self) -> str:
        """Its name in results."""
        return self.name if self.layer is None else f"{self.name.replace('_', ' ')} of layer {self.layer}"

    def at(self, size: float) -> "Coefficient":
        """The coefficient with the bounds for inputs of mean eigenvalue ``size``."""
        unit = size**self.power
        least = None if self.noticeable is None else self.noticeable * unit
        return replace(self, low=self.low * unit, high=self.high * unit, power=0.0, noticeable=least)

    def grid(self, count: int) -> list[float]:
        """Evenly spaced values on the coefficient's scale."""
        return [self.decode(u) for u in np.linspace(0, 1, count)]

    def decode(self, unit: float) -> float:
        """The value at a place in [0, 1] of the coefficient's range; places outside are clipped."""
        unit = min(max(float(unit), 0.0), 1.0)
        if self.scale == "linear":
            return self.low + unit * (self.high - self.low)
        return self.low * (self.high / self.low) ** unit

    def encode(self, value: float) -> float:
        """The inverse of `decode`; values beyond a bound are replaced by the bound."""
        value = min(max(value, self.low), self.high)
        if self.scale == "linear":
            return (value - self.low) / (self.high - self.low)
        return float(np.log(value / self.low) / np.log(self.high / self.low))


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A candidate.

    Attributes:
        name: the algorithm's name, followed by ``:variant`` if its coefficients' scope or its start is not the default.
        make: returns the algorithm with the given coefficients.
        coefficients: the coefficients to fit on the fitting half, one set for all prompts, as a network with fixed weights
            can hold. Empty for algorithms without coefficients, and for those that compute them from each prompt.
        iterative: whether it has a path; closed forms have none and answer the question of the function only.
        filter: the algorithm (with the same coefficients) whose response f(λ) the family applies to all prompts, so that
            it can be computed channel by channel; ``None`` if the family is no such filter.
        scaled: whether its channels are those of the inputs divided by their root mean squares (Jacobi preconditioning).
        batched: whether its coefficients may differ between prompts, so that many members run at once, each on its own copy of
            the prompts. Only for a family without a filter, whose members would otherwise run one by one.
        examples: whether it needs the examples themselves, not only XᵀX and Xᵀy; its coarse search then has fewer prompts.
        unit: the coefficient in whose units the inputs are measured, so that it is applied by dividing them; empty if none is.
        curved: whether its answers are not linear in the query. It is offered only to subjects of which the same is true.
        raw: whether it reads labels that are binary or counts as they are; all others read linear predictors (see `Runner`).
        longest: the largest number of steps that is tried for the question of the function, if less than for others.
        composes: whether several steps are one step with another coefficient. Then their number says nothing of the function, and
            no layer takes more than one.
        contains: the smaller families that it equals where a coefficient has no effect, each with a function from the smaller
            family's coefficients to this one's (infinity stands for the nearest bound). With noise the fitted coefficient
            comes out near that value, not at it; the larger family is then not counted as another answer. Of a ``variable``
            family, each function is one of the smaller family's coefficients, the number of steps and the dimension, and gives
            ``None`` where the smaller family is not contained.
        near: other families whose members come close to some of this one's, each with a function from their coefficients to
            this family's: the search also begins there.
        variable: for a family whose number of coefficients depends on the path: the coefficients, by the number of steps after
            each layer and the dimension. It answers the question of the path only: at the last layer it could be nearly any
            polynomial. ``make`` then takes one sequence of values.
        general: of a ``variable`` family, whether it is any path of polynomials in XᵀX, of degree k after step k, where there
            are few steps. It says something only of paths with more steps (`says`).
        root: for a family with one preconditioner P for all prompts: the matrix R with P = R Rᵀ, by the values. The family is
            then ``inside`` on inputs that are multiplied by R.
        told: the coefficients as results tell them, by the values; by default the values themselves.
    """

    name: str
    make: Callable[..., Algorithm]
    coefficients: tuple[Coefficient, ...] = ()
    iterative: bool = True
    filter: Callable[..., Algorithm] | None = None
    scaled: bool = False
    batched: bool = False
    examples: bool = False
    unit: str = ""
    curved: bool = False
    raw: bool = False
    longest: int | None = None
    composes: bool = False
    contains: Mapping[str, Callable[..., tuple[float, ...] | None]] = field(default_factory=dict)
    near: Mapping[str, Callable[..., tuple[float, ...]]] = field(default_factory=dict)
    variable: Callable[[Sequence[int], int], tuple[Coefficient, ...]] | None = None
    general: bool = False
    root: Callable[[Sequence[float]], Float[Tensor, "dim dim"]] | None = None
    inside: Algorithm | None = None
    told: Callable[[Sequence[float]], dict[str, float]] | None = None

    @property
    def algorithm_name(self) -> str:
        """The name without the variant."""
        return self.name.split(":")[0]

    def with_least(self, size: float) -> "Family | None":
        """The members whose coefficients have the least noticeable values; None without such coefficients.

        Args:
            size: the mean eigenvalue of the inputs.
        """
        fixed = {c.name: c.noticeable for c in (c.at(size) for c in self.coefficients) if c.noticeable is not None}
        if not fixed:
            return None
        return replace(
            self,
            make=partial(self.make, **fixed),
            filter=None if self.filter is None else partial(self.filter, **fixed),
            coefficients=tuple(c for c in self.coefficients if c.name not in fixed),
        )

    @property
    def generalised(self) -> bool:
        """Whether it minimises the objective of a generalised linear model."""
        return self.name.startswith(GENERALISED)

    @property
    def slow(self) -> bool:
        """Whether its members run one at a time, so that fewer are tried."""
        return self.filter is None and not self.generalised

    @property
    def counted(self) -> bool:
        """Whether the number of steps has to be found for the question of the function."""
        return self.iterative and not self.composes

    @property
    def spectral(self) -> bool:
        """Whether it is one filter on the spectral channels of the inputs, not of scaled inputs."""
        return self.filter is not None and not self.scaled

    def numbers(self, steps: Sequence[int], dim: int) -> tuple[Coefficient, ...]:
        """The coefficients to fit for a path.

        Args:
            steps: the number of steps after each layer.
            dim: the number of dimensions.
        """
        return self.coefficients if self.variable is None else self.variable(steps, dim)

    def says(self, moves: int, *, sized: bool) -> bool:
        """Whether a path of so many steps shows more numbers than the family has coefficients to fit.

        The iterate of step k is a polynomial with k coefficients, of which a fitted readout shows only the ratios.

        Args:
            moves: the number of layers that take a step.
            sized: whether the sizes of all iterates are seen; else only that of the last.
        """
        if not self.general:
            return True
        shown = moves * (moves + 1) // 2 - (0 if sized else moves - 1)
        return len(self.numbers(range(1, moves + 1), 0)) < shown

    def contained(self, name: str, values: Sequence[float], steps: int, dim: int) -> tuple[float, ...] | None:
        """The coefficients with which this family equals a member of a smaller one.

        Args:
            name: the smaller family.
            values: the member's coefficients.
            steps: the number of steps.
            dim: the number of dimensions.

        Returns:
            The coefficients; ``None`` if the smaller family is not contained at this number of steps.
        """
        if name not in self.contains:
            return None
        return self.contains[name](*values) if self.variable is None else self.contains[name](values, steps, dim)

    def algorithm(self, values: Sequence[float | Tensor]) -> Algorithm:
        """The member with these coefficients; tensors give each prompt its own."""
        return self.make(**self._named(values)) if self.variable is None else self.make(values)

    def filtering(self, values: Sequence[float | Tensor]) -> Algorithm:
        """The algorithm whose response is the filter, with these coefficients."""
        assert self.filter is not None, f"{self.name} has no filter"
        return self.filter(**self._named(values)) if self.variable is None else self.filter(values)

    def _named(self, values: Sequence[float | Tensor]) -> dict[str, float | Tensor]:
        return {c.name: v for c, v in zip(self.coefficients, values, strict=True)}
