"""Attention statistics: how spread out each head's attention is, where it goes, and how much worse the answers get without it.

The rows of a pattern are grouped by the attending token: the ``query`` tokens; the ``label`` and ``input`` tokens, if these
are separate; otherwise all ``context`` tokens.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mesascope.instruments.asking.applicability import NotApplicable, untrained
from mesascope.instruments.asking.tokens import layout
from mesascope.instruments.attending.uniform_attention import UNIFORM, flattened, uniform
from mesascope.instruments.instrument import Instrument, sizes
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.scores import Quantity, measure
from mesascope.types import Figure, Layout, Measurement, Prompts, Scalar, Site, Subject, Task, adjusted

NAME = "attention"
ENTROPY = Quantity(name="entropy share")
ENTROPY_OF_LABELS = Quantity(name="entropy share over labels")
ON_LABELS = Quantity(name="share on labels")
PREVIOUS = Quantity(name="share on the previous token")
FIRST = Quantity(name="share on the first token")

_TOLERANCE = 1e-3  # largest deviation of a row's sum from 1, more than half precision needs

Pattern = Float[Tensor, "batch head position position"]
Visible = Bool[Tensor, "position position"]


def attention(
    subject: Subject,
    task: Task,
    *,
    seed: int = 0,
    n: int = 128,
    queries: int = 8,
    batch: int = 64,
) -> tuple[Measurement, ...]:
    """Where every head looks, and how much worse the answers are with uniform attention.

    For each head and group of rows, these are means over rows, then over prompts:

    - the entropy over its maximum, the log of the number of visible positions (rows that see one position are left out);
    - the share of attention on the previous token (for a query, the last of the context) and on the first token;
    - for the query, if labels have tokens of their own: the share on labels, and the entropy of the distribution over the
      labels alone, over the log of their number.

    The last quantity is the mean squared error with uniform attention over that of the intact model: with one head or all
    heads of a layer replaced, uniform over all visible positions or over the visible labels only. A position is visible to
    a row if it gets weight in any layer, head or prompt.

    Controls. Positive: patterns for which the value is known (uniform, all on the previous token, …); for uniform
    attention, uniform attention in all layers at once. Negative: the untrained network; uniform patterns; for uniform
    attention, each pattern replaced by itself.

    Args:
        subject: what to examine.
        task: where the prompts come from.
        seed: of the prompts, the untrained weights and the resampling.
        n: number of prompts.
        queries: queries per prompt.
        batch: number of prompts per pass; it does not change the results.

    Raises:
        NotApplicable: the subject has no attention-pattern sites, or none whose rows sum to 1 (as in linear attention).
    """
    prompts = adjusted(task, queries=queries).sample(n, seed=seed, stream=NAME)
    parts = [prompts[i : i + batch] for i in range(0, n, batch)]
    sites = softmax_sites(subject, prompts[:2])
    visible = seen(subject, prompts[:64], sites)
    draws = bootstrap.weights(n, seed=seed, strata=prompts.strata)
    places = layout(subject, prompts)

    known = _collect(subject, parts, sites, visible, places)
    fresh = untrained(subject, seed)
    # The untrained network has the same mask, so the same positions are visible.
    blank = None if fresh is None else _collect(fresh, parts, sites, visible, places)
    planted = {
        name: _statistics(pattern[None, None], visible, places)
        for name, pattern in _known_patterns(visible, places).items()
    }
    found: list[Measurement] = []
    for (site, rows, quantity), values in known.items():
        for head in range(values.shape[1]):
            positive: dict[str, Tensor | float] = {}
            negative: dict[str, Tensor | float] = {}
            if blank is not None:
                negative["untrained network"] = blank[site, rows, quantity][:, head]
            case = _CASES[quantity]
            if (rows, quantity) in planted[case]:
                positive[case] = float(planted[case][rows, quantity])
            if case != "uniform":
                negative["uniform"] = float(planted["uniform"][rows, quantity])
            found.append(
                measure(
                    NAME,
                    quantity,
                    values[:, head],
                    draws,
                    coordinates={"site": str(site), "head": head, "rows": rows},
                    positive=positive,
                    negative=negative,
                )
            )
    over = {"all visible tokens": visible}
    if (labels := _labels(visible, places)) is not None:
        over["visible labels"] = labels
    return (*found, *flattened(NAME, subject, parts, sites, over, draws))


def row_groups(places: Layout) -> dict[str, Tensor]:
    """The rows of a pattern by the attending token, without a context's first token, which has no previous token."""
    if places.together:
        context = {"context": places.context[:, 1:]}
    else:
        first = places.context[:, :1]
        context = {"label": places.labels.flatten(1), "input": places.inputs.flatten(1)}
        context = {name: rows[rows != first].view(len(rows), -1) for name, rows in context.items()}
    return {"query": places.answers} | {name: rows.unique() for name, rows in context.items()}


