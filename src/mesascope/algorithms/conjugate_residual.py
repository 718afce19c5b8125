"""Conjugate residuals: like conjugate gradients, with the residual as small as possible and not the objective."""

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms.algorithm import Algorithm, Invariance, State, initial_status, status_where
from mesascope.algorithms.problem import Problem
from mesascope.algorithms.rounding import curvature_is_rounding, residual_is_rounding
from mesascope.types import Status


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResidualState(State):
    """The vectors of the recurrence.

    Attributes:
        solution: w.
        residual: r = b − S w, by the recurrence.
        direction: p.
        energy: rᵀ S r / tr S.
    """

    solution: Float[Tensor, "batch dim"]
    residual: Float[Tensor, "batch dim"]
    direction: Float[Tensor, "batch dim"]
    energy: Float[Tensor, " batch"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ConjugateResidual(Algorithm):
    """Conjugate residuals on the normal equations S w = b.

    Iterate k makes ‖b − S w‖ the smallest over the Krylov space spanned by b, S b, …, Sᵏ⁻¹ b, over which `ConjugateGradient`
    makes the objective the smallest. MINRES has the same iterates.

    Source: Stiefel 1955; Saad 2003, algorithm 6.20.
    """

    name: ClassVar[str] = "conjugate-residual"
    implies: ClassVar[frozenset[Invariance]] = frozenset({"homogeneous", "rotation", "permutation"})

    def unit(self, problem: Problem, start: State) -> Float[Tensor, "batch 1"] | None:
        size = problem.moment.abs().amax(-1)
        edge = torch.finfo(size.dtype).tiny ** 0.25
        if edge < float(size.amin()) and float(size.amax()) < 1 / edge:
            return None
        unit = torch.where((size > 0) & size.isfinite(), size / torch.frexp(size).mantissa, 1.0)  # a power of two
        return unit[:, None]

    def init(self, problem: Problem) -> ResidualState:
        b, zero = problem.moment, torch.zeros_like(problem.moment)
        energy = torch.linalg.vecdot(b, _apply(problem, b))
        return ResidualState(
            status=initial_status(problem), weights=zero, solution=zero, residual=b, direction=b, energy=energy
        )

    def step(self, problem: Problem, state: ResidualState) -> ResidualState:
        image = _apply(problem, state.direction)
        length = (state.energy / torch.linalg.vecdot(image, image))[:, None]  # NaN after a breakdown, see below
        solution = state.solution + length / problem.trace[:, None] * state.direction
        residual = state.residual - length * image
        energy = torch.linalg.vecdot(residual, _apply(problem, residual))
        direction = residual + (energy / state.energy)[:, None] * state.direction
        sizes = (v.norm(dim=-1) for v in (residual, problem.moment, problem.trace[:, None] * solution))
        solved = status_where(residual_is_rounding(*sizes), Status.SOLVED)
        flat = curvature_is_rounding(state.energy, state.residual.square().sum(-1), torch.ones_like(state.energy))
        broken = (state.status == Status.OK) & flat
        status = torch.where(broken, int(Status.BREAKDOWN), torch.maximum(state.status, solved))
        return ResidualState(
            status=status,
            ended=bool(status.all()),
            weights=solution,
            solution=solution,
            residual=residual,
            direction=direction,
            energy=energy,
        )


def _apply(problem: Problem, vectors: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
    """S v / tr S: without the trace, squares of it would leave the range of numbers sooner than v itself."""
    return problem.apply(vectors) / problem.trace[:, None]
