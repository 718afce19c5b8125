"""Edits of activations that several instruments use: replacing a value, wholly or in part, and finding edits without effect."""

from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor

from mesascope.seeds import generator
from mesascope.types import Intervention, Prompts, Site, Subject

Positions = Literal["query", "context", "all"]
LARGE = 10.0
"""The standard deviation of the random numbers that a large edit adds, in units of the activation's root mean square."""


def replace(
    site: Site,
    value: Tensor,
    *,
    positions: Positions = "all",
    queries: Int[Tensor, "query _"] | None = None,
    strength: float = 1.0,
) -> Intervention:
    """The intervention that puts ``value`` in place of a site's activation.

    Args:
        site: where to put it.
        value: a tensor that broadcasts to the activation's shape. An activation captured from other prompts must come from
            as many prompts, in the order in which these are traced.
        positions: where to replace: ``query``, ``context`` (all other positions), or ``all``.
        queries: the positions of the queries' tokens (see `mesascope.instruments.asking.tokens.asked`); by default the last
            position.
        strength: s in (1 − s)·activation + s·value; 0 leaves the activation exactly as it is.

    Raises:
        ValueError: ``positions`` is not ``all`` at an attention pattern, whose rows and columns are both positions.
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
    """The intervention that puts ``value`` in place of one head's output before the output projection (site ``z``).

    Args:
        site: a ``z`` site.
        head: the head's index.
        value: a tensor that broadcasts to ``(batch, position, head, width/head)``; only this head's part is used.
        strength: as in `replace`.

    Raises:
        ValueError: the site is not a ``z`` site.
    """
    if site.kind != "z":
        raise ValueError(f"site must be a z site, which holds each head's output; got {site}. Pass a z site.")

    def edit(activation: Tensor) -> Tensor:
        new = activation.clone()
        new[:, :, head] = _blend(activation, value, strength)[:, :, head]
        return new

    return Intervention(site=site, edit=edit)


def inert_sites(subject: Subject, prompts: Prompts, *, seed: int = 0) -> tuple[Site, ...]:
    """The sites of the path at which a large edit does not change the answers: the subject ignores what is put in there.

    The edit adds random numbers to all channels at all positions, so that the result does not depend on single channels.

    Args:
        subject: what to examine.
        prompts: the prompts to run, once without edit and once per site of the path.
        seed: of the random numbers.
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
        return not bool(((found - plain).abs() <= least).all())  # an answer that has become NaN counts as moved

    return tuple(site for site in subject.path if not moved(site))


def _blend(activation: Tensor, value: Tensor, strength: float) -> Tensor:
    value = value.to(activation).expand_as(activation)
    # At full strength the value itself: activation + (value − activation) would round.
    return value.clone() if strength == 1.0 else activation + strength * (value - activation)
