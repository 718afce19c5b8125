"""Copying: does attention carry each example's input to its label's token, and is it changed on the way?

Source: the two-to-eight-layer study: in the first layer "each yₖ token attends almost entirely to the preceding xₖ, with
the effective V-projection approximately the identity".
Departs from source: the study does not say how it found the projection to be near the identity. Here the map is the
regression of what a head adds at a label on that example's own input. It is not computed from weights, so it includes norms
and biases, and works for every subject.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.instruments.asking.applicability import NotApplicable, untrained
from mesascope.instruments.asking.tokens import along, layout
from mesascope.instruments.instrument import Instrument, sizes
from mesascope.instruments.intervening.ablation import Part
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.scores import Quantity, explained, measure
from mesascope.seeds import generator
from mesascope.types import Figure, Measurement, Prompts, Scalar, Site, Subject, Task, adjusted

NAME = "copying"
ON_OWN = Quantity(name="attention on the own input")
ON_OTHERS = Quantity(name="attention on other examples")
MULTIPLE = Quantity(
    name="R² of a multiple of the own input", combine=lambda m: m[:, 0].clamp(min=0).square() / (m[:, 1] * m[:, 2])
)
LINEAR = Quantity(name="R² of a linear map of the own input", combine=explained)
ALIGNED, INSIDE = "alignment with the identity", "share inside the inputs' subspace"

ALL = "all"
WRITTEN, TURNED, NEXT = "own input written in", "own input turned at random", "the next example's input"
Labels = Float[Tensor, "batch example width"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Seen:
    """What is read from one subject.

    Attributes:
        sent: the stream that enters the layer at the inputs' tokens, centred over prompts.
        arrived: what each head, or all heads, add at the labels' tokens, centred over prompts.
        own: each head's attention from the labels to their own inputs; ``None`` without patterns.
        others: each head's attention from the labels to other examples; ``None`` without patterns.
    """

    sent: Labels
    arrived: Mapping[int | str, Labels]
    own: Float[Tensor, "batch head"] | None
    others: Float[Tensor, "batch head"] | None


def copying(
    subject: Subject,
    task: Task,
    *,
    layer: int = 0,
    seed: int = 0,
    n: int = 256,
    batch: int = 64,
) -> tuple[Measurement, ...]:
    """Where the heads of a layer look from the labels, and how their output there depends on the label's own input.

    *Sent* is the stream that enters the layer at an example's input token; *arrived* is what one head, or all heads, add at
    the label's token of that example. From both, the mean over prompts at the same position is subtracted.

    - *attention on the own input* and *on other examples*: shares of a label's row, averaged over all labels but the first.
    - *R² of a multiple*: how well the best positive multiple of what was sent describes what arrived; *R² of a linear map*:
      the same for the best linear map of the input x, fitted on one half of the prompts and scored on the other.
    - *alignment with the identity*: tr M/(√d‖M‖_F), where M is the map from sent to arrived within the subspace in which
      inputs are embedded: 1 for a positive multiple of the identity, 0 ± 1/d for a random map.
    - *share inside the inputs' subspace*: the share of the map's squared norm that lies in that subspace.

    Controls. Positive: what was sent, in place of what arrived; for the attention, all of it on the own input, or on the
    other examples. Negative: the untrained network; the next example's input in place of the own; what was sent, rotated by
    a random orthogonal matrix; for the attention, none there, or uniform attention.

    Args:
        subject: what to examine.
        task: where the prompts come from.
        layer: the layer whose heads are examined.
        seed: of the prompts, the random matrix and the resampling.
        n: number of prompts.
        batch: number of prompts per pass; it does not change the results.

    Raises:
        NotApplicable: the subject lacks the sites of the layer's input and of its attention's output, or an input and a
            label do not have one token each.
    """
    task = adjusted(task, queries=1)  # a model whose context sees the query has one context per query
    prompts = task.sample(n, seed=seed, stream=NAME)
    draws = bootstrap.weights(n, seed=seed, strata=prompts.strata)
    xs = prompts.xs.double().cpu()
    xs = xs - xs.mean(0)
    seen, fresh = _look(subject, prompts, layer, batch), untrained(subject, seed)
    blank = None if fresh is None else _look(fresh, prompts, layer, batch)
    width = seen.sent.shape[-1]
    random = torch.randn(width, width, generator=generator(seed, f"{NAME}/turned"), dtype=torch.float64)
    written = _sums(xs, seen.sent, seen.sent)
    turned = _sums(xs, seen.sent, seen.sent @ torch.linalg.qr(random)[0])
    site = str(Site(layer=layer, kind="attn_out"))
    found: list[Measurement] = []
    for head, arrived in seen.arrived.items():
        # A label cannot have seen the next example, so whatever is found of it is found by chance.
        chance = _sums(xs[:, 1:], seen.sent[:, 1:], arrived[:, :-1])
        reference = None if blank is None else _sums(xs, blank.sent, blank.arrived[head])
        for name, (quantity, sums) in _sums(xs, seen.sent, arrived).items():
            negative = {NEXT: chance[name][1]}
            negative |= {TURNED: turned[name][1]} if name != LINEAR.name else {}  # a rotation is linear too
            negative |= {"untrained network": reference[name][1]} if reference else {}
            found.append(
                measure(
                    NAME,
                    quantity,
                    sums,
                    draws,
                    coordinates={"site": site, "head": head},
                    positive={WRITTEN: written[name][1]},
                    negative=negative,
                )
            )
    return (*found, *_shares(seen, blank, draws, Site(layer=layer, kind="pattern")))


def figure(measurements: Sequence[Measurement]) -> Figure:
    """Every quantity by head, with the untrained network beside the subject."""
    rows: list[dict[str, Scalar]] = []
    for m in measurements:
        if m.instrument == NAME:
            cases = {"subject": m.value} | {c.name: c.value for c in m.controls if c.name == "untrained network"}
            head = str(m.coordinates["head"])
            rows += [{"of": name, "head": head, "quantity": m.quantity, "value": v} for name, v in cases.items()]
    return Figure(
        name="copying",
        section="Copying",
        title="What each head brings from an example's input to its label",
        caption="Attention from the labels, and how what a head adds there depends on the label's own input; 'all' is the sum "
        "of the heads.",
        kind="heatmap",
        rows=tuple(rows),
        x="head",
        y="quantity",
        value="value",
        facet="of",
    )


def _look(subject: Subject, prompts: Prompts, layer: int, batch: int) -> _Seen:
    entering, adds, z, pattern = (Site(layer=layer, kind=kind) for kind in ("resid_pre", "attn_out", "z", "pattern"))
    if not {entering, adds} <= set(subject.sites):
        raise NotApplicable(f"{subject.name} does not show {entering} and {adds}.")
    places = layout(subject, prompts)
    if places.together:
        raise NotApplicable(f"{subject.name} has no separate tokens for inputs and labels, so nothing can be copied.")
    if "label" not in (columns := places.columns()):
        raise NotApplicable(
            f"{subject.name} has several tokens for an input or a label; copying is measured from one token to one."
        )
    inputs, labels = columns["input"][0], columns["label"][0]
    shown = [site for site in (entering, adds, z, pattern) if site in subject.sites]
    sent: list[Tensor] = []
    arrived: dict[int | str, list[Tensor]] = {}
    own: list[Tensor] = []
    others: list[Tensor] = []
    for start in range(0, len(prompts), batch):
        part = prompts[start : start + batch]
        trace = subject.trace(part, capture=shown)
        whole = trace[adds][:, along(labels)].double().cpu()
        sent.append(trace[entering][:, along(inputs)].double().cpu())
        arrived.setdefault(ALL, []).append(whole)
        for head in range(trace[z].shape[2] if z in shown else 0):
            without = Part(site=z, head=head).replaced(torch.zeros(()))
            rest = subject.trace(part, capture=shown, interventions=[without])[adds][:, along(labels)]
            arrived.setdefault(head, []).append(whole - rest.double().cpu())
        if pattern in shown:
            rows = trace[pattern][:, :, along(labels)].double().cpu()  # (batch, head, example, position)
            place = torch.arange(part.examples)
            on_own, on_label = (rows[:, :, place, column][:, :, 1:].mean(-1) for column in (inputs, labels))
            own.append(on_own)
            others.append(rows[:, :, 1:].sum(-1).mean(-1) - on_own - on_label)
    return _Seen(
        sent=_centred(sent),
        arrived={head: _centred(values) for head, values in arrived.items()},
        own=torch.cat(own) if own else None,
        others=torch.cat(others) if others else None,
    )


def _centred(parts: Sequence[Tensor]) -> Labels:
    """The values minus their mean over prompts at each position, which holds positions and biases but no copies."""
    values = torch.cat(list(parts))
    return values - values.mean(0)


def _sums(
    xs: Float[Tensor, "batch example dim"], sent: Labels, arrived: Labels
) -> dict[str, tuple[Quantity, Float[Tensor, "batch statistic"]]]:
    """Each quantity of what arrived, with each prompt's contributions to it."""
    total = arrived.square().sum((1, 2))
    multiple = torch.stack([(sent * arrived).sum((1, 2)), total, sent.square().sum((1, 2))], -1)
    even = torch.arange(len(xs)) % 2 == 0
    missed = torch.empty_like(total)
    for scored in (even, ~even):
        missed[scored] = (arrived[scored] - xs[scored] @ _slope(xs[~scored], arrived[~scored])).square().sum((1, 2))
    embedding = _slope(xs, sent)  # (dim, width)
    basis = torch.linalg.qr(embedding.T)[0]
    # The regression of what arrived on x follows from these two products alone.
    products = torch.cat([(xs.mT @ xs).flatten(1), (xs.mT @ arrived).flatten(1)], 1)
    shape = (xs.shape[-1], arrived.shape[-1])
    maps = {
        ALIGNED: partial(_alignment, shape=shape, embedding=embedding @ basis, basis=basis),
        INSIDE: partial(_inside, shape=shape, basis=basis),
    }
    return {
        LINEAR.name: (LINEAR, torch.stack([missed, total], -1)),
        MULTIPLE.name: (MULTIPLE, multiple),
    } | {name: (Quantity(name=name, combine=combine), products) for name, combine in maps.items()}


