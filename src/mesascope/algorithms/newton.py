"""Newton–Schulz iteration: approximates S⁻¹ by matrix products, then applies it to b."""

from dataclasses import dataclass
from typing import ClassVar, Literal, final, get_args

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
from mesascope.algorithms.rounding import residual_is_rounding
from mesascope.types import Status

Scale = Literal["norm", "frobenius", "trace"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NewtonState(State):
    """The state of Newton–Schulz, with the approximate inverse M."""

    inverse: Float[Tensor, "batch dim dim"]


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NewtonSchulz(Algorithm):
    """The iteration M ← M(2I − SM) with w = M b ("iterative Newton").

    Row 0 of the iterates is the zero predictor, row k is M_k b after k updates of M; M_0 b itself is not an iterate. From
    M_0 = cI, row k is gradient descent with step size c after exactly 2ᵏ steps, since I − M_k S = (I − cS)^(2ᵏ).

    Attributes:
        start: ``"gram"``: M_0 = cS, as in the source; ``"identity"``: M_0 = cI.
        scale: c, one number for all prompts or one per prompt, or a rule that computes it from each prompt: with a norm N of S,
            c = 1/N² for ``"gram"`` and 1/N for ``"identity"``. N is the largest eigenvalue for ``"norm"`` (for ``"gram"``,
            1/‖SSᵀ‖₂ of the source), the Frobenius norm for ``"frobenius"``, the sum of the eigenvalues for ``"trace"``. All of
            them are at least the largest eigenvalue, so the iteration converges.

    Source: Schulz 1933; Fu, Chen, Jia & Sharan 2023, section 3 (``"norm"``); Ben-Israel & Cohen 1966 (``"frobenius"`` from
        ``"gram"``, the start Aᵀ/tr(AᵀA)); own (``"trace"``: no eigenvalue of S exceeds the sum of all).
    Departs from source: S is the mean XᵀX/n, which changes no iterate with scale ``"norm"``.
    """

    start: Literal["gram", "identity"] = "gram"
    scale: float | Float[Tensor, "batch 1"] | Scale = "norm"
    name: ClassVar[str] = "newton-schulz"
    implies: ClassVar[frozenset[Invariance]] = INVARIANCES

    def __post_init__(self) -> None:
        if self.start not in ("gram", "identity"):
            raise ValueError(f"start must be 'gram' or 'identity'; got {self.start!r}.")
        scale = self.scale
        if isinstance(scale, str):
            valid = scale in get_args(Scale)
        else:
            value = as_numbers(scale)
            valid = bool(((value > 0) & value.isfinite()).all())
        if not valid:
            raise ValueError(
                f"scale must be 'norm', 'frobenius', 'trace' or a finite number above 0; got {self.scale!r}. The iteration "
                "converges if all eigenvalues of M_0 S lie between 0 and 2."
            )

    def init(self, problem: Problem) -> NewtonState:
        eye = torch.eye(problem.gram.shape[-1]).to(problem.gram)
        inverse = problem.gram if self.start == "gram" else eye
        scale = self.scale
        if isinstance(scale, str):
            norm = _norm(problem, scale)[:, None, None]
            inverse = inverse / norm / norm if self.start == "gram" else inverse / norm  # norm² may be out of range
        else:
            inverse = (scale[..., None] if isinstance(scale, Tensor) else scale) * inverse
        return NewtonState(
            status=initial_status(problem),
            weights=torch.zeros_like(problem.moment),
            inverse=inverse.expand_as(problem.gram),
        )

    def step(self, problem: Problem, state: NewtonState) -> NewtonState:
        inverse = 2 * state.inverse - state.inverse @ problem.gram @ state.inverse
        weights = (inverse @ problem.moment[..., None])[..., 0]
        left, right = _largest(problem.moment - problem.apply(weights)), _largest(problem.moment)
        # If S is singular, rounding errors in its null space double with every step. The second condition stops the iteration
        # before they make the weights so large that any residual is small beside them.
        solved = residual_is_rounding(left, right, problem.trace * _largest(weights))
        solved = solved & (left <= torch.finfo(left.dtype).eps ** 0.5 * right)
        return NewtonState(status=status_where(solved, Status.SOLVED), weights=weights, inverse=inverse)


def _norm(problem: Problem, scale: Scale) -> Float[Tensor, " batch"]:
    """The norm of S by which the start is divided."""
    if scale == "trace":
        return problem.trace
    return problem.spectrum[:, -1] if scale == "norm" else torch.linalg.matrix_norm(problem.gram)


def _largest(vectors: Float[Tensor, "batch dim"]) -> Float[Tensor, " batch"]:
    return vectors.abs().amax(-1)
