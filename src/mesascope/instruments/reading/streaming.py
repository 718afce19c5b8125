"""Streaming: does the residual stream at the k-th label hold what the first k examples determine?

A causal network could build up a solution along the context. Then the residual stream at the k-th label would hold Xₖᵀyₖ of
the first k examples, or their least-squares weights, and more of them than the k-th example alone shows.

Source: the two-to-eight-layer study, its streaming hypothesis, which it tested with probes for w and left open.
Departs from source: the targets are those of each prefix, which a causal network can know, and there are controls.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.instruments.asking.applicability import residual_sites, untrained
from mesascope.instruments.asking.collect import at_positions
from mesascope.instruments.instrument import Instrument, sizes
from mesascope.instruments.reading.probes import COSINE, Target, moment, plant, probe
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.scores import Quantity, measure, partners
from mesascope.types import Figure, Measurement, Prompts, Scalar, Subject, Task, adjusted, bounds

NAME = "streaming"
ABOVE = Quantity(name="cosine above the own example's")
OWN, WHOLE, MOMENT = "own example alone", "the whole context's target", "the prefix's Xᵀy alone"


def prefix(prompts: Prompts, examples: int) -> Prompts:
    """The same prompts with only their first ``examples`` examples."""
    return dataclasses.replace(prompts, xs=prompts.xs[:, :examples], ys=prompts.ys[:, :examples])


def least_squares(prompts: Prompts) -> Float[Tensor, "batch dim"]:
    """The least-squares weights, of all such weights those with the smallest norm."""
    return (torch.linalg.pinv(prompts.xs.double()) @ prompts.ys.double()[..., None])[..., 0]


TARGETS: Mapping[str, Target] = MappingProxyType({"wₖ": least_squares, "Xₖᵀyₖ/k": moment})
"""What a prefix determines: its least-squares weights (without noise these are w itself from k = dim on), and Xᵀy/k."""


def streaming(
    subject: Subject,
    task: Task,
    *,
    seed: int = 0,
    fit: int = 1024,
    score: int = 512,
    examples: Sequence[int] | None = None,
    targets: Mapping[str, Target] = TARGETS,
) -> tuple[Measurement, ...]:
    """Cosine of ridge probes for each prefix's targets after every sub-layer, read at the prefix's last label.

    Each label has a probe of its own. Cosines are those of `mesascope.instruments.reading.probes`. The second quantity
    subtracts, prompt by prompt, the cosine of the same probe on the k-th example alone: (xₖ, yₖ, yₖxₖ, yₖxₖ/‖xₖ‖²).

    Controls, for each site, prefix and target. Positive: the target written into the activations. Negative: the
    untrained network; another prompt's target; the whole context's target in place of the prefix's; the k-th example
    alone; and, unless the target is Xᵀy itself, the prefix's Xᵀy alone.

    Args:
        subject: what to examine.
        task: where the prompts come from.
        seed: of the prompts, the random matrices and the resampling.
        fit, score: numbers of prompts to fit on and to score on.
        examples: the lengths of the prefixes; all by default.
        targets: what to probe for, by name, as a function of the prefix.

    Raises:
        NotApplicable: the subject has no residual stream.
    """
    sites = residual_sites(subject)
    task = adjusted(task, queries=1)  # a model whose context sees the query has one context per query
    splits = [task.sample(n, seed=seed, stream=f"{NAME}/{use}") for n, use in ((fit, "fit"), (score, "score"))]
    draws = bootstrap.weights(score, seed=seed, strata=splits[1].strata)
    others = [partners(p) for p in splits]
    traced = [at_positions(subject, p, sites, "labels")[1] for p in splits]
    fresh = untrained(subject, seed)
    blank = None if fresh is None else [at_positions(fresh, p, sites, "labels")[1] for p in splits]
    found: list[Measurement] = []
    for k in range(1, task.examples + 1) if examples is None else examples:
        parts = [prefix(p, k) for p in splits]
        wanted = [{name: target(p)[:, None] for name, target in targets.items()} for p in parts]
        extended = [
            w
            | {f"{name}/other": w[name][other] for name in targets}
            | {f"{name}/whole": target(p)[:, None] for name, target in targets.items()}
            for w, p, other in zip(wanted, splits, others, strict=True)
        ]
        own = _cosines([_own(p) for p in parts], wanted)
        moments = _cosines([moment(p)[:, None] for p in parts], wanted)
        for site in sites:
            seen = [t[site][:, k - 1 : k] for t in traced]
            scores = _cosines(seen, extended)
            bare = {} if blank is None else _cosines([t[site][:, k - 1 : k] for t in blank], wanted)
            for name in targets:
                planted = _cosines(plant(seen, [w[name] for w in wanted], seed), [{name: w[name]} for w in wanted])
                negative = {
                    "another prompt's target": scores[f"{name}/other"],
                    WHOLE: scores[f"{name}/whole"],
                    OWN: own[name],
                }
                negative |= {"untrained network": bare[name]} if bare else {}
                negative |= {MOMENT: moments[name]} if targets[name] is not moment else {}
                for quantity, base in ((COSINE, 0.0), (ABOVE, own[name])):
                    found.append(
                        measure(
                            NAME,
                            quantity,
                            scores[name] - base,
                            draws,
                            coordinates={"site": str(site), "target": name, "example": k},
                            positive={"target written in": planted[name] - base},
                            negative={control: value - base for control, value in negative.items()},
                        )
                    )
    return tuple(found)


def figure(measurements: Sequence[Measurement]) -> Figure:
    """Cosine along the context, one panel per target and sub-layer, with the controls beside the subject."""
    rows: list[dict[str, Scalar]] = []
    for m in measurements:
        if m.instrument != NAME or m.quantity != COSINE.name:
            continue
        panel = f"{m.coordinates['target']}, after {m.coordinates['site']}"
        cases = [("subject", m.value, m.interval), *((c.name, c.value, c.interval) for c in m.controls)]
        for name, value, interval in cases:
            row: dict[str, Scalar] = {"panel": panel, "example": m.coordinates["example"], "probe of": name}
            rows.append(row | {"cosine": value, **bounds(interval)})
    return Figure(
        name="streaming",
        section="Streaming",
        title="What the residual stream at the k-th label holds of the first k examples",
        caption="Cosine between the prefix's target and a ridge probe's prediction of it at the k-th label, both centred, on "
        "held-out prompts. If a solution is built up along the context, the subject lies above its k-th example alone.",
        kind="lines",
        rows=tuple(rows),
        x="example",
        y="cosine",
        series="probe of",
        facet="panel",
        low="low",
        high="high",
        titles={"example": "k"},
    )


def _cosines(features: Sequence[Tensor], targets: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {name: scores[COSINE] for name, scores in probe(features, targets).items()}


def _own(prompts: Prompts) -> Float[Tensor, "batch 1 feature"]:
    """Features of the last example alone, from which a linear probe could predict w and Xᵀy."""
    x, y = prompts.xs[:, -1], prompts.ys[:, -1:]
    return torch.cat([x, y, y * x, y * x / x.square().sum(-1, keepdim=True)], -1)[:, None]


INSTRUMENT = Instrument(
    name=NAME,
    question="Does the residual stream at each label hold the solution of the examples so far?",
    measure=streaming,
    needs="a causal mask, and labels with positions of their own",
    quantities=(
        "cosine",
        "cosine above the own example's",
    ),
    coordinates=(
        "example",
        "site",
        "target",
    ),
    sizes=sizes(fit=(64, 512, 1024), score=(64, 512, 1024)),
    figure=figure,
)
