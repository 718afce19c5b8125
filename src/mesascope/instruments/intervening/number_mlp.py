"""What feed-forward networks do at a prompt's numbers: how much they add to the stream there, and whether the answer needs it.

That they add much at numbers says little alone: they add much everywhere. So beside it stands what they add at the words between
the numbers. Whether the answer needs it is asked by replacing what the networks add at each feature by its mean over the
prompt's features, and the same for outputs, so that no number can be told from another by it; beside that, the same at as many
words.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mesascope.instruments.asking.applicability import NotApplicable, untrained
from mesascope.instruments.asking.sequences import language_model
from mesascope.instruments.instrument import Expected, Instrument, sizes
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.scores import Quantity, measure, partners, ratio
from mesascope.models.language import LanguageSubject, Template, with_template
from mesascope.models.language.continuing import Continued, continued, read_before
from mesascope.models.language.contributions import scores
from mesascope.models.language.passes import run
from mesascope.models.language.tokens import Tokens
from mesascope.models.language.writing import encode
from mesascope.seeds import generator
from mesascope.types import Figure, Intervention, Measurement, Prompts, Scalar, Site, Subject, Task, adjusted, bounds

NAME = "number mlp"
SIZE = Quantity(name="size of what a feed-forward network adds, over the stream's", combine=ratio)
LOST = Quantity(name="log-odds of the answer lost", unit="nats")
KNOWN = Quantity(name="log-odds of the answer over another prompt's", unit="nats")
Kind = Literal["features", "outputs"]
KINDS: tuple[Kind, ...] = ("features", "outputs")
ANSWER = "answer"
LAST, EARLIER = "the last layers", "the earlier layers"
WORDS, FRESH = "the words between numbers", "untrained network"
STREAM = "the stream itself"
AS_MANY, ITSELF, BLURRED = (
    "at as many words",
    "replaced by itself",
    "the embeddings of all numbers replaced by their mean",
)

Places = Bool[Tensor, "batch position"]
Edits = Callable[[Mapping[str, Places], int], Sequence[Intervention]]
"""Makes the edits of a pass from the places of its prompts, and from the number of the first of them."""
FEW = 4
"""Prompts of the controls whose value hardly varies: the untrained network, and what changes nothing."""


def last(layers: int) -> int:
    """How many layers are the last ones: as large a share as 10 of 32, rounded, at least one. Source: source D."""
    return max(1, round(layers * 10 / 32))


def number_mlp(
    subject: Subject, task: Task, *, seed: int = 0, n: int = 12, template: Template | None = None, batch: int = 2
) -> tuple[Measurement, ...]:
    """How much feed-forward networks add at features, outputs and the answer's position; and what is lost without it.

    The size is the mean length of what a network adds, over the mean length of the stream that it is added to. What is lost is
    the log-odds of the prompt's own answer over another prompt's, where what the networks of the last layers, or of all earlier
    ones, add at each number of a kind is replaced by its mean over the prompt's numbers of that kind. The last layers are as
    large a share as 10 of 32. The first position of a text, on which much attention rests, counts nowhere.
    What the very last layer adds at a number is read by nobody, so that in a model with one last layer nothing can be lost there.

    Controls. Of the size, negative: at the words between the numbers, and in the untrained network; positive: the stream in
    place of what is added (exactly 1). Of the loss, negative: the same at as many random words, and what is added replaced by
    itself (0 but for rounding); positive: the embeddings of all features and outputs replaced by their means, so that the model
    cannot know the numbers. Of the log-odds: the untrained network; with the embeddings replaced so.

    Args:
        subject: a language model.
        task: where the prompts come from.
        seed: of the prompts, the random words, the untrained weights and the resampling.
        n: number of prompts; those whose answer is written as another prompt's are left out.
        template: how prompts are written, in place of the subject's own way.
        batch: prompts per pass; it changes results by rounding only.

    Raises:
        NotApplicable: the subject is no language model, or all answers are written alike.

    Source: source D, the experiment on feed-forward networks, which draws what they add at features and outputs in the last ten
        layers, without anything beside it.
    """
    subject = language_model(subject)
    subject = subject if template is None else with_template(subject, template)
    drawn = adjusted(task, queries=1).sample(n, seed=seed, stream=NAME)
    written = subject.writing.template.labels.write("targets", drawn.targets[:, 0])
    pairs = [(written[i], written[j]) for i, j in enumerate(partners(drawn).tolist())]
    kept = [i for i, (mine, other) in enumerate(pairs) if mine != other]
    if not kept:
        raise NotApplicable("all prompts have the same answer, so it has no log-odds over another prompt's.")
    prompts, numbers = drawn[torch.tensor(kept)], [pairs[i] for i in kept]
    draws = bootstrap.weights(len(prompts), seed=seed, strata=prompts.strata)
    twin = untrained(subject, seed)
    fresh = twin if isinstance(twin, LanguageSubject) else None
    return (
        *_sizes(subject, fresh, prompts, draws, batch),
        *_losses(subject, fresh, prompts, numbers, draws, batch, seed),
    )


# ------------------------------------------------------------------------------------------ where


def _places(subject: LanguageSubject, tokens: Tokens, examples: int) -> dict[str, Places]:
    """The positions of each kind in the context, the words between the numbers, and the position that predicts the answer."""
    layout = subject.layout(examples, 1)

    def at(positions: Tensor) -> Places:
        found = torch.zeros_like(tokens.real)
        found[:, positions.flatten()] = tokens.real[:, positions.flatten()]
        return found

    features, outputs, context = at(layout.inputs[0]), at(layout.labels[0]), at(layout.context[0])
    first = torch.zeros_like(context).scatter(1, tokens.real.long().argmax(1, keepdim=True), True)
    words = context & ~(features | outputs | first)
    return {KINDS[0]: features & ~first, KINDS[1]: outputs, WORDS: words, ANSWER: at(layout.answers)}


def _as_many(words: Places, places: Places, seed: int, start: int) -> Places:
    """For each prompt as many random words as there are places, or all words; the first prompt has the number ``start``."""
    stream = f"{NAME}/words"
    drawn = [torch.rand(words.shape[1], generator=generator(seed, stream, start + row)) for row in range(len(words))]
    order = torch.stack(drawn).masked_fill(~words, 2.0).argsort(1).argsort(1)
    return words & (order < places.sum(1, keepdim=True))


def _blurred(places: Sequence[Places]) -> Callable[[Tensor], Tensor]:
    """The edit that puts the mean over a prompt's places in each of them, for several kinds of places."""

    def edit(value: Tensor) -> Tensor:
        for each in places:
            mine = each.to(value.device)[..., None]
            mean = (value * mine).sum(1, keepdim=True) / mine.sum(1, keepdim=True).clamp(min=1)
            value = torch.where(mine, mean, value)
        return value

    return edit


