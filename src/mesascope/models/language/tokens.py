"""Token sequences that share a beginning: a context, continuations of it, and continuations of those."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tokens:
    """A batch of token sequences, each with continuations that don't see one another.

    A sequence begins with branch 0. Branch b continues its parent and sees it, the parent's own parent, and so on, but no
    other branch: to the model, each branch is a sequence of its own. Numbers that take fewer tokens than another prompt's are
    filled up with positions that nobody sees, so that a position means the same in all prompts.

    Attributes:
        ids: the tokens; any number where there is none.
        real: whether there is a token at a position.
        branch: the branch that each position belongs to. A branch stands after its parent.
        parents: for each branch, its parent; for branch 0, which has none, 0.
    """

    ids: Int[Tensor, "batch position"]
    real: Bool[Tensor, "batch position"]
    branch: Int[Tensor, " position"]
    parents: tuple[int, ...] = (0,)


def plain(ids: Int[Tensor, "batch position"]) -> Tokens:
    """Sequences of one length without continuations."""
    real = torch.ones_like(ids, dtype=torch.bool)
    return Tokens(ids=ids, real=real, branch=torch.zeros(ids.shape[1], dtype=torch.long))


def visible(tokens: Tokens) -> Bool[Tensor, "batch position position"]:
    """Whether the first position sees the second: a token that is not later, in the same branch or one that it continues."""
    count = len(tokens.parents)
    continues = torch.zeros(count, count, dtype=torch.bool)
    for branch, parent in enumerate(tokens.parents):
        continues[branch] = continues[parent]
        continues[branch, branch] = True
    seen = continues[tokens.branch][:, tokens.branch].tril()
    return seen & tokens.real[:, None]


def places(tokens: Tokens) -> Int[Tensor, "batch position"]:
    """The place of each token in its own sequence, counted from 0: what position embeddings depend on."""
    return (visible(tokens).sum(-1) - 1).clamp(min=0)
