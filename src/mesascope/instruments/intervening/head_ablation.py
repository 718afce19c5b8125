"""Head ablation on sequences: which attention heads does a language model need to know what comes next?

The heads whose removal costs more than the 95th percentile of all heads' costs are chosen. Their number says nothing: of any
numbers, random ones too, a twentieth lies above that percentile. What can say something is what the model loses without all of
them, beside what it loses without as many random heads, on prompts that they were not chosen on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mesascope.instruments.asking.applicability import untrained
from mesascope.instruments.asking.sequences import SYMBOLS, fitting_blocks, language_model
from mesascope.instruments.instrument import Expected, Instrument, sizes
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.scores import Quantity, measure, ratio
from mesascope.models.language import LanguageSubject
from mesascope.models.language.heads import Without, surprisal_without
from mesascope.models.language.sequences import surprisal
from mesascope.records.checks import check_count
from mesascope.seeds import generator
from mesascope.tasks import Sequences, SequenceTask
from mesascope.types import Control, Figure, Measurement, Scalar, Subject, Task, bounds

NAME = "head ablation"
LOSS = Quantity(name="loss in context", unit="nats")
ALONE = Quantity(name="loss without context", unit="nats")
EFFECT = Quantity(name="loss reduction by context", unit="nats")
SHORT = Quantity(name="loss with less context", unit="nats")
LONG = Quantity(name="loss with more context", unit="nats")
GAIN = Quantity(name="loss reduction by more context", unit="nats")
OF_HEAD = Quantity(name="loss added without a head", unit="nats")
OF_LAYER = Quantity(name="loss added without a layer's heads", unit="nats")
LATER = Quantity(name="cost of a late layer less that of an early one", unit="nats")
CHOSEN = Quantity(name="loss added without the chosen heads", unit="nats")
SHARE = Quantity(name="share of the context's effect lost without the chosen heads", combine=ratio)
COUNT = "number of chosen heads"
AGAIN = "share of the chosen heads that other prompts choose too"
QUANTITIES = (LOSS, ALONE, EFFECT, SHORT, LONG, GAIN, OF_HEAD, OF_LAYER, LATER, CHOSEN, SHARE)

PERCENTILE = 0.95
"""A head is chosen if its removal costs more than this quantile of all heads' costs. Source: source C, section 9.3."""
LENGTH = 24
"""The most symbols of a block, where no sequences are given."""

PLANTED = "planted probabilities"
FRESH, OTHERS = "untrained network", "what another prompt asks for"
EVERYTHING, NOTHING, UNKNOWN = "all heads zeroed", "no head zeroed", "where the next symbol cannot be known"
RANDOM, CHANCE, SAME = "as many random heads", "chance", "the same prompts"
NUMBERS, OUTSTANDING = "random numbers in place of costs", "a planted twentieth of the heads"
KNOWN = {  # the probability of what comes, in the positive control
    LOSS: 1 / 2,
    ALONE: 1 / 4,
    SHORT: 1 / 2,
    LONG: 3 / 4,
}

