"""Linear regression whose weights come from a finite pool."""

from dataclasses import dataclass, fields
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.machine.memory import check_memory
from mesascope.records.checks import check_count
from mesascope.seeds import generator
from mesascope.tasks.linear import CHUNK, LinearRegression


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class PooledRegression(LinearRegression):
    """Linear regression in which every prompt's w is one of a fixed number of vectors, all equally likely.

    The vectors are drawn once, from the prior that `LinearRegression` draws from for each prompt, and depend on ``pool``,
    ``pool_seed``, ``dim`` and ``weights`` alone. The best answer is a weighted mean of the vectors
    (`mesascope.algorithms.PoolPosterior`), which ridge regression is not: a network can learn the pool by heart, or learn to
    solve every regression.

    Attributes:
        pool: the number of vectors.
        pool_seed: the seed that they are drawn from.

    Raises:
        ValueError: a pool of fewer than 2 vectors, a negative seed, or a field that `LinearRegression` refuses.

    Source: Raventós, Paul, Chen & Ganguli 2023, section 2.
    """

    pool: int = 64
    pool_seed: int = 0

    def __post_init__(self) -> None:
        LinearRegression.__post_init__(self)
        check_count("pool", self.pool, least=2)
        check_count("pool_seed", self.pool_seed, least=0)

    @property
    def vectors(self) -> Float[Tensor, "member dim"]:
        """The pool. ``weight_variance`` is the variance of the prior that it was drawn from, not of these vectors."""
        rng = generator(self.pool_seed, "tasks/pool")
        return torch.randn(self.pool, self.dim, generator=rng, dtype=torch.float64) * self.weight_variance**0.5

    @property
    def unpooled(self) -> LinearRegression:
        """The same task with w drawn anew for each prompt, from the prior that the pool was drawn from."""
        return LinearRegression(**{f.name: getattr(self, f.name) for f in fields(LinearRegression)})

    def check_memory(self, n: int) -> None:
        """Check that this machine has the memory for the pool, and to draw and hold ``n`` prompts.

        Raises:
            ValueError: it does not; the message says how much memory is needed.
        """
        what = f"drawing a pool of {self.pool} vectors of dim={self.dim}"
        check_memory(what, 2 * 8 * self.pool * self.dim, "Reduce pool or dim.")
        LinearRegression.check_memory(self, n)

    def _draw_weights(self, rng: torch.Generator) -> Float[Tensor, "batch dim"]:
        return self.vectors[torch.randint(self.pool, (CHUNK,), generator=rng)]