def _slope(xs: Tensor, values: Tensor) -> Float[Tensor, "dim width"]:
    """Least squares over all labels, by the normal equations: `torch.linalg.lstsq` is not reproducible to the last bit."""
    inputs = xs.flatten(0, 1)
    return torch.linalg.solve(inputs.T @ inputs, inputs.T @ values.flatten(0, 1))


def _maps(means: Tensor, shape: tuple[int, int]) -> Float[Tensor, "repeat dim width"]:
    """The linear map from x to o, from the means of xxᵀ and xoᵀ."""
    dim, width = shape
    return torch.linalg.solve(means[:, : dim * dim].view(-1, dim, dim), means[:, dim * dim :].view(-1, dim, width))


def _alignment(means: Tensor, *, shape: tuple[int, int], embedding: Tensor, basis: Tensor) -> Float[Tensor, " repeat"]:
    inside = torch.linalg.solve(embedding, _maps(means, shape) @ basis)
    return inside.diagonal(0, 1, 2).sum(-1) / (shape[0] ** 0.5 * inside.square().sum((1, 2)).sqrt())


def _inside(means: Tensor, *, shape: tuple[int, int], basis: Tensor) -> Float[Tensor, " repeat"]:
    whole = _maps(means, shape)
    return (whole @ basis).square().sum((1, 2)) / whole.square().sum((1, 2))


