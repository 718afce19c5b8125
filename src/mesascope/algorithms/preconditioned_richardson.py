"""Preconditioned Richardson iteration for kernel ridge regression: what softmax heads and token-wise arithmetic can do."""

import math
from dataclasses import dataclass, field
from typing import ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms.algorithm import INVARIANCES, Algorithm, Invariance, State, as_numbers, status_where
from mesascope.algorithms.kernels import RBF, Kernel
from mesascope.algorithms.problem import Problem, check_ridge
from mesascope.types import Status


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RichardsonState(State):
    """The dual iterate, and the matrices of the prompt.

    Attributes:
        dual: α, one number per example.
        kernel: K = k(X, X).
        across: k(x_q, X).
        scale: what each example's residual is divided by, D + λ.
    """

    dual: Float[Tensor, "batch example"]
    kernel: Float[Tensor, "batch example example"]
    across: Float[Tensor, "batch query example"]
    scale: Float[Tensor, "batch example"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class PreconditionedRichardson(Algorithm):
    """α ← α + η (D + λI)⁻¹ (y − (K + λI) α) from α = 0, with answers k(x_q, X) α and D the row sums of |K|.

    For a positive kernel, D⁻¹K is a softmax over the examples: with an exponential or RBF kernel one softmax head computes
    D⁻¹Kα, and all else is arithmetic within one token. Each row sum of |K| bounds what the row does, so the eigenvalues of
    (D + λI)⁻¹(K + λI) lie in (0, 1] for a positive definite K + λI, and any η below 2 converges to kernel ridge
    regression. With the linear kernel this is a method for ridge regression in data space.

    Attributes:
        kernel: k.
        ridge: λ, one number for all prompts or one per prompt, added to the problem's own.
        step_size: η.

    Source: Yan, Li, Kulick & Tang 2026 (arXiv 2605.08475), for Gaussian kernels; Saad 2003, section 4.1 (Richardson's
    iteration).
    Departs from source: other kernels too, with |K| in place of K in the row sums; η is a parameter.
    """

    kernel: Kernel = field(default_factory=RBF)
    ridge: float | Float[Tensor, "batch 1"] = 1.0
    step_size: float = 1.0
    name: ClassVar[str] = "preconditioned-richardson"
    implies: ClassVar[frozenset[Invariance]] = INVARIANCES

    def __post_init__(self) -> None:
        for ridge in as_numbers(self.ridge).unique().tolist():
            check_ridge(ridge)
        if not 0 < self.step_size < math.inf:
            raise ValueError(
                f"step_size must be a finite number above 0; got {self.step_size}. Any below 2 converges: pass 1.0."
            )

    def init(self, problem: Problem) -> RichardsonState:
        xs, ys = problem.data
        gram = self.kernel(xs, xs)
        scale = gram.abs().sum(-1) + self._ridge(problem)
        across = self.kernel(problem.queries, xs)
        # A row is zero only for an input of zero under the linear kernel without a ridge; its example says nothing.
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        return self._state(torch.zeros_like(ys), gram, across, scale, (ys == 0).all(-1))

    def step(self, problem: Problem, state: RichardsonState) -> RichardsonState:
        # y − αᵀK, in one product: K is symmetric, and a vector times a matrix is faster than a matrix times a vector.
        short = torch.baddbmm(problem.data[1][:, None], state.dual[:, None], state.kernel, alpha=-1)[:, 0]
        residual = short - self._ridge(problem) * state.dual
        dual = torch.addcdiv(state.dual, residual, state.scale, value=self.step_size)
        return self._state(dual, state.kernel, state.across, state.scale, (residual == 0).all(-1))

    def _ridge(self, problem: Problem) -> float | Float[Tensor, "batch 1"]:
        """λ in all."""
        own = self.ridge.to(problem.queries) if isinstance(self.ridge, Tensor) else self.ridge
        return own + problem.ridge

    def _state(self, dual: Tensor, kernel: Tensor, across: Tensor, scale: Tensor, solved: Tensor) -> RichardsonState:
        return RichardsonState(
            status=status_where(solved, Status.SOLVED),
            predictions=(across @ dual[..., None])[..., 0],
            dual=dual,
            kernel=kernel,
            across=across,
            scale=scale,
        )


__all__ = ("PreconditionedRichardson", "RichardsonState")
