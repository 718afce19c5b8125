"""Ablation: replace the output of a head or a sub-layer, and measure how much worse the answers become.

A head's output is replaced before the output projection (site ``z``), a sub-layer's where it enters the residual stream.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from mesascope.instruments.asking.applicability import NotApplicable
from mesascope.instruments.asking.tokens import asked
from mesascope.instruments.instrument import Instrument, sizes
from mesascope.instruments.intervening.interventions import replace, replace_head
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.scores import Quantity, measure, normalised_error, ratio, squared_error
from mesascope.types import (
    Figure,
    Intervention,
    Measurement,
    Prompts,
    Scalar,
    Site,
    Subject,
    Task,
    Trace,
    adjusted,
    bounds,
)

NAME = "ablation"
FACTOR = Quantity(name="MSE factor", combine=ratio)
DIFFERENCE = Quantity(name="MSE difference", unit="y²")
NORMALISED = Quantity(name="normalised error")
Method = Literal["zero", "mean", "resample"]

NOTHING = "strength 0"
SAME = "resampled from the same prompt"
EVERYTHING = "every sub-layer zeroed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part that can be ablated: one head of a ``z`` site, or the whole output of a sub-layer (``head`` is None)."""

    site: Site
    head: int | None = None

    def replaced(self, value: Tensor, strength: float = 1.0) -> Intervention:
        """The intervention that puts ``value`` in place of the part's output (`interventions.replace`)."""
        if self.head is None:
            return replace(self.site, value, strength=strength)
        return replace_head(self.site, self.head, value, strength=strength)


def ablations(
    subject: Subject,
    task: Task,
    *,
    seed: int = 0,
    n: int = 128,
    queries: int = 8,
    methods: Sequence[Method] = get_args(Method),
    batch: int = 64,
) -> tuple[Measurement, ...]:
    """The mean squared error without a part over that with it, their difference, and the normalised error without it.

    A part's output is replaced by ``zero``; by its ``mean`` over other prompts, position by position (one mean for all
    query positions); or by its output on another prompt (``resample``).

    Controls. Negative: ablation with strength 0, and resampling from the same prompt, for all parts at once; both leave the
    answers exactly as they are. Positive: all parts set to zero, after which the answer cannot depend on the examples.

    Args:
        subject: what to examine.
        task: where the prompts come from.
        seed: of the prompts and the resampling.
        n: number of prompts; as many others are drawn to take means and replacements from.
        queries: queries per prompt.
        methods: how to ablate.
        batch: number of prompts per pass; it does not change the results.

    Raises:
        ValueError: a method is unknown.
        NotApplicable: the subject has neither sites of heads nor of sub-layers.
    """
    for method in methods:
        if method not in get_args(Method):
            raise ValueError(f"methods must be among {', '.join(get_args(Method))}; got {method!r}.")
    many = adjusted(task, queries=queries)
    prompts = many.sample(n, seed=seed, stream=f"{NAME}/prompts")
    others = many.sample(n, seed=seed, stream=f"{NAME}/others")
    sites = _sites(subject)
    starts = range(0, n, batch)
    means = _means(subject, [others[i : i + batch] for i in starts], sites) if "mean" in methods else {}
    passes = [
        _ablated(subject, prompts[i : i + batch], others[i : i + batch], sites, means, tuple(methods)) for i in starts
    ]
    answers = {key: torch.cat([part[key] for part in passes]) for key in passes[0]}
    draws = bootstrap.weights(n, seed=seed, strata=prompts.strata)
    intact = squared_error(answers[None, "intact"], prompts)

    def sums(key: tuple[Part | None, str]) -> dict[Quantity, Tensor]:
        without = squared_error(answers[key], prompts)
        return {
            FACTOR: torch.stack([without, intact], -1),
            DIFFERENCE: without - intact,
            NORMALISED: normalised_error(answers[key], prompts),
        }

    everything, nothing, same = (sums((None, name)) for name in (EVERYTHING, NOTHING, SAME))
    return tuple(
        measure(
            NAME,
            quantity,
            values,
            draws,
            coordinates={"site": str(part.site), "head": part.head, "method": method},
            positive={EVERYTHING: everything[quantity]},
            negative={NOTHING: nothing[quantity], SAME: same[quantity]},
        )
        for part, method in answers
        if part is not None
        for quantity, values in sums((part, method)).items()
    )


