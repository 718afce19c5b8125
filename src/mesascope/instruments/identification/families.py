"""The candidates, the coefficients that are fitted, and the questions that they can answer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import inf

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
    Linear,
    MeanLabel,
    NadarayaWatson,
    NearestExample,
    Nesterov,
    NewtonSchulz,
    PoolPosterior,
    PreconditionedConjugateGradient,
    PreconditionedGradientDescent,
    PreconditionedRichardson,
    Ridge,
)
from mesascope.instruments.identification.family import GENERALISED, Coefficient, CoefficientValue, Family
from mesascope.instruments.identification.generalised import RAW, generalised
from mesascope.instruments.identification.variable import VARIABLE
from mesascope.records.checks import nearest
from mesascope.records.shown import shown
from mesascope.regressors import REGRESSORS, Answering, Regressor
from mesascope.types import GlmFamily

STEP = Coefficient(name="step_size", low=1e-3, high=10.0, power=-1)
JACOBI_STEP = replace(STEP, power=0.0)
MOMENTUM = Coefficient(name="momentum", low=0.0, high=0.98, scale="linear", noticeable=0.1)
CURVATURE = Coefficient(name="curvature", low=0.0, high=0.5, scale="linear", power=-1, noticeable=0.03)
PENALTY = Coefficient(name="penalty", low=0.0, high=4.0, scale="linear", power=1, noticeable=0.05)
RIDGE = Coefficient(name="ridge", low=1e-4, high=1e3, power=1)


def _chebyshev(*, largest: CoefficientValue, condition: CoefficientValue) -> Algorithm:
    return ChebyshevIteration(bounds=(largest / condition, largest))


def _chebyshev_like(size: float, momentum: float) -> tuple[float, float]:
    """The Chebyshev iteration whose step size and momentum go towards these (largest eigenvalue, condition number)."""
    spread = min(2 * momentum**0.5 / (1 + momentum), 0.999)  # half of the interval of eigenvalues, over its centre
    return (1 + momentum) / size * (1 + spread), (1 + spread) / (1 - spread)


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


def _richardson_linear(*, ridge: CoefficientValue) -> Algorithm:
    return PreconditionedRichardson(kernel=Linear(), ridge=ridge)


def _richardson_rbf(*, bandwidth: float, ridge: CoefficientValue) -> Algorithm:
    return PreconditionedRichardson(kernel=RBF(bandwidth=bandwidth), ridge=ridge)


_BANDWIDTH = Coefficient(name="bandwidth", low=0.2, high=30.0, power=0.5)
_TEMPERATURE = Coefficient(name="temperature", low=0.1, high=50.0, power=1)
_KERNEL_LAMBDA = Coefficient(name="ridge", low=1e-6, high=10.0)
_RICHARDSON_LAMBDA = Coefficient(name="ridge", low=1e-3, high=30.0)
"""λ beside row sums of the kernel, of which its diagonal makes up 1: a smaller λ has no effect before very many steps."""

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
        near={"heavy-ball": _chebyshev_like},
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
    Family(
        name="preconditioned-richardson:linear",
        make=_richardson_linear,
        coefficients=(RIDGE,),
        batched=True,
        examples=True,
    ),
    Family(
        name="preconditioned-richardson:rbf",
        make=_richardson_rbf,
        coefficients=(_BANDWIDTH, _RICHARDSON_LAMBDA),
        batched=True,
        examples=True,
        unit="bandwidth",
        curved=True,
    ),
    Family(name="newton-schulz", make=NewtonSchulz),
    Family(name="newton-schulz:frobenius", make=_newton_frobenius),
    Family(name="newton-schulz:identity-norm", make=_newton_identity_norm),
    Family(name="newton-schulz:trace", make=_newton_trace),
    Family(
        name="newton-schulz:fixed",
        make=_newton,
        coefficients=(Coefficient(name="scale", low=1e-3, high=1.0, power=-2, density=4),),
        filter=_newton,
    ),
    Family(
        name="newton-schulz:identity",
        make=_newton_identity,
        coefficients=(Coefficient(name="scale", low=1e-2, high=3.0, power=-1, density=4),),
        filter=_newton_identity,
    ),
)
FAMILIES = CLOSED + ITERATIVE + VARIABLE

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


def as_candidate(regressor: Regressor) -> Family:
    """A regressor as a candidate: it has no path, so it answers the question of the function only.

    Nothing is fitted, and nothing is known of its symmetries. It answers every prompt of every distribution, which takes a fit
    for each where it is not batched: with 300 prompts in each half some 1,800 fits.
    """
    algorithm = Answering(regressor=regressor)
    return Family(name=regressor.name, make=lambda: algorithm, iterative=False)


def chosen(
    names: Sequence[str | Family] | None,
    noise: float = 0.0,
    pool: Float[Tensor, "member dim"] | None = None,
    glm: tuple[GlmFamily, int, int] | None = None,
) -> tuple[Family, ...]:
    """The families with these names, or all families. A name without a variant stands for all its variants.

    A family stands for itself. The name of a regressor that is not also a candidate's stands for the regressor (`as_candidate`);
    regressors are candidates only where they are named.

    The posterior mean over a pool of weight vectors is a candidate only if there is a ``pool``, and the methods for a
    generalised linear model only with ``glm``: the distribution of the labels, the dimension and the number of examples.

    With label noise and more examples than dimensions, the kernel system (XXᵀ + λI)α = y has a solution only for λ > 0, so
    with ``noise`` above 0, and for binary labels and counts, the ridge of data-space conjugate gradient is fitted too.

    Raises:
        ValueError: a name is unknown, there is none, or it is that of a candidate for a pool or for a generalised linear model,
            and the task is none.
    """
    noisy = noise > 0 or glm is not None
    families = tuple(_with_ridge(f) if noisy and f.name == "data-space-conjugate-gradient" else f for f in FAMILIES)
    if pool is not None:
        families += (pool_posterior(pool),)
    if glm is not None:
        families = (*generalised(*glm), *families)
    if names is None:
        return families
    own = tuple(name for name in names if isinstance(name, Family))
    named = [name for name in names if isinstance(name, str)]
    if not names:
        raise ValueError("algorithms must name at least one candidate; got none. Leave it out for all of them.")
    known = {f.name for f in families} | {f.algorithm_name for f in families}
    wanted = [SHORT.get(name, name) for name in named]
    own += tuple(as_candidate(REGRESSORS[name]) for name in wanted if name in REGRESSORS and name not in known)
    for name in wanted:
        if name == POOL and pool is None:
            raise ValueError(
                f"algorithms may name {POOL} only for a task whose weights come from a pool; got a task without one. Leave it "
                "out, or pass a PooledRegression."
            )
        if glm is None and (name.startswith(GENERALISED) or name.endswith(RAW)):
            raise ValueError(
                f"algorithms may name {shown(name)} only for a task whose labels are binary or counts; got a task of another "
                "kind. Leave it out, or pass a GeneralisedLinearRegression."
            )
        if name not in known and name not in REGRESSORS:
            raise ValueError(
                f"algorithms must be among the candidates {', '.join(sorted(known))}, or name a regressor (`mesascope list "
                f"regressors`); got {shown(name)}.{nearest(name, [*sorted(known), *REGRESSORS])}"
            )
    return tuple(f for f in families if f.name in wanted or f.algorithm_name in wanted) + own


def _with_ridge(family: Family) -> Family:
    return Family(name=family.name, make=family.make, coefficients=(RIDGE,))
