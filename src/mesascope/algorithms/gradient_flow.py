"""Gradient flow: gradient descent with infinitely many, infinitely small steps, stopped at a time."""

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
from mesascope.algorithms.problem import Problem
from mesascope.types import Status


def flow_response(eigenvalues: Float[Tensor, "..."], time: float | Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """1 − e^(−tλ): the share of the least-squares answer that gradient flow reaches at time t along an eigenvector."""
    return -torch.expm1(-time * eigenvalues)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FlowState(State):
    """The state of gradient flow, with the spectrum of S.

    Attributes:
        iteration: number of steps taken.
        eigenvalues, eigenvectors: those of S.
        moment: b in the basis of the eigenvectors.
    """

    iteration: int
    eigenvalues: Float[Tensor, "batch dim"]
    eigenvectors: Float[Tensor, "batch dim dim"]
    moment: Float[Tensor, "batch dim"]


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GradientFlow(Algorithm):
    """The solution of dw/dt = b − S w from w = 0, at the times τ, 2τ, 3τ, …: w = (I − e^(−kτS)) S⁺b after k steps.

    It is computed from the spectrum of S, without discretisation, so that k steps of time τ are one step of time kτ. It is
    the limit for large m of gradient descent with step size τ/m, of which m steps count as one.

    Attributes:
        time: τ, one number for all prompts or one per prompt, in units of one over an eigenvalue of XᵀX/n.

    Raises:
        ValueError: a time that is not a finite number above 0.

    Source: Ali, Kolter & Tibshirani 2019, lemma 1.
    """

    time: float | Float[Tensor, "batch 1"] = 1.0
    name: ClassVar[str] = "gradient-flow"
    implies: ClassVar[frozenset[Invariance]] = INVARIANCES

    def __post_init__(self) -> None:
        time = as_numbers(self.time)
        if not bool(((time > 0) & time.isfinite()).all()):
            raise ValueError(
                f"time must be a finite number above 0; got {self.time!r}. At time t, directions with eigenvalues of XᵀX/n "
                "well above 1/t are solved."
            )

    def init(self, problem: Problem) -> FlowState:
        finite = problem.gram.isfinite().flatten(1).all(-1)  # no eigensolver accepts other matrices
        values, vectors = torch.linalg.eigh(
            torch.where(finite[:, None, None], problem.gram, torch.eye(1).to(problem.gram))
        )
        return FlowState(
            status=initial_status(problem) + status_where(~finite, Status.DIVERGED),
            weights=torch.zeros_like(problem.moment),
            iteration=0,
            eigenvalues=values.clamp(min=0),
            eigenvectors=vectors,
            moment=(problem.moment[:, None] @ vectors)[:, 0],
        )

    def step(self, problem: Problem, state: FlowState) -> FlowState:
        time = (state.iteration + 1) * as_numbers(self.time).to(state.moment)
        values = state.eigenvalues
        # (1 − e^(−tλ))/λ, which is t for λ = 0
        gains = torch.where(values > 0, flow_response(values, time) / values, time)
        weights = ((gains * state.moment)[:, None] @ state.eigenvectors.mT)[:, 0]
        return FlowState(
            status=torch.zeros_like(state.status),
            weights=weights,
            iteration=state.iteration + 1,
            eigenvalues=values,
            eigenvectors=state.eigenvectors,
            moment=state.moment,
        )
