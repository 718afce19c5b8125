"""How much each part of a language model adds to one number over another, by prompt, and after another prompt."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mesascope.instruments.asking.number_pairs import Pair
from mesascope.models.language import LanguageSubject
from mesascope.models.language.continuing import Continued
from mesascope.models.language.contributions import Contributions, contributions
from mesascope.types import Intervention, Prompts, Site

STRENGTH = 100.0
"""The size of what the planted part writes, in units of the rows of the unembedding."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Votes:
    """What the parts add to the logit of the first number of a pair, less that of the second; see `contributions`.

    Attributes:
        stream: before the first layer and after each layer.
        attention, mlp, heads: what layers and heads add.
        log_odds: the log-probability of the first number less that of the second.
    """

    stream: Float[Tensor, "_ batch"]
    attention: Float[Tensor, "layer batch"]
    mlp: Float[Tensor, "layer batch"]
    heads: Float[Tensor, "layer head batch"]
    log_odds: Float[Tensor, " batch"]

    def __getitem__(self, index: Bool[Tensor, " batch"]) -> "Votes":
        """The votes on the chosen prompts."""
        return Votes(**{field.name: getattr(self, field.name)[..., index] for field in fields(self)})


def votes(
    subject: LanguageSubject, prompts: Prompts, pairs: Sequence[Pair], others: Int[Tensor, " batch"]
) -> tuple[tuple[Votes, ...], tuple[Votes, ...]]:
    """The votes of each pair, on the prompts where it is compared; and the same after another prompt, with the same numbers.

    Args:
        subject: the model.
        prompts: the problems, with one query each.
        pairs: whose numbers are compared.
        others: for each prompt the one that takes its place: each takes one place.
    """
    guests = others.argsort()  # whose numbers stand after a prompt that takes another's place
    numbers = [
        [[text for p in (i, int(guests[i])) for pair in pairs for text in pair.numbers[p]]] for i in range(len(prompts))
    ]
    found = contributions(subject, prompts, numbers)
    own, null = (
        tuple(_apart(found, 2 * (place * len(pairs) + i), order[pair.places]) for i, pair in enumerate(pairs))
        for place, order in enumerate((torch.arange(len(prompts)), others))
    )
    return own, null


def planted(subject: LanguageSubject, prompts: Prompts, pairs: Sequence[Pair]) -> tuple[Votes, ...]:
    """The votes if nothing but the last feed-forward network adds to the stream, and it writes each pair's first number.

    Where a token of the first number is predicted it adds that token's row of the unembedding, and where one of the second is,
    it takes that row away; so the attention of all layers and the other feed-forward networks add exactly nothing.
    """
    numbers = [[[text for pair in pairs for text in pair.numbers[i]]] for i in range(len(prompts))]
    network = subject.network
    last = Site(layer=len(network.blocks) - 1, kind="mlp_out")

    def edits(asked: Continued) -> list[Intervention]:
        weight: Tensor = network.unembedding.weight  # type: ignore[assignment]
        signs = torch.tensor([1.0, -1.0], device=weight.device).repeat(len(pairs))[:, None, None]
        rows = weight[asked.words[:, 0]].detach() * asked.there[:, 0, ..., None].to(weight.device)
        return [
            Intervention(site=site, edit=_written(asked, STRENGTH * signs * rows) if site == last else torch.zeros_like)
            for site in network.sites
            if site.kind in ("z", "attn_out", "mlp_out")
        ]

    found = contributions(subject, prompts, numbers, edits=edits)
    return tuple(_apart(found, 2 * i, pair.places) for i, pair in enumerate(pairs))


def _written(asked: Continued, rows: Float[Tensor, "batch member _ width"]) -> Callable[[Tensor], Tensor]:
    """An edit that puts these rows where the tokens are predicted, and nothing elsewhere."""

    def edit(value: Tensor) -> Tensor:
        new = torch.zeros_like(value)
        return new.index_add_(1, asked.before[0].flatten().to(value.device), rows.flatten(1, 2).to(value))

    return edit


def _apart(found: Contributions, member: int, chosen: Int[Tensor, " chosen"]) -> Votes:
    """The first number of a pair less the second, whose place among the numbers is ``member``, on some prompts."""

    def less(each: Tensor) -> Tensor:
        return (each[..., chosen, 0, member] - each[..., chosen, 0, member + 1]).cpu()

    return Votes(
        stream=less(found.stream),
        attention=less(found.attention),
        mlp=less(found.mlp),
        heads=less(found.heads),
        log_odds=less(found.scores),
    )


__all__ = ("Votes", "planted", "votes")
