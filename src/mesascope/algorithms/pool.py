"""The posterior mean of the weights when they come from a finite pool of vectors."""

import math
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mesascope.algorithms.algorithm import Invariance
from mesascope.algorithms.closed_forms import ClosedForm
from mesascope.algorithms.problem import Problem

CHUNK_BYTES = 64 << 20
"""The largest table of prompts times members of the pool that is held at a time."""


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PoolPosterior(ClosedForm):
    """Σ_m p_m w_m with p = softmax(−‖y − Xw_m‖²/2σ²): the posterior mean if w is one vector of a pool, all equally likely.

    In the source it is called dMMSE, the discrete minimum mean squared error estimator.

    With small σ it answers with the vector of the pool that fits the examples best. A problem with a ridge λ weighs each
    member by e^(−λ‖w_m‖²/2σ²) besides.

    Attributes:
        pool: the vectors w_m.
        noise: σ, the standard deviation of the labels' noise. For exact labels pass a small number: the answer does not
            depend on it once it is well below the differences between the labels that two members give.

    Raises:
        ValueError: an empty pool, one that is not finite, or a noise that is not a finite number above 0.

    Source: Raventós, Paul, Chen & Ganguli 2023, section 2.
    """

    pool: Float[Tensor, "member dim"]
    noise: float = 0.1
    name: ClassVar[str] = "pool-posterior"
    implies: ClassVar[frozenset[Invariance]] = frozenset({"permutation"})

    def __post_init__(self) -> None:
        if not len(self.pool) or not bool(self.pool.isfinite().all()):
            raise ValueError(
                f"pool must hold at least one vector, and only finite numbers; got {len(self.pool)} vectors. Pass a task's "
                "vectors, as PooledRegression.vectors."
            )
        if not 0 < self.noise < math.inf:
            raise ValueError(
                f"noise must be a finite number above 0; got {self.noise!r}. It is the standard deviation of the labels' "
                "noise: pass a small number, such as 1e-3, for exact labels."
            )

    def answer(self, problem: Problem) -> tuple[Float[Tensor, "batch dim"], Int[Tensor, " batch"]]:
        dim = problem.moment.shape[-1]
        if dim != self.pool.shape[-1]:
            raise ValueError(
                f"prompts must have the pool's dimension, {self.pool.shape[-1]}; got {dim}. Pass prompts of the task that the "
                "pool belongs to."
            )
        pool = self.pool.to(problem.moment)
        products = (pool[:, :, None] * pool[:, None, :]).flatten(1)
        rows = max(1, CHUNK_BYTES // (pool.element_size() * len(pool)))
        parts = zip(problem.gram.split(rows), problem.moment.split(rows), strict=True)
        weights = torch.cat([self._mean(pool, products, gram, moment, problem.examples) for gram, moment in parts])
        return weights, torch.zeros_like(weights[:, 0], dtype=torch.long)

    def _mean(
        self,
        pool: Float[Tensor, "member dim"],
        products: Float[Tensor, "member entry"],
        gram: Float[Tensor, "batch dim dim"],
        moment: Float[Tensor, "batch dim"],
        examples: int,
    ) -> Float[Tensor, "batch dim"]:
        """The posterior mean for some prompts; ‖y − Xw‖²/n is wᵀSw − 2bᵀw and a number that is the same for all members."""
        misfit = gram.flatten(1) @ products.T - 2 * moment @ pool.T
        misfit = (misfit - misfit.amin(-1, keepdim=True)) * (examples / 2)
        # Divided by σ twice, since σ² of a small σ may be out of range.
        return torch.softmax(-(misfit / self.noise / self.noise), -1) @ pool