def _shares(seen: _Seen, blank: _Seen | None, draws: Tensor, site: Site) -> list[Measurement]:
    """The heads' attention from the labels. Uniform attention of a label that sees k examples puts 1/2k on each token."""
    found: list[Measurement] = []
    visible = torch.arange(2, seen.sent.shape[1] + 1, dtype=torch.float64)
    even = {ON_OWN: float((1 / (2 * visible)).mean()), ON_OTHERS: float((1 - 1 / visible).mean())}
    for quantity, of, reference in (
        (ON_OWN, seen.own, blank and blank.own),
        (ON_OTHERS, seen.others, blank and blank.others),
    ):
        for head in range(0 if of is None else of.shape[1]):
            assert of is not None
            opposite = {"all on other examples": 0.0} if quantity is ON_OWN else {"all on the own input": 0.0}
            negative: dict[str, Tensor | float] = {**opposite, "uniform": even[quantity]}
            negative |= {"untrained network": reference[:, head]} if reference is not None else {}
            found.append(
                measure(
                    NAME,
                    quantity,
                    of[:, head],
                    draws,
                    coordinates={"site": str(site), "head": head},
                    positive={quantity.name.replace("attention", "all"): 1.0},
                    negative=negative,
                )
            )
    return found


INSTRUMENT = Instrument(
    name=NAME,
    question="Does a head copy each input to its label's token, and through which linear map?",
    measure=copying,
    needs="one token per input and one per label, and attention patterns",
    quantities=(
        "R² of a linear map of the own input",
        "R² of a multiple of the own input",
        "alignment with the identity",
        "attention on other examples",
        "attention on the own input",
        "share inside the inputs' subspace",
    ),
    coordinates=(
        "head",
        "site",
    ),
    sizes=sizes(n=(32, 512, 1024)),
    figure=figure,
)
