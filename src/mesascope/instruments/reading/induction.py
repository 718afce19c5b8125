"""How a language model's surprisal at what it could know falls with depth: a random block is shown twice, and read by the lens.

From the second symbol of the repetition on, the prompt says what comes next. Source C reads the surprisal e_ℓ there after every
layer ℓ, and calls it contraction by ρ² per layer if log e_ℓ falls along a line. Two things can look the same. The logit lens is
badly calibrated in early layers, so that surprisal also falls where nothing can be known: the first block of the same prompts
shows how much. And a fit that ends at the layer of least surprisal cannot show that it rises again: both ranges are fitted.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.instruments.asking.applicability import NotApplicable, untrained
from mesascope.instruments.asking.sequences import fitting_blocks, language_model
from mesascope.instruments.instrument import Expected, Instrument, sizes
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.scores import Quantity, measure
from mesascope.models.language import LanguageSubject, SequenceReading, read_sequences
from mesascope.tasks import Sequences, SequenceTask
from mesascope.tasks.sequences import simple_answers
from mesascope.types import Figure, Measurement, Scalar, Subject, Task

NAME = "induction"
FIRST, FRESH, HALF = "where nothing can be known", "untrained network", "half of the surprisal at every layer"
FOLLOWED, LAST, CONSTANT = "what followed last time", "the symbol before", "one symbol for all prompts"
RULES = {FOLLOWED: "followed", LAST: "last", CONSTANT: "constant"}
"""Simple rules, by their names in `simple_answers`; the first solves every one of these tasks."""
STEADY = 0.5
"""The share of the surprisal that each layer of the positive control leaves."""
LENGTH = 16
"""Symbols of a block, where no sequences are given."""
LEAST = 2
"""The fewest layers in a fitted range: a line through two points always fits."""
Range = Literal["to the least", "all layers"]
LEAST_RANGE, ALL = RANGES = get_args(Range)

_Means = Float[Tensor, "repeat layer"]


def _fit(logs: _Means, which: Range) -> tuple[Float[Tensor, " repeat"], Float[Tensor, " repeat"]]:
    """Slope and R² of the line through a range of layers, row by row."""
    depth = torch.arange(logs.shape[1], dtype=torch.float64)
    end = logs.argmin(1).clamp(min=LEAST) if which == LEAST_RANGE else torch.full((len(logs),), logs.shape[1] - 1)
    inside = (depth <= end[:, None]).double()
    count = inside.sum(1, keepdim=True)
    along = inside * (depth - (inside * depth).sum(1, keepdim=True) / count)
    fallen = inside * (logs - (inside * logs).sum(1, keepdim=True) / count)
    slope = (along * fallen).sum(1) / along.square().sum(1)
    total = fallen.square().sum(1)
    explained = slope.square() * along.square().sum(1)
    return slope, torch.where(total > 0, explained / total.clamp(min=torch.finfo(torch.float64).tiny), 0.0)


def contraction(means: _Means, which: Range) -> Float[Tensor, " repeat"]:
    """ρ², exp of twice the slope of the logarithm of the mean surprisal, as source C has it."""
    return (2 * _fit(means.log(), which)[0]).exp()


def fit_quality(means: _Means, which: Range) -> Float[Tensor, " repeat"]:
    """R² of the line through the logarithms of the mean surprisal; 0 where they are all equal."""
    return _fit(means.log(), which)[1]


def monotone(means: _Means) -> Float[Tensor, " repeat"]:
    """The share of layers that lower the mean surprisal."""
    return (means.diff(dim=1) < 0).double().mean(1)


SURPRISAL = Quantity(name="surprisal", unit="nats")
ACCURACY = Quantity(name="accuracy")
ANSWER = Quantity(name="accuracy of the answer")
RHO2, FIT = "contraction of the surprisal per layer", "fit of a steady contraction"
MONOTONE = Quantity(name="share of layers that lower the surprisal", combine=monotone)
AT_LEAST = Quantity(name="least surprisal over the first", combine=lambda means: means.amin(1) / means[:, 0])
AT_LAST = Quantity(name="last surprisal over the first", combine=lambda means: means[:, -1] / means[:, 0])
OVERALL = (MONOTONE, AT_LEAST, AT_LAST)
FITTED = {
    (name, which): Quantity(name=name, combine=functools.partial(combine, which=which))
    for which in RANGES
    for name, combine in ((RHO2, contraction), (FIT, fit_quality))
}
KNOWN = {RHO2: STEADY**2, FIT: 1.0, MONOTONE.name: 1.0}
"""The values of the positive control."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Cases:
    """Each prompt's mean over its positions, by layer, where the next symbol can be known and where it cannot."""

    surprisal: Float[Tensor, "batch layer"]
    control: Float[Tensor, "batch layer"]
    correct: Float[Tensor, "batch layer"]
    guessed: Float[Tensor, "batch layer"]