Answers = tuple[Tensor, Tensor]
"""From `surprisal_without`: (member, batch, query) where the next symbol can be known, (member, batch, control) where not."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Costs:
    """What is lost without each of some sets of heads, in nats, by prompt.

    Attributes:
        known: where the next symbol can be known.
        unknown: where it cannot be.
    """

    known: Float[Tensor, "member batch"]
    unknown: Float[Tensor, "member batch"]


def head_ablation(
    subject: Subject,
    task: Task,
    *,
    seed: int = 0,
    n: int = 32,
    sequences: SequenceTask | None = None,
    shown: int = 0,
    ablate: bool = True,
    draws: int = 8,
    batch: int = 64,
) -> tuple[Measurement, ...]:
    """The loss of a language model on sequences, with all heads, without each of them, and without those that cost most.

    The loss is the mean surprisal −ln p in nats where the next symbol can be known; without context, that where it cannot be
    known, on the same prompts. Less and more context are the first and the second half of the positions that are asked; late and
    early layers are the last and the first half. What is in the middle of an odd number is left out. A head is removed by setting
    its output to zero before the output projection. Heads are chosen on one half of the prompts and removed together on the
    other half.

    Controls. Positive: given probabilities of what comes, whose loss is known; all heads zeroed, after which no symbol but the
    present one can matter. Negative: the untrained network; what another prompt asks for, in place of what comes; no head zeroed;
    what the same removal costs where the next symbol cannot be known; as many random heads among those not chosen; for the number
    of chosen heads, what the same rule chooses of random numbers.

    Args:
        subject: a language model.
        task: not used; all instruments take one.
        seed: of the sequences, the random heads, the untrained weights and the resampling.
        n: number of prompts, at least 4.
        sequences: what it reads; by default a block of random symbols, twice, as long as `LENGTH` or the model's context allow.
        shown: ask only where at least so many symbols have been shown.
        ablate: measure the heads; otherwise only what context does.
        draws: how many sets of random heads.
        batch: sequences per pass; it changes results by rounding only.

    Raises:
        ValueError: fewer than four prompts or one draw, or nothing is asked after ``shown`` symbols.
        NotApplicable: the subject is no language model.

    Source: source C, section 9.3.
    Departs from source: it does not say how heads are ablated, and chooses and judges them on the same prompts.
    """
    check_count("n", n, least=4)
    check_count("draws", draws)
    subject = language_model(subject)
    asked = _asked((sequences or fitting_blocks(subject, LENGTH)).sample(n, seed=seed, stream=NAME), shown)
    weights = bootstrap.weights(n, seed=seed)
    layers, heads = len(subject.network.blocks), subject.network.heads
    none = torch.zeros(1, layers, heads, dtype=torch.bool)
    fresh = untrained(subject, seed)
    negative = {OTHERS: surprisal_without(subject, _exchanged(asked), none, batch=batch)}
    if isinstance(fresh, LanguageSubject):
        negative[FRESH] = surprisal_without(fresh, asked, none, batch=batch)
    if not ablate:
        return tuple(_of_context(surprisal_without(subject, asked, none, batch=batch), negative, weights))
    single = torch.eye(layers * heads, dtype=torch.bool).view(-1, layers, heads)
    whole = torch.eye(layers, dtype=torch.bool)[:, :, None].expand(-1, -1, heads)
    answers = surprisal_without(subject, asked, torch.cat([none, ~none, whole, single, none]), batch=batch)
    costs = _costs(answers)
    places = [{"layer": i, "head": h} for i in range(layers) for h in range(heads)]
    found = [
        *_of_context(answers, negative, weights),
        *_parts(OF_LAYER, costs, 2, [{"layer": i} for i in range(layers)], weights),
        *_parts(OF_HEAD, costs, 2 + layers, places, weights),
    ]
    if layers > 1:
        found += _parts(LATER, _late_less_early(costs, layers), 2, [{}], weights)
    of_heads = costs.known[2 + layers : -1].view(layers, heads, n)
    return (*found, *_together(subject, asked, of_heads, seed=seed, draws=draws, batch=batch))


def chosen(costs: Float[Tensor, "*any"]) -> Bool[Tensor, "*any"]:
    """The heads whose removal costs more than the `PERCENTILE` of all heads' costs."""
    return costs > costs.flatten().quantile(PERCENTILE)


def _asked(sequences: Sequences, shown: int) -> Sequences:
    """Only the questions after at least so many symbols."""
    late = sequences.at + 1 >= shown
    if not bool(late.any()):
        raise ValueError(
            f"shown must be at most {int(sequences.at.max()) + 1}, after which these sequences ask last; got {shown}. "
            "Choose longer sequences."
        )
    return replace(sequences, at=sequences.at[late], targets=sequences.targets[:, late])


def _exchanged(sequences: Sequences) -> Sequences:
    """The next prompt's targets in place of each prompt's own."""
    targets, control = sequences.targets.roll(-1, 0), sequences.control_targets.roll(-1, 0)
    return replace(sequences, targets=targets, control_targets=control)


def _costs(answers: Answers) -> Costs:
    """The mean surprisal without each set, less that without the first, which is empty."""
    known, unknown = (each.mean(2) - each[:1].mean(2) for each in answers)
    return Costs(known=known, unknown=unknown)


