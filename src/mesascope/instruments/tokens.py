"""Where a prompt's tokens stand among a subject's positions."""

import dataclasses
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from mesascope.instruments.applicability import NotApplicable
from mesascope.types import Prompts, Site, Subject


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layout:
    """Contexts one after the other, then the queries.

    Attributes:
        context: the positions of the tokens that each query is answered from, in order. All queries share one context,
            except where the context sees its query: there each has its own.
        examples: how many the context shows.
    """

    context: Int[Tensor, "query token"]
    examples: int

    @property
    def queries(self) -> Int[Tensor, " query"]:
        """The positions of the queries."""
        return torch.arange(len(self.context)) + int(self.context.max()) + 1

    @property
    def first(self) -> Int[Tensor, " position"]:
        """For each position, the first of its context."""
        return self._of_each(self.context[:, :1].expand_as(self.context), self.context[:, 0])

    @property
    def previous(self) -> Int[Tensor, " position"]:
        """For each position, the one before it (itself for the first); for a query, the last of its context."""
        return self._of_each(self.context[:, [0, *range(self.context.shape[1] - 1)]], self.context[:, -1])

    def columns(self) -> dict[str, Int[Tensor, "query example"]]:
        """The positions of each kind of token, example by example: ``label`` and ``input``, or both in one ``example``.

        Nothing where an example has neither one token nor two.
        """
        tokens = self.context.shape[1]
        if tokens == 2 * self.examples:
            return {"label": self.context[:, 1::2], "input": self.context[:, ::2]}
        return {"example": self.context} if tokens == self.examples else {}

    def _of_each(self, in_context: Int[Tensor, "query token"], at_query: Int[Tensor, " query"]) -> Tensor:
        found = torch.empty(int(self.context.max()) + 1 + len(at_query), dtype=torch.long)
        found[self.context] = in_context
        found[self.queries] = at_query
        return found


def layout(subject: Subject, prompts: Prompts, site: Site) -> Layout:
    """The layout of some prompts, found by asking with one query too: it tells what a context takes.

    Args:
        subject: whose positions.
        prompts: as many queries as will be asked; the first prompt is traced.
        site: an attention pattern that the subject shows.

    Raises:
        NotApplicable: the positions are neither those of one context nor those of one a query.
    """
    one = prompts[:1]
    alone = dataclasses.replace(one, queries=one.queries[:, :1], targets=one.targets[:, :1])
    queries = prompts.queries.shape[1]
    tokens, shown = (subject.trace(p, capture=[site])[site].shape[-1] - p.queries.shape[1] for p in (alone, one))
    if shown not in (tokens, queries * tokens):
        raise NotApplicable(
            f"{subject.name} has {tokens} tokens of context for one query and {shown} for {queries}; one context for all "
            "queries and one for each are known."
        )
    context = torch.arange(shown).reshape(-1, tokens).expand(queries, tokens)
    return Layout(context=context, examples=prompts.examples)