def induction(
    subject: Subject, task: Task, *, seed: int = 0, n: int = 48, batch: int = 16, sequences: SequenceTask | None = None
) -> tuple[Measurement, ...]:
    """Surprisal and accuracy after every layer at what can be known, and how steadily the surprisal falls.

    Over all layers: ρ² and R² of a steady contraction, from before the first layer to the layer of least mean surprisal (but over
    at least two layers) and over all of them; the share of layers that lower the surprisal; the least and the last mean surprisal
    over the first; and the accuracy of the model's own answer.

    Controls. Negative: where nothing can be known, in the same prompts; the untrained network; for the answer's accuracy, simple
    rules. Positive: from the first surprisal on, every layer leaves half (ρ² 0.25, R² 1, every layer lowers it); and for the
    answer's accuracy the rule that solves the task.

    Args:
        subject: a language model of at least two layers.
        task: not used; all instruments take one.
        seed: of the sequences, the untrained weights and the resampling.
        n: number of sequences.
        batch: sequences per forward pass.
        sequences: what is shown; by default two blocks of 16 symbols, out of at most 1,000 tokens of the model.

    Raises:
        NotApplicable: the subject is no language model, or has fewer than two layers.

    Source: source C, section 8.2.
    Departs from source: all symbols of the repetition but the first are asked for and not one; a block's symbols all differ and
    are drawn from at most 1,000 tokens; the source fits to the layer of least surprisal only, and has no control.
    """
    model = language_model(subject)
    if len(subject.path) < LEAST:
        raise NotApplicable(f"{subject.name} has {len(subject.path)} layers; a line is fitted to {LEAST} at least.")
    drawn = (sequences or fitting_blocks(model, LENGTH)).sample(n, seed=seed, stream=NAME)
    draws = bootstrap.weights(n, seed=seed)
    own = _read(model, drawn, batch)
    twin = untrained(subject, seed)
    fresh = None if twin is None else _read(language_model(twin), drawn, batch)
    shares = STEADY ** torch.arange(own.surprisal.shape[1], dtype=torch.float64)
    planted = own.surprisal[:, :1] * shares

    def measured(quantity: Quantity, of: Callable[[Tensor], Tensor], **where: Scalar) -> Measurement:
        negative = {FIRST: of(own.control), **({} if fresh is None else {FRESH: of(fresh.surprisal)})}
        positive = {HALF: of(planted)}
        return measure(
            NAME, quantity, of(own.surprisal), draws, coordinates=where, positive=positive, negative=negative
        )

    def accuracy(quantity: Quantity, after: int, **where: Scalar) -> Measurement:
        rules = {name: _rule(drawn, rule) for name, rule in RULES.items()}
        negative = {
            FIRST: own.guessed[:, after],
            **({} if fresh is None else {FRESH: fresh.correct[:, after]}),
            **{name: sums for name, sums in rules.items() if name != FOLLOWED},
        }
        sums, positive = own.correct[:, after], {FOLLOWED: rules[FOLLOWED]}
        return measure(NAME, quantity, sums, draws, coordinates=where, positive=positive, negative=negative)

    by_layer = [
        found
        for layer in range(own.surprisal.shape[1])
        for found in (
            measured(SURPRISAL, lambda sums, i=layer: sums[:, i], layer=layer),
            accuracy(ACCURACY, layer, layer=layer),
        )
    ]
    fits = [measured(quantity, lambda sums: sums, range=which) for (_, which), quantity in FITTED.items()]
    rest = [measured(quantity, lambda sums: sums) for quantity in OVERALL]
    return (*by_layer, *fits, *rest, accuracy(ANSWER, -1))


def _read(subject: LanguageSubject, drawn: Sequences, batch: int) -> _Cases:
    found: list[SequenceReading] = [read_sequences(subject, drawn[i : i + batch]) for i in range(0, len(drawn), batch)]

    def mean(name: str) -> Tensor:
        return torch.cat([getattr(reading, name).double().mean(-1).T for reading in found])

    return _Cases(**{field.name: mean(field.name) for field in fields(_Cases)})


def _rule(drawn: Sequences, name: str) -> Float[Tensor, " batch"]:
    return (simple_answers(drawn)[name] == drawn.targets).double().mean(-1)


def figure(measurements: Sequence[Measurement]) -> Figure:
    """Surprisal by layer, at what can be known and at what cannot."""
    rows: list[Mapping[str, Scalar]] = []
    for m in measurements:
        if m.quantity == SURPRISAL.name:
            cases = [("can be known", m.value, m.interval)]
            cases += [(c.name, c.value, c.interval) for c in m.controls if c.kind == "negative"]
            for name, value, interval in cases:
                low, high = interval or (None, None)
                rows.append(
                    {"layer": m.coordinates["layer"], "symbol": name, "surprisal": value, "low": low, "high": high}
                )
    return Figure(
        name="induction",
        section="From layer to layer",
        title="Surprisal at the symbols of a repeated block",
        caption="Mean surprisal by the logit lens, before the first layer (0) and after each. Where the curve of the first "
        "block, in which nothing can be known, falls as much, the lens has become better and not the knowledge.",
        kind="lines",
        rows=tuple(rows),
        x="layer",
        y="surprisal",
        low="low",
        high="high",
        series="symbol",
        titles={"surprisal": "surprisal (nats)"},
        log=("y",),
    )


INSTRUMENT = Instrument(
    name=NAME,
    question="How does the surprisal at a repeated block fall from layer to layer?",
    measure=induction,
    needs="a language model of at least two layers",
    quantities=(SURPRISAL.name, ACCURACY.name, RHO2, FIT, *(quantity.name for quantity in OVERALL), ANSWER.name),
    coordinates=("layer", "range"),
    values={"range": RANGES},
    sizes=sizes(n=(16, 48, 192)),
    figure=figure,
    expected=(
        *(
            Expected(
                quantity=name, control=HALF, words=f"{value:g}", holds=lambda v, known=value: abs(v - known) < 1e-9
            )
            for name, value in KNOWN.items()
        ),
        Expected(quantity=ANSWER.name, control=FOLLOWED, words="1", holds=functools.partial(math.isclose, 1.0)),
    ),
)
