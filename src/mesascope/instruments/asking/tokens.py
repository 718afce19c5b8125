"""Which of a subject's positions hold which tokens of a prompt: as the subject states, or as its number of positions shows."""

import dataclasses

import torch
from jaxtyping import Int
from torch import Tensor

from mesascope.instruments.asking.applicability import NotApplicable
from mesascope.types import Layout, Prompts, Site, Subject, interleaved, stated_layout


def layout(subject: Subject, prompts: Prompts) -> Layout:
    """The layout of a subject's positions for these prompts.

    A subject that does not state its layout is run with one query and with all, which shows how many tokens the context
    takes. Queries are then taken to come last. If an example has two tokens, the first is its input and the second its
    label; with any other number, every token is taken to hold both.

    Args:
        subject: the subject whose positions they are.
        prompts: with as many queries as will be asked; the first prompt is traced.

    Raises:
        NotApplicable: the subject states no layout, and it either has no site or a number of positions that fits neither
            one context for all queries nor one context per query.
    """
    queries = prompts.queries.shape[1]
    if (stated := stated_layout(subject, prompts.examples, queries)) is not None:
        return stated
    one = prompts[:1]
    alone = dataclasses.replace(one, queries=one.queries[:, :1], targets=one.targets[:, :1])
    site = next(iter((*subject.path, *subject.sites)), None)
    if site is None:
        raise NotApplicable(f"{subject.name} has no site and does not state its layout, so its tokens cannot be found.")
    tokens, shown = (_positions(subject, p, site) - p.queries.shape[1] for p in (alone, one))
    if shown not in (tokens, queries * tokens):
        raise NotApplicable(
            f"{subject.name} has {tokens} tokens of context for one query and {shown} for {queries}; that is neither one "
            "context for all queries nor one per query. Give it a method layout(examples, queries) that returns a Layout."
        )
    each, left = divmod(tokens, prompts.examples)
    if left or not each:
        raise NotApplicable(
            f"{subject.name} has {tokens} tokens of context for {prompts.examples} examples, which is not a whole number "
            "of tokens per example. Give it a method layout(examples, queries) that returns a Layout."
        )
    apart = each == 2
    return interleaved(
        prompts.examples,
        queries,
        input_tokens=1 if apart else each,
        label_tokens=1 if apart else 0,
        query_tokens=1,
        own_context=shown != tokens,
    )


def asked(subject: Subject, prompts: Prompts) -> Int[Tensor, "query _"]:
    """The positions of the queries' tokens, as the subject states them; otherwise the last positions, one per query.

    The latter are negative, counted from the end.
    """
    queries = prompts.queries.shape[1]
    if (stated := stated_layout(subject, prompts.examples, queries)) is not None:
        return stated.queries
    return torch.arange(-queries, 0)[:, None]


def along(positions: Int[Tensor, " chosen"]) -> slice | Tensor:
    """An index that selects these positions: a slice if they are evenly spaced, otherwise the positions themselves.

    Negative positions count from the end. A slice selects without a copy, and results computed from a view and from a copy
    may differ in rounding.
    """
    first, last, count = int(positions[0]), int(positions[-1]), len(positions)
    step = (last - first) // (count - 1) if count > 1 else 1
    if step < 1 or not torch.equal(positions, first + step * torch.arange(count)):
        return positions
    return slice(first, last + 1 if last != -1 else None, step)


def _positions(subject: Subject, prompts: Prompts, site: Site) -> int:
    shape = subject.trace(prompts, capture=[site])[site].shape
    return shape[-1] if site.kind == "pattern" else shape[1]
