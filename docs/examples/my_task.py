"""A task of one's own: linear regression whose weights are mostly zero."""

from dataclasses import dataclass

import torch

from mesascope.seeds import generator
from mesascope.types import Prompts


@dataclass(frozen=True, kw_only=True)
class Sparse:
    dim: int = 5
    examples: int = 20
    queries: int = 1
    nonzero: int = 2

    def sample(self, n, *, seed, stream="sample", start=0, dtype=torch.float64):
        points = (self.examples + self.queries, self.dim)
        rngs = [generator(seed, stream, number) for number in range(start, start + n)]  # one for each prompt
        x = torch.stack([torch.randn(points, generator=rng, dtype=torch.float64) for rng in rngs])
        w = torch.stack([torch.randn(self.dim, generator=rng, dtype=torch.float64) for rng in rngs])
        keep = torch.stack([torch.randperm(self.dim, generator=rng) < self.nonzero for rng in rngs])
        w = torch.where(keep, w, 0.0)
        y, k = (x @ w[..., None])[..., 0], self.examples
        variance = w.square().sum(-1)
        return Prompts(
            xs=x[:, :k], ys=y[:, :k], queries=x[:, k:], targets=y[:, k:], target_variance=variance, weights=w
        ).to(dtype=dtype)
