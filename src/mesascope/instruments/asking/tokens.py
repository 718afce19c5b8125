"""Where a prompt's tokens stand among a subject's positions: as it states, or as can be seen from outside."""

import dataclasses

import torch
from jaxtyping import Int
from torch import Tensor

from mesascope.instruments.asking.applicability import NotApplicable
from mesascope.types import Layout, Prompts, Site, Subject, interleaved, stated_layout


def layout(subject: Subject, prompts: Prompts) -> Layout:
    """The layout of some prompts.

    A subject that does not state its layout is asked with one query and with all, which tells what a context takes. Then
    the queries come last, and an example of two tokens has its input before its label; of any other number of tokens
    each is taken to hold both.

    Args:
        subject: whose positions.
        prompts: as many queries as will be asked; the first prompt is traced.

    Raises:
        NotApplicable: the subject states nothing and shows no site, or its positions are neither those of one context nor
            those of one for each query.
    """
    queries = prompts.queries.shape[1]
    if (stated := stated_layout(subject, prompts.examples, queries)) is not None:
        return stated
    one = prompts[:1]
    alone = dataclasses.replace(one, queries=one.queries[:, :1], targets=one.targets[:, :1])
    site = next(iter((*subject.path, *subject.sites)), None)
    if site is None:
        raise NotApplicable(f"{subject.name} shows no site, and does not state its layout.")
    tokens, shown = (_positions(subject, p, site) - p.queries.shape[1] for p in (alone, one))
    if shown not in (tokens, queries * tokens):
        raise NotApplicable(
            f"{subject.name} has {tokens} tokens of context for one query and {shown} for {queries}; one context for all "
            "queries and one for each are known. Give it a method layout(examples, queries) that returns a Layout."
        )
    each, left = divmod(tokens, prompts.examples)
    if left or not each:
        raise NotApplicable(
            f"{subject.name} has {tokens} tokens of context for {prompts.examples} examples, which is no number of tokens "
            "for each. Give it a method layout(examples, queries) that returns a Layout."
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
    """The positions of the queries' tokens, as the subject states them; else the last ones, one each (counted from the end)."""
    queries = prompts.queries.shape[1]
    if (stated := stated_layout(subject, prompts.examples, queries)) is not None:
        return stated.queries
    return torch.arange(-queries, 0)[:, None]


def along(positions: Int[Tensor, " chosen"]) -> slice | Tensor:
    """An index for positions (counted from the end where they are negative): a slice where they are evenly spaced.

    A slice is a view, and what is computed of a view and of a copy may round differently.
    """
    first, last, count = int(positions[0]), int(positions[-1]), len(positions)
    step = (last - first) // (count - 1) if count > 1 else 1
    if step < 1 or not torch.equal(positions, first + step * torch.arange(count)):
        return positions
    return slice(first, last + 1 if last != -1 else None, step)


def _positions(subject: Subject, prompts: Prompts, site: Site) -> int:
    shape = subject.trace(prompts, capture=[site])[site].shape
    return shape[-1] if site.kind == "pattern" else shape[1]
