"""In-context generalised linear regression: labels are binary or counts, and their mean depends on wᵀx."""

import dataclasses
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.records.checks import check_choices, check_count
from mesascope.records.shown import shown
from mesascope.seeds import generator
from mesascope.tasks.inputs import Gaussian, Inputs
from mesascope.tasks.linear import CHUNK, LinearRegression
from mesascope.types import GlmFamily, Prompts

STRONGEST = 5.0
"""Largest standard deviation of the linear predictor: above it, labels have almost no noise, and counts reach billions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneralisedLinearRegression:
    """Labels y with mean μ(wᵀx), w drawn anew for each prompt; the targets are the linear predictor wᵀx itself.

    ``logistic``: y is 1 with probability μ(η) = 1/(1 + e⁻ᵑ), else 0. ``poisson``: y is a count with mean μ(η) = eᵑ. There
    is no intercept. The weights are a rescaled Gaussian vector, so their direction is uniform; their length is such that wᵀx
    has the standard deviation ``strength`` over each prompt's own query distribution. The classes then overlap, so that with
    many examples per dimension they are not separable, and no mean overflows. A prompt with few examples can still be
    separable: fit it with a ridge penalty.

    Attributes:
        dim: dimension of the inputs.
        examples: number of pairs shown per prompt.
        queries: number of queries per prompt.
        family: the distribution of the labels, with its canonical link.
        strength: standard deviation of wᵀx.
        inputs: distribution of the context's inputs.
        query_inputs: distribution of the queries; ``None`` for the same as the context's, with the prompt's own covariance.

    Raises:
        ValueError: a size below 1, an unknown family, or a strength that is not above 0 and at most 5.
    """

    dim: int = 5
    examples: int = 40
    queries: int = 1
    family: GlmFamily = "logistic"
    strength: float = 1.0
    inputs: Inputs = field(default_factory=Gaussian)
    query_inputs: Inputs | None = None

    def __post_init__(self) -> None:
        check_choices(self)
        for name in ("dim", "examples", "queries"):
            check_count(name, getattr(self, name))
        if not 0 < self.strength <= STRONGEST:
            raise ValueError(
                f"strength must be above 0 and at most {STRONGEST}; got {shown(self.strength)}. It is the standard deviation of "
                "wᵀx: pass 1.0 for labels with moderate noise."
            )

    def sample(
        self,
        n: int,
        *,
        seed: int,
        stream: str = "sample",
        start: int = 0,
        dtype: torch.dtype = torch.float64,
    ) -> Prompts:
        """Prompts number ``start`` to ``start + n``; inputs, weights and queries are those of `LinearRegression`, w rescaled.

        Arguments and exceptions are those of `LinearRegression.sample`.
        """
        check_count("n", n)
        check_count("start", start, least=0)
        first, last = start // CHUNK, (start + n - 1) // CHUNK
        whole = self._linear().sample((last - first + 1) * CHUNK, seed=seed, stream=stream, start=first * CHUNK)
        assert whole.weights is not None
        scale = self.strength / whole.target_variance.sqrt()
        predictors = (whole.ys * scale[:, None]).split(CHUNK)
        labels = [
            draw_labels(self.family, predictor, generator(seed, f"{stream}/labels", first + i))
            for i, predictor in enumerate(predictors)
        ]
        p = dataclasses.replace(
            whole,
            ys=torch.cat(labels),
            targets=whole.targets * scale[:, None],
            target_variance=torch.full_like(scale, self.strength**2),
            weights=whole.weights * scale[:, None],
        )
        skip = start - first * CHUNK
        return p[skip : skip + n].to(dtype=dtype)

    def check_memory(self, n: int) -> None:
        """As `LinearRegression.check_memory`."""
        self._linear().check_memory(n)

    def _linear(self) -> LinearRegression:
        return LinearRegression(
            dim=self.dim,
            examples=self.examples,
            queries=self.queries,
            inputs=self.inputs,
            query_inputs=self.query_inputs,
        )


def draw_labels(
    family: GlmFamily, predictor: Float[Tensor, "batch example"], rng: torch.Generator
) -> Float[Tensor, "batch example"]:
    """Labels of a generalised linear model at given linear predictors."""
    if family == "poisson":
        return torch.poisson(predictor.exp(), generator=rng)
    return (torch.rand(predictor.shape, generator=rng, dtype=predictor.dtype) < predictor.sigmoid()).to(predictor)