# ------------------------------------------------------------------------------------------ context


def _of_context(
    answers: Answers, negative: Mapping[str, Answers], weights: Float[Tensor, "repeat batch"]
) -> list[Measurement]:
    own, others = _summed(answers), {name: _summed(case) for name, case in negative.items()}
    planted = {quantity: _planted(p) for quantity, p in KNOWN.items()}
    planted |= {EFFECT: planted[ALONE] - planted[LOSS], GAIN: planted[SHORT] - planted[LONG]}
    return [
        measure(
            NAME,
            quantity,
            values,
            weights,
            coordinates={},
            positive={PLANTED: planted[quantity]},
            negative={name: case[quantity] for name, case in others.items()},
        )
        for quantity, values in own.items()
    ]


def _summed(answers: Answers) -> dict[Quantity, Float[Tensor, " batch"]]:
    """From the surprisals of the model with all its heads, each prompt's losses."""
    known, unknown = (each[0] for each in answers)
    loss, alone, half = known.mean(1), unknown.mean(1), known.shape[1] // 2
    found = {LOSS: loss, ALONE: alone, EFFECT: alone - loss}
    if half:
        short, long = known[:, :half].mean(1), known[:, -half:].mean(1)
        found |= {SHORT: short, LONG: long, GAIN: short - long}
    return found


def _planted(probability: float) -> float:
    """The loss of logits that give what comes this probability, and all other symbols the same share of the rest."""
    logits = torch.zeros(SYMBOLS, dtype=torch.float64)
    logits[0] = torch.tensor(probability / (1 - probability) * (SYMBOLS - 1), dtype=torch.float64).log()
    return float(surprisal(logits, torch.tensor(0)))


# ------------------------------------------------------------------------------------------ heads


def _parts(
    quantity: Quantity, costs: Costs, start: int, places: Sequence[Mapping[str, Scalar]], weights: Tensor
) -> list[Measurement]:
    """The costs from number ``start`` on, one for each place; number 1 is without any head, and the last one with all."""
    return [
        measure(
            NAME,
            quantity,
            costs.known[start + i],
            weights,
            coordinates=where,
            positive={EVERYTHING: costs.known[1]},
            negative={NOTHING: costs.known[-1], UNKNOWN: costs.unknown[start + i]},
        )
        for i, where in enumerate(places)
    ]


def _late_less_early(costs: Costs, layers: int) -> Costs:
    """What a layer of the last half costs, less what one of the first half costs; in front of and after it, the controls."""
    half = layers // 2

    def gap(each: Float[Tensor, "member batch"]) -> Float[Tensor, "4 batch"]:
        of_layers = each[2 : 2 + layers]
        between = of_layers[-half:].mean(0) - of_layers[:half].mean(0)
        return torch.stack([each[0], each[1], between, each[-1]])

    return Costs(known=gap(costs.known), unknown=gap(costs.unknown))


