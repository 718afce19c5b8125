"""Uniform attention: put it in place of a model's own attention and measure how much worse the answers get.

Source: the two-to-eight-layer study, which replaced the second layer's attention in this way. It does not say whether
attention was uniform over all visible tokens or over the labels alone, so both can be measured.
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mesascope.instruments.statistics.scores import Quantity, measure, ratio, squared_error
from mesascope.types import Intervention, Measurement, Prompts, Site, Subject

UNIFORM = Quantity(name="MSE factor of uniform attention", combine=ratio)
ITSELF = "replaced by itself"
EVERYWHERE = "uniform in all layers"

SumKey = tuple[Site | None, int | None, str]


def uniform(chosen: Bool[Tensor, "position position"]) -> Float[Tensor, "position position"]:
    """The pattern whose rows are uniform over their chosen positions; a row without any is 0."""
    return chosen.double() / chosen.sum(-1, keepdim=True).clamp(min=1)


def flatten(site: Site, chosen: Bool[Tensor, "position position"], head: int | None = None) -> Intervention:
    """The edit to uniform attention over the chosen positions, in one head or in all; a row without any stays as it is."""
    value, some = uniform(chosen), chosen.any(-1, keepdim=True)

    def edit(pattern: Tensor) -> Tensor:
        heads = torch.arange(pattern.shape[1], device=pattern.device)
        here = torch.ones_like(heads, dtype=torch.bool) if head is None else heads == head
        return torch.where(here[:, None, None] & some.to(pattern.device), value.to(pattern), pattern)

    return Intervention(site=site, edit=edit)


def flattened(
    instrument: str,
    subject: Subject,
    parts: Sequence[Prompts],
    sites: Sequence[Site],
    over: Mapping[str, Bool[Tensor, "position position"]],
    draws: Float[Tensor, "repeat batch"],
) -> list[Measurement]:
    """The mean squared error with uniform attention over that of the intact model.

    All heads of a layer are replaced at once, for each choice of positions, and each head alone for the first choice. The
    controls change all layers at once: uniform attention (positive), and each pattern replaced by itself (negative, exactly
    1).

    Args:
        instrument: the instrument's name in the measurements.
        subject: what to examine.
        parts: the prompts, in batches.
        sites: the sites of attention patterns whose rows sum to 1.
        over: by name, the positions over which each row is uniform; all visible ones first.
        draws: from `bootstrap.weights`.
    """
    errors: dict[SumKey, list[Tensor]] = {}
    for part in parts:
        for key, answers in _answers(subject, part, sites, over).items():
            errors.setdefault(key, []).append(squared_error(answers, part))
    known = {key: torch.cat(values) for key, values in errors.items()}
    intact = known.pop((None, None, "intact"))
    sums = {key: torch.stack([error, intact], -1) for key, error in known.items()}
    return [
        measure(
            instrument,
            UNIFORM,
            values,
            draws,
            coordinates={"site": str(site), "head": "all" if head is None else head, "over": name},
            positive={EVERYWHERE: sums[None, None, EVERYWHERE]},
            negative={ITSELF: sums[None, None, ITSELF]},
        )
        for (site, head, name), values in sums.items()
        if site is not None
    ]


def _answers(
    subject: Subject, prompts: Prompts, sites: Sequence[Site], over: Mapping[str, Tensor]
) -> dict[SumKey, Float[Tensor, "batch query"]]:
    """The answers by site, head and positions. Every pass captures all patterns, so that all passes round alike."""
    first = next(iter(over))
    intact = subject.trace(prompts, capture=sites)
    cases: dict[SumKey, list[Intervention]] = {
        (None, None, ITSELF): [Intervention(site=s, edit=lambda _, v=intact[s]: v.clone()) for s in sites],
        (None, None, EVERYWHERE): [flatten(s, over[first]) for s in sites],
    }
    for site in sites:
        cases |= {(site, None, name): [flatten(site, chosen)] for name, chosen in over.items()}
        cases |= {(site, h, first): [flatten(site, over[first], h)] for h in range(intact[site].shape[1])}
    return {(None, None, "intact"): intact.predictions} | {
        key: subject.trace(prompts, capture=sites, interventions=edits).predictions for key, edits in cases.items()
    }
