"""Whether a language model needs all directions of its input embedding: the stream that the first layer reads is truncated.

The embedding is centred on its mean row, and its right singular directions are ordered by their singular values σ. Source C calls
those with σ² ≥ 0.01 σ₁² its rank, and claims that in-context learning is destroyed when fewer are kept. Here an edit of the
stream keeps the first k of them (and the mean), while the weights stay as they are. That fewer directions carry less is no news,
so that as many random directions stand beside them, and as many of the smallest.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.instruments.asking.applicability import untrained
from mesascope.instruments.asking.sequences import fitting_blocks, language_model
from mesascope.instruments.instrument import Expected, Instrument, sizes
from mesascope.instruments.reading.induction import LENGTH
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.scores import Quantity, measure
from mesascope.models.language import LanguageSubject, read_sequences
from mesascope.seeds import generator
from mesascope.tasks import Sequences, SequenceTask
from mesascope.types import Control, Figure, Intervention, Measurement, Scalar, Site, Subject, Task

NAME = "truncation"
TAU = 0.01
"""Of the largest eigenvalue: smaller ones do not count for the rank."""
SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 3 / 4, 7 / 8, 1.0)
"""Of the directions, which are kept in turn."""
RANDOM, SMALLEST, NONE, EVERY = (
    "as many random directions",
    "as many of the smallest directions",
    "no direction",
    "all directions",
)
SHARP = "no direction below the rank, all from there on"
HALF, FRESH = "a matrix of half the rank", "untrained network"
RANK, HEADS, CONDITION = "rank over width", "heads over rank", "condition number of the embedding"
ANSWER = Quantity(name="accuracy of the truncated answer")
SURPRISAL = Quantity(name="surprisal of the truncated answer", unit="nats")
ADDED = Quantity(name="surprisal that truncation adds", unit="nats")
GAP = Quantity(name="emergence gap", combine=lambda means: means[:, 0] - means[:, 1])
EQUAL = 1e-4
"""Nats by which the surprisal may move where all directions are kept: rounding."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spectrum:
    """The centred embedding's directions, from the largest singular value to the smallest.

    Attributes:
        mean: the embedding's mean row.
        directions: orthonormal; one per column.
        eigenvalues: σ² of each direction.
    """

    mean: Float[Tensor, " width"]
    directions: Float[Tensor, "width width"]
    eigenvalues: Float[Tensor, " width"]

    @property
    def rank(self) -> int:
        """The number of eigenvalues of at least `TAU` times the largest."""
        return int((self.eigenvalues >= TAU * self.eigenvalues[0]).sum())

    @property
    def condition(self) -> float:
        """The largest singular value over the smallest that counts: at most 10, by the definition of the rank."""
        return float((self.eigenvalues[0] / self.eigenvalues[self.rank - 1]).sqrt())


def spectrum(embedding: Float[Tensor, "vocab width"]) -> Spectrum:
    """The directions of an embedding, in float64."""
    rows = embedding.detach().double().cpu()
    mean = rows.mean(0)
    values, directions = torch.linalg.eigh((rows - mean).T @ (rows - mean))
    return Spectrum(mean=mean, directions=directions.flip(1), eigenvalues=values.flip(0).clamp(min=0))


def keep(directions: Float[Tensor, "width _"], mean: Float[Tensor, " width"]) -> Intervention:
    """The edit that keeps some orthonormal directions of the first stream, and of the others the mean."""

    def edit(stream: Tensor) -> Tensor:
        basis, centre = directions.to(stream), mean.to(stream)
        return centre + (stream - centre) @ basis @ basis.T

    return Intervention(site=Site(kind="embed"), edit=edit)