def _together(
    subject: LanguageSubject,
    sequences: Sequences,
    costs: Float[Tensor, "layer head batch"],
    *,
    seed: int,
    draws: int,
    batch: int,
) -> list[Measurement]:
    """What is lost without all chosen heads, on the prompts that did not choose them."""
    n, count = costs.shape[2], costs[..., 0].numel()
    half = n // 2
    first, second, every = (chosen(part.mean(2)) for part in (costs[..., :half], costs[..., half:], costs))
    rest = (~first).flatten().nonzero()[:, 0]
    some = torch.zeros(draws, count, dtype=torch.bool)
    rng = generator(seed, f"{NAME}/random heads")
    for row in some:
        row[rest[torch.randperm(len(rest), generator=rng)[: int(first.sum())]]] = True
    none = torch.zeros_like(first)[None]
    sets: Without = torch.cat([none, ~none, first[None], some.view(draws, *first.shape), none])
    other = sequences[half:]
    answers = surprisal_without(subject, other, sets, batch=batch)
    lost = _costs(answers)
    effect = (answers[1][0].mean(1) - answers[0][0].mean(1)).expand_as(lost.known)
    weights = bootstrap.weights(len(other), seed=seed)
    random = slice(3, 3 + draws)
    shares = torch.stack([lost.known, effect], -1)
    cases = {
        CHOSEN: (lost.known[2], lost.known[1], lost.known[-1], lost.known[random].mean(0)),
        SHARE: (shares[2], shares[1], shares[-1], shares[random].mean(0)),
    }
    found = [
        measure(
            NAME,
            quantity,
            own,
            weights,
            coordinates={},
            positive={EVERYTHING: all_},
            negative={NOTHING: nothing, RANDOM: random_} | ({UNKNOWN: lost.unknown[2]} if quantity is CHOSEN else {}),
        )
        for quantity, (own, all_, nothing, random_) in cases.items()
    ]
    planted = (torch.arange(count) < max(1, count // 20)).double()
    by_chance = float(chosen(torch.rand(count, generator=rng, dtype=torch.float64)).sum())
    return [
        *found,
        _counted(
            COUNT,
            float(every.sum()),
            n,
            Control(kind="positive", name=OUTSTANDING, value=float(chosen(planted).sum())),
            Control(kind="negative", name=NUMBERS, value=by_chance),
        ),
        _counted(
            AGAIN,
            _overlap(first, second),
            n,
            Control(kind="positive", name=SAME, value=_overlap(first, first)),
            Control(kind="negative", name=CHANCE, value=float(second.sum()) / count),
        ),
    ]


def _overlap(some: Bool[Tensor, "layer head"], others: Bool[Tensor, "layer head"]) -> float:
    """The share of some heads that are among others."""
    return float((some & others).sum() / some.sum())


def _counted(quantity: str, value: float, n: int, *controls: Control) -> Measurement:
    return Measurement(instrument=NAME, quantity=quantity, value=value, interval=None, n=n, controls=controls)


def figure(measurements: Sequence[Measurement]) -> Figure:
    """What each head's removal costs, by layer, beside what it costs where the next symbol cannot be known."""
    rows: list[dict[str, Scalar]] = []
    for m in measurements:
        if m.quantity == OF_HEAD.name:
            where = {name: m.coordinates[name] for name in ("layer", "head")}
            rows.append({**where, "symbols": "that can be known", "cost": m.value, **bounds(m.interval)})
            (unknown,) = (c for c in m.controls if c.name == UNKNOWN)
            rows.append({**where, "symbols": "that cannot be known", "cost": unknown.value, **bounds(unknown.interval)})
    return Figure(
        name="head-ablation",
        section="Head ablation",
        title="Loss added without a head",
        caption="In nats, one head at a time set to zero before the output projection.",
        kind="heatmap",
        rows=tuple(rows),
        x="layer",
        y="head",
        value="cost",
        facet="symbols",
        titles={"cost": "loss added (nats)"},
    )


def _near(known: float, tolerance: float, quantity: str, control: str) -> Expected:
    return Expected(
        quantity=quantity, control=control, words=f"{known:.4g}", holds=lambda v: abs(v - known) < tolerance
    )


_LOSSES = {quantity: -float(torch.tensor(p, dtype=torch.float64).log()) for quantity, p in KNOWN.items()}
INSTRUMENT = Instrument(
    name=NAME,
    question="Which attention heads does a language model need to know what comes next?",
    measure=head_ablation,
    needs="a language model",
    quantities=(*(quantity.name for quantity in QUANTITIES), COUNT, AGAIN),
    coordinates=("layer", "head"),
    sizes=sizes(n=(8, 16, 64)),
    figure=figure,
    expected=(
        *(_near(loss, 1e-9, quantity.name, PLANTED) for quantity, loss in _LOSSES.items()),
        _near(_LOSSES[ALONE] - _LOSSES[LOSS], 1e-9, EFFECT.name, PLANTED),
        _near(_LOSSES[SHORT] - _LOSSES[LONG], 1e-9, GAIN.name, PLANTED),
        *(_near(0.0, 1e-3, quantity.name, NOTHING) for quantity in (OF_HEAD, OF_LAYER, CHOSEN)),
        _near(1.0, 1e-9, AGAIN, SAME),
    ),
)

__all__ = ("INSTRUMENT", "NAME", "chosen", "head_ablation")
