"""One preconditioner for all prompts, estimated from the first answer: where the search for a matrix in the weights starts.

The first step of preconditioned gradient descent answers xᵀPb with b = Xᵀy/n, which is linear in P; that of conjugate gradient
answers α xᵀPb with a length α that each prompt and P determine.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.instruments.identification.fitting import Aim
from mesascope.instruments.identification.per_layer import answered, regressed
from mesascope.instruments.identification.variable import entries, moving

LEAST = 1e-3
"""The smallest eigenvalue of an estimate, as a share of the largest: noise can make an estimate indefinite, which P is not."""
ROUNDS = 8
"""How often the lengths of the first step are computed anew from the last estimate."""


def descent(aim: Aim, steps: Sequence[int]) -> tuple[float, ...]:
    """The lower triangular root of the P (step size included) whose first step is nearest to the subject's."""
    lengths = torch.ones_like(aim.runner.problem.moment[:, 0])
    return entries(torch.linalg.cholesky(_estimate(aim, steps, lengths)))


def conjugate(aim: Aim, steps: Sequence[int]) -> tuple[float, ...]:
    """The root of the P whose first step of conjugate gradient is nearest to the subject's, without its first entry (1)."""
    problem = aim.runner.problem
    moment = problem.moment
    found = torch.eye(moment.shape[-1], dtype=moment.dtype)
    for _ in range(ROUNDS):
        direction = moment @ found
        energy = (moment * direction).sum(-1)
        curvature = (direction * problem.apply(direction)).sum(-1)
        lengths = torch.where(curvature > 0, energy / curvature, torch.zeros_like(energy))
        found = _estimate(aim, steps, lengths)
    factor = torch.linalg.cholesky(found)
    return entries(factor / factor[0, 0])[1:]


def _estimate(aim: Aim, steps: Sequence[int], lengths: Float[Tensor, " batch"]) -> Float[Tensor, "dim dim"]:
    """The symmetric positive definite P with which ``lengths`` times xᵀPb is nearest to the first answer."""
    problem = aim.runner.problem
    rows, columns = torch.tril_indices(problem.moment.shape[-1], problem.moment.shape[-1])
    left, right = problem.queries, (lengths[:, None] * problem.moment)[:, None]
    both = left[..., rows] * right[..., columns] + torch.where(
        rows == columns, 0, left[..., columns] * right[..., rows]
    )
    values = regressed(both.movedim(-1, 0)[None], answered(aim, moving(steps)[0]))[0][0]
    found = torch.zeros_like(problem.gram[0])
    found[rows, columns], found[columns, rows] = values, values
    sizes, vectors = torch.linalg.eigh(found)
    return vectors * sizes.clamp(min=LEAST * float(sizes.abs().max()) or 1.0) @ vectors.mT