def figure(measurements: Sequence[Measurement]) -> Figure:
    """The factor by which the error grows without each part, one bar per method."""
    rows: list[dict[str, Scalar]] = []
    for m in measurements:
        if m.instrument == NAME and m.quantity == FACTOR.name:
            site, head = Site.parse(str(m.coordinates["site"])), m.coordinates["head"]
            part = f"layer {site.layer} " + (f"head {head}" if head is not None else site.kind)
            rows.append({"part": part, "method": m.coordinates["method"], "factor": m.value, **bounds(m.interval)})
    return Figure(
        name="ablation",
        section="Ablation",
        title="How much worse the answers are without each part",
        caption="Mean squared error without the part over that of the intact model; 1 means no change.",
        kind="bars",
        rows=tuple(rows),
        x="part",
        y="factor",
        series="method",
        low="low",
        high="high",
        titles={"factor": "MSE factor"},
        log=("y",),
    )


def _sites(subject: Subject) -> tuple[Site, ...]:
    sites = tuple(site for site in subject.sites if site.kind in ("z", "attn_out", "mlp_out"))
    if not sites:
        raise NotApplicable(f"{subject.name} shows neither heads (sites z) nor sub-layers (sites attn_out, mlp_out).")
    return sites


def _parts(sites: Sequence[Site], trace: Trace) -> list[Part]:
    heads = [Part(site=s, head=head) for s in sites if s.kind == "z" for head in range(trace[s].shape[2])]
    return heads + [Part(site=s) for s in sites if s.kind != "z"]


def _means(subject: Subject, parts: Sequence[Prompts], sites: Sequence[Site]) -> dict[Site, Tensor]:
    """Each site's mean over prompts, position by position; all query positions share one mean."""
    totals: dict[Site, Tensor] = {}
    for part in parts:
        trace = subject.trace(part, capture=sites)
        for site in sites:
            total = trace[site].double().sum(0)
            totals[site] = totals[site] + total if site in totals else total
    count = sum(map(len, parts))
    queries = asked(subject, parts[0])
    for total in totals.values():
        total /= count
        total[queries.flatten()] = total[queries].mean(0).repeat(len(queries), *[1] * (total.ndim - 1))
    return totals


def _ablated(
    subject: Subject,
    prompts: Prompts,
    others: Prompts,
    sites: Sequence[Site],
    means: dict[Site, Tensor],
    methods: Sequence[str],
) -> dict[tuple[Part | None, str], Tensor]:
    """The answers of a batch by part and method; with None as the part, those of the intact model and the controls."""
    intact = subject.trace(prompts, capture=sites)
    other = subject.trace(others, capture=sites)

    def run(*interventions: Intervention) -> Tensor:
        # Every pass captures all sites, so that all take the same path through the model and round alike.
        return subject.trace(prompts, capture=sites, interventions=interventions).predictions.double().cpu()

    parts = _parts(sites, intact)
    zero = torch.zeros(())
    out: dict[tuple[Part | None, str], Tensor] = {
        (None, "intact"): intact.predictions.double().cpu(),
        (None, NOTHING): run(*(part.replaced(zero, strength=0.0) for part in parts)),
        (None, SAME): run(*(part.replaced(intact[part.site]) for part in parts)),
        (None, EVERYTHING): run(*(part.replaced(zero) for part in parts)),
    }
    for part in parts:
        values = {
            "zero": lambda part=part: zero,
            "mean": lambda part=part: means[part.site],
            "resample": lambda part=part: other[part.site],
        }
        for method in methods:
            out[part, method] = run(part.replaced(values[method]()))
    return out


INSTRUMENT = Instrument(
    name=NAME,
    question="Which sub-layers and heads does the answer need?",
    measure=ablations,
    needs="sub-layers or heads that can be edited",
    quantities=(
        "MSE difference",
        "MSE factor",
        "normalised error",
    ),
    coordinates=(
        "head",
        "method",
        "site",
    ),
    by_part=True,
    sizes=sizes(n=(24, 128, 512)),
    figure=figure,
)