def truncation(
    subject: Subject,
    task: Task,
    *,
    seed: int = 0,
    n: int = 48,
    batch: int = 16,
    shares: Sequence[float] = SHARES,
    sequences: SequenceTask | None = None,
) -> tuple[Measurement, ...]:
    """The embedding's rank, and the answer on repeated blocks with a growing share of its directions.

    Of the embedding, without sampling: its rank over the width, the heads of a layer over its rank, and its condition number.
    Their controls are a matrix of known rank (half of the largest possible, condition number 1) and the untrained network.

    Of the answer, for every share of directions kept: accuracy, surprisal, and the surprisal that truncation adds to each
    prompt's own. Negative controls: as many random directions, and as many of the smallest. Positive: without any direction all
    symbols are alike. With all directions nothing may change.

    The emergence gap is the mean accuracy over the shares that keep the rank or more, less the mean over those that keep less.
    Its positive control is the largest that it could be.

    Args:
        subject: a language model.
        task: not used; all instruments take one.
        seed: of the sequences, the random directions, the untrained weights and the resampling.
        n: number of sequences.
        batch: sequences per forward pass.
        shares: of the directions, which are kept in turn, at least one; all of them are always kept last.
        sequences: what is shown; by default two blocks of 16 symbols.

    Raises:
        NotApplicable: the subject is no language model.

    Source: source C, section 8.2 (rank, emergence gap).
    Departs from source: it does not say which matrix it truncates, nor which ranks make the gap. Here the stream is truncated and
    not the weights: in a model whose unembedding is its embedding, the unembedding stays.
    """
    model = language_model(subject)
    found = spectrum(_embedding(model))
    twin = untrained(subject, seed)
    fixed = _of_the_embedding(model, found, None if twin is None else spectrum(_embedding(language_model(twin))), seed)
    drawn = (sequences or fitting_blocks(model, LENGTH)).sample(n, seed=seed, stream=NAME)
    draws = bootstrap.weights(n, seed=seed)
    width = len(found.mean)
    at_random = torch.linalg.qr(
        torch.randn(width, width, generator=generator(seed, f"{NAME}/directions"), dtype=torch.float64)
    )[0]
    orders = {"": found.directions, RANDOM: at_random, SMALLEST: found.directions.flip(1)}

    def ask(order: str, kept: int) -> Float[Tensor, "batch statistic"]:
        return _answers(model, drawn, batch, [keep(orders[order][:, :kept], found.mean)])

    counts = sorted({max(1, round(share * width)) for share in shares} | {width})
    plain, none, every = _answers(model, drawn, batch, []), ask("", 0), ask("", width)
    cases = {(o, k): every if k == width else ask(o, k) for o in orders for k in counts}

    def measured(quantity: Quantity, column: int, kept: int, less: Tensor | float = 0.0) -> Measurement:
        case = {o: cases[o, kept] for o in orders} | {NONE: none, EVERY: every}
        sums = {name: found[:, column] - less for name, found in case.items()}
        own, positive = sums.pop(""), {NONE: sums.pop(NONE)}
        at = {"share": kept / width}
        return measure(NAME, quantity, own, draws, coordinates=at, positive=positive, negative=sums)

    answers = [
        made
        for kept in counts
        for made in (
            measured(ANSWER, 0, kept),
            measured(SURPRISAL, 1, kept),
            measured(ADDED, 1, kept, plain[:, 1]),
        )
    ]
    return (*fixed, *answers, *_gap(cases, none, every, found.rank, counts, draws))


def _gap(
    cases: Mapping[tuple[str, int], Tensor],
    none: Tensor,
    every: Tensor,
    rank: int,
    counts: Sequence[int],
    draws: Tensor,
) -> tuple[Measurement, ...]:
    """The emergence gap, unless no share keeps less than the rank."""
    more, fewer = ([k for k in counts if (k >= rank) == enough] for enough in (True, False))
    if not fewer:
        return ()

    def of(order: str) -> Float[Tensor, "batch statistic"]:
        return torch.stack([torch.stack([cases[order, k][:, 0] for k in ks]).mean(0) for ks in (more, fewer)], 1)

    positive = {SHARP: torch.stack([every[:, 0], none[:, 0]], 1)}
    negative = {RANDOM: of(RANDOM), SMALLEST: of(SMALLEST)}
    return (measure(NAME, GAP, of(""), draws, coordinates={}, positive=positive, negative=negative),)


