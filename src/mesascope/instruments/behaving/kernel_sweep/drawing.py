"""Prompts for `kernel sweep`: from independent streams, or with the label leak of the source.

In the source's script the features and the weights come from two generators of the same state: w *equals* the numbers that
the first support point is made of, and the labels' noise those that follow. `Streams` names what is drawn instead.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.seeds import generator
from mesascope.tasks import Diagonal, LinearRegression
from mesascope.types import Prompts

Streams = Literal["independent", "leaking", "replayed"]
"""Where inputs, weights and noise come from: three streams; one stream that is used twice, as in the source; or the source's
own numbers, by NumPy's generator with the seed as its state."""
SHARE = 0.1
"""The share of a query's variance that is its own, where all queries of a prompt lie near one of its examples."""
FIRST = 42
"""The first of the source's seeds."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Drawn:
    """Prompts whose labels can be given any noise: y = clean + σ·noise.

    Attributes:
        xs: inputs shown.
        queries: inputs to answer.
        clean: labels without noise.
        noise: standard normal numbers, one per label.
        weights: w.
    """

    xs: Float[Tensor, "batch example dim"]
    queries: Float[Tensor, "batch query dim"]
    clean: Float[Tensor, "batch example"]
    noise: Float[Tensor, "batch example"]
    weights: Float[Tensor, "batch dim"]

    @property
    def targets(self) -> Float[Tensor, "batch query"]:
        """Noiseless answers."""
        return torch.bmm(self.queries, self.weights[..., None])[..., 0]

    @property
    def parts(self) -> Float[Tensor, "batch example part"]:
        """The two parts of the labels, the clean one and the noise. Learners that are linear in the labels answer both."""
        return torch.stack([self.clean, self.noise], -1)

    def prompts(self, noise: float) -> Prompts:
        """The prompts at a standard deviation of the noise."""
        targets = self.targets
        return Prompts(
            xs=self.xs,
            ys=self.clean + noise * self.noise,
            queries=self.queries,
            targets=targets,
            target_variance=targets.square().mean(-1),
            weights=self.weights,
        )


def draw(
    task: LinearRegression, n: int, *, condition: float, streams: Streams, seed: int, step: int, near: bool
) -> Drawn:
    """One batch of prompts of the task's sizes.

    With independent streams the covariance is diagonal with mean eigenvalue 1, so that the size of the inner products does
    not change with its condition number. Otherwise it is the source's: orthonormal columns times the square roots of
    eigenvalues from 1 to κ, so that rows are shorter at small κ > 1 and longer at large κ than at κ = 1.

    Args:
        task: sizes, and the prior variance of the weights where streams are independent.
        n: number of prompts.
        condition: κ.
        streams: see `Streams`; ``replayed`` draws one prompt, from the source's seed number ``step``.
        seed, step: of the generator.
        near: append queries near the first example to the queries.

    Raises:
        ValueError: a condition number below 1, or above 1 in one dimension; with the source's covariance, fewer points than
            dimensions; several replayed prompts per seed.
    """
    Diagonal(condition=condition)
    points = task.examples + task.queries
    if streams == "independent":
        scales = Diagonal(condition=condition).eigenvalues(task.dim, 0, 1, generator(0, "unused"))[0].sqrt()
        inputs = _normal(seed, "inputs", step, n, points, task.dim) * scales
        weights = _normal(seed, "weights", step, n, task.dim) * task.weight_variance**0.5
        noise = _normal(seed, "noise", step, n, task.examples)
    else:
        numbers = _numbers(n, points * task.dim, streams, seed, step)
        inputs = _conditioned(numbers.reshape(n, points, task.dim), condition)
        weights, noise = numbers[:, : task.dim], numbers[:, task.dim : task.dim + task.examples]
    xs, queries = inputs[:, : task.examples], inputs[:, task.examples :]
    if near:
        queries = torch.cat([queries, (1 - SHARE) ** 0.5 * xs[:, :1] + SHARE**0.5 * queries], 1)
    return Drawn(xs=xs, queries=queries, clean=torch.bmm(xs, weights[..., None])[..., 0], noise=noise, weights=weights)


def _numbers(n: int, count: int, streams: Streams, seed: int, step: int) -> Float[Tensor, "batch number"]:
    """The numbers that inputs, weights and noise share."""
    if streams == "leaking":
        return _normal(seed, "all", step, n, count)
    if n > 1:
        raise ValueError(f"n must be 1 where the source's prompts are replayed, one per seed; got {n}. Pass n=1.")
    return torch.from_numpy(np.random.default_rng(FIRST + step).standard_normal((1, count)))


def _conditioned(inputs: Float[Tensor, "batch point dim"], condition: float) -> Float[Tensor, "batch point dim"]:
    """The source's covariance: nothing changes at κ = 1."""
    points, dim = inputs.shape[1:]
    if condition == 1:
        return inputs
    if points < dim:
        raise ValueError(
            f"examples and queries must be at least dim={dim} together for the source's covariance; got {points}. "
            "Use independent streams."
        )
    columns = torch.linalg.qr(inputs).Q
    return columns * torch.logspace(0, float(np.log10(condition)), dim, dtype=inputs.dtype).sqrt()


def _normal(seed: int, stream: str, step: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator(seed, f"kernel sweep/{stream}", step), dtype=torch.float64)
