"""The contexts and queries that all predictors answer, so that the metrics can compare their answers."""

import dataclasses
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.types import Prompts

LENGTHS = 5
"""Number of context lengths, evenly spaced up to the full one, at which weights are induced if a subject takes them."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Queries:
    """Contexts with fresh queries, and what is needed to turn answers to these into induced weights.

    Attributes:
        prompts: the contexts, each with fresh queries.
        inverse: the pseudo-inverse of each prompt's queries, which maps answers to induced weights.
        lengths: the context lengths, below the full one, at which weights are induced too.
    """

    prompts: Prompts
    inverse: Float[Tensor, "batch dim query"]
    lengths: tuple[int, ...]

    @classmethod
    def of(cls, prompts: Prompts) -> "Queries":
        """The queries of these prompts.

        Raises:
            ValueError: there are not more queries than dimensions, too few to say whether a predictor is linear.
        """
        if prompts.queries.shape[1] <= prompts.dim:
            raise ValueError(
                f"queries must be more than dim={prompts.dim}, or weights fit any answers exactly and the fit's R² says "
                f"nothing; got {prompts.queries.shape[1]}. Pass queries={4 * prompts.dim}."
            )
        spaced = {round(prompts.examples * k / LENGTHS) for k in range(1, LENGTHS)} - {0, prompts.examples}
        inverse = torch.linalg.pinv(prompts.queries.double())
        return cls(prompts=prompts, inverse=inverse, lengths=tuple(sorted(spaced)))

    def __getitem__(self, index: Tensor) -> "Queries":
        """The contexts and queries of some of the prompts."""
        return Queries(prompts=self.prompts[index], inverse=self.inverse[index], lengths=self.lengths)

    def induced(self, predictions: Float[Tensor, "batch query"]) -> Float[Tensor, "batch dim"]:
        """The induced weights ŵ: the least-squares fit of answers on the fresh queries, without an intercept."""
        return (self.inverse @ predictions[..., None])[..., 0]


def asking(prompts: Prompts, queries: Float[Tensor, "batch query dim"], examples: int | None = None) -> Prompts:
    """The same contexts, or their first ``examples`` examples, with other queries; the targets are unknown and set to 0."""
    xs, ys, nothing = prompts.xs[:, :examples], prompts.ys[:, :examples], torch.zeros_like(queries[..., 0])
    return dataclasses.replace(prompts, xs=xs, ys=ys, queries=queries, targets=nothing)
