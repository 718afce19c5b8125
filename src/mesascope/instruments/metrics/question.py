"""What everybody is asked."""

import dataclasses
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.types import Prompts

LENGTHS = 5
"""How many context lengths, evenly spaced up to the full one, weights are induced at where the domain allows it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Queries:
    """What is asked: fresh queries, the context's own inputs, and queries that are moved a little.

    Attributes:
        prompts: the contexts, each with fresh queries.
        inverse: pseudo-inverse of each prompt's queries, which turns answers into induced weights.
        lengths: context lengths at which weights are induced; the full one is not listed.
    """

    prompts: Prompts
    inverse: Float[Tensor, "batch dim query"]
    lengths: tuple[int, ...]

    @classmethod
    def of(cls, prompts: Prompts) -> "Queries":
        """The question on these prompts.

        Raises:
            ValueError: too few queries to say whether a predictor is linear.
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
        """The question on some of the prompts."""
        return Queries(prompts=self.prompts[index], inverse=self.inverse[index], lengths=self.lengths)

    def induced(self, predictions: Float[Tensor, "batch query"]) -> Float[Tensor, "batch dim"]:
        """ŵ: the least-squares fit of answers on the fresh queries, without an intercept."""
        return (self.inverse @ predictions[..., None])[..., 0]


def asking(prompts: Prompts, queries: Float[Tensor, "batch query dim"], examples: int | None = None) -> Prompts:
    """The same contexts, or their first examples, with other queries; nobody is told what the answers should be."""
    xs, ys, nothing = prompts.xs[:, :examples], prompts.ys[:, :examples], torch.zeros_like(queries[..., 0])
    return dataclasses.replace(prompts, xs=xs, ys=ys, queries=queries, targets=nothing)
