"""Edits of activations that instruments share: put in another value, whole or in part; and whether an edit acts at all."""

from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor

from mesascope.seeds import generator
from mesascope.types import Intervention, Prompts, Site, Subject

Positions = Literal["query", "context", "all"]
LARGE = 10.0
"""Root mean squares of an activation by which a large edit moves each of its numbers."""


def replace(
    site: Site,
    value: Tensor,
    *,
    positions: Positions = "all",
    queries: Int[Tensor, "query _"] | None = None,
    strength: float = 1.0,
) -> Intervention:
    """Put ``value`` in place of what a site computes.

    Args:
        site: where.
        value: what to put there; anything that broadcasts to the activation's shape. One captured from other prompts
            must come from as many, in the order in which they are traced.
        positions: ``query``, ``context`` (all others), or ``all``.
        queries: where the queries' tokens stand (see `mesascope.instruments.asking.tokens.asked`); by default at the last
            position.
        strength: share of the replacement; the rest stays as it was. 0 changes nothing, to the bit.

    Raises:
        ValueError: single positions of an attention pattern, whose rows and columns are both positions.
    """
    if site.kind == "pattern" and positions != "all":
        raise ValueError(
            f"positions must be 'all' for an attention pattern; got {positions!r} at {site}. Edit its rows with an "
            "Intervention of your own."
        )

    asked = torch.tensor([[-1]]) if queries is None else queries

    def edit(activation: Tensor) -> Tensor:
        new = _blend(activation, value, strength)
        if positions == "all":
            return new
        is_query = torch.zeros(activation.shape[1], dtype=torch.bool, device=activation.device)
        is_query[asked.flatten().to(activation.device)] = True
        chosen = is_query == (positions == "query")
        return torch.where(chosen.view(-1, *[1] * (activation.ndim - 2)), new, activation)

    return Intervention(site=site, edit=edit)


def replace_head(site: Site, head: int, value: Tensor, *, strength: float = 1.0) -> Intervention:
    """Put ``value`` in place of one head's output before the output projection (site ``z``).

    Args:
        site: a ``z`` site.
        head: which head.
        value: broadcasts to ``(batch, position, head, width/head)``; only this head's part is used.
        strength: as in `replace`.

    Raises:
        ValueError: the site does not hold heads' outputs.
    """
    if site.kind != "z":
        raise ValueError(f"site must be a z site, where heads are still apart; got {site}.")

    def edit(activation: Tensor) -> Tensor:
        new = activation.clone()
        new[:, :, head] = _blend(activation, value, strength)[:, :, head]
        return new

    return Intervention(site=site, edit=edit)


def inert_sites(subject: Subject, prompts: Prompts, *, seed: int = 0) -> tuple[Site, ...]:
    """The sites of the path at which a large edit leaves the answers as they are: the subject drops what is put in there.

    The edit adds random numbers at all positions, so that no single channel decides.
    """
    answers = subject.trace(prompts).predictions
    plain = answers.double()
    least = float(plain.abs().max()) * torch.finfo(answers.dtype).eps ** 0.5

    def push(site: Site) -> Intervention:
        def edit(activation: Tensor) -> Tensor:
            noise = torch.randn(activation.shape, generator=generator(seed, f"large edit/{site}"), dtype=torch.float64)
            size = activation.double().square().mean().sqrt()
            return activation + (LARGE * (size if size > 0 else 1.0) * noise.to(activation.device)).to(activation.dtype)

        return Intervention(site=site, edit=edit)

    def moved(site: Site) -> bool:
        found = subject.trace(prompts, interventions=[push(site)]).predictions.double()
        return not bool(((found - plain).abs() <= least).all())  # what is no number any more has moved

    return tuple(site for site in subject.path if not moved(site))


def _blend(activation: Tensor, value: Tensor, strength: float) -> Tensor:
    value = value.to(activation).expand_as(activation)
    # At full strength activation + (value − activation) would round: what is put in must arrive to the bit.
    return value.clone() if strength == 1.0 else activation + strength * (value - activation)
