"""How the answer is refined from layer to layer: does every layer take away a share of the error that is left?

After layer ℓ the subject's own readout answers ŷ_ℓ and leaves the residual y − ŷ_ℓ. If a layer descends on the squared error, its
update ŷ_(ℓ+1) − ŷ_ℓ grows with the residual. Much of such a slope is bias: a readout that was trained for the last layer
moves towards the mean target in any case. Every number is therefore also measured with another prompt's target in place of
the prompt's own; only the difference says that the layer knows something of the prompt. And with the label of an example in
place of the target, because a subject that knows where the labels of a prompt lie, and nothing of their map, tells its own
target from another prompt's.
"""

import functools
from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.instruments.asking.applicability import untrained
from mesascope.instruments.asking.collect import at_queries
from mesascope.instruments.instrument import Expected, Instrument, sizes
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.scores import Quantity, correlation, measure, moments, partners
from mesascope.seeds import generator
from mesascope.types import Figure, Measurement, Prompts, Site, Subject, Task, adjusted, glm_family

NAME = "refinement"
OTHERS, HALF, FRESH = "another prompt's targets", "half of the residual at every layer", "untrained network"
SHOWN = "a label that the prompt shows"
STEADY = 0.5
"""The share of the residual that each layer of the positive control takes away."""


def slope(means: Tensor) -> Tensor:
    """Of a line with intercept, b on a, from the means of `moments`."""
    a, b, aa, _, ab = means.unbind(-1)
    return (ab - a * b) / (aa - a * a)


def rate(means: Tensor) -> Tensor:
    """What a layer leaves of the root mean square residual, from means of squared residuals before and after."""
    return (means[:, 1] / means[:, 0]).sqrt()


def reduction(means: Tensor) -> Tensor:
    """The share of the first error that is gone in the end, from the mean squared errors after every layer."""
    return 1 - means[:, -1] / means[:, 0]


def monotone(means: Tensor) -> Tensor:
    """The share of layers that lower the error, from the mean squared errors after every layer."""
    return (means.diff(dim=1) < 0).double().mean(1)


def by_depth(means: Tensor) -> Tensor:
    """Spearman's correlation of depth and accuracy, from the mean squared errors after every layer: 1 if all lower it."""
    ranks = (-means).argsort(1).argsort(1).double()
    depth = torch.arange(means.shape[1], dtype=torch.float64).expand_as(ranks)
    centred, along = ranks - ranks.mean(1, keepdim=True), depth - depth.mean(1, keepdim=True)
    return (centred * along).sum(1) / along.square().sum(1)


def contraction(means: Tensor) -> Tensor:
    """ρ², by which a layer multiplies the mean squared error: exp of the slope of its logarithm over all layers.

    Source C fits from the embedding to the layer of least error only, which hides that the error can rise again.
    """
    logs = means.log()
    depth = torch.arange(means.shape[1], dtype=torch.float64) - (means.shape[1] - 1) / 2
    return ((logs * depth).sum(1) / depth.square().sum()).exp()


def squared(means: Tensor) -> Tensor:
    """R²: the share of one's variance that a line in the other explains, from the means of `moments`."""
    return correlation(means).square()


SLOPE = Quantity(name="slope of the update on the residual", combine=slope)
ALONG = Quantity(name="correlation of update and residual", combine=correlation)
SIGN = Quantity(name="sign agreement of update and residual")
RATE = Quantity(name="residual left by the layer", combine=rate)
OF_LAYERS = (SLOPE, ALONG, SIGN, RATE)
OVERALL = (
    Quantity(name="error reduction", combine=reduction),
    Quantity(name="share of layers that lower the error", combine=monotone),
    Quantity(name="rank correlation of depth and accuracy", combine=by_depth),
    Quantity(name="contraction of the squared error per layer", combine=contraction),
)
POOLED = (
    Quantity(name="slope of all updates on the residuals", combine=slope),
    Quantity(name="R² of all updates and residuals", combine=squared),
    Quantity(name="sign agreement of all updates and residuals"),
)
"""Of all layers together, as source C prints them."""
FIRST, LAST = (Quantity(name=f"mean absolute error of the {which} answer", unit="y") for which in ("first", "last"))
LESS = Quantity(name="reduction of the mean absolute error", combine=reduction)
FALL = Quantity(name="fall of the mean absolute error", combine=lambda means: means[:, 0] - means[:, 1], unit="y")
"""What source C calls error reduction where it follows it over training."""

