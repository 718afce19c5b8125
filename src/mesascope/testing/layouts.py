"""Checks that a subject's stated layout gives the real positions of its tokens."""

import dataclasses

import torch
from jaxtyping import Bool
from torch import Tensor

from mesascope.testing.comparison import distance
from mesascope.testing.viewing import View
from mesascope.types import Layout, Site, StatesLayout, stated_layout

STATED = "layout(examples, queries) gives the positions of inputs, labels and queries"


def check_layout(view: View) -> None:
    """Check a stated layout, if there is one, against the subject's activations.

    Positions must be in range and disjoint, and their number must be that of every site. If the embedding is a site, another
    label must change it only at that label's positions, another input at that input's, and another query at that query's.
    """
    subject, report, p = view.subject, view.report, view.prompts
    if not isinstance(subject, StatesLayout):
        return
    remedy = "return a mesascope.types.Layout; mesascope.types.interleaved makes the usual ones"
    with report.keeping(STATED, remedy):
        places = stated_layout(subject, p.examples, view.queries)
        if not isinstance(places, Layout):
            report.broken(STATED, f"it is {type(places).__name__}", remedy)
            return
        sizes = (places.examples, len(places.queries))
        if sizes != (p.examples, view.queries):
            report.broken(STATED, f"(examples, queries) = {sizes} for {(p.examples, view.queries)}", remedy)
            return
        if fault := _overlaps(places):
            report.broken(STATED, fault, "give every token its own position")
        for site, value in view.trace(capture=subject.sites).activations.items():
            if (shown := value.shape[2 if site.kind == "pattern" else 1]) != places.positions:
                words = f"{places.positions} positions, and {shown} at {site}"
                report.broken(STATED, words, "count all tokens, including those that are neither input nor label")
                return
        if Site(kind="embed") in subject.sites:
            _check_embedding(view, places)


def _check_embedding(view: View, places: Layout) -> None:
    """Change one label, one input and one query, and check at which positions the embedding changes."""
    p, site, report = view.prompts, Site(kind="embed"), view.report
    plain = view.trace(capture=[site])[site].clone()
    example, query = p.examples // 2, view.queries - 1
    ys, xs, queries = p.ys.clone(), p.xs.clone(), p.queries.clone()
    ys[:, example] = 1 - 2 * ys[:, example]
    xs[:, example] = 1 - 2 * xs[:, example]
    queries[:, query] = 1 - 2 * queries[:, query]
    for words, changed, own in (
        (f"the label of example {example}", dataclasses.replace(p, ys=ys), places.labels[:, example]),
        (f"the input of example {example}", dataclasses.replace(p, xs=xs), places.inputs[:, example]),
        (f"query {query}", dataclasses.replace(p, queries=queries), places.queries[query]),
    ):
        moved = _moved(plain, view.trace(changed, capture=[site])[site], view.tolerance)
        allowed = torch.zeros_like(moved)
        allowed[own.flatten()] = True
        if bool((moved & ~allowed).any()):
            where = ", ".join(map(str, (moved & ~allowed).nonzero()[:, 0].tolist()))
            report.broken(
                STATED,
                f"another value of {words} changes {site} at {where}, which the layout does not state",
                "state all its tokens",
            )
        elif not bool(moved.any()):
            report.broken(STATED, f"another value of {words} changes {site} nowhere", "state its tokens")


def _moved(before: Tensor, after: Tensor, tolerance: float) -> Bool[Tensor, " position"]:
    return torch.tensor([distance(before[:, i], after[:, i]) > tolerance for i in range(before.shape[1])])


def _overlaps(places: Layout) -> str:
    """A conflict between two tokens' positions, in words; empty if there is none."""
    kinds = {"inputs": places.inputs, "queries": places.queries[:, None]}
    if not places.together:
        kinds["labels"] = places.labels
    taken = {name: value[0].flatten().tolist() for name, value in kinds.items()} | {
        "queries": places.queries.flatten().tolist()
    }
    for name, positions in taken.items():
        if len(set(positions)) < len(positions):
            return f"two tokens of {name} are at one position"
    names = list(taken)
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            if both := sorted(set(taken[one]) & set(taken[other])):
                return f"{one} and {other} are both at position {both[0]}"
    return ""