def figure(measurements: Sequence[Measurement]) -> Figure:
    """The statistics by head and group of rows, one panel per statistic."""
    rows: list[dict[str, Scalar]] = []
    for m in measurements:
        if m.instrument == NAME and m.quantity != UNIFORM.name:
            site = Site.parse(str(m.coordinates["site"]))
            where = {"head": f"{site.layer}.{m.coordinates['head']}", "rows": m.coordinates["rows"]}
            rows.append({**where, "statistic": m.quantity, "share": m.value})
    return Figure(
        name="attention-statistics",
        section="Attention",
        title="Statistics of the heads' attention",
        caption="Mean over rows and prompts, for each head (layer.head) and kind of attending token.",
        kind="heatmap",
        rows=tuple(rows),
        x="head",
        y="rows",
        value="share",
        facet="statistic",
    )


def maps(subject: Subject, task: Task, *, seed: int = 0, n: int = 64) -> Figure:
    """Mean attention from the query to each token, and from each token to the one before it, averaged over prompts.

    The untrained network is shown beside the subject.

    Args:
        subject: what to examine.
        task: where the prompts come from.
        seed: of the prompts and the untrained weights.
        n: number of prompts.

    Raises:
        NotApplicable: as for `attention`.
    """
    prompts = adjusted(task, queries=1).sample(n, seed=seed, stream=NAME)
    sites = softmax_sites(subject, prompts[:2])
    places = layout(subject, prompts)
    rows: list[dict[str, Scalar]] = []
    fresh = untrained(subject, seed)
    for name, one in {"": subject, "untrained: ": fresh}.items():
        if one is None:
            continue
        trace = one.trace(prompts, capture=sites)
        for site in sites:
            mean = trace[site].double().cpu().mean(0)  # (head, position, position)
            names = places.names()
            views = {"from the query": mean[:, places.answers[0]], "to the token before": mean.diagonal(-1, 1, 2)}
            for view, values in views.items():
                for head, line in enumerate(values.tolist()):
                    labels = names if view == "from the query" else names[1:]
                    rows += [
                        {"view": f"{name}{view}", "head": f"{site.layer}.{head}", "token": token, "attention": weight}
                        for token, weight in zip(labels, line, strict=True)
                    ]
    return Figure(
        name="attention-maps",
        section="Attention",
        title="Where the heads look",
        caption="Mean attention by head (layer.head): from the query to each token, and from each token to the one "
        "before.",
        kind="heatmap",
        rows=tuple(rows),
        x="token",
        y="head",
        value="attention",
        facet="view",
    )


def softmax_sites(subject: Subject, prompts: Prompts) -> tuple[Site, ...]:
    """The sites of attention patterns whose rows sum to 1.

    Raises:
        NotApplicable: there are none.
    """
    sites = tuple(site for site in subject.sites if site.kind == "pattern")
    if not sites:
        raise NotApplicable(f"{subject.name} shows no attention pattern.")
    trace = subject.trace(prompts, capture=sites)
    kept = tuple(
        s for s in sites if bool((trace[s] >= 0).all()) and bool(((trace[s].sum(-1) - 1).abs() < _TOLERANCE).all())
    )
    if not kept:
        raise NotApplicable(f"the attention of {subject.name} is no distribution: its rows don't sum to 1.")
    return kept


