"""Attention sinks: how much attention lies on the first position, and whether it grows from the early layers to the late ones.

A language model puts much of its attention on the first token of a text, whatever that token is, where a head has nothing to
look for. Some attention lies there in any case: attention that is uniform over what a row sees puts 1/k on the first of k
positions. So every number stands beside uniform attention, the untrained network, and what the second position gets.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mesascope.instruments.asking.applicability import NotApplicable, untrained
from mesascope.instruments.asking.sequences import language_model
from mesascope.instruments.attending.attention import seen, softmax_sites
from mesascope.instruments.instrument import Expected, Instrument, sizes
from mesascope.instruments.reading.refinement import by_depth
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.scores import Quantity, measure, ratio
from mesascope.models.language import LanguageSubject
from mesascope.models.language.passes import run
from mesascope.models.language.sequences import sequence_tokens
from mesascope.models.language.tokens import Tokens, visible
from mesascope.models.language.writing import encode
from mesascope.tasks import SequenceTask
from mesascope.types import Figure, Intervention, Measurement, Prompts, Scalar, Site, Subject, Task, adjusted, bounds

NAME = "sinks"
SINK = Quantity(name="attention to the first position")
LARGEST = Quantity(name="attention to the first position, largest head", combine=lambda means: means.amax(1))
OF_HEAD = Quantity(name="attention of a head to the first position")
EARLY = Quantity(name="sinks in the first third of layers", combine=lambda means: means[:, 0])
LATE = Quantity(name="sinks in the last third of layers", combine=lambda means: means[:, 1])
GROWTH = Quantity(name="late over early sinks", combine=lambda means: ratio(means.flip(1)))
BY_DEPTH = Quantity(name="rank correlation of depth and sinks", combine=lambda means: by_depth(-means))
OVERALL = (EARLY, LATE, GROWTH, BY_DEPTH)

ALL, EVEN, PLANTED, SECOND, FRESH = (
    "all on the first position",
    "uniform over what is visible",
    "twice as much in the last third of layers",
    "the second position",
    "untrained network",
)
LOW, HIGH = 0.4, 0.8
"""What the planted patterns put on the first position, in the first and in the last third of the layers."""

Mass = Float[Tensor, "batch layer head"]
Seen = Bool[Tensor, "batch position position"]


def sinks(
    subject: Subject,
    task: Task,
    *,
    seed: int = 0,
    n: int = 64,
    queries: int = 1,
    sequences: SequenceTask | None = None,
    heads: bool = False,
    batch: int = 8,
) -> tuple[Measurement, ...]:
    """Attention to the first position, by layer, and in the last third of the layers over the first third.

    A row of a pattern counts if it is that of a token that sees at least one before it: the rows from the second position on.
    Positions that hold no token are left out, as rows and as the first position. Means are over a prompt's rows, then over heads
    and prompts. A third of the layers is their number over three, rounded, at least one.

    Controls. Positive: patterns that put all attention on the first position (exactly 1), and patterns whose last third puts
    twice as much there as the first third (exactly 2). Negative: the attention that the second position gets, in the same rows;
    uniform attention over what each row sees; the untrained network.

    Args:
        subject: what to examine.
        task: where the prompts come from; not used with ``sequences``.
        seed: of the prompts, the untrained weights and the resampling.
        n: number of prompts.
        queries: queries per prompt.
        sequences: for language models, sequences of symbols in place of the task's prompts.
        heads: also measure every head by itself.
        batch: number of prompts per pass; it does not change the results.

    Raises:
        NotApplicable: the subject shows no attention pattern, none whose rows sum to 1, no row sees two positions, or
            ``sequences`` are asked of a subject that is no language model.

    Source: source C, sections 9.3 and 9.4.
    Departs from source: it says neither which positions count nor which layers are early and late; the choices here are ours.
    """
    parts, strata = _drawn(subject, task, sequences, seed=seed, n=n, queries=queries, batch=batch)
    sites = _sites(subject, parts[0])
    draws = bootstrap.weights(n, seed=seed, strata=strata)
    masks = _masks(subject, parts, sites)
    own, second = _masses(subject, parts, masks, sites)
    controls: dict[str, Mass] = {SECOND: second, EVEN: _uniform(masks).expand_as(own)}
    if (twin := untrained(subject, seed)) is not None:
        controls[FRESH] = _masses(twin, parts, masks, sites)[0]
    planted = {name: mass.expand_as(own) for name, mass in _planted(masks, len(sites)).items()}

    def measured(quantity: Quantity, sums: Callable[[Mass], Tensor], **where: int) -> Measurement:
        overall = quantity in OVERALL
        level = quantity is BY_DEPTH  # uniform attention is the same in all layers, which have no order then
        return measure(
            NAME,
            quantity,
            sums(own),
            draws,
            coordinates=where,
            positive={PLANTED: sums(planted[PLANTED])} if overall else {ALL: sums(planted[ALL])},
            negative={name: sums(mass) for name, mass in controls.items() if not (level and name == EVEN)},
        )

    found: list[Measurement] = []
    for i, site in enumerate(sites):
        found.append(measured(SINK, lambda mass, i=i: mass[:, i].mean(1), layer=site.layer))
        found.append(measured(LARGEST, lambda mass, i=i: mass[:, i], layer=site.layer))
        for head in range(own.shape[2]) if heads else ():
            found.append(measured(OF_HEAD, lambda mass, i=i, h=head: mass[:, i, h], layer=site.layer, head=head))
    if len(sites) > 1:
        found += [measured(quantity, _ends) for quantity in (EARLY, LATE, GROWTH)]
        found.append(measured(BY_DEPTH, lambda mass: mass.mean(2)))
    return tuple(found)


def thirds(layers: int) -> int:
    """How many layers are early, and how many are late: a third of them, rounded, at least one."""
    return max(1, round(layers / 3))


def _ends(mass: Mass) -> Float[Tensor, "batch 2"]:
    """The means over the first third of the layers and over the last."""
    third, each = thirds(mass.shape[1]), mass.mean(2)
    return torch.stack([each[:, :third].mean(1), each[:, -third:].mean(1)], 1)


# ------------------------------------------------------------------------------------------ prompts and passes


def _drawn(
    subject: Subject, task: Task, sequences: SequenceTask | None, *, seed: int, n: int, queries: int, batch: int
) -> tuple[list[Prompts | Tokens], Tensor | None]:
    """The prompts in batches, as tokens for a language model, and the stratum of each."""
    if sequences is not None:
        tokens = sequence_tokens(language_model(subject), sequences.sample(n, seed=seed, stream=NAME))
        return [_rows(tokens, slice(i, i + batch)) for i in range(0, n, batch)], None
    prompts = adjusted(task, queries=queries).sample(n, seed=seed, stream=NAME)
    if isinstance(subject, LanguageSubject):
        subject.domain.check(prompts)
        tokens = encode(subject.writing, prompts)
        return [_rows(tokens, slice(i, i + batch)) for i in range(0, n, batch)], prompts.strata
    return [prompts[i : i + batch] for i in range(0, n, batch)], prompts.strata


def _rows(tokens: Tokens, which: slice) -> Tokens:
    return replace(tokens, ids=tokens.ids[which], real=tokens.real[which])


def _sites(subject: Subject, part: Prompts | Tokens) -> tuple[Site, ...]:
    if isinstance(part, Prompts):
        return softmax_sites(subject, part[:2])
    return tuple(
        site for site in subject.sites if site.kind == "pattern"
    )  # whose rows sum to 1: checked when it was loaded


def _masks(subject: Subject, parts: Sequence[Prompts | Tokens], sites: Sequence[Site]) -> list[Seen]:
    """What each row sees; rows at positions without a token see nothing.

    Raises:
        NotApplicable: no row sees two positions.
    """
    alike = seen(subject, parts[0], sites) if isinstance(parts[0], Prompts) else None
    masks = [
        visible(part) & part.real[:, :, None] if isinstance(part, Tokens) else alike.expand(len(part), -1, -1)  # type: ignore[union-attr]
        for part in parts
    ]
    if not all(bool(_places(mask)[0].any(-1).all()) for mask in masks):
        raise NotApplicable(
            f"no position of {subject.name} sees a position before it, so none can attend to a first one."
        )
    return masks


def _places(mask: Seen) -> tuple[Bool[Tensor, "batch position"], Tensor, Tensor]:
    """The rows that count, and for each row the first and the second position that it sees."""
    order = mask.long().cumsum(-1)
    first, second = ((mask & (order == place)).long().argmax(-1) for place in (1, 2))
    itself = torch.arange(mask.shape[1])
    return (order[..., -1] > 1) & (first != itself), first, second


def _mass(pattern: Float[Tensor, "batch head position position"], counted: Tensor, at: Tensor) -> Tensor:
    """The mean over the counted rows of what each puts on its position ``at``: (batch, head)."""
    on = pattern.gather(3, at[:, None, :, None].expand(-1, pattern.shape[1], -1, 1))[..., 0].double()
    return torch.where(counted[:, None], on, 0.0).sum(-1) / counted.sum(-1)[:, None]


def _masses(
    subject: Subject, parts: Sequence[Prompts | Tokens], masks: Sequence[Tensor], sites: Sequence[Site]
) -> tuple[Mass, Mass]:
    """The attention on the first and on the second position."""
    found = [_read(subject, part, mask, sites) for part, mask in zip(parts, masks, strict=True)]
    own, other = torch.cat(found, 1)
    return own, other


def _read(subject: Subject, part: Prompts | Tokens, mask: Seen, sites: Sequence[Site]) -> Tensor:
    """The same for one batch, (place, batch, layer, head): read in passing, so that no pattern is kept."""
    counted, first, second = _places(mask)
    masses: dict[Site, Tensor] = {}

    def look(site: Site, pattern: Tensor) -> Tensor:
        held = pattern.detach().cpu()
        masses[site] = torch.stack([_mass(held, counted, at) for at in (first, second)])
        return pattern

    reading = [Intervention(site=site, edit=partial(look, site)) for site in sites]
    if isinstance(part, Prompts):
        subject.trace(part, interventions=reading)
    else:
        assert isinstance(subject, LanguageSubject), "only a language model's prompts are tokens"
        run(subject.network, part, interventions=reading)
    return torch.stack([masses[site] for site in sites], 2)


def _uniform(masks: Sequence[Tensor]) -> Mass:
    """The attention on the first position where it is uniform over what each row sees, of one layer and one head."""
    found = []
    for mask in masks:
        counted, first, _ = _places(mask)
        even = mask.double() / mask.sum(-1, keepdim=True).clamp(min=1)
        found.append(_mass(even[:, None], counted, first))
    return torch.cat(found)[:, None]


def _planted(masks: Sequence[Tensor], layers: int) -> dict[str, Mass]:
    """The same for patterns that put a known share on the first position: all of it, or a share that grows with depth."""
    third = thirds(layers)
    rising = torch.linspace(0, 1, layers, dtype=torch.float64)
    early, late = rising[:third].mean(), rising[-third:].mean()
    if layers > 1:  # the first third's mean is LOW and the last third's HIGH
        rising = LOW + (rising - early) * (HIGH - LOW) / (late - early)
    found: dict[str, list[Tensor]] = {ALL: [], PLANTED: []}
    for mask in masks:
        counted, first, _ = _places(mask)
        on_first = torch.nn.functional.one_hot(first, mask.shape[1]).double()[:, None]
        mass = _mass(on_first, counted, first)[:, None]
        found[ALL].append(mass.expand(-1, layers, -1))
        found[PLANTED].append(mass * rising[:, None])
    return {name: torch.cat(each) for name, each in found.items()}


# ------------------------------------------------------------------------------------------ the picture


def figure(measurements: Sequence[Measurement]) -> Figure:
    """Attention to the first position by layer, beside its controls."""
    rows: list[dict[str, Scalar]] = []
    for m in measurements:
        if m.quantity == SINK.name:
            where = {"layer": m.coordinates["layer"]}
            rows.append({**where, "of": "the subject", "attention": m.value, **bounds(m.interval)})
            for control in m.controls:
                if control.kind == "negative":
                    shown = {"of": control.name, "attention": control.value, **bounds(control.interval)}
                    rows.append({**where, **shown})
    return Figure(
        name="sinks",
        section="Attention sinks",
        title="How much attention lies on the first position",
        caption="Mean over heads, rows from the second on, and prompts. Uniform attention puts 1/k there, where k positions are "
        "visible.",
        kind="lines",
        rows=tuple(rows),
        x="layer",
        y="attention",
        low="low",
        high="high",
        series="of",
    )


INSTRUMENT = Instrument(
    name=NAME,
    question="How much attention lies on the first position, and does it grow with depth?",
    measure=sinks,
    needs="attention patterns that are distributions",
    quantities=tuple(quantity.name for quantity in (SINK, LARGEST, OF_HEAD, *OVERALL)),
    coordinates=("layer", "head"),
    sizes=sizes(n=(8, 64, 256)),
    figure=figure,
    expected=(
        *(
            Expected(quantity=q.name, control=ALL, words="1", holds=lambda v: abs(v - 1) < 1e-9)
            for q in (SINK, LARGEST, OF_HEAD)
        ),
        Expected(quantity=GROWTH.name, control=PLANTED, words="2", holds=lambda v: abs(v - HIGH / LOW) < 1e-9),
        Expected(quantity=GROWTH.name, control=EVEN, words="1", holds=lambda v: abs(v - 1) < 1e-9),
        Expected(quantity=BY_DEPTH.name, control=PLANTED, words="1", holds=lambda v: abs(v - 1) < 1e-9),
    ),
)

__all__ = ("BY_DEPTH", "EARLY", "GROWTH", "INSTRUMENT", "LARGEST", "LATE", "NAME", "OF_HEAD", "SINK", "sinks")
