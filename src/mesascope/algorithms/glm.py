"""Logistic and Poisson regression: Newton's method, with a few steps of conjugate gradients for each linear system."""

from dataclasses import dataclass
from typing import ClassVar, Literal, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mesascope.algorithms.algorithm import Algorithm, Invariance, State, status_where
from mesascope.algorithms.conjugate_gradient import solve
from mesascope.algorithms.problem import Problem, check_ridge
from mesascope.records.checks import check_choices, check_count
from mesascope.types import Status

GlmFamily = Literal["logistic", "poisson"]


def mean(family: GlmFamily, predictor: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """μ(η): the mean label at a linear predictor."""
    return predictor.sigmoid() if family == "logistic" else predictor.exp()


def variance(family: GlmFamily, predictor: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """μ′(η): with a canonical link, the variance of a label; it is the weight of an example in Newton's system."""
    return predictor.sigmoid() * (-predictor).sigmoid() if family == "logistic" else predictor.exp()


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class GLMNewton(Algorithm):
    """Newton's method for a generalised linear model with canonical link, from w = 0, without intercept or line search.

    In one step, with μ and D = diag μ′ at the predictors Xw,

        (XᵀDX + λI) p = Xᵀ(y − μ) − λw    by ``inner`` steps of conjugate gradients from p = 0;    w ← w + p

    The objective is Σᵢ [ψ(ηᵢ) − yᵢηᵢ] + ½λ‖w‖² with ψ′ = μ: that of scikit-learn's LogisticRegression at C = 1/λ and its
    PoissonRegressor at alpha = λ/n, both without intercept. With as many inner steps as dimensions it is iteratively
    reweighted least squares; with fewer, a truncated Newton method. Predictions are linear predictors wᵀx.

    The status is BREAKDOWN if there is no curvature left along a direction: without a ridge, on separable labels, w grows
    without bound and μ′ underflows.

    Attributes:
        family: ``logistic`` for labels 0 and 1, ``poisson`` for counts. Other labels are used unchanged.
        inner: number of steps of conjugate gradients per Newton step.
        ridge: λ, added to the problem's own.

    Raises:
        ValueError: an unknown family, inner below 1, or a ridge that is negative or not finite.

    Source: McCullagh & Nelder 1989, section 2.5; Nocedal & Wright 2006, section 7.1 (truncation).
    Departs from source: the number of inner steps is fixed, like the number of a network's layers.
    """

    family: GlmFamily = "logistic"
    inner: int = 5
    ridge: float = 0.0
    name: ClassVar[str] = "glm-newton"
    implies: ClassVar[frozenset[Invariance]] = frozenset({"rotation", "permutation"})

    def __post_init__(self) -> None:
        check_choices(self)
        check_count("inner", self.inner)
        check_ridge(self.ridge)

    def init(self, problem: Problem) -> State:
        weights = torch.zeros_like(problem.moment)
        return State(status=self._status(self._descent(problem, weights)), weights=weights)

    def step(self, problem: Problem, state: State) -> State:
        assert state.weights is not None
        xs, _ = problem.data
        curvature = variance(self.family, _product(xs, state.weights))

        system = xs.mT @ (curvature[..., None] * xs) / problem.examples
        system.diagonal(dim1=-2, dim2=-1).add_(self._damping(problem))
        direction, status = solve(system, self._descent(problem, state.weights), self.inner)
        weights = state.weights + direction
        broken = status_where(status == Status.BREAKDOWN, Status.BREAKDOWN)
        solved = self._status(self._descent(problem, weights))
        return State(status=torch.maximum(solved, broken), weights=weights)

    def _damping(self, problem: Problem) -> float:
        return (self.ridge + problem.ridge) / problem.examples

    def _descent(self, problem: Problem, weights: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        """Minus the gradient of the mean objective."""
        xs, ys = problem.data
        surprise = ys - mean(self.family, _product(xs, weights))
        return _product(xs.mT, surprise) / problem.examples - self._damping(problem) * weights

    def _status(self, descent: Float[Tensor, "batch dim"]) -> Int[Tensor, " batch"]:
        return status_where((descent == 0).all(-1), Status.SOLVED)


def _product(matrix: Float[Tensor, "batch row column"], vector: Float[Tensor, "batch column"]) -> Tensor:
    return (matrix @ vector[..., None])[..., 0]
