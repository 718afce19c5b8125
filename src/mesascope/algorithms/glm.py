"""Logistic and Poisson regression: the objective that all methods for them share, and Newton's method."""

from dataclasses import dataclass, replace
from typing import ClassVar, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mesascope.algorithms.algorithm import Algorithm, Invariance, State, as_numbers, status_where
from mesascope.algorithms.closed_forms import regularised_solve
from mesascope.algorithms.conjugate_gradient import solve
from mesascope.algorithms.problem import Problem
from mesascope.records.checks import check_choices, check_count
from mesascope.types import GlmFamily, Status


def mean(family: GlmFamily, predictor: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """μ(η): the mean label at a linear predictor."""
    return predictor.sigmoid() if family == "logistic" else predictor.exp()


def variance(family: GlmFamily, predictor: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """μ′(η): with a canonical link, the variance of a label; it is the weight of an example in Newton's system."""
    return predictor.sigmoid() * (-predictor).sigmoid() if family == "logistic" else predictor.exp()


def linearised(family: GlmFamily, ys: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The labels as linear predictors, to first order around η = 0: (y − μ(0))/μ′(0), which is 4y − 2 or y − 1.

    Least squares on these labels is Newton's first step from w = 0.
    """
    zero = ys.new_zeros(())
    return (ys - mean(family, zero)) / variance(family, zero)


def check_labels(family: GlmFamily, ys: Float[Tensor, "*shape"]) -> None:
    """Check that labels are possible ones.

    Raises:
        ValueError: for ``logistic`` a label that is not 0 or 1, for ``poisson`` one that is not 0, 1, 2, …
    """
    possible: Bool[Tensor, "*shape"] = (ys == 0) | (ys == 1) if family == "logistic" else (ys >= 0) & (ys == ys.round())
    if not bool(possible.all()):
        rule, remedy = (
            ("0 or 1", "Code the two classes as 0 and 1")
            if family == "logistic"
            else ("counts: 0, 1, 2, …", "Use another family for labels that count nothing")
        )
        raise ValueError(f"labels of a {family} regression must be {rule}; got {float(ys[~possible][0]):g}. {remedy}.")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GLMState(State):
    """The state of a method for a generalised linear model.

    Attributes:
        position: w.
        downhill: minus the gradient there.
    """

    position: Float[Tensor, "batch dim"]
    downhill: Float[Tensor, "batch dim"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GLM(Algorithm):
    """Abstract base class of the methods for a generalised linear model with canonical link, without intercept.

    They minimise Σᵢ [ψ(ηᵢ) − yᵢηᵢ] + ½λ‖w‖² with η = Xw and ψ′ = μ: the objective of scikit-learn's LogisticRegression at C = 1/λ
    and of its PoissonRegressor at alpha = λ/n, both without intercept. Predictions are linear predictors wᵀx.

    Attributes:
        family: ``logistic`` for labels 0 and 1, ``poisson`` for counts. Other labels are used unchanged.
        ridge: λ, added to the problem's own; one number for all prompts, or one per prompt.

    Raises:
        ValueError: an unknown family, or a ridge that is negative or not finite.
    """

    family: GlmFamily = "logistic"
    ridge: float | Float[Tensor, "batch 1"] = 0.0
    implies: ClassVar[frozenset[Invariance]] = frozenset({"rotation", "permutation"})

    def __post_init__(self) -> None:
        check_choices(self)
        ridge = as_numbers(self.ridge)
        if not bool(((ridge >= 0) & ridge.isfinite()).all()):
            raise ValueError(
                f"ridge must be finite and at least 0; got {self.ridge}. Pass 0.0 for maximum likelihood without a penalty."
            )

    def damping(self, problem: Problem) -> Float[Tensor, "#batch 1"]:
        """λ/n."""
        return (as_numbers(self.ridge).to(problem.moment).reshape(-1, 1) + problem.ridge) / problem.examples

    def descent(self, problem: Problem, weights: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        """Minus the gradient of the objective's mean over the examples."""
        xs, ys = problem.data
        surprise = ys - mean(self.family, product(xs, weights))
        return product(xs.mT, surprise) / problem.examples - self.damping(problem) * weights

    def curvature(self, problem: Problem, weights: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim dim"]:
        """The Hessian of the objective's mean over the examples, (XᵀDX + λI)/n with D = diag μ′."""
        xs, _ = problem.data
        system = xs.mT @ (variance(self.family, product(xs, weights))[..., None] * xs) / problem.examples
        system.diagonal(dim1=-2, dim2=-1).add_(self.damping(problem))
        return system

    def init(self, problem: Problem) -> GLMState:
        return self.at(problem, torch.zeros_like(problem.moment))

    def at(
        self, problem: Problem, weights: Float[Tensor, "batch dim"], status: Int[Tensor, " batch"] | None = None
    ) -> GLMState:
        """The state at some weights: SOLVED where the gradient is exactly zero, unless the step there has another status."""
        descent = self.descent(problem, weights)
        solved = status_where((descent == 0).all(-1), Status.SOLVED)
        both = solved if status is None else torch.maximum(solved, status)
        return GLMState(status=both, weights=weights, position=weights, downhill=descent)


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GLMNewton(GLM):
    """Newton's method for a generalised linear model, from w = 0, without line search.

    In one step, with μ and D = diag μ′ at the predictors Xw,

        (XᵀDX + λI) p = Xᵀ(y − μ) − λw,    w ← w + p

    The system is solved exactly, which is iteratively reweighted least squares (IRLS), or by ``inner`` steps of conjugate
    gradients from p = 0, which is a truncated Newton method.

    The status is BREAKDOWN if there is no curvature left along a direction: without a ridge, on separable labels, w grows
    without bound and μ′ underflows.

    Attributes:
        inner: number of steps of conjugate gradients per Newton step; None solves the system exactly.

    Raises:
        ValueError: as for `GLM`, or inner below 1.

    Source: McCullagh & Nelder 1989, section 2.5; Nocedal & Wright 2006, section 7.1 (truncation).
    Departs from source: the number of inner steps is fixed, like the number of a network's layers.
    """

    inner: int | None = None
    name: ClassVar[str] = "glm-newton"

    def __post_init__(self) -> None:
        GLM.__post_init__(self)
        if self.inner is not None:
            check_count("inner", self.inner)

    def step(self, problem: Problem, state: GLMState) -> GLMState:
        system = self.curvature(problem, state.position)
        if self.inner is None:
            direction, status = regularised_solve(system, state.downhill, 0.0)
        else:
            direction, status = solve(system, state.downhill, self.inner)
        broken = status_where(status == Status.BREAKDOWN, Status.BREAKDOWN)
        return self.at(problem, state.position + direction, broken)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NewtonCGState(State):
    """The state between two steps of conjugate gradients.

    Attributes:
        origin: the state at the start of the Newton step.
        system: the Hessian there.
        taken: how many steps of conjugate gradients were taken on it.
    """

    origin: GLMState
    system: Float[Tensor, "batch dim dim"]
    taken: int


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GLMNewtonCG(GLM):
    """The method of `GLMNewton` with every step of conjugate gradients as a step of its own.

    Step ``inner``·k is step k of ``GLMNewton(inner=inner)``. The steps between add to w
    what conjugate gradients have found so far.

    Attributes:
        inner: number of steps of conjugate gradients per Newton step.

    Source: as for `GLMNewton`.
    """

    inner: int = 2
    name: ClassVar[str] = "glm-newton-cg"

    def __post_init__(self) -> None:
        GLM.__post_init__(self)
        check_count("inner", self.inner)

    def init(self, problem: Problem) -> NewtonCGState:
        return self._begun(problem, self.at(problem, torch.zeros_like(problem.moment)))

    def step(self, problem: Problem, state: NewtonCGState) -> NewtonCGState:
        direction, found = solve(state.system, state.origin.downhill, state.taken + 1)
        broken = status_where(found == Status.BREAKDOWN, Status.BREAKDOWN)
        weights = state.origin.position + direction
        if state.taken + 1 == self.inner:
            return self._begun(problem, self.at(problem, weights, broken))
        return replace(state, status=broken, weights=weights, taken=state.taken + 1)

    def _begun(self, problem: Problem, origin: GLMState) -> NewtonCGState:
        system = self.curvature(problem, origin.position)
        return NewtonCGState(status=origin.status, weights=origin.weights, origin=origin, system=system, taken=0)


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GLMGradientDescent(GLM):
    """Gradient descent on the objective of a generalised linear model, from w = 0: w ← w + η (Xᵀ(y − μ) − λw)/n.

    Attributes:
        step_size: η, of the objective's mean over the examples; one number for all prompts, or one per prompt.

    Raises:
        ValueError: as for `GLM`, or a step size that is not above 0 and finite.

    Source: McCullagh & Nelder 1989, section 2.5 (the gradient).
    """

    step_size: float | Float[Tensor, "batch 1"] = 0.5
    name: ClassVar[str] = "glm-gradient-descent"

    def __post_init__(self) -> None:
        GLM.__post_init__(self)
        size = as_numbers(self.step_size)
        if not bool(((size > 0) & size.isfinite()).all()):
            raise ValueError(
                f"step_size must be above 0 and finite; got {self.step_size}. Inputs of unit variance take 0.5."
            )

    def step(self, problem: Problem, state: GLMState) -> GLMState:
        size = as_numbers(self.step_size).to(problem.moment)
        return self.at(problem, state.position + size * state.downhill)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MomentumState(GLMState):
    """The state of `GLMHeavyBall`.

    Attributes:
        velocity: the last step.
    """

    velocity: Float[Tensor, "batch dim"]


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GLMHeavyBall(GLM):
    """Gradient descent with momentum on the objective of a generalised linear model: each step adds β times the last one.

    Attributes:
        step_size: as in `GLMGradientDescent`.
        momentum: β, from 0 to below 1; one number for all prompts, or one per prompt.

    Raises:
        ValueError: as for `GLMGradientDescent`, or a momentum outside its range.

    Source: Polyak 1964 (momentum); McCullagh & Nelder 1989, section 2.5 (the gradient).
    """

    step_size: float | Float[Tensor, "batch 1"] = 0.5
    momentum: float | Float[Tensor, "batch 1"] = 0.5
    name: ClassVar[str] = "glm-heavy-ball"

    def __post_init__(self) -> None:
        GLMGradientDescent(family=self.family, ridge=self.ridge, step_size=self.step_size)  # checks these
        beta = as_numbers(self.momentum)
        if not bool(((beta >= 0) & (beta < 1)).all()):
            raise ValueError(f"momentum must be from 0 to below 1; got {self.momentum}. Pass 0.5 for a usual one.")

    def init(self, problem: Problem) -> MomentumState:
        zero = torch.zeros_like(problem.moment)
        return self._moved(self.at(problem, zero), zero)

    def step(self, problem: Problem, state: MomentumState) -> MomentumState:
        beta, size = (as_numbers(value).to(problem.moment) for value in (self.momentum, self.step_size))
        velocity = beta * state.velocity + size * state.downhill
        return self._moved(self.at(problem, state.position + velocity), velocity)

    def _moved(self, state: GLMState, velocity: Float[Tensor, "batch dim"]) -> MomentumState:
        """The state with the step that led to it; SOLVED only where the method stays."""
        moving = (velocity * as_numbers(self.momentum).to(velocity) != 0).any(-1)
        return MomentumState(
            status=torch.where(moving, 0, state.status),
            weights=state.weights,
            position=state.position,
            downhill=state.downhill,
            velocity=velocity,
        )


def product(matrix: Float[Tensor, "batch row column"], vector: Float[Tensor, "batch column"]) -> Tensor:
    """One matrix-vector product per prompt."""
    return (matrix @ vector[..., None])[..., 0]


__all__ = (
    "GLM",
    "GLMGradientDescent",
    "GLMHeavyBall",
    "GLMNewton",
    "GLMNewtonCG",
    "GlmFamily",
    "check_labels",
    "linearised",
    "mean",
    "product",
    "variance",
)
