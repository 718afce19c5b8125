"""Iterations on the ridge objective, which end at a ridge solution and not at least squares."""

import abc
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, final

from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms.algorithm import INVARIANCES, Algorithm, Invariance, State, as_numbers
from mesascope.algorithms.conjugate_gradient import ConjugateGradient
from mesascope.algorithms.first_order import GradientDescent
from mesascope.algorithms.problem import Problem


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DampedState(State):
    """The state of the iteration on the damped problem.

    Attributes:
        problem: the problem with S + μI in place of S.
        inner: the undamped algorithm's state on it.
    """

    problem: Problem
    inner: State


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Damped(Algorithm):
    """An iteration for S w = b, run on (S + μI) w = b.

    Attributes:
        penalty: μ, one number for all prompts or one per prompt, in the units of S = XᵀX/n. The ridge λ of XᵀX + λI is nμ, and
            is added to the problem's own.

    Raises:
        ValueError: a penalty that is negative or not finite.
    """

    penalty: float | Float[Tensor, "batch 1"] = 0.1

    def __post_init__(self) -> None:
        penalty = as_numbers(self.penalty)
        if not bool(((penalty >= 0) & penalty.isfinite()).all()):
            raise ValueError(
                f"penalty must be finite and at least 0; got {self.penalty!r}. It is added to the eigenvalues of XᵀX/n: "
                "pass λ/n for the ridge λ, and 0.0 for no damping."
            )

    @property
    @abc.abstractmethod
    def undamped(self) -> Algorithm:
        """The iteration that runs on the damped problem."""

    def unit(self, problem: Problem, start: State) -> Float[Tensor, "batch 1"] | None:
        assert isinstance(start, DampedState)
        return self.undamped.unit(start.problem, start.inner)

    def init(self, problem: Problem) -> DampedState:
        gram = problem.gram.clone()
        gram.diagonal(dim1=-2, dim2=-1).add_(as_numbers(self.penalty).to(gram))
        own = problem.examples * self.penalty if isinstance(self.penalty, float) else 0.0
        damped = replace(problem, gram=gram, ridge=problem.ridge + own)
        return _state(damped, self.undamped.init(damped))

    def step(self, problem: Problem, state: DampedState) -> DampedState:
        return _state(state.problem, self.undamped.step(state.problem, state.inner))


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DampedGradientDescent(Damped):
    """Gradient descent on the ridge objective: w ← w − η((S + μI)w − b).

    Attributes:
        step_size: η, as in `GradientDescent`; ``"optimal"`` is optimal for S + μI.

    Source: Hoerl & Kennard 1970, eq. 2.1 (the objective).
    """

    step_size: float | Float[Tensor, "batch 1"] | Literal["optimal"] = "optimal"
    name: ClassVar[str] = "damped-gradient-descent"
    implies: ClassVar[frozenset[Invariance]] = INVARIANCES

    def __post_init__(self) -> None:
        Damped.__post_init__(self)
        _ = self.undamped  # which checks the step size

    @property
    def undamped(self) -> GradientDescent:
        return GradientDescent(step_size=self.step_size)


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DampedConjugateGradient(Damped):
    """Conjugate gradients on (S + μI) w = b, the normal equations of ridge regression.

    Source: Hestenes & Stiefel 1952, eqs. 3:1; Hoerl & Kennard 1970, eq. 2.1 (the system).
    """

    name: ClassVar[str] = "damped-conjugate-gradient"
    implies: ClassVar[frozenset[Invariance]] = ConjugateGradient.implies

    @property
    def undamped(self) -> ConjugateGradient:
        return ConjugateGradient()


def _state(problem: Problem, inner: State) -> DampedState:
    return DampedState(status=inner.status, weights=inner.weights, ended=inner.ended, problem=problem, inner=inner)
