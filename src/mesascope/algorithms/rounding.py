"""What is nothing but rounding: residuals, curvatures and eigenvalues no larger than the error of computing them.

Every bound is ε, the machine precision, times what is computed with nothing cancelled, so that it means the same in any units
of inputs and labels. A is symmetric without negative eigenvalues, and none exceeds its trace.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def residual_is_rounding(
    residual: Float[Tensor, " batch"], right: Float[Tensor, " batch"], solution: Float[Tensor, " batch"]
) -> Bool[Tensor, " batch"]:
    """Where ‖b − Ax‖ ≤ ε(tr(A)‖x‖ + ‖b‖): x solves A x = b exactly but for rounding A and b.

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
    """Where pᵀAp ≤ ε tr(A)‖p‖²: A cannot be told from one without curvature along p. ``direction`` is ‖p‖²."""
    return curvature <= torch.finfo(curvature.dtype).eps * trace * direction


def rank(eigenvalues: Float[Tensor, "batch dim"], summed: int = 1) -> Int[Tensor, " batch"]:
    """How many of the eigenvalues, in ascending order, are not rounding: above the largest times ε times the longest sum.

    Args:
        eigenvalues: of matrices as large as they are many.
        summed: how many numbers were added to make an entry of the matrix; so the bound is that of
            `torch.linalg.matrix_rank`.
    """
    terms = max(eigenvalues.shape[-1], summed)
    return (eigenvalues > terms * torch.finfo(eigenvalues.dtype).eps * eigenvalues[:, -1:]).sum(-1)
