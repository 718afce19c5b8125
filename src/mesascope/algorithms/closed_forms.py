"""Learners with a formula for the weights: least squares, ridge, and Bayes' rule for a Gaussian prior."""

import abc
import math
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mesascope.algorithms.algorithm import INVARIANCES, Algorithm, Invariance, State, status_where
from mesascope.algorithms.problem import Problem, check_ridge
from mesascope.types import Status


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClosedFormState(State):
    """The state of a closed form: zero before the first step, the answer after it."""

    answered: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClosedForm(Algorithm):
    """A formula as an algorithm: step 1 gives the answer, later steps repeat it.

    Class attributes:
        parametric: whether the answer is a weight vector; otherwise it is the predictions themselves.
    """

    parametric: ClassVar[bool] = True

    @abc.abstractmethod
    def answer(self, problem: Problem) -> tuple[Float[Tensor, "batch _"], Int[Tensor, " batch"]]:
        """The weights or predictions, and each prompt's status."""

    def init(self, problem: Problem) -> ClosedFormState:
        zero = (
            torch.zeros_like(problem.moment)
            if self.parametric
            else problem.queries.new_zeros(problem.queries.shape[:2])
        )
        return self._state(zero, torch.zeros_like(problem.moment[:, 0], dtype=torch.long), False)

    def step(self, problem: Problem, state: ClosedFormState) -> ClosedFormState:
        return state if state.answered else self._state(*self.answer(problem), True)

    def _state(self, value: Tensor, status: Tensor, answered: bool) -> ClosedFormState:
        weights, predictions = (value, None) if self.parametric else (None, value)
        return ClosedFormState(status=status, weights=weights, predictions=predictions, answered=answered)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LeastSquares(ClosedForm):
    """Least squares; among several solutions the one with the smallest norm, the limit of every iteration from zero.

    A singular value counts as zero below n·ε times the largest (ε: machine precision), as in `torch.linalg.pinv`.

    Source: Penrose 1956.
    """

    name: ClassVar[str] = "least-squares"
    implies: ClassVar[frozenset[Invariance]] = INVARIANCES

    def answer(self, problem: Problem) -> tuple[Float[Tensor, "batch dim"], Int[Tensor, " batch"]]:
        return ridge_weights(problem, 0.0)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Ridge(ClosedForm):
    """Ridge regression without an intercept, (XᵀX + λI)⁻¹Xᵀy; at λ = 0 its limit, least squares.

    Attributes:
        ridge: λ, added to the problem's own.

    Source: Hoerl & Kennard 1970, eq. 2.1.
    """

    ridge: float = 1.0
    name: ClassVar[str] = "ridge"
    implies: ClassVar[frozenset[Invariance]] = INVARIANCES

    def __post_init__(self) -> None:
        check_ridge(self.ridge)

    def answer(self, problem: Problem) -> tuple[Float[Tensor, "batch dim"], Int[Tensor, " batch"]]:
        return ridge_weights(problem, self.ridge)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class BayesOptimal(ClosedForm):
    """The posterior mean under w ~ N(0, τ²I) and label noise N(0, σ²): ridge at λ = σ²/τ².

    Attributes:
        prior_variance: τ².
        noise: σ, a standard deviation; at 0 the answer is least squares.

    Source: Bishop 2006, eq. 3.53.
    """

    prior_variance: float = 1.0
    noise: float = 0.0
    name: ClassVar[str] = "bayes-optimal"
    implies: ClassVar[frozenset[Invariance]] = INVARIANCES

    def __post_init__(self) -> None:
        if not 0 < self.prior_variance < math.inf:
            raise ValueError(
                f"prior_variance must be finite and above 0; got {self.prior_variance}. It is the variance of one "
                "weight: 1/dim for weights of unit length on average."
            )
        if not 0 <= self.noise < math.inf:
            raise ValueError(
                f"noise must be finite and at least 0; got {self.noise}. It is the standard deviation of the labels' "
                "noise: pass 0.0 for exact labels."
            )

    def answer(self, problem: Problem) -> tuple[Float[Tensor, "batch dim"], Int[Tensor, " batch"]]:
        return ridge_weights(problem, self.noise**2 / self.prior_variance)


def ridge_weights(problem: Problem, ridge: float) -> tuple[Float[Tensor, "batch dim"], Int[Tensor, " batch"]]:
    """The ridge weights at λ plus the problem's own λ, and BREAKDOWN if the system is singular despite the ridge."""
    if ridge == 0 and problem.ridge == 0:
        if problem.xs is None or problem.ys is None:
            weights = (torch.linalg.pinv(problem.gram, hermitian=True) @ problem.moment[..., None])[..., 0]
        else:
            weights = (torch.linalg.pinv(problem.xs) @ problem.ys[..., None])[..., 0]
        return weights, torch.zeros_like(weights[:, 0], dtype=torch.long)
    return regularised_solve(problem.gram, problem.moment, ridge / problem.examples)


def regularised_solve(
    matrix: Float[Tensor, "batch unknown unknown"], right: Float[Tensor, "batch unknown"], shift: float
) -> tuple[Float[Tensor, "batch unknown"], Int[Tensor, " batch"]]:
    """Solve (A + shift·I) x = b; BREAKDOWN if elimination meets a zero pivot."""
    shifted = matrix + shift * torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    solution, info = torch.linalg.solve_ex(shifted, right)
    return solution, status_where(info > 0, Status.BREAKDOWN)