def seen(subject: Subject, prompts: Prompts, sites: Sequence[Site]) -> Visible:
    """Whether the first position gives the second any weight, in any layer, head or prompt."""
    trace = subject.trace(prompts, capture=sites)
    return torch.stack([(trace[site] > 0).any(0).any(0).cpu() for site in sites]).any(0)


def _collect(
    subject: Subject, parts: Sequence[Prompts], sites: Sequence[Site], visible: Visible, places: Layout
) -> dict[tuple[Site, str, Quantity], Tensor]:
    """The statistics, each (batch, head), by site, group of rows and quantity."""
    found: dict[tuple[Site, str, Quantity], list[Tensor]] = {}
    for part in parts:
        trace = subject.trace(part, capture=sites)
        for site in sites:
            for (rows, quantity), values in _statistics(trace[site].cpu(), visible, places).items():
                found.setdefault((site, rows, quantity), []).append(values)
    return {key: torch.cat(values) for key, values in found.items()}


def _statistics(pattern: Tensor, visible: Visible, places: Layout) -> dict[tuple[str, Quantity], Tensor]:
    """The means of the statistics over each group's rows, each (batch, head), by group and quantity."""
    out: dict[tuple[str, Quantity], Tensor] = {}
    for name, rows in row_groups(places).items():
        rows = rows[visible[rows].sum(-1) > 1]
        if not len(rows):
            continue
        asked = pattern[:, :, rows].double()  # (batch, head, row, position)

        def at(columns: Tensor, asked: Tensor = asked) -> Tensor:
            """The weights that each row puts on its own columns, given as (row, column)."""
            return asked.gather(-1, columns.expand(*asked.shape[:2], -1, -1))

        out[name, ENTROPY] = (_entropy(asked) / visible[rows].sum(-1).double().log()).mean(-1)
        out[name, PREVIOUS] = at(places.previous[rows, None]).mean((-1, -2))
        out[name, FIRST] = at(places.first[rows, None]).mean((-1, -2))
        if not places.together and name == "query":
            share = at(places.labels.flatten(1)).unflatten(-1, (places.examples, -1)).sum(-1)
            total = share.sum(-1)
            out[name, ON_LABELS] = total.mean(-1)
            if places.examples > 1:
                among = share / total.clamp(min=torch.finfo(torch.float64).tiny)[..., None]
                out[name, ENTROPY_OF_LABELS] = _entropy(among).mean(-1) / math.log(places.examples)
    return out


def _labels(visible: Visible, places: Layout) -> Visible | None:
    """The label tokens that each row sees; ``None`` if labels have no tokens of their own."""
    if places.together:
        return None
    is_label = torch.zeros(len(visible), dtype=torch.bool)
    is_label[places.labels] = True
    return is_label & visible


def _entropy(distribution: Tensor) -> Tensor:
    return -torch.xlogy(distribution, distribution).sum(-1)


_CASES = {
    ENTROPY: "uniform",
    ENTROPY_OF_LABELS: "uniform",
    ON_LABELS: "all on labels",
    PREVIOUS: "all on the previous token",
    FIRST: "all on the first token",
}


def _known_patterns(visible: Visible, places: Layout) -> dict[str, Tensor]:
    eye = torch.eye(len(visible), dtype=torch.float64)
    patterns = {
        "uniform": uniform(visible),
        "all on the previous token": eye[places.previous],
        "all on the first token": eye[places.first],
    }
    if (labels := _labels(visible, places)) is not None:
        patterns["all on labels"] = uniform(labels)
    return patterns


INSTRUMENT = Instrument(
    name=NAME,
    question="Which tokens does each head attend to?",
    measure=attention,
    needs="attention patterns that are distributions",
    quantities=(
        "MSE factor of uniform attention",
        "entropy share",
        "entropy share over labels",
        "share on labels",
        "share on the first token",
        "share on the previous token",
    ),
    coordinates=(
        "head",
        "over",
        "rows",
        "site",
    ),
    by_part=True,
    sizes=sizes(n=(24, 128, 512)),
    figure=figure,
    shown=maps,
)
