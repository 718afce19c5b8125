"""Conjugate gradients: in feature space, preconditioned, and in data space.

Once the residual is only rounding error, the search directions are too, and if the system is singular, a step along them can
lead anywhere. The iteration ends there (`residual_is_rounding`: SOLVED; `curvature_is_rounding`: BREAKDOWN).
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mesascope.algorithms.algorithm import Algorithm, Invariance, State, status_where
from mesascope.algorithms.preconditioner import (
    Preconditioner,
    check_preconditioner,
    precondition,
    preconditioned_trace,
    singular,
    undo_precondition,
)
from mesascope.algorithms.problem import Problem, check_ridge
from mesascope.algorithms.rounding import curvature_is_rounding, residual_is_rounding
from mesascope.types import Status


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KrylovState(State):
    """The vectors of the recurrence, in the space of the system that is solved (``unknown``: dim or example).

    Attributes:
        solution: x.
        residual: r = b − A x, by the recurrence.
        direction: p.
        energy: rᵀ M r, where M is the preconditioner.
        first: the energy at the start, bᵀ M b.
        trace: the trace of M A, the scale of its eigenvalues.
    """

    solution: Float[Tensor, "batch unknown"]
    residual: Float[Tensor, "batch unknown"]
    direction: Float[Tensor, "batch unknown"]
    energy: Float[Tensor, " batch"]
    first: Float[Tensor, " batch"]
    trace: Float[Tensor, " batch"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ConjugateGradient(Algorithm):
    """Conjugate gradients on the normal equations S w = b.

    Iterate k minimises the objective over the Krylov space spanned by b, S b, …, Sᵏ⁻¹ b. The space depends on the
    labels, so an iterate before the last is not additive in them.

    Source: Hestenes & Stiefel 1952, eqs. 3:1; Nocedal & Wright 2006, algorithm 5.2.
    """

    name: ClassVar[str] = "conjugate-gradient"
    implies: ClassVar[frozenset[Invariance]] = frozenset({"homogeneous", "rotation", "permutation"})

    def unit(self, problem: Problem, start: State) -> Float[Tensor, "batch 1"] | None:
        return _unit(start)

    def init(self, problem: Problem) -> KrylovState:
        return _start(problem.moment, problem.moment, problem.trace, torch.zeros_like(problem.moment))

    def step(self, problem: Problem, state: KrylovState) -> KrylovState:
        return _advance(state, problem.apply)


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreconditionedConjugateGradient(Algorithm):
    """Conjugate gradients on S w = b with a preconditioner M ≈ S⁻¹.

    Attributes:
        preconditioner: ``"jacobi"`` (M = diag(S)⁻¹), or one symmetric positive definite matrix for all prompts.

    Source: Nocedal & Wright 2006, algorithm 5.3.
    """

    preconditioner: Preconditioner = "jacobi"
    name: ClassVar[str] = "preconditioned-conjugate-gradient"
    implies: ClassVar[frozenset[Invariance]] = frozenset({"homogeneous", "permutation"})

    def __post_init__(self) -> None:
        check_preconditioner(self.preconditioner)

    def unit(self, problem: Problem, start: State) -> Float[Tensor, "batch 1"] | None:
        return _unit(start, preconditioned_trace(self.preconditioner, problem) / problem.trace)

    def init(self, problem: Problem) -> KrylovState:
        direction = precondition(self.preconditioner, problem, problem.moment)
        trace = preconditioned_trace(self.preconditioner, problem)
        return _start(problem.moment, direction, trace, torch.zeros_like(problem.moment))

    def step(self, problem: Problem, state: KrylovState) -> KrylovState:
        return _advance(state, problem.apply, (self.preconditioner, problem))


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class DataSpaceConjugateGradient(Algorithm):
    """Conjugate gradients on the kernel system (XXᵀ + λI) α = y, with weights Xᵀα.

    This iteration differs from `ConjugateGradient`: it reaches the same limit by another path. Without a ridge, and with
    label noise and more examples than dimensions, the system has no solution and the iteration does not converge: it breaks
    down once all directions with curvature are used up.

    Attributes:
        ridge: λ, added to the problem's own.

    Source: Hestenes & Stiefel 1952, eqs. 3:1, on the dual of ridge regression (Saunders, Gammerman & Vovk 1998).
    """

    ridge: float = 0.0
    name: ClassVar[str] = "data-space-conjugate-gradient"
    implies: ClassVar[frozenset[Invariance]] = frozenset({"homogeneous", "rotation", "permutation"})

    def __post_init__(self) -> None:
        check_ridge(self.ridge)

    def unit(self, problem: Problem, start: State) -> Float[Tensor, "batch 1"] | None:
        return _unit(start)

    def init(self, problem: Problem) -> KrylovState:
        _, ys = problem.data
        return _start(ys, ys, self._trace(problem), torch.zeros_like(problem.moment))

    def step(self, problem: Problem, state: KrylovState) -> KrylovState:
        ridge = self.ridge + problem.ridge

        def apply(v: Float[Tensor, "batch example"]) -> Float[Tensor, "batch example"]:
            product = torch.bmm(v[:, None], problem.kernel)[:, 0]
            return product + ridge * v if ridge else product

        after = _advance(state, apply)
        xs, _ = problem.data
        return dataclasses.replace(after, weights=torch.bmm(after.solution[:, None], xs)[:, 0])

    def _trace(self, problem: Problem) -> Float[Tensor, " batch"]:
        diagonal = problem.kernel.diagonal(dim1=-2, dim2=-1)
        return diagonal.sum(-1) + problem.examples * (self.ridge + problem.ridge)


def solve(
    matrix: Float[Tensor, "batch unknown unknown"], right: Float[Tensor, "batch unknown"], steps: int
) -> tuple[Float[Tensor, "batch unknown"], Int[Tensor, " batch"]]:
    """The result of ``steps`` steps of conjugate gradients on A x = b from zero, and each prompt's status.

    Prompts that are solved or have broken down take no further step.
    """
    trace = matrix.diagonal(dim1=-2, dim2=-1).sum(-1)
    state = _start(right, right, trace, right)
    unit = _unit(state)
    if unit is not None:
        right = right / unit
        state = _start(right, right, trace, right)
    solution = state.solution
    for _ in range(steps):
        after = _advance(state, lambda v: torch.bmm(v[:, None], matrix)[:, 0])
        moves = (state.status == Status.OK) & (after.status != Status.BREAKDOWN)
        solution = torch.where(moves[:, None], after.solution, solution)
        state = after
    return solution if unit is None else solution * unit, state.status


def _unit(start: State, preconditioner: Tensor | float = 1.0) -> Float[Tensor, "batch 1"] | None:
    """See `Algorithm.unit`. None if the first energy bᵀMb and tr(MA) are far from overflow and underflow.

    Otherwise the unit is chosen so that energies (of order bᵀMb), curvatures (bᵀMb·tr MA) and solutions stay in range, even
    when the residual has shrunk to rounding error: for M = I, b becomes of order tr(A)^(−1/6).

    Args:
        start: the state before the first step.
        preconditioner: the size of M.
    """
    assert isinstance(start, KrylovState)
    edge = torch.finfo(start.trace.dtype).tiny ** 0.25
    if all(edge < float(end) < 1 / edge for values in (start.first, start.trace) for end in values.aminmax()):
        return None
    unit = start.residual.abs().amax(-1) * preconditioner**0.5 * start.trace ** (1 / 6)
    unit = torch.where((unit > 0) & unit.isfinite(), unit / torch.frexp(unit).mantissa, 1.0)  # a power of two
    return unit[:, None]


def _start(
    right: Float[Tensor, "batch unknown"],
    direction: Float[Tensor, "batch unknown"],
    trace: Float[Tensor, " batch"],
    weights: Float[Tensor, "batch dim"],
) -> KrylovState:
    energy = _dot(right, direction)
    return KrylovState(
        status=status_where((right == 0).all(-1), Status.SOLVED),
        weights=weights,
        solution=torch.zeros_like(right),
        residual=right,
        direction=direction,
        energy=energy,
        first=energy,
        trace=trace,
    )


def _advance(
    state: KrylovState,
    apply: Callable[[Tensor], Tensor],
    preconditioner: tuple[Preconditioner, Problem] | None = None,
) -> KrylovState:
    """One textbook step. A division by zero gives NaN: the status then says so, and `run` discards the iterate.

    Args:
        state: the state before the step.
        apply: the function that maps v to A v.
        preconditioner: M, with its problem; none by default.
    """
    image = apply(state.direction)
    curvature = _dot(state.direction, image)
    length = (state.energy / curvature).unsqueeze(-1)
    solution = torch.addcmul(state.solution, length, state.direction)
    residual = torch.addcmul(state.residual, length, image, value=-1)
    preconditioned = residual if preconditioner is None else precondition(*preconditioner, residual)
    energy = _dot(residual, preconditioned)
    direction = torch.addcmul(preconditioned, (energy / state.energy).unsqueeze(-1), state.direction)
    status, ended = state.status, state.ended
    # A quick test for the usual case: energy and curvature are far above any rounding error, and the status stays as it is.
    eps = torch.finfo(energy.dtype).eps
    steep = torch.addcmul(curvature, state.energy, state.trace, value=-(eps**0.5))
    if not float(torch.minimum(steep, torch.sub(energy, state.first, alpha=eps**0.75)).amin()) > 0:
        status = torch.maximum(status, _solved(state, solution, energy, preconditioner).long())
        if not float(steep.amin()) > 0:
            broken = (state.status == Status.OK) & _broken(state, curvature, preconditioner)
            status = torch.where(broken, int(Status.BREAKDOWN), status)
        ended = bool(status.all())
    return KrylovState(
        status=status,
        ended=ended,
        weights=solution,
        solution=solution,
        residual=residual,
        direction=direction,
        energy=energy,
        first=state.first,
        trace=state.trace,
    )


def _solved(
    state: KrylovState,
    solution: Float[Tensor, "batch unknown"],
    energy: Float[Tensor, " batch"],
    preconditioner: tuple[Preconditioner, Problem] | None,
) -> Bool[Tensor, " batch"]:
    """Prompts whose residual after a step is only rounding, in the norms in which M A is symmetric: rᵀMr and xᵀM⁻¹x."""
    image = _squared(state.trace[:, None] * solution, preconditioner).sqrt()
    return residual_is_rounding(energy.sqrt(), state.first.sqrt(), image)


def _broken(
    state: KrylovState, curvature: Float[Tensor, " batch"], preconditioner: tuple[Preconditioner, Problem] | None
) -> Bool[Tensor, " batch"]:
    """Prompts on which a step from this state divides by zero, or by a number that is only rounding."""
    broken = curvature_is_rounding(curvature, _squared(state.direction, preconditioner), state.trace)
    broken = broken | (state.energy <= 0)
    return broken if preconditioner is None else broken | singular(*preconditioner)


def _squared(
    vectors: Float[Tensor, "batch unknown"], preconditioner: tuple[Preconditioner, Problem] | None
) -> Float[Tensor, " batch"]:
    """vᵀM⁻¹v."""
    return _dot(vectors, vectors if preconditioner is None else undo_precondition(*preconditioner, vectors))


def _dot(a: Float[Tensor, "batch unknown"], b: Float[Tensor, "batch unknown"]) -> Float[Tensor, " batch"]:
    return torch.linalg.vecdot(a, b)
