"""Do the parts that add to a number's logit make the model say it? Parts are named on some prompts and patched on others.

The logit difference of two numbers names the heads and feed-forward networks that add more to the first number after its own
prompt than after another. Here they are named on one half of the prompts. On the other half each is *patched*: where the
numbers are predicted, what the part adds is replaced by what it adds after another prompt, before the same numbers. Everything
later in the model is computed anew. All patched copies of a query are continuations of one context that do not see one
another, so that many parts take one pass.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.instruments.asking.applicability import NotApplicable
from mesascope.instruments.asking.number_pairs import Names, Pair, number_pairs
from mesascope.instruments.asking.sequences import language_model
from mesascope.instruments.instrument import Expected, Instrument, sizes
from mesascope.instruments.reading.logit_difference import OTHER, PAIRS
from mesascope.instruments.reading.number_votes import Votes, votes
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.scores import Quantity, measure, partners, ratio
from mesascope.models.language import LanguageSubject, Template, with_template
from mesascope.models.language.continuing import Continued, continued, read_before
from mesascope.models.language.contributions import scores
from mesascope.records.checks import check_count
from mesascope.seeds import generator
from mesascope.types import (
    Control,
    Figure,
    Intervention,
    Measurement,
    Prompts,
    Scalar,
    Site,
    Subject,
    Task,
    adjusted,
    bounds,
)

NAME = "number patching"
MOVED = Quantity(name="log-odds moved by patching a named part", unit="nats")
ADDED = Quantity(name="what a named part adds", unit="nats")
SHARE = Quantity(name="share of the prompt's effect that the named parts carry", combine=ratio)
AS_NAMED = "share of the named parts that move the log-odds as named"
RANDOM, ITSELF, EVERYTHING = "as many random parts", "patched with the same prompt", "the last stream"
KINDS = ("head", "feed-forward network")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What is patched: a head, or all that a site holds.

    Attributes:
        site: where it is.
        head: the number of a head whose output is there (site ``z``).
        sign: 1 if it adds more to the first number after its own prompt than after another, -1 if less.
    """

    site: Site
    head: int | None = None
    sign: float = 1.0

    def __str__(self) -> str:
        return f"{self.kind} {self.site.layer}" + ("" if self.head is None else f".{self.head}")

    @property
    def kind(self) -> str:
        """One of `KINDS`."""
        return KINDS[self.head is None]


Copies = Sequence[Sequence[Part]]
"""For each copy of a query, what is patched in it."""


