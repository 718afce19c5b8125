"""GD++: gradient descent in which every step also transforms the inputs."""

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms.algorithm import (
    INVARIANCES,
    Algorithm,
    Invariance,
    State,
    as_numbers,
    initial_status,
    status_where,
)
from mesascope.algorithms.first_order import PerStep, at_step, check_steps
from mesascope.algorithms.problem import Problem
from mesascope.types import Status


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TransformedState(State):
    """The state of GD++: the transformation T of the inputs so far, and the number of steps taken."""

    transform: Float[Tensor, "batch dim dim"]
    iteration: int


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GDPlusPlus(Algorithm):
    """The iteration w ← w − η TᵀT(Sw − b), then T ← (I − γ T S Tᵀ)T, from T = I.

    Every step also moves each input, x ← x − γ(1/n)Σᵢ⟨x, xᵢ⟩xᵢ, which shrinks directions with large eigenvalues. In the
    original coordinates, this is gradient descent with a new preconditioner TᵀT in every step.

    Attributes:
        step_size: η for the mean objective, one number for all prompts or one per prompt. A tuple has one for each step,
            which may be 0 or negative; steps after its last repeat that one.
        curvature: γ; 0 is gradient descent. Below 1 over the largest eigenvalue of S, no direction changes its sign. A tuple
            has one for each step, any finite number; that of the last step taken has no effect.

    Raises:
        ValueError: a step size that is not finite and above 0, or a curvature that is not finite and 0 or more; given per
            step, a number that is not finite.

    Source: von Oswald et al. 2023, section 4 and appendix A.10.
    """

    step_size: PerStep = 0.25
    curvature: PerStep = 0.1
    name: ClassVar[str] = "gd-plus-plus"
    implies: ClassVar[frozenset[Invariance]] = INVARIANCES

    def __post_init__(self) -> None:
        if isinstance(self.step_size, tuple):
            check_steps("step_size", self.step_size)
        elif not bool(((size := as_numbers(self.step_size)) > 0).all() & size.isfinite().all()):
            raise ValueError(
                f"step_size must be a finite number above 0; got {self.step_size!r}. Pass less than 2 over the "
                "largest eigenvalue of XᵀX/n."
            )
        if isinstance(self.curvature, tuple):
            check_steps("curvature", self.curvature)
        elif not bool(((curvature := as_numbers(self.curvature)) >= 0).all() & curvature.isfinite().all()):
            raise ValueError(
                f"curvature must be a finite number of 0 or more; got {self.curvature!r}. 0 is gradient descent."
            )

    def init(self, problem: Problem) -> TransformedState:
        eye = torch.eye(problem.gram.shape[-1]).to(problem.gram).expand_as(problem.gram)
        zero = torch.zeros_like(problem.moment)
        return TransformedState(status=initial_status(problem), weights=zero, transform=eye, iteration=0)

    def step(self, problem: Problem, state: TransformedState) -> TransformedState:
        assert state.weights is not None
        transform = state.transform
        left = problem.moment - problem.apply(state.weights)
        moved = (transform.mT @ (transform @ left[..., None]))[..., 0]
        weights = state.weights + as_numbers(at_step(self.step_size, state.iteration)).to(left) * moved
        curvature = as_numbers(at_step(self.curvature, state.iteration)).to(left)[..., None]
        return TransformedState(
            status=status_where((problem.apply(weights) == problem.moment).all(-1), Status.SOLVED),
            weights=weights,
            transform=transform - curvature * (transform @ problem.gram @ transform.mT @ transform),
            iteration=state.iteration + 1,
        )