def _embedding(subject: LanguageSubject) -> Float[Tensor, "vocab width"]:
    return subject.network.model.get_input_embeddings().weight  # type: ignore[operator, no-any-return]


def _answers(
    subject: LanguageSubject, drawn: Sequences, batch: int, edits: Sequence[Intervention]
) -> Float[Tensor, "batch statistic"]:
    """Each prompt's accuracy and surprisal (nats), means over its symbols, in float64."""
    last = subject.path[-1:]
    parts = (drawn[i : i + batch] for i in range(0, len(drawn), batch))
    read = [read_sequences(subject, part, last, interventions=edits) for part in parts]
    return torch.cat([torch.stack([r.correct[0].double().mean(-1), r.surprisal[0].double().mean(-1)], 1) for r in read])


def _of_the_embedding(
    subject: LanguageSubject, found: Spectrum, fresh: Spectrum | None, seed: int
) -> tuple[Measurement, ...]:
    width, heads = len(found.mean), subject.network.heads
    half = spectrum(_of_half_rank(width, seed))
    numbers: dict[str, Callable[[Spectrum], float]] = {
        RANK: lambda s: s.rank / width,
        HEADS: lambda s: heads / s.rank,
        CONDITION: lambda s: s.condition,
    }

    def controls(number: Callable[[Spectrum], float]) -> tuple[Control, ...]:
        known = Control(kind="positive", name=HALF, value=number(half))
        idle = () if fresh is None else (Control(kind="negative", name=FRESH, value=number(fresh)),)
        return (known, *idle)

    common: dict[str, Any] = {"instrument": NAME, "interval": None, "n": 1}
    return tuple(
        Measurement(quantity=name, value=number(found), controls=controls(number), **common)
        for name, number in numbers.items()
    )


def _of_half_rank(width: int, seed: int) -> Float[Tensor, "vocab width"]:
    """A centred matrix of which half of the singular values are 1, and the others 0.05, which is too small to count."""
    noise = torch.randn(2 * width, width, generator=generator(seed, f"{NAME}/half"), dtype=torch.float64)
    left = torch.linalg.qr(noise - noise.mean(0))[0]
    values = torch.where(torch.arange(width) < width // 2, 1.0, 0.05).double()
    return left * values


def figure(measurements: Sequence[Measurement]) -> Figure:
    """The answer's accuracy by the share of directions that are kept."""
    rows: list[dict[str, Scalar]] = []
    for m in measurements:
        if m.quantity == ANSWER.name:
            cases = [("the largest", m.value, m.interval)]
            cases += [(c.name, c.value, c.interval) for c in m.controls if c.name in (RANDOM, SMALLEST)]
            for name, value, interval in cases:
                low, high = interval or (None, None)
                rows.append(
                    {"share": m.coordinates["share"], "kept": name, "accuracy": value, "low": low, "high": high}
                )
    return Figure(
        name="truncation",
        section="Directions of the embedding",
        title="Accuracy with a part of the embedding's directions",
        caption="The stream that the first layer reads keeps the directions with the largest singular values of the embedding, "
        "as many random ones, or as many of the smallest.",
        kind="lines",
        rows=tuple(rows),
        x="share",
        y="accuracy",
        low="low",
        high="high",
        series="kept",
        titles={"share": "share of directions kept"},
    )


INSTRUMENT = Instrument(
    name=NAME,
    question="How many directions of its embedding does a language model need to repeat a block?",
    measure=truncation,
    needs="a language model",
    quantities=(RANK, HEADS, CONDITION, ANSWER.name, SURPRISAL.name, ADDED.name, GAP.name),
    coordinates=("share",),
    sizes=sizes(n=(16, 48, 192)),
    figure=figure,
    expected=(
        Expected(quantity=RANK, control=HALF, words="0.5", holds=lambda v: abs(v - 0.5) < 0.1),
        Expected(quantity=CONDITION, control=HALF, words="1", holds=lambda v: abs(v - 1) < 1e-6),
        Expected(quantity=ADDED.name, control=EVERY, words="0", holds=lambda v: abs(v) < EQUAL),
    ),
)
