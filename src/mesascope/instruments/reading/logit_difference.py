"""Where in a language model one number gets ahead of another: the logit difference of two regressors' numbers, part by part.

For each prompt two regressors answer the query, and the model weighs their two numbers: the logit difference says how much it
favours the first over the second, and is the sum of what embedding, attention and feed-forward networks add
(`mesascope.models.language.contributions`). Some parts favour a number after whatever prompt, because it is short or round. So
beside each number stands the same with another prompt in place of the prompt that the numbers belong to.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mesascope.instruments.asking.applicability import untrained
from mesascope.instruments.asking.number_pairs import MODEL, Names, Pair, answers_of, number_pairs
from mesascope.instruments.asking.sequences import language_model
from mesascope.instruments.instrument import Expected, Instrument, sizes
from mesascope.instruments.reading.number_votes import Votes, planted, votes
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.scores import Quantity, measure, partners
from mesascope.models.language import LanguageSubject, Template, with_template
from mesascope.seeds import generator
from mesascope.types import Figure, Measurement, Prompts, Scalar, Subject, Task, adjusted, bounds

NAME = "logit difference"
TOTAL = Quantity(name="logit difference", unit="nats")
ODDS = Quantity(name="log-odds of the two numbers", unit="nats")
BY_LAYER = Quantity(name="logit difference after a layer", unit="nats")
OF_ATTENTION = Quantity(name="added by a layer's attention", unit="nats")
OF_MLP = Quantity(name="added by a layer's feed-forward network", unit="nats")
OF_HEAD = Quantity(name="added by a head", unit="nats")
ATTENTION = Quantity(name="added by all attention", unit="nats")
LATE = Quantity(name="added by the late feed-forward networks", unit="nats")
EARLIER = Quantity(name="added by the earlier feed-forward networks", unit="nats")
OVER_ATTENTION = Quantity(name="late feed-forward networks less all attention", unit="nats")
OVER_EARLIER = Quantity(name="late feed-forward networks less the earlier ones", unit="nats")
OF_ALL = (TOTAL, ODDS, ATTENTION, LATE, EARLIER, OVER_ATTENTION, OVER_EARLIER)
BEYOND: Mapping[Quantity, Quantity] = {
    each: Quantity(name=f"{each.name}, less that after another prompt", unit="nats") for each in OF_ALL
}
"""What is of all layers together, less the same after another prompt: paired, since the numbers are the same."""
TIED = Quantity(name="share of prompts whose two numbers are alike")
BEGUN = Quantity(name="share of differing pairs that begin with the same token")
QUANTITIES = (*OF_ALL, *BEYOND.values(), BY_LAYER, OF_ATTENTION, OF_MLP, OF_HEAD, TIED, BEGUN)

OTHER, FRESH = "after another prompt", "untrained network"
ALONE = "the last feed-forward network alone writes"
SIGNS = "97.5 % of random signs stay below"
SAME, ANOTHERS = "a number beside itself", "another prompt's second number"
ALL, SMALLER, LARGER = "all", "smaller error", "larger error"
"""Which prompts a measurement is about."""
SIGNED = 1000
"""Draws of random signs."""
FEW = 8
"""Prompts of the controls that need another pass over all layers: the untrained network, and the planted part."""
PAIRS: tuple[Names, ...] = (("linear-regression", "mean"), ("knn-5-distance", "mean"))

Pick = Callable[[Votes], Float[Tensor, " batch"]]


def late(layers: int) -> int:
    """How many of the last layers are late: as large a share as the last 5 of 32, rounded, at least one.

    Source: source D, which names layers 27 to 31 of 32.
    """
    return max(1, round(layers * 5 / 32))


def logit_difference(
    subject: Subject,
    task: Task,
    *,
    seed: int = 0,
    n: int = 24,
    pairs: Sequence[Names] = PAIRS,
    template: Template | None = None,
    split: bool = False,
) -> tuple[Measurement, ...]:
    """How much a language model favours one regressor's number over another's, after every layer, and what each part adds.

    Numbers are whole: logits are summed over a number's tokens and the token that ends it, each counted from the mean logit
    under the model's own probabilities. Prompts on which the two numbers are written alike, or one cannot be written at all, are
    left out of all but the share of ties. What is of all layers together is also measured less the same after another prompt,
    paired: the numbers are the same. Late layers are as large a share of all as the last 5 of 32.

    Controls. Negative: another prompt of the same stratum in place of the one that the numbers belong to; the untrained network.
    Positive: the last feed-forward network alone writes the first number over the second, and all else adds exactly nothing.
    For ties: a number beside itself (1), and another prompt's second number. For differences: what 97.5 % of their means with
    random signs stay below.

    Args:
        subject: a language model.
        task: where the prompts come from.
        seed: of the prompts, the regressors, the untrained weights and the resampling.
        n: number of prompts.
        pairs: whose numbers are compared: names of regressors, ``target`` for the task's own answer, or ``model`` for the
            number that the model itself writes.
        template: how prompts are written, in place of the subject's own way.
        split: measure what is of all layers together also on the prompts where the model's own number has an error up to the
            median, and on those where it has a larger one. Prompts that it answers with no number are in neither part,
            and a part in which no numbers are compared is left out.

    Raises:
        NotApplicable: the subject is no language model, or a pair has no prompt with two numbers that differ.
        ValueError: there is no such regressor, or the prompts cannot be written or do not fit.

    Source: source D, "Understanding Logit Differences".
    Departs from source: it compares first tokens only, with the two numbers of its first prompt in all prompts.
    """
    subject = language_model(subject)
    subject = subject if template is None else with_template(subject, template)
    prompts = adjusted(task, queries=1).sample(n, seed=seed, stream=NAME)
    others = partners(prompts)
    decoded = answers_of(MODEL, subject, prompts, seed) if split else None
    found = number_pairs(subject, prompts, pairs, seed=seed, decoded=decoded)
    own, null = votes(subject, prompts, found, others)
    some = torch.cat([pair.places[: -(-FEW // len(found))] for pair in found]).unique()  # of each pair a few
    few, shown = [pair[some] for pair in found], prompts[some]
    wrote = planted(subject, shown, few)
    twin = untrained(subject, seed)
    fresh = votes(twin, shown, few, partners(shown))[0] if isinstance(twin, LanguageSubject) else None
    parts = {} if decoded is None else _by_error(decoded, prompts)
    measured = list[Measurement]()
    for i, pair in enumerate(found):
        strata = None if prompts.strata is None else prompts.strata[pair.compared]
        draws = bootstrap.weights(len(pair.places), seed=seed, strata=strata)
        cases = {OTHER: null[i], **({} if fresh is None else {FRESH: fresh[i]})}
        measured += _of_all_layers(pair.name, own[i], cases, wrote[i], draws, ALL, seed)
        measured += _of_each_layer(pair.name, own[i], cases, wrote[i], draws)
        for words, part in parts.items():
            chosen = part[pair.compared]
            if not bool(chosen.any()):
                continue
            beside = {OTHER: null[i][chosen]}
            weights = bootstrap.weights(int(chosen.sum()), seed=seed)
            measured += _of_all_layers(pair.name, own[i][chosen], beside, wrote[i], weights, words, seed)
        measured += _ties(pair, bootstrap.weights(n, seed=seed, strata=prompts.strata), draws)
    return tuple(measured)


def _by_error(decoded: Float[Tensor, " batch"], prompts: Prompts) -> dict[str, Bool[Tensor, " batch"]]:
    """The prompts whose answer by the model has an absolute error up to the median, and those with a larger one."""
    error = (decoded - prompts.targets[:, 0]).abs()
    middle = error[error.isfinite()].quantile(0.5) if bool(error.isfinite().any()) else error.new_tensor(0.0)
    return {SMALLER: error <= middle, LARGER: error > middle}


def _measured(
    name: str, own: Votes, negative: Mapping[str, Votes], wrote: Votes, draws: Float[Tensor, "repeat batch"]
) -> Callable[..., Measurement]:
    """Makes a measurement of a quantity, from the function that picks it out of votes and from its other coordinates."""

    def measured(quantity: Quantity, pick: Pick, **where: Scalar) -> Measurement:
        return measure(
            NAME,
            quantity,
            pick(own),
            draws,
            coordinates={"pair": name, **where},
            positive={ALONE: float(pick(wrote).mean())},
            negative={control: pick(case) for control, case in negative.items()},
        )

    return measured


def _of_all_layers(
    name: str,
    own: Votes,
    negative: Mapping[str, Votes],
    wrote: Votes,
    draws: Float[Tensor, "repeat batch"],
    prompts: str,
    seed: int,
) -> list[Measurement]:
    measured = _measured(name, own, negative, wrote, draws)
    found = list[Measurement]()
    for quantity, pick in _sums(late(len(own.mlp))).items():
        beyond = pick(own) - pick(negative[OTHER])
        signs = (
            torch.rand(SIGNED, len(beyond), generator=generator(seed, f"{NAME}/signs"), dtype=torch.float64)
            .sub(0.5)
            .sign()
        )
        found.append(measured(quantity, pick, prompts=prompts))
        found.append(
            measure(
                NAME,
                BEYOND[quantity],
                beyond,
                draws,
                coordinates={"pair": name, "prompts": prompts},
                positive={ALONE: float(pick(wrote).mean())},
                negative={SIGNS: float((signs @ beyond / len(beyond)).quantile(0.975))},
            )
        )
    return found


def _of_each_layer(
    name: str, own: Votes, negative: Mapping[str, Votes], wrote: Votes, draws: Float[Tensor, "repeat batch"]
) -> list[Measurement]:
    layers, heads = own.heads.shape[:2]
    measured = _measured(name, own, negative, wrote, draws)
    return [
        *(measured(BY_LAYER, lambda v, i=i: v.stream[i], layer=i) for i in range(layers + 1)),
        *(measured(OF_ATTENTION, lambda v, i=i: v.attention[i], layer=i) for i in range(layers)),
        *(measured(OF_MLP, lambda v, i=i: v.mlp[i], layer=i) for i in range(layers)),
        *(
            measured(OF_HEAD, lambda v, i=i, h=h: v.heads[i, h], layer=i, head=h)
            for i in range(layers)
            for h in range(heads)
        ),
    ]


def _sums(many: int) -> dict[Quantity, Pick]:
    """What is measured of all layers together, where so many are late."""

    def attention(v: Votes) -> Tensor:
        return v.attention.sum(0)

    def after(v: Votes) -> Tensor:
        return v.mlp[-many:].sum(0)

    def before(v: Votes) -> Tensor:
        return v.mlp[:-many].sum(0)

    return {
        TOTAL: lambda v: v.stream[-1],
        ODDS: lambda v: v.log_odds,
        ATTENTION: attention,
        LATE: after,
        EARLIER: before,
        OVER_ATTENTION: lambda v: after(v) - attention(v),
        OVER_EARLIER: lambda v: after(v) - before(v),
    }


def _ties(
    pair: Pair, draws: Float[Tensor, "repeat batch"], compared: Float[Tensor, "repeat chosen"]
) -> list[Measurement]:
    """How often a pair says nothing, and how often comparing first tokens would say nothing."""
    second = [numbers[1] for numbers in pair.numbers]
    elsewhere = torch.tensor([a == b for (a, _), b in zip(pair.numbers, second[1:] + second[:1], strict=True)])
    where = {"pair": pair.name}
    tied = measure(
        NAME,
        TIED,
        pair.tied.double(),
        draws,
        coordinates=where,
        positive={SAME: torch.ones(len(pair.tied))},
        negative={ANOTHERS: elsewhere.double()},
    )
    begun = pair.begin_alike[pair.compared].double()
    return [tied, measure(NAME, BEGUN, begun, compared, coordinates=where, positive={SAME: 1.0})]


def figure(measurements: Sequence[Measurement]) -> Figure:
    """The logit difference after every layer, beside its nulls."""
    rows: list[dict[str, Scalar]] = []
    for m in measurements:
        if m.quantity == BY_LAYER.name:
            where = {name: m.coordinates[name] for name in ("pair", "layer")}
            shown = [("the prompt itself", m.value, m.interval)]
            shown += [(c.name, c.value, c.interval) for c in m.controls if c.kind == "negative"]
            rows += [{**where, "after": after, "nats": value, **bounds(between)} for after, value, between in shown]
    return Figure(
        name="logit-difference",
        section="Two numbers weighed against one another",
        title="How far one regressor's number is ahead of another's, after every layer",
        caption="Whole numbers, all tokens. The final norm and the probabilities are held at those of the last layer. Layer 0 is "
        "the stream that the first layer reads. Where the curve after another prompt is as high, the number is favoured for its "
        "own sake.",
        kind="lines",
        rows=tuple(rows),
        x="layer",
        y="nats",
        low="low",
        high="high",
        series="after",
        facet="pair",
    )


def _nothing(quantity: Quantity) -> Expected:
    return Expected(quantity=quantity.name, control=ALONE, words="0", holds=lambda v: abs(v) < 1e-9)


INSTRUMENT = Instrument(
    name=NAME,
    question="Where in a language model does one regressor's number get ahead of another's?",
    measure=logit_difference,
    needs="a language model whose logits are linear in its last stream",
    quantities=tuple(quantity.name for quantity in QUANTITIES),
    coordinates=("pair", "prompts", "layer", "head"),
    values={"prompts": (ALL, SMALLER, LARGER)},
    sizes=sizes(n=(8, 24, 100)),
    figure=figure,
    expected=(
        *map(_nothing, (OF_ATTENTION, OF_HEAD, ATTENTION, EARLIER)),
        *(
            Expected(quantity=q.name, control=ALONE, words="above 0", holds=lambda v: v > 0)
            for q in (TOTAL, ODDS, LATE, OVER_ATTENTION, OVER_EARLIER)
        ),
        Expected(quantity=TIED.name, control=SAME, words="1", holds=lambda v: v == 1),
    ),
)

__all__ = ("INSTRUMENT", "NAME", "logit_difference")
