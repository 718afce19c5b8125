"""Whole numbers as answers: every number of a range, scored over all of its tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mesascope.models.language.passes import run, unembed
from mesascope.models.language.subject import LanguageSubject
from mesascope.models.language.tokens import Tokens
from mesascope.models.language.writing import continuations, encode
from mesascope.types import Prompts

TIED = 1e-5
"""Scores closer than this, in nats, are equal: single precision tells no smaller difference of sums of log-probabilities."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NumberScores:
    """How likely a model takes each of several numbers to be the answer.

    Attributes:
        numbers: the numbers as they are written.
        values: what they stand for.
        scores: log-probabilities of all tokens of the number and of the token that ends it, summed, in nats.
    """

    numbers: tuple[str, ...]
    values: Float[Tensor, " member"]
    scores: Float[Tensor, "batch query member"]

    @property
    def best(self) -> Float[Tensor, "batch query"]:
        """The number with the highest score; of several, the first."""
        return self.values[self.scores.argmax(-1)]

    @property
    def tied(self) -> Int[Tensor, "batch query"]:
        """How many numbers share the highest score: 1 if the answer is clear."""
        return (self.scores >= self.scores.amax(-1, keepdim=True) - TIED).sum(-1)

    @property
    def expected(self) -> Float[Tensor, "batch query"]:
        """The mean of the numbers, weighted by their probabilities among one another."""
        return self.scores.softmax(-1) @ self.values


@torch.no_grad()
def score_numbers(subject: LanguageSubject, prompts: Prompts, numbers: Sequence[str] | None = None) -> NumberScores:
    """Score whole numbers as answers. All numbers are continuations of one pass over the prompt, so that many cost little.

    Args:
        subject: the model, whose template may have labels of any range.
        prompts: the problems.
        numbers: as they are written; by default all of the range of the template's labels.

    Raises:
        ValueError: the prompts do not fit the subject, there are too many numbers to list, or two have the same tokens.
    """
    subject.domain.check(prompts)
    writing = subject.writing
    wanted = tuple(numbers if numbers is not None else writing.template.labels.all())
    words = continuations(writing, wanted)
    asked = prompts.queries.shape[1]
    scores = torch.stack([_score(subject, prompts, query, words) for query in range(asked)], 1)
    values = writing.template.labels.read(torch.tensor([float(number) for number in wanted]))
    return NumberScores(numbers=wanted, values=values, scores=scores)


def _score(
    subject: LanguageSubject, prompts: Prompts, query: int, words: Sequence[tuple[int, ...]]
) -> Float[Tensor, "batch member"]:
    """The scores of all numbers as answers to one query of each prompt."""
    one = Prompts(
        xs=prompts.xs,
        ys=prompts.ys,
        queries=prompts.queries[:, query : query + 1],
        targets=prompts.targets[:, query : query + 1],
        target_variance=prompts.target_variance,
    )
    base = encode(subject.writing, one)
    length, batch = base.ids.shape[1], len(base.ids)
    flat = torch.tensor([token for word in words for token in word])
    owner = torch.tensor([i for i, word in enumerate(words) for _ in word])
    tokens = Tokens(
        ids=torch.cat([base.ids, flat.expand(batch, -1)], 1),
        real=torch.cat([base.real, torch.ones(batch, len(flat), dtype=torch.bool)], 1),
        branch=torch.cat([base.branch, owner + 2]),
        parents=(0, 0, *[1] * len(words)),
    )
    hidden = run(subject.network, tokens).hidden
    first = torch.cat([torch.ones(1, dtype=torch.bool), owner.diff() != 0])
    before = torch.where(
        first, length - 1, length - 1 + torch.arange(len(flat))
    )  # the position that predicts each token
    logits = [_chosen(subject, row[before], flat) for row in hidden]  # one prompt at a time: the vocabulary is large
    return torch.zeros(batch, len(words)).index_add(1, owner, torch.stack(logits))


def _chosen(
    subject: LanguageSubject, hidden: Float[Tensor, "position width"], chosen: Int[Tensor, " position"]
) -> Float[Tensor, " position"]:
    """The log-probability of one token at each position."""
    logits = unembed(subject.network, hidden, normed=True)
    return (logits.gather(1, chosen.to(logits.device)[:, None])[:, 0] - logits.logsumexp(-1)).float().cpu()
