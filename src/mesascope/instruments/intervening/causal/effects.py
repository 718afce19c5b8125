"""From changes of a state to measurements: the measured changes of the answers compared with the predicted ones."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.instruments.asking.collect import answers
from mesascope.instruments.intervening.causal.changes import EARLIER, LATER, RIGHT, Changes, Pair
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.scores import Quantity, explained, left_out, measure, ratio
from mesascope.types import Measurement, Prompts, Site, Subject

NAME = "causal"
AGREEMENT = Quantity(name="agreement", combine=explained)
SLOPE = Quantity(name="slope", combine=ratio)
MEASURED, RANDOM = "measured", "random direction"
KNOWN_NETWORK = "hand-built network"
PROBED_NETWORK = "hand-built network, by a probe"
NOTHING = 1e-6
"""Predicted changes below this share of the answers (root mean squares) count as zero and are not compared."""
BEYOND = 1e3
"""A predicted change more than this many times as large as the answers results from a division by almost zero, and no network
needs to reproduce it: for example, a donor's residual combined with a direction that XᵀX maps nearly to 0."""
EXACT = 1e-9
"""In all other cases the agreement of a network that holds the state with its algorithm is 1 within this."""
ALIKE = 1e-2
"""The prediction of a wrong step is no control if it differs from the right one by less than this share of it (mean squares)."""

EffectKey = tuple[Site, str, str, str]  # site, variable, overwrite, claim
Effect = dict[str, Tensor]  # changes of the answers (batch, query): measured, at random, predicted
Known = dict[
    tuple[str, str, str], dict[str, Effect]
]  # by variable, overwrite, claim: the effects of the positive controls


def effects_of(subject: Subject, changes: Changes, pairs: Sequence[Pair]) -> dict[EffectKey, Effect]:
    """The measured and the predicted changes of the answers, for all changes of all pairs."""
    found: dict[EffectKey, dict[str, list[Tensor]]] = {}
    for pair in pairs:
        clean = answers(subject, pair.recipients)
        for change in changes(pair):
            edits = {MEASURED: change.intervention, RANDOM: change.random}
            moved = {name: answers(subject, pair.recipients, [edit]) - clean for name, edit in edits.items()}
            for claim, predicted in change.predicted.items():
                effect = found.setdefault((change.site, change.variable, change.overwrite, claim), {})
                for name, value in (moved | dict(predicted)).items():
                    effect.setdefault(name, []).append(value)
    return {key: {name: torch.cat(parts) for name, parts in effect.items()} for key, effect in found.items()}


def compared(
    found: Mapping[EffectKey, Effect], known: Known, prompts: Prompts, *, seed: int
) -> tuple[Measurement, ...]:
    """Agreement and slope of every effect for which a change is predicted.

    Args:
        found: the subject's effects.
        known: the effects of networks known to hold the state; such a control is degenerate where the predicted change is
            more than `BEYOND` times the answers.
        prompts: the recipients.
        seed: of the resampling.
    """
    draws = bootstrap.weights(len(prompts), seed=seed, strata=prompts.strata)
    least, most = (bound**2 * float(prompts.targets.double().square().mean()) for bound in (NOTHING, BEYOND))
    measurements: list[Measurement] = []
    for (site, variable, overwrite, claim), effect in found.items():
        right = effect[RIGHT]
        if not least < _size(right) < float("inf"):
            continue
        negative = {RANDOM: (effect[RANDOM], right)}
        for wrong in (EARLIER, LATER):
            predicted = effect.get(wrong, right)
            if least < _size(predicted) < float("inf") and _size(predicted - right) > ALIKE * _size(right):
                negative[wrong] = (effect[MEASURED], predicted)
        sure = known[variable, overwrite, claim]
        positive = {name: (case[MEASURED], case[RIGHT]) for name, case in sure.items() if _size(case[RIGHT]) > least}
        wild = f"the algorithm divides by almost zero here: it predicts a change over {BEYOND:g} times as large as the answers"
        degenerate = {name: wild for name, (_, predicted) in positive.items() if not _size(predicted) <= most}
        for quantity in (AGREEMENT, SLOPE):
            measured = measure(
                NAME,
                quantity,
                _sums(quantity, effect[MEASURED], right),
                draws,
                coordinates={"site": str(site), "variable": variable, "with": overwrite, "algorithm": claim},
                positive={name: _sums(quantity, *pair) for name, pair in positive.items()},
                negative={name: _sums(quantity, *pair) for name, pair in negative.items()},
            )
            measurements.append(left_out(measured, degenerate))
    return tuple(measurements)


def _size(change: Float[Tensor, "batch query"]) -> float:
    return float(change.square().mean())


def _sums(
    quantity: Quantity, measured: Float[Tensor, "batch query"], predicted: Float[Tensor, "batch query"]
) -> Float[Tensor, "batch 2"]:
    first = (measured - predicted).square() if quantity is AGREEMENT else measured * predicted
    return torch.stack([first.mean(-1), predicted.square().mean(-1)], -1)