KNOWN = {
    SLOPE.name: STEADY,
    ALONG.name: 1.0,
    SIGN.name: 1.0,
    RATE.name: 1 - STEADY,
    "contraction of the squared error per layer": (1 - STEADY) ** 2,
    **dict(zip((quantity.name for quantity in POOLED), (STEADY, 1.0, 1.0), strict=True)),
}
"""The values of the positive control."""


def refinement(
    subject: Subject, task: Task, *, seed: int = 0, n: int = 512, queries: int = 8
) -> tuple[Measurement, ...]:
    """Updates against residuals for every layer, and the error over all layers, by the subject's own readout.

    Of every layer: the slope α of its update on the residual before it, with an intercept; their correlation; how often both have
    the same sign; and what the layer leaves of the root mean square residual. The last is never below |1 − α|, so the two
    are no independent evidence of each other: the correlation says how much of the update goes along the residual.

    Over all layers: the share of the error that is gone in the end, the share of layers that lower it, the rank correlation of
    depth and accuracy, and the factor per layer; slope, R² and sign agreement of the updates of all layers together; and the mean
    absolute error of the first and the last answer, in units of the labels, with the share that is gone. The first answer is that
    of the stream that the first layer reads, or, of a subject without that site, of the stream after the first layer.

    Controls. Negative: the targets of another prompt of the same stratum, for which the subject's answers are no better than for
    nobody's; for each query the label of an example, at random, where labels are targets; the untrained network. Positive: from
    the subject's first answers on, half of the residual is taken away by every layer (slope 0.5, correlation and sign agreement
    1, factor 0.25).

    Args:
        subject: what to examine.
        task: where the prompts come from.
        seed: of the prompts, the untrained weights and the resampling.
        n: number of prompts.
        queries: queries per prompt.

    Source: source C, sections 8.3 and 9.3 (slope, sign, rates).
    Departs from source: slopes have an intercept, and every number stands beside the same with other prompts' targets.
    """
    prompts = adjusted(task, queries=queries).sample(n, seed=seed, stream=NAME)
    draws = bootstrap.weights(n, seed=seed, strata=prompts.strata)
    answers = by_layer(subject, prompts)
    targets = prompts.targets.double().cpu()
    others = targets[partners(prompts)]
    label = shown_label(prompts, task, seed)
    fresh = untrained(subject, seed)
    drawn = None if fresh is None else by_layer(fresh, prompts)
    shares = STEADY ** torch.arange(len(answers), dtype=torch.float64)[:, None, None]
    planted = targets - shares * (targets - answers[0])

    def measured(quantity: Quantity, sums: Callable[[Tensor, Tensor], Tensor], **where: int) -> Measurement:
        negative = {OTHERS: sums(answers, others)}
        if label is not None:
            negative[SHOWN] = sums(answers, label)
        if drawn is not None:
            negative[FRESH] = sums(drawn, targets)
        return measure(
            NAME,
            quantity,
            sums(answers, targets),
            draws,
            coordinates=where,
            positive={HALF: sums(planted, targets)},
            negative=negative,
        )

    found = [
        measured(quantity, lambda a, y, q=quantity, i=layer: _of_layer(q, a[i], a[i + 1], y), layer=layer + 1)
        for layer in range(len(answers) - 1)
        for quantity in OF_LAYERS
    ]
    return (
        *found,
        *(measured(quantity, _errors) for quantity in OVERALL),
        *(measured(quantity, functools.partial(_of_all, quantity)) for quantity in POOLED),
        *(measured(quantity, sums) for quantity, sums in ABSOLUTE.items()),
    )


def shown_label(prompts: Prompts, task: Task, seed: int) -> Float[Tensor, "batch query"] | None:
    """For each query the label of one of the prompt's examples, at random; None where labels are binary or counts.

    Targets of such labels are their linear predictors, so that a label is none.
    """
    if glm_family(task) is not None:
        return None
    drawn = torch.randint(prompts.examples, prompts.targets.shape, generator=generator(seed, f"{NAME}/shown"))
    return prompts.ys.double().cpu().gather(1, drawn)


