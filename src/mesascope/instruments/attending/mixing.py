"""Mixing: how much an example's residual stream depends on its own input, its own label, and the other examples.

One of these is exchanged for another prompt's, and the move of the activation at the example's last token is measured. This
needs neither linearity nor attention patterns: if the activation does not move, it does not depend on what was exchanged.

Source: the two-to-eight-layer study claims "no cross-example interaction" in the first layer because of its attention
patterns. The measure is Sobol's total-effect index, estimated by Jansen's formula.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.instruments.asking.applicability import residual_sites, untrained
from mesascope.instruments.asking.tokens import layout
from mesascope.instruments.instrument import Instrument, sizes
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.scores import Quantity, measure, ratio
from mesascope.types import Figure, Measurement, Prompts, Scalar, Site, Subject, Task, adjusted

NAME = "mixing"
SHARE = Quantity(name="share of the variance", combine=ratio)
INPUT, LABEL, OTHERS = "own input", "own label", "other examples"
EVERYTHING, NOTHING = "everything exchanged", "nothing exchanged"
EXCHANGED = (INPUT, LABEL, OTHERS)


def exchanged(prompts: Prompts, donors: Prompts, example: int, what: str) -> Prompts:
    """The prompts with a part of the context taken from the donors.

    Args:
        prompts: the prompts to change.
        donors: as many prompts to take the part from.
        example: the example whose input, label or complement is exchanged, counted from 1.
        what: one of `EXCHANGED`, or everything, or nothing.
    """
    own = torch.arange(prompts.examples, device=prompts.xs.device) == example - 1
    x = {INPUT: own, OTHERS: ~own, EVERYTHING: own | True}.get(what, own & False)
    y = {LABEL: own, OTHERS: ~own, EVERYTHING: own | True}.get(what, own & False)
    return dataclasses.replace(
        prompts, xs=torch.where(x[:, None], donors.xs, prompts.xs), ys=torch.where(y, donors.ys, prompts.ys)
    )


def mixing(
    subject: Subject,
    task: Task,
    *,
    seed: int = 0,
    n: int = 192,
    examples: Sequence[int] | None = None,
    batch: int = 64,
) -> tuple[Measurement, ...]:
    """The shares of an example's stream that its own input, its own label and the other examples account for.

    For the activation o at the example's last token, the share is E‖o − o′‖² over E‖o − o″‖², where o′ results from
    exchanging one part of the context and o″ from exchanging everything. It is 0 if o does not depend on the part, and 1 if
    o depends on nothing else. Where parts interact, their shares may sum to more than 1. Expectations are means over prompts
    and the chosen examples.

    Controls. Positive: everything exchanged, exactly 1. Negative: nothing exchanged, exactly 0; the untrained network.

    Args:
        subject: what to examine.
        task: where the prompts come from.
        seed: of the prompts and the resampling.
        n: number of prompts, and of donors.
        examples: the examples to examine, counted from 1; by default the second, the middle one and the last.
        batch: number of prompts per pass; it does not change the results.

    Raises:
        NotApplicable: the subject has no residual stream.
    """
    streams = residual_sites(subject)
    sites = tuple(site for site in subject.sites if site.kind == "attn_out" or site in streams)
    task = adjusted(task, queries=1)  # a model whose context sees the query has one context per query
    prompts = task.sample(n, seed=seed, stream=f"{NAME}/prompts")
    donors = task.sample(n, seed=seed, stream=f"{NAME}/donors")
    chosen = sorted({min(2, task.examples), (task.examples + 1) // 2, task.examples}) if examples is None else examples
    draws = bootstrap.weights(n, seed=seed, strata=prompts.strata)

    def moved(one: Subject) -> dict[tuple[Site, str], Tensor]:
        parts = [_moved(one, prompts[i : i + batch], donors[i : i + batch], sites, chosen) for i in range(0, n, batch)]
        return {key: torch.cat([part[key] for part in parts]) for key in parts[0]}

    known, fresh = moved(subject), untrained(subject, seed)
    blank = None if fresh is None else moved(fresh)

    def sums(distances: Mapping[tuple[Site, str], Tensor], site: Site, what: str) -> Tensor:
        return torch.stack([distances[site, what], distances[site, EVERYTHING]], -1)

    return tuple(
        measure(
            NAME,
            SHARE,
            sums(known, site, what),
            draws,
            coordinates={"site": str(site), "exchanged": what},
            positive={EVERYTHING: sums(known, site, EVERYTHING)},
            negative={NOTHING: sums(known, site, NOTHING)}
            | ({} if blank is None else {"untrained network": sums(blank, site, what)}),
        )
        for site in sites
        for what in EXCHANGED
    )


def figure(measurements: Sequence[Measurement]) -> Figure:
    """Shares by site, with the untrained network beside the subject."""
    rows: list[dict[str, Scalar]] = []
    for m in measurements:
        if m.instrument == NAME:
            cases = {"subject": m.value} | {c.name: c.value for c in m.controls if c.name == "untrained network"}
            rows += [{**m.coordinates, "of": name, "share": value} for name, value in cases.items()]
    return Figure(
        name="mixing",
        section="Mixing",
        title="What the residual stream at an example's last token depends on",
        caption="How far the activation there moves when one part of the context is exchanged for another prompt's, as a share "
        "of the move when everything is exchanged (mean squares).",
        kind="heatmap",
        rows=tuple(rows),
        x="site",
        y="exchanged",
        value="share",
        facet="of",
    )


def _moved(
    subject: Subject, prompts: Prompts, donors: Prompts, sites: Sequence[Site], examples: Sequence[int]
) -> dict[tuple[Site, str], Float[Tensor, " batch"]]:
    """The squared distance by which each exchange moves the stream at the examples' last tokens, summed over examples."""
    places = layout(subject, prompts)
    intact, other = (subject.trace(p, capture=sites) for p in (prompts, donors))
    out: dict[tuple[Site, str], Tensor] = {}
    for example in examples:
        passes = {what: subject.trace(exchanged(prompts, donors, example, what), capture=sites) for what in EXCHANGED}
        for site in sites:
            place = int(places.labels[0, example - 1, -1])
            for what, trace in (passes | {EVERYTHING: other, NOTHING: intact}).items():
                gap = (trace[site][:, place].double() - intact[site][:, place].double()).square().sum(-1).cpu()
                out[site, what] = out.get((site, what), torch.zeros_like(gap)) + gap
    return out


INSTRUMENT = Instrument(
    name=NAME,
    question="How far does a label's residual stream depend on its own example, and on others?",
    measure=mixing,
    needs="one token per input and one per label",
    quantities=("share of the variance",),
    coordinates=(
        "exchanged",
        "site",
    ),
    sizes=sizes(n=(32, 256, 1024)),
    figure=figure,
)