# ------------------------------------------------------------------------------------------ sizes


def _sizes(
    subject: LanguageSubject, fresh: LanguageSubject | None, prompts: Prompts, draws: Tensor, batch: int
) -> list[Measurement]:
    own = _lengths(subject, prompts, batch)
    drawn = None if fresh is None else _lengths(fresh, prompts[:FEW], batch)
    found = list[Measurement]()
    for kind in (*KINDS, ANSWER):
        for layer in range(own[kind].shape[1]):
            negative = {WORDS: own[WORDS][:, layer]}
            if drawn is not None:
                negative[FRESH] = drawn[kind][:, layer]
            each = own[kind][:, layer]
            where: dict[str, Scalar] = {"at": kind, "layer": layer}
            positive = {STREAM: each[:, [1, 1]]}
            found.append(measure(NAME, SIZE, each, draws, coordinates=where, positive=positive, negative=negative))
    return found


def _lengths(subject: LanguageSubject, prompts: Prompts, batch: int) -> dict[str, Float[Tensor, "batch layer 2"]]:
    """At each kind of place, the mean length of what the networks add and of the stream that it is added to."""
    network = subject.network
    before = "resid_pre" if network.parallel else "resid_mid"
    found: dict[str, list[Tensor]] = {}
    for i in range(0, len(prompts), batch):
        tokens = encode(subject.writing, prompts[i : i + batch])
        lengths: dict[Site, Tensor] = {}

        def look(site: Site, lengths: dict[Site, Tensor] = lengths) -> Callable[[Tensor], Tensor]:
            def seen(value: Tensor) -> Tensor:
                lengths[site] = value.double().norm(dim=-1).cpu()
                return value

            return seen

        sites = [site for site in network.sites if site.kind in ("mlp_out", before)]
        run(network, tokens, interventions=[Intervention(site=site, edit=look(site)) for site in sites])
        each = [torch.stack([lengths[site] for site in sites if site.kind == kind], 1) for kind in ("mlp_out", before)]
        both = torch.stack(each, -1)  # (batch, layer, position, 2)
        for kind, places in _places(subject, tokens, prompts.examples).items():
            mine = places[:, None, :, None].double()
            found.setdefault(kind, []).append((both * mine).sum(2) / mine.sum(2))
    return {kind: torch.cat(parts) for kind, parts in found.items()}


# ------------------------------------------------------------------------------------------ losses


