"""Tests for rounding errors: residuals, curvatures and eigenvalues no larger than the error of computing them.

Every bound is ε, the machine precision, times the same quantity computed without cancellation, so that it does not depend on
the units of inputs and labels. A is symmetric and positive semidefinite, so no eigenvalue exceeds its trace.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def residual_is_rounding(
    residual: Float[Tensor, " batch"], right: Float[Tensor, " batch"], solution: Float[Tensor, " batch"]
) -> Bool[Tensor, " batch"]:
    """Whether ‖b − Ax‖ ≤ ε(tr(A)‖x‖ + ‖b‖): x solves A x = b exactly, up to rounding of A and b.

    Args:
        residual: ‖b − Ax‖.
        right: ‖b‖.
        solution: tr(A)‖x‖.

    Source: Rigal & Gaches 1967 (Higham 2002, theorem 7.1).
    """
    bound = torch.finfo(residual.dtype).eps * (solution + right)
    return (residual <= bound) & bound.isfinite()


def curvature_is_rounding(
    curvature: Float[Tensor, " batch"], direction: Float[Tensor, " batch"], trace: Float[Tensor, " batch"]
) -> Bool[Tensor, " batch"]:
    """Whether pᵀAp ≤ ε tr(A)‖p‖²: up to rounding, A has no curvature along p. ``direction`` is ‖p‖²."""
    return curvature <= torch.finfo(curvature.dtype).eps * trace * direction


def rank(eigenvalues: Float[Tensor, "batch dim"], summed: int = 1) -> Int[Tensor, " batch"]:
    """The number of eigenvalues that are not rounding: those above the largest times ε times max(dim, ``summed``).

    Args:
        eigenvalues: all eigenvalues of each matrix, in ascending order.
        summed: number of terms in the sum for each entry of the matrix; with it the bound is that of
            `torch.linalg.matrix_rank`.
    """
    terms = max(eigenvalues.shape[-1], summed)
    return (eigenvalues > terms * torch.finfo(eigenvalues.dtype).eps * eigenvalues[:, -1:]).sum(-1)