def number_patching(
    subject: Subject,
    task: Task,
    *,
    seed: int = 0,
    n: int = 32,
    pair: Names = PAIRS[0],
    each: int = 2,
    template: Template | None = None,
) -> tuple[Measurement, ...]:
    """How far the log-odds of two numbers move if what the named parts add is replaced by what they add after another prompt.

    Movements are counted in the direction that the naming predicts: down, if the part adds more to the first number after its own
    prompt. The prompt's effect is the log-odds of the two numbers, less those after another prompt.

    Controls. Negative: as many random parts of the same kinds, other than the named ones, each in the direction that its own
    contribution predicts; the named parts, patched with what they add to the same prompt (exactly 0 but for rounding). Positive:
    the stream after the last layer, patched with another prompt's: the log-odds are then those after that prompt, so that the
    share is exactly 1.

    Args:
        subject: a language model.
        task: where the prompts come from.
        seed: of the prompts, the regressors, the random parts and the resampling.
        n: number of prompts, at least 4; half of them name, half of them judge.
        pair: whose numbers are compared, see `logit_difference`.
        each: how many heads and how many feed-forward networks are named, at most half of all.
        template: how prompts are written, in place of the subject's own way.

    Raises:
        ValueError: fewer than four prompts, or no part to be named.
        NotApplicable: the subject is no language model, has too few parts, or a half has no prompt on which the numbers differ.
    """
    check_count("n", n, least=4)
    check_count("each", each)
    subject = language_model(subject)
    subject = subject if template is None else with_template(subject, template)
    prompts = adjusted(task, queries=1).sample(n, seed=seed, stream=NAME)
    first, second = prompts[: n // 2], prompts[n // 2 :]
    (naming,) = number_pairs(subject, first, [pair], seed=seed)
    (own,), (null,) = votes(subject, first, [naming], partners(first))
    named, random = _named(own, null, each, seed)
    (judging,) = number_pairs(subject, second, [pair], seed=seed)
    judged = _judged(subject, second, judging, named, random)
    weights = [
        bootstrap.weights(len(at), seed=seed, strata=None if half.strata is None else half.strata[at])
        for half, at in ((first, naming.places), (second, judging.places))
    ]
    found = list[Measurement]()
    for i, part in enumerate(named):
        where: dict[str, Scalar] = {"pair": naming.name, "kind": part.kind, "part": str(part)}
        found += [_added(part, where, own, null, weights[0]), _moved(judged, i, where, weights[1])]
    return (*found, *_together(judged, naming.name, weights[1]))


def _named(own: Votes, null: Votes, each: int, seed: int) -> tuple[list[Part], list[Part]]:
    """The heads and feed-forward networks whose contribution differs most from that after another prompt; and random others."""
    by_head = (own.heads - null.heads).mean(-1)
    by_layer = (own.mlp - null.mlp).mean(-1)
    rng = generator(seed, f"{NAME}/random parts")
    named, random = list[Part](), list[Part]()
    for effects, heads in ((by_head.flatten(), by_head.shape[1]), (by_layer, 0)):
        many = min(each, len(effects) // 2)
        order = effects.abs().argsort(descending=True)
        rest = order[many:]
        some = rest[torch.randperm(len(rest), generator=rng)[:many]]
        for found, chosen in ((named, order[:many]), (random, some)):
            for i in chosen.tolist():
                sign = 1.0 if effects[i] >= 0 else -1.0
                if heads:
                    found.append(Part(site=Site(layer=i // heads, kind="z"), head=i % heads, sign=sign))
                else:
                    found.append(Part(site=Site(layer=i, kind="mlp_out"), sign=sign))
    if not named:
        raise NotApplicable("a model of one layer with one head has no parts that could be named beside random others.")
    return named, random


# ------------------------------------------------------------------------------------------ patching


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """How far the log-odds fall where something is patched, by prompt.

    Attributes:
        named, random: the parts.
        alone: the fall for each of them, in the direction of its sign; the named ones first.
        same, whole, together, at_random: the fall with all named parts patched with the same prompt's, with the last stream
            patched, with all named parts, and with all random ones.
        effect: the log-odds less those after the other prompt.
    """

    named: list[Part]
    random: list[Part]
    alone: Float[Tensor, "batch member"]
    same: Float[Tensor, " batch"]
    whole: Float[Tensor, " batch"]
    together: Float[Tensor, " batch"]
    at_random: Float[Tensor, " batch"]
    effect: Float[Tensor, " batch"]


def _judged(subject: LanguageSubject, prompts: Prompts, pair: Pair, named: list[Part], random: list[Part]) -> Judged:
    """Patch all copies of the query of each prompt on which the numbers are compared."""
    network = subject.network
    last = Site(layer=len(network.blocks) - 1, kind="resid_post")
    parts = [*named, *random]
    copies: Copies = [[], named, [Part(site=last)], named, random, *([part] for part in parts)]
    sites = sorted({last, *(part.site for part in parts)}, key=str)
    others = partners(prompts)
    odds, elsewhere = list[Tensor](), list[Tensor]()
    for i in pair.places.tolist():  # the copies of one prompt fill a pass
        numbers = [pair.numbers[i]]
        other = continued(subject, prompts[others[i : i + 1]], [numbers])
        put = read_before(network, other, sites)
        asked = continued(subject, _repeated(prompts[i : i + 1], len(copies)), [numbers * len(copies)])
        edits = [Intervention(site=site, edit=_patched(site, copies, asked, put[site])) for site in sites]
        odds.append(_first_over_second(scores(network, asked, read_before(network, asked, [last], edits)[last]))[0])
        elsewhere.append(_first_over_second(scores(network, other, put[last]))[0, 0])
    found = torch.stack(odds)
    fall = found[:, :1] - found
    same, whole, together, at_random = fall[:, 1:5].unbind(1)
    signs = torch.tensor([part.sign for part in parts], dtype=fall.dtype)
    return Judged(
        named=named,
        random=random,
        alone=fall[:, 5:] * signs,
        same=same,
        whole=whole,
        together=together,
        at_random=at_random,
        effect=found[:, 0] - torch.stack(elsewhere),
    )


def _first_over_second(each: Float[Tensor, "*any member"]) -> Float[Tensor, "*any"]:
    return each[..., 0] - each[..., 1]


def _repeated(prompts: Prompts, copies: int) -> Prompts:
    """The prompts with their query asked as many times."""
    return replace(prompts, queries=prompts.queries.repeat(1, copies, 1), targets=prompts.targets.repeat(1, copies))


def _patched(site: Site, copies: Copies, asked: Continued, put: Tensor) -> Callable[[Tensor], Tensor]:
    """The edit of one site: in each copy that patches something there, at the positions where the numbers are predicted.

    The second copy, number 1, gets what the first one has, which is not patched.
    """

    def edit(value: Tensor) -> Tensor:
        new, mine = value.clone(), put.to(value)
        own = value[:, asked.before[0].flatten()]
        for number, copy in enumerate(copies):
            at, source = asked.before[number].flatten(), own if number == 1 else mine
            for part in copy:
                if part.site == site and part.head is None:
                    new[:, at] = source
                elif part.site == site:
                    new[:, at, part.head] = source[:, :, part.head]
        return new

    return edit


# ------------------------------------------------------------------------------------------ results


def _added(
    part: Part, where: Mapping[str, Scalar], own: Votes, null: Votes, draws: Float[Tensor, "repeat batch"]
) -> Measurement:
    """What the naming prompts say of a part, in the direction of its sign; beside it, what it adds after another prompt."""
    here, there = (
        v.mlp[part.site.layer] if part.head is None else v.heads[part.site.layer, part.head] for v in (own, null)
    )
    return measure(NAME, ADDED, part.sign * here, draws, coordinates=where, negative={OTHER: part.sign * there})


def _moved(judged: Judged, i: int, where: Mapping[str, Scalar], draws: Float[Tensor, "repeat batch"]) -> Measurement:
    """How far the log-odds move with one named part patched, beside random parts of its kind."""
    start, kind = len(judged.named), judged.named[i].kind
    alike = [start + j for j, part in enumerate(judged.random) if part.kind == kind]
    return measure(
        NAME,
        MOVED,
        judged.alone[:, i],
        draws,
        coordinates=where,
        positive={EVERYTHING: judged.whole},
        negative={RANDOM: judged.alone[:, alike].mean(1), ITSELF: judged.same},
    )


def _together(judged: Judged, pair: str, draws: Float[Tensor, "repeat batch"]) -> list[Measurement]:
    """What all named parts carry together, and how many of them move the log-odds as named."""

    def of_effect(fall: Float[Tensor, " batch"]) -> Float[Tensor, "batch 2"]:
        return torch.stack([fall, judged.effect], 1)

    share = measure(
        NAME,
        SHARE,
        of_effect(judged.together),
        draws,
        coordinates={"pair": pair},
        positive={EVERYTHING: of_effect(judged.whole)},
        negative={RANDOM: of_effect(judged.at_random), ITSELF: of_effect(judged.same)},
    )
    as_named = (judged.alone.mean(0) > 0).double()
    many = len(judged.named)
    counted = Measurement(
        instrument=NAME,
        quantity=AS_NAMED,
        value=float(as_named[:many].mean()),
        interval=None,
        n=len(judged.effect),
        coordinates={"pair": pair},
        controls=(Control(kind="negative", name=RANDOM, value=float(as_named[many:].mean())),),
    )
    return [share, counted]


def figure(measurements: Sequence[Measurement]) -> Figure:
    """How far the log-odds move with each named part patched, beside random parts."""
    rows: list[dict[str, Scalar]] = []
    for m in measurements:
        if m.quantity == MOVED.name:
            where = {"pair": m.coordinates["pair"], "part": m.coordinates["part"]}
            rows.append({**where, "patched": "the named part", "nats": m.value, **bounds(m.interval)})
            (random,) = (c for c in m.controls if c.name == RANDOM)
            rows.append(
                {**where, "patched": "random parts of its kind", "nats": random.value, **bounds(random.interval)}
            )
    return Figure(
        name="number-patching",
        section="Two numbers weighed against one another",
        title="How far the log-odds move if a named part is patched",
        caption="Parts are named by what they add to the first number beyond what they add after another prompt, and patched on "
        "other prompts with what they add after another one. Above 0, the log-odds move as named.",
        kind="bars",
        rows=tuple(rows),
        x="part",
        y="nats",
        low="low",
        high="high",
        series="patched",
        facet="pair",
    )


def _known(quantity: Quantity, control: str, value: float, tolerance: float) -> Expected:
    return Expected(
        quantity=quantity.name, control=control, words=f"{value:g}", holds=lambda v: abs(v - value) < tolerance
    )


INSTRUMENT = Instrument(
    name=NAME,
    question="Does a model change its number when a part is patched that the logit difference names?",
    measure=number_patching,
    needs="a language model whose logits are linear in its last stream",
    quantities=(MOVED.name, ADDED.name, SHARE.name, AS_NAMED),
    coordinates=("pair", "kind", "part"),
    values={"kind": KINDS},
    sizes=sizes(n=(8, 32, 128)),
    figure=figure,
    expected=(
        _known(SHARE, EVERYTHING, 1.0, 1e-3),
        _known(SHARE, ITSELF, 0.0, 1e-3),
        _known(MOVED, ITSELF, 0.0, 1e-3),
    ),
)

__all__ = ("INSTRUMENT", "NAME", "Part", "number_patching")