def _losses(
    subject: LanguageSubject,
    fresh: LanguageSubject | None,
    prompts: Prompts,
    numbers: Sequence[tuple[str, str]],
    draws: Tensor,
    batch: int,
    seed: int,
) -> list[Measurement]:
    layers = range(len(subject.network.blocks))
    spans = {LAST: layers[-last(len(layers)) :], EARLIER: layers[: -last(len(layers))]}

    def odds(of: LanguageSubject, some: Prompts, edits: Edits) -> Float[Tensor, " batch"]:
        parts = []
        for i in range(0, len(some), batch):
            part = some[i : i + batch]
            asked = continued(of, part, [[pair] for pair in numbers[i : i + len(part)]])
            parts.append(_odds(of, asked, edits(_places(of, asked.tokens, part.examples), i)))
        return torch.cat(parts)

    def lost(edits: Edits, some: Prompts = prompts) -> Float[Tensor, " batch"]:
        return plain[: len(some)] - odds(subject, some, edits)

    plain = odds(subject, prompts, lambda places, start: [])
    blurred = lost(lambda places, start: [_edit(Site(kind="embed"), [places[kind] for kind in KINDS])])
    few = prompts[:FEW]
    same = lost(lambda places, start: [Intervention(site=_of(i), edit=torch.clone) for i in layers], few)
    untold = {} if fresh is None else {FRESH: odds(fresh, few, lambda places, start: [])}
    found = [measure(NAME, KNOWN, plain, draws, coordinates={}, negative={BLURRED: plain - blurred, **untold})]
    for words, span in spans.items():
        for kind in KINDS:
            at_kind = lost(lambda places, start, k=kind, s=span: [_edit(_of(i), [places[k]]) for i in s])
            elsewhere = lost(lambda places, start, k=kind, s=span: _at_words(places, k, s, seed, start))
            found.append(
                measure(
                    NAME,
                    LOST,
                    at_kind,
                    draws,
                    coordinates={"at": kind, "layers": words},
                    positive={BLURRED: blurred},
                    negative={AS_MANY: elsewhere, ITSELF: same},
                )
            )
    return found


def _of(layer: int) -> Site:
    return Site(layer=layer, kind="mlp_out")


def _edit(site: Site, places: Sequence[Places]) -> Intervention:
    return Intervention(site=site, edit=_blurred(places))


def _at_words(
    places: Mapping[str, Places], kind: Kind, layers: Sequence[int], seed: int, start: int
) -> list[Intervention]:
    chosen = _as_many(places[WORDS], places[kind], seed, start)
    return [_edit(_of(i), [chosen]) for i in layers]


def _odds(subject: LanguageSubject, asked: Continued, edits: Sequence[Intervention]) -> Float[Tensor, " batch"]:
    end = subject.path[-1]
    each = scores(subject.network, asked, read_before(subject.network, asked, [end], edits)[end])[:, 0]
    return each[:, 0] - each[:, 1]


# ------------------------------------------------------------------------------------------ the picture


def figure(measurements: Sequence[Measurement]) -> Figure:
    """The size of what the networks add at numbers, by layer, beside that at words."""
    rows: list[dict[str, Scalar]] = []
    for m in measurements:
        if m.quantity == SIZE.name:
            rows.append({**m.coordinates, "size": m.value, **bounds(m.interval)})
            if m.coordinates["at"] == ANSWER:
                (words,) = (c for c in m.controls if c.name == WORDS)
                rows.append(
                    {"at": WORDS, "layer": m.coordinates["layer"], "size": words.value, **bounds(words.interval)}
                )
    return Figure(
        name="number-mlp",
        section="Feed-forward networks at numbers",
        title="How much a feed-forward network adds to the stream",
        caption="The mean length of what it adds over that of the stream, at the examples' features and outputs, at the position "
        "that predicts the answer, and at the words between the numbers.",
        kind="lines",
        rows=tuple(rows),
        x="layer",
        y="size",
        low="low",
        high="high",
        series="at",
    )


INSTRUMENT = Instrument(
    name=NAME,
    question="Does a model's answer need what feed-forward networks add at the prompt's numbers?",
    measure=number_mlp,
    needs="a language model",
    quantities=(SIZE.name, LOST.name, KNOWN.name),
    coordinates=("at", "layer", "layers"),
    values={"at": (*KINDS, ANSWER), "layers": (LAST, EARLIER)},
    sizes=sizes(n=(8, 12, 64)),
    figure=figure,
    expected=(
        Expected(quantity=SIZE.name, control=STREAM, words="1", holds=lambda v: abs(v - 1) < 1e-9),
        Expected(quantity=LOST.name, control=ITSELF, words="0", holds=lambda v: abs(v) < 1e-3),
    ),
)

__all__ = ("INSTRUMENT", "NAME", "last", "number_mlp")
