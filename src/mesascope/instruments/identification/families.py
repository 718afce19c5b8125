"""The candidates: families of algorithms, the coefficients that are fitted, and the questions that they can answer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf
from typing import Literal

import numpy as np
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms import (
    RBF,
    Algorithm,
    ChebyshevIteration,
    ConjugateGradient,
    ConjugateResidual,
    DampedConjugateGradient,
    DampedGradientDescent,
    DataSpaceConjugateGradient,
    Exponential,
    GDPlusPlus,
    GradientDescent,
    GradientFlow,
    HeavyBall,
    KernelRidge,
    LastLabel,
    LeastSquares,
    MeanLabel,
    NadarayaWatson,
    NearestExample,
    Nesterov,
    NewtonSchulz,
    PoolPosterior,
    PreconditionedConjugateGradient,
    PreconditionedGradientDescent,
    Ridge,
)
from mesascope.records.checks import nearest
from mesascope.records.shown import shown

CoefficientValue = float | Tensor


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
    """

    name: str
    low: float
    high: float
    scale: Literal["log", "linear"] = "log"
    power: float = 0.0
    noticeable: float | None = None

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
        composes: whether several steps are one step with another coefficient. Then their number says nothing of the function, and
            no layer takes more than one.
        contains: the smaller families that it equals where a coefficient has no effect, each with a function from the smaller
            family's coefficients to this one's (infinity stands for the nearest bound). With noise the fitted coefficient
            comes out near that value, not at it; the larger family is then not counted as another answer.
    """

    name: str
    make: Callable[..., Algorithm]
    coefficients: tuple[Coefficient, ...] = ()
    iterative: bool = True
    filter: Callable[..., Algorithm] | None = None
    scaled: bool = False
    batched: bool = False
    composes: bool = False
    contains: Mapping[str, Callable[..., tuple[float, ...]]] = field(default_factory=dict)

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
    def counted(self) -> bool:
        """Whether the number of steps has to be found for the question of the function."""
        return self.iterative and not self.composes

    @property
    def spectral(self) -> bool:
        """Whether it is one filter on the spectral channels of the inputs, not of scaled inputs."""
        return self.filter is not None and not self.scaled

    def algorithm(self, values: Sequence[float | Tensor]) -> Algorithm:
        """The member with these coefficients; tensors give each prompt its own."""
        return self.make(**self._named(values))

    def filtering(self, values: Sequence[float | Tensor]) -> Algorithm:
        """The algorithm whose response is the filter, with these coefficients."""
        assert self.filter is not None, f"{self.name} has no filter"
        return self.filter(**self._named(values))

    def _named(self, values: Sequence[float | Tensor]) -> dict[str, float | Tensor]:
        return {c.name: v for c, v in zip(self.coefficients, values, strict=True)}


STEP = Coefficient(name="step_size", low=1e-3, high=10.0, power=-1)
JACOBI_STEP = replace(STEP, power=0.0)
MOMENTUM = Coefficient(name="momentum", low=0.0, high=0.98, scale="linear", noticeable=0.1)
CURVATURE = Coefficient(name="curvature", low=0.0, high=0.5, scale="linear", power=-1, noticeable=0.03)
PENALTY = Coefficient(name="penalty", low=0.0, high=4.0, scale="linear", power=1, noticeable=0.03)
RIDGE = Coefficient(name="ridge", low=1e-4, high=1e3, power=1)


def _chebyshev(*, largest: CoefficientValue, condition: CoefficientValue) -> Algorithm:
    return ChebyshevIteration(bounds=(largest / condition, largest))


def _newton(*, scale: CoefficientValue) -> Algorithm:
    return NewtonSchulz(start="gram", scale=scale)


def _newton_identity(*, scale: CoefficientValue) -> Algorithm:
    return NewtonSchulz(start="identity", scale=scale)


def _newton_frobenius() -> Algorithm:
    return NewtonSchulz(start="gram", scale="frobenius")


def _newton_identity_norm() -> Algorithm:
    return NewtonSchulz(start="identity", scale="norm")


def _newton_trace() -> Algorithm:
    return NewtonSchulz(start="identity", scale="trace")


def _kernel_ridge_rbf(*, bandwidth: float, ridge: float) -> Algorithm:
    return KernelRidge(kernel=RBF(bandwidth=bandwidth), ridge=ridge)


def _kernel_ridge_exponential(*, temperature: float, ridge: float) -> Algorithm:
    return KernelRidge(kernel=Exponential(temperature=temperature), ridge=ridge)


def _smoother_rbf(*, bandwidth: float) -> Algorithm:
    return NadarayaWatson(kernel=RBF(bandwidth=bandwidth))


def _smoother_exponential(*, temperature: float) -> Algorithm:
    return NadarayaWatson(kernel=Exponential(temperature=temperature))


_BANDWIDTH = Coefficient(name="bandwidth", low=0.2, high=30.0, power=0.5)
_TEMPERATURE = Coefficient(name="temperature", low=0.1, high=50.0, power=1)
_KERNEL_LAMBDA = Coefficient(name="ridge", low=1e-6, high=10.0)

# Simplest first: of two candidates that turn out to be the same function at the last layer, the first one gives the name.
CLOSED: tuple[Family, ...] = (
    Family(name="least-squares", make=LeastSquares, iterative=False),
    Family(
        name="ridge",
        make=Ridge,
        coefficients=(RIDGE,),
        iterative=False,
        contains={"least-squares": lambda: (0.0,)},
    ),
    Family(name="mean-label", make=MeanLabel, iterative=False),
    Family(name="last-label", make=LastLabel, iterative=False),
    Family(name="nearest-example", make=NearestExample, iterative=False),
    Family(
        name="nadaraya-watson",
        make=_smoother_exponential,
        coefficients=(_TEMPERATURE,),
        iterative=False,
        contains={"mean-label": lambda: (inf,)},
    ),
    Family(
        name="nadaraya-watson:rbf",
        make=_smoother_rbf,
        coefficients=(_BANDWIDTH,),
        iterative=False,
        contains={"mean-label": lambda: (inf,)},
    ),
    Family(name="kernel-ridge:rbf", make=_kernel_ridge_rbf, coefficients=(_BANDWIDTH, _KERNEL_LAMBDA), iterative=False),
    Family(
        name="kernel-ridge:exponential",
        make=_kernel_ridge_exponential,
        coefficients=(_TEMPERATURE, _KERNEL_LAMBDA),
        iterative=False,
    ),
)
_UNACCELERATED: Mapping[str, Callable[..., tuple[float, ...]]] = {"gradient-descent": lambda size: (size, 0.0)}
ITERATIVE: tuple[Family, ...] = (
    Family(name="gradient-descent", make=GradientDescent, coefficients=(STEP,), filter=GradientDescent),
    Family(name="gradient-descent:per-prompt", make=GradientDescent),
    Family(
        name="preconditioned-gradient-descent",
        make=PreconditionedGradientDescent,
        coefficients=(JACOBI_STEP,),
        filter=GradientDescent,
        scaled=True,
    ),
    Family(name="preconditioned-gradient-descent:per-prompt", make=PreconditionedGradientDescent),
    Family(name="heavy-ball", make=HeavyBall, coefficients=(STEP, MOMENTUM), filter=HeavyBall, contains=_UNACCELERATED),
    Family(name="heavy-ball:per-prompt", make=HeavyBall),
    Family(name="nesterov", make=Nesterov, coefficients=(STEP, MOMENTUM), filter=Nesterov, contains=_UNACCELERATED),
    Family(name="nesterov:per-prompt", make=Nesterov),
    Family(
        name="chebyshev-iteration",
        make=_chebyshev,
        coefficients=(
            Coefficient(name="largest", low=0.2, high=50.0, power=1),
            Coefficient(name="condition", low=1.0, high=1e4, noticeable=3.0),  # a momentum that ends at 0.1
        ),
        filter=_chebyshev,
        contains={"gradient-descent": lambda size: (1 / size, 1.0)},
    ),
    Family(name="chebyshev-iteration:per-prompt", make=ChebyshevIteration),
    Family(
        name="gd-plus-plus",
        make=GDPlusPlus,
        coefficients=(STEP, CURVATURE),
        filter=GDPlusPlus,
        contains=_UNACCELERATED,
    ),
    Family(name="conjugate-gradient", make=ConjugateGradient),
    Family(
        name="gradient-flow",
        make=GradientFlow,
        coefficients=(Coefficient(name="time", low=1e-3, high=1e3, power=-1),),
        filter=GradientFlow,
        composes=True,
    ),
    Family(
        name="gradient-descent:damped",
        make=DampedGradientDescent,
        coefficients=(STEP, PENALTY),
        filter=DampedGradientDescent,
        contains={"gradient-descent": lambda size: (size, 0.0)},
    ),
    Family(
        name="conjugate-gradient:damped",
        make=DampedConjugateGradient,
        coefficients=(PENALTY,),
        batched=True,
        contains={"conjugate-gradient": lambda: (0.0,)},
    ),
    Family(name="preconditioned-conjugate-gradient", make=PreconditionedConjugateGradient),
    Family(name="data-space-conjugate-gradient", make=DataSpaceConjugateGradient),
    Family(name="conjugate-residual", make=ConjugateResidual),
    Family(name="newton-schulz", make=NewtonSchulz),
    Family(name="newton-schulz:frobenius", make=_newton_frobenius),
    Family(name="newton-schulz:identity-norm", make=_newton_identity_norm),
    Family(name="newton-schulz:trace", make=_newton_trace),
    Family(
        name="newton-schulz:fixed",
        make=_newton,
        coefficients=(Coefficient(name="scale", low=1e-3, high=1.0, power=-2),),
        filter=_newton,
    ),
    Family(
        name="newton-schulz:identity",
        make=_newton_identity,
        coefficients=(Coefficient(name="scale", low=1e-2, high=3.0, power=-1),),
        filter=_newton_identity,
    ),
)
FAMILIES = CLOSED + ITERATIVE

BY_NAME: Mapping[str, Family] = {family.name: family for family in FAMILIES}

POOL = PoolPosterior.name
"""The candidate that only tasks with a pool have."""

SHORT: Mapping[str, str] = {
    "gd": "gradient-descent",
    "cg": "conjugate-gradient",
    "pcg": "preconditioned-conjugate-gradient",
    "pgd": "preconditioned-gradient-descent",
    "newton": "newton-schulz",
    "chebyshev": "chebyshev-iteration",
    "ols": "least-squares",
}
"""Short names that are accepted for candidates."""


def pool_posterior(pool: Float[Tensor, "member dim"]) -> Family:
    """The posterior mean over a task's pool of weight vectors, with the standard deviation of the noise to fit.

    The deviation is looked for between a thousandth and ten times the size of a label.
    """
    length = float(pool.square().sum(-1).mean().sqrt())
    return Family(
        name=POOL,
        make=lambda *, noise: PoolPosterior(pool=pool, noise=noise),
        coefficients=(Coefficient(name="noise", low=1e-3 * length, high=10 * length, power=0.5),),
        iterative=False,
    )


def chosen(
    names: Sequence[str] | None, noise: float = 0.0, pool: Float[Tensor, "member dim"] | None = None
) -> tuple[Family, ...]:
    """The families with these names, or all families. A name without a variant stands for all its variants.

    The posterior mean over a pool of weight vectors is a candidate only if there is a ``pool``.

    With label noise and more examples than dimensions, the kernel system (XXᵀ + λI)α = y has a solution only for λ > 0, so
    with ``noise`` above 0 the ridge of data-space conjugate gradient is fitted too.

    Raises:
        ValueError: a name is unknown, there is none, or it is that of a candidate for a pool and there is no pool.
    """
    families = tuple(_with_ridge(f) if noise > 0 and f.name == "data-space-conjugate-gradient" else f for f in FAMILIES)
    if pool is not None:
        families += (pool_posterior(pool),)
    if names is None:
        return families
    if not names:
        raise ValueError("algorithms must name at least one candidate; got none. Leave it out for all of them.")
    known = {f.name for f in families} | {f.algorithm_name for f in families}
    wanted = [SHORT.get(name, name) for name in names]
    for name in wanted:
        if name == POOL and pool is None:
            raise ValueError(
                f"algorithms may name {POOL} only for a task whose weights come from a pool; got a task without one. Leave it "
                "out, or pass a PooledRegression."
            )
        if name not in known:
            raise ValueError(
                f"algorithms must be among the candidates {', '.join(sorted(known))}; got {shown(name)}."
                f"{nearest(name, sorted(known))}"
            )
    return tuple(f for f in families if f.name in wanted or f.algorithm_name in wanted)


def _with_ridge(family: Family) -> Family:
    return Family(name=family.name, make=family.make, coefficients=(RIDGE,))
