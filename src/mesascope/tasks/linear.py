"""In-context linear regression."""

import math
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.machine.memory import check_memory
from mesascope.records.checks import check_choices, check_count
from mesascope.records.shown import shown
from mesascope.seeds import generator
from mesascope.tasks.inputs import Gaussian, Inputs
from mesascope.types import Prompts

LAST = 2**62  # prompts are numbered in 64 bits
CHUNK = 256  # prompts drawn from one generator; a change would change the prompts of every seed


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearRegression:
    """Linear regression y = wᵀx + noise, with w drawn anew for each prompt.

    Attributes:
        dim: dimension of the inputs.
        examples: number of pairs shown per prompt.
        queries: number of queries per prompt.
        noise: standard deviation of the label noise. Targets are noiseless.
        weights: ``unit`` for N(0, I/dim), whose mean squared length is 1 (Source B); ``standard`` for N(0, I).
        inputs: distribution of the context's inputs.
        query_inputs: distribution of the queries; ``None`` for the same as the context's, with the prompt's own covariance.

    Raises:
        ValueError: a size below 1, or negative noise.
    """

    dim: int = 5
    examples: int = 20
    queries: int = 1
    noise: float = 0.0
    weights: Literal["unit", "standard"] = "unit"
    inputs: Inputs = field(default_factory=Gaussian)
    query_inputs: Inputs | None = None

    def __post_init__(self) -> None:
        check_choices(self)
        for name in ("dim", "examples", "queries"):
            check_count(name, getattr(self, name))
        if not 0 <= self.noise < math.inf:
            raise ValueError(
                f"noise must be a standard deviation, 0 or more and finite; got {shown(self.noise)}. Pass 0 for exact labels."
            )

    @property
    def weight_variance(self) -> float:
        """Prior variance of each coordinate of w."""
        return 1 / self.dim if self.weights == "unit" else 1.0

    def sample(
        self,
        n: int,
        *,
        seed: int,
        stream: str = "sample",
        start: int = 0,
        dtype: torch.dtype = torch.float64,
    ) -> Prompts:
        """Prompts number ``start`` to ``start + n``.

        The numbers depend on (seed, stream, prompt number) alone: one call for 512 gives the same as two for 256.
        Inputs, weights, noise and queries come from independent streams.

        Args:
            n: number of prompts.
            seed: the seed.
            stream: separates uses (training, fitting, scoring).
            start: the first prompt's number.
            dtype: precision of the result; the numbers are drawn in float64.

        Raises:
            ValueError: ``n`` below 1, ``start`` below 0, or more prompts than this machine can hold.
        """
        check_count("n", n)
        check_count("start", start, least=0)
        if start + n > LAST:
            raise ValueError(
                f"start must leave room for n prompts below number {LAST:,}; got {shown(start)}. Begin at 0."
            )
        self.check_memory(n)
        first, last = start // CHUNK, (start + n - 1) // CHUNK
        chunks = [self._chunk(seed, stream, c) for c in range(first, last + 1)]
        skip = start - first * CHUNK

        def column(name: str, kind: torch.dtype) -> torch.Tensor:
            return torch.cat([chunk[name].to(kind) for chunk in chunks])[skip : skip + n]

        return Prompts(
            **{name: column(name, dtype) for name in chunks[0] if name != "strata"},
            strata=column("strata", torch.int64),
            stratum_names=self.inputs.covariance.names,
        )

    def check_memory(self, n: int) -> None:
        """Check that this machine has the memory to draw and hold ``n`` prompts.

        Raises:
            ValueError: it does not; the message says how much memory is needed.
        """
        covariance = self.inputs.covariance
        points = self.examples + self.queries
        drawing = CHUNK * self.dim * ((4 if covariance.rotate else 1) * self.dim + 4 * points)
        held = 3 * CHUNK * -(-n // CHUNK) * (points * (self.dim + 1) + 2 * self.dim)
        what = f"drawing {max(n, CHUNK)} prompts of dim={self.dim}, examples={self.examples} and queries={self.queries}"
        check_memory(what, 8 * (drawing + held), "Reduce the largest of these numbers.")

    def _chunk(self, seed: int, stream: str, chunk: int) -> dict[str, torch.Tensor]:
        def rng(name: str) -> torch.Generator:
            return generator(seed, f"{stream}/{name}", chunk)

        numbers = torch.arange(chunk * CHUNK, (chunk + 1) * CHUNK)
        roots = self.inputs.covariance.roots(self.dim, numbers, seed, f"{stream}/inputs", chunk)
        xs = self.inputs.design(roots, self.examples, rng("inputs"))
        query_inputs = self.query_inputs or self.inputs
        if self.query_inputs is not None:
            roots = self.query_inputs.covariance.roots(self.dim, numbers, seed, f"{stream}/queries", chunk)
        queries = query_inputs.standard((CHUNK, self.queries, self.dim), rng("queries")) @ roots.transpose(-1, -2)
        w = self._draw_weights(rng("weights"))
        ys = (xs @ w[..., None]).squeeze(-1)
        if self.noise:
            ys = ys + self.noise * torch.randn(ys.shape, generator=rng("noise"), dtype=torch.float64)
        return {
            "xs": xs,
            "ys": ys,
            "queries": queries,
            "targets": (queries @ w[..., None]).squeeze(-1),
            "target_variance": (roots.transpose(-1, -2) @ w[..., None]).square().sum((-1, -2)),
            "weights": w,
            "strata": numbers % len(self.inputs.covariance.names),
        }

    def _draw_weights(self, rng: torch.Generator) -> Float[Tensor, "batch dim"]:
        """The weights of one chunk of prompts."""
        return torch.randn(CHUNK, self.dim, generator=rng, dtype=torch.float64) * self.weight_variance**0.5