def by_layer(subject: Subject, prompts: Prompts) -> Float[Tensor, "layer batch query"]:
    """The answers that the subject's own readout gives before the first layer and after every layer, in float64.

    The last are the subject's own.
    """
    start = Site(kind="embed")
    sites = [start, *subject.path] if start in subject.sites else [*subject.path]
    predictions, streams = at_queries(subject, prompts, sites[:-1])
    read = [subject.readout(streams[site], site).double().cpu() for site in sites[:-1]]
    return torch.stack([*read, predictions])


def _of_layer(
    quantity: Quantity,
    before: Float[Tensor, "batch query"],
    after: Float[Tensor, "batch query"],
    targets: Float[Tensor, "batch query"],
) -> Float[Tensor, "batch statistic"]:
    residual, update = targets - before, after - before
    if quantity is RATE:
        return torch.stack([residual.square().mean(-1), (targets - after).square().mean(-1)], -1)
    if quantity is SIGN:
        return (residual * update > 0).double().mean(-1)[:, None]
    return moments(residual, update)


def _of_all(
    quantity: Quantity, answers: Float[Tensor, "layer batch query"], targets: Float[Tensor, "batch query"]
) -> Float[Tensor, "batch statistic"]:
    residuals, updates = (part.movedim(0, 1).flatten(1) for part in ((targets - answers)[:-1], answers.diff(dim=0)))
    if quantity is POOLED[-1]:
        return (residuals * updates > 0).double().mean(-1)[:, None]
    return moments(residuals, updates)


def _absolute(answers: Float[Tensor, "layer batch query"], targets: Float[Tensor, "batch query"]) -> Tensor:
    return (answers[[0, -1]] - targets).abs().mean(-1).T


ABSOLUTE: Mapping[Quantity, Callable[[Tensor, Tensor], Tensor]] = {
    FIRST: lambda answers, targets: _absolute(answers, targets)[:, :1],
    LAST: lambda answers, targets: _absolute(answers, targets)[:, 1:],
    LESS: _absolute,
    FALL: _absolute,
}


def _errors(
    answers: Float[Tensor, "layer batch query"], targets: Float[Tensor, "batch query"]
) -> Float[Tensor, "batch layer"]:
    return (answers - targets).square().mean(-1).T


def figure(measurements: Sequence[Measurement]) -> Figure:
    """The slope of every layer's update on the residual, beside the same with other prompts' targets."""
    rows: list[Mapping[str, object]] = []
    for m in measurements:
        if m.quantity not in (SLOPE.name, ALONG.name):
            continue
        low, high = m.interval or (None, None)
        where = {"layer": m.coordinates["layer"], "quantity": m.quantity}
        rows.append({**where, "value": m.value, "low": low, "high": high, "targets": "its own"})
        for control in m.controls:
            if control.kind == "negative":
                low, high = control.interval or (None, None)
                rows.append({**where, "value": control.value, "low": low, "high": high, "targets": control.name})
    return Figure(
        name="refinement",
        section="From layer to layer",
        title="How much of the residual each layer takes away",
        caption="The slope and the correlation of a layer's update with the residual before it, by the subject's own readout. "
        "Where the curve of another prompt's targets is as high, the layer knows nothing of this prompt's target.",
        kind="lines",
        rows=tuple(rows),  # type: ignore[arg-type]
        x="layer",
        y="value",
        low="low",
        high="high",
        series="targets",
        facet="quantity",
    )


INSTRUMENT = Instrument(
    name=NAME,
    question="Does every layer take away a share of the error that is left?",
    measure=refinement,
    needs="a subject with a residual stream and a readout of its own",
    quantities=tuple(quantity.name for quantity in (*OF_LAYERS, *OVERALL, *POOLED, *ABSOLUTE)),
    coordinates=("layer",),
    sizes=sizes(n=(32, 512, 2048)),
    figure=figure,
    expected=tuple(
        Expected(quantity=name, control=HALF, words=f"{value:g}", holds=lambda v, known=value: abs(v - known) < 1e-6)
        for name, value in KNOWN.items()
    ),
)
