"""Prompts continued by whole numbers, other ones for each prompt: what a model is asked to weigh against one another."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from mesascope.models.language.network import Network
from mesascope.models.language.passes import run
from mesascope.models.language.subject import LanguageSubject
from mesascope.models.language.tokens import Tokens
from mesascope.models.language.writing import continuations, encode
from mesascope.types import Intervention, Prompts, Site


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Continued:
    """Prompts whose queries are each followed by several numbers, which do not see one another.

    The last axis of the fields counts the tokens of a number and the token that ends it, up to the longest number.

    Attributes:
        tokens: prompts and numbers, as a model reads them.
        words: the tokens of the numbers; 0 where there is none.
        there: whether there is a token.
        before: the position whose stream predicts each token; the first is the same for all numbers of a query.
    """

    tokens: Tokens
    words: Int[Tensor, "batch query member _"]
    there: Bool[Tensor, "batch query member _"]
    before: Int[Tensor, "query member _"]


def continued(subject: LanguageSubject, prompts: Prompts, numbers: Sequence[Sequence[Sequence[str]]]) -> Continued:
    """The tokens of prompts with numbers after their queries.

    Args:
        subject: the model.
        prompts: the problems.
        numbers: for each prompt and each of its queries the same number of numbers, as they are written.

    Raises:
        ValueError: the prompts do not fit the subject, or its tokenizer has the same tokens for two numbers.
    """
    subject.domain.check(prompts)
    base = encode(subject.writing, prompts)
    batch, asked = prompts.queries.shape[:2]
    members, length = len(numbers[0][0]), base.ids.shape[1]
    different = list(dict.fromkeys(text for row in numbers for each in row for text in each))
    known = dict(zip(different, continuations(subject.writing, different), strict=True))
    longest = max(map(len, known.values()))
    words = torch.zeros(batch, asked, members, longest, dtype=torch.long)
    there = torch.zeros_like(words, dtype=torch.bool)
    for prompt, row in enumerate(numbers):
        for query, each in enumerate(row):
            for member, text in enumerate(each):
                tokens = known[text]
                words[prompt, query, member, : len(tokens)] = torch.tensor(tokens)
                there[prompt, query, member, : len(tokens)] = True
    slots = length + torch.arange(asked * members * longest).view(asked, members, longest)
    answers = subject.layout(prompts.examples, asked).answers
    before = torch.cat([answers[:, None, None].expand(-1, members, 1), slots[..., :-1]], -1)
    owner = torch.arange(asked * members)
    tokens = Tokens(
        ids=torch.cat([base.ids, words.flatten(1)], 1),
        real=torch.cat([base.real, there.flatten(1)], 1),
        branch=torch.cat([base.branch, len(base.parents) + owner.repeat_interleave(longest)]),
        parents=(*base.parents, *(1 + owner // members).tolist()),
    )
    return Continued(tokens=tokens, words=words, there=there, before=before)


@torch.no_grad()
def read_before(
    network: Network, asked: Continued, sites: Sequence[Site], interventions: Sequence[Intervention] = ()
) -> dict[Site, Tensor]:
    """What sites hold, after the edits, where the tokens of numbers are predicted (``before``, flattened), on the CPU."""
    found: dict[Site, Tensor] = {}
    at = asked.before.flatten()

    def look(site: Site) -> Intervention:
        def keep(value: Tensor) -> Tensor:
            found[site] = value[:, at.to(value.device)].cpu()
            return value

        return Intervention(site=site, edit=keep)

    run(network, asked.tokens, interventions=[*interventions, *(look(site) for site in sites)])
    return found


__all__ = ("Continued", "continued", "read_before")
