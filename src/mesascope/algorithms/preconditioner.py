"""Preconditioners: approximations M of S⁻¹ that reduce the condition number."""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mesascope.algorithms.problem import Problem, eigenvalues

Preconditioner = Literal["jacobi"] | Float[Tensor, "dim dim"]


def check_preconditioner(preconditioner: Preconditioner) -> None:
    """Check that a preconditioner is "jacobi" or a symmetric positive definite matrix.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(preconditioner, str):
        if preconditioner != "jacobi":
            raise ValueError(f"preconditioner must be 'jacobi' or a matrix; got {preconditioner!r}.")
        return
    if not torch.allclose(preconditioner, preconditioner.mT) or int(torch.linalg.cholesky_ex(preconditioner).info):
        raise ValueError(
            "preconditioner must be symmetric and positive definite; the given matrix is not. It approximates the inverse of "
            "XᵀX/n: pass, for example, the inverse of the inputs' covariance."
        )


def precondition(
    preconditioner: Preconditioner, problem: Problem, vectors: Float[Tensor, "batch dim"]
) -> Float[Tensor, "batch dim"]:
    """M v."""
    if isinstance(preconditioner, str):
        return vectors / _diagonal(problem)
    return vectors @ preconditioner.to(vectors)


def undo_precondition(
    preconditioner: Preconditioner, problem: Problem, vectors: Float[Tensor, "batch dim"]
) -> Float[Tensor, "batch dim"]:
    """M⁻¹ v."""
    if isinstance(preconditioner, str):
        return vectors * _diagonal(problem)
    return torch.linalg.solve(preconditioner.to(vectors), vectors, left=False)


def preconditioned_trace(preconditioner: Preconditioner, problem: Problem) -> Float[Tensor, " batch"]:
    """The trace of M S."""
    if isinstance(preconditioner, str):
        return torch.full_like(problem.moment[:, 0], problem.moment.shape[-1])
    return (preconditioner.to(problem.gram) * problem.gram).sum((-2, -1))


def singular(preconditioner: Preconditioner, problem: Problem) -> Bool[Tensor, " batch"]:
    """Prompts for which M does not exist: Jacobi divides by the diagonal, which is 0 for a coordinate that is always 0."""
    if isinstance(preconditioner, str):
        return (_diagonal(problem) == 0).any(-1)
    return torch.zeros(len(problem), dtype=torch.bool, device=problem.gram.device)


def preconditioned_bounds(
    preconditioner: Preconditioner, problem: Problem
) -> tuple[Float[Tensor, "batch 1"], Float[Tensor, "batch 1"]]:
    """Smallest and largest eigenvalue of M S, over the directions that the examples span (as in `Problem.bounds`)."""
    if isinstance(preconditioner, str):
        root = torch.diag_embed(_diagonal(problem).rsqrt())
    else:
        root = torch.linalg.cholesky(preconditioner.to(problem.gram))
    # A singular Jacobi root is infinite, which no eigensolver accepts; `singular` reports those prompts.
    root = torch.where(root.isfinite(), root, 0)
    values = eigenvalues(root.mT @ problem.gram @ root)
    if not problem.ridge:
        return problem.reached(values, values)
    unridged = problem.gram - problem.ridge / problem.examples * torch.eye(root.shape[-1]).to(root)
    return problem.reached(values, eigenvalues(root.mT @ unridged @ root))


def _diagonal(problem: Problem) -> Float[Tensor, "batch dim"]:
    return problem.gram.diagonal(dim1=-2, dim2=-1)
