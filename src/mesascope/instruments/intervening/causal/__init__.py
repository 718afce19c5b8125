"""The causal test: overwrite an algorithm's state in a subject, and see whether the answer changes as the algorithm predicts.

A probe shows that a quantity can be read, patching that an activation matters. This test compares numbers: a part of the
state is overwritten in the subject and in the algorithm, both continue to the end, and the changes of their answers are
compared.

A hand-built network declares which channels hold the state (`mesascope.models.constructions.holding`); in any other subject,
linear probes look for the state at the queries. See ``docs/causal.md``.
"""

import dataclasses
from collections.abc import Sequence

from torch import Tensor

from mesascope.instruments.asking.applicability import NotApplicable, residual_sites
from mesascope.instruments.instrument import Expected, Instrument, sizes
from mesascope.instruments.intervening.causal import declared, probed
from mesascope.instruments.intervening.causal.changes import (
    ClaimedPath,
    Pair,
    answered,
    fitted_claims,
    of_size_one,
    rescaled,
)
from mesascope.instruments.intervening.causal.claims import overwritten, predicted_change, states, variables
from mesascope.instruments.intervening.causal.declared import Declaring, declared_changes, declared_claim, declaring
from mesascope.instruments.intervening.causal.effects import (
    AGREEMENT,
    EXACT,
    KNOWN_NETWORK,
    NAME,
    PROBED_NETWORK,
    RANDOM,
    SLOPE,
    Effect,
    Known,
    compared,
    effects_of,
)
from mesascope.instruments.intervening.causal.probed import (
    ANSWER,
    WEIGHTS,
    Probe,
    ProbedPlace,
    fit_probes,
    probed_changes,
    readings,
)
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.scores import Quantity, explained, measure
from mesascope.types import Figure, Measurement, Prompts, Scalar, Site, Subject, Task, adjusted

READ = Quantity(name="R² of the probe", combine=explained)
OTHERS = "another prompt's"
HELD = 0.5
"""A probe whose held-out R² is below this has found no state to overwrite."""
LOWEST = -1.0
"""Agreements below this are drawn at this value, since the agreement with a wrong prediction has no lower bound."""


def causal(
    subject: Subject,
    task: Task,
    *,
    seed: int = 0,
    n: int = 128,
    fit: int = 256,
    queries: int = 4,
    batch: int = 64,
) -> tuple[Measurement, ...]:
    """How well the change of the answers agrees with an algorithm's prediction, when a part of its state is overwritten.

    *Agreement* is 1 − Σ(measured − predicted)² / Σ predicted² over prompts and queries: 1 is exact, 0 results if the answer
    does not move, and below 0 the answer moves in another way. *Slope* is Σ measured·predicted / Σ predicted². The state is
    overwritten with that of a donor (other examples, the same queries), and with ½ and 2 times itself.

    A network that declares its state is tested on every part of it against its own algorithm, and, where the weights change,
    also against gradient descent and conjugate gradient with coefficients fitted to its path. In any other subject, probes
    look for the iterates of these two after each layer, from the first step on; and, after every sub-layer but the last, for
    the least-squares weights: the claim that w has arrived and the answer is ⟨x_q, w⟩, whichever algorithm found w. Probes
    look at the queries for two variables: the weights, and their product with the query, which is all that a query holds in
    the dual form. The held-out *R² of the probe* says whether a variable can be read; below 0.5 nothing is overwritten.

    Controls. Positive: a hand-built network that is known to hold the variable, overwritten in its channels, which is exact;
    for probes also a hand-built network that is overwritten by probes fitted in the same way, with the error of such a fit.
    Negative: a random change at the same place and of the same length; the prediction as if the state were that of one step
    earlier or later, left out where this makes no difference (conjugate gradient carries a change of its solution to the
    end from any step); for a probe, the target of another prompt.

    Args:
        subject: what to examine.
        task: where the prompts come from.
        seed: of the prompts, the random changes and the resampling.
        n: number of pairs of donor and recipient.
        fit: number of prompts to fit coefficients and probes on, and of further prompts to fit readouts on.
        queries: queries per prompt.
        batch: number of pairs per pass.

    Raises:
        NotApplicable: the subject declares no state and has no residual stream before its last sub-layer, or its
            algorithm predicts no change.
        ValueError: there are fewer than four prompts to fit on.
    """
    own = declaring(subject)
    sites = subject.path if own is not None else _before_last(subject)
    many = adjusted(task, queries=queries)
    recipients = many.sample(n, seed=seed, stream=f"{NAME}/recipient")
    donors = dataclasses.replace(many.sample(n, seed=seed, stream=f"{NAME}/donor"), queries=recipients.queries)
    fitting = many.sample(fit, seed=seed, stream=f"{NAME}/fit")
    pairs = [
        Pair(donors=donors[i : i + batch], recipients=recipients[i : i + batch], first=i) for i in range(0, n, batch)
    ]
    claims = fitted_claims(subject, fitting, many.sample(fit, seed=seed, stream=f"{NAME}/read"), seed=seed)
    if own is not None:
        found = _by_channels(own, claims, pairs, recipients, seed)
    else:
        claims = [*(claim.at(sites) for claim in claims), answered(sites)]
        found = _by_probes(subject, claims, sites, fitting, pairs, recipients, seed)
    if not found:
        raise NotApplicable(
            f"the algorithm of {subject.name} predicts no change of the answers for any overwriting; nothing can be tested."
        )
    return found


def figure(measurements: Sequence[Measurement]) -> Figure:
    """Agreement by site, one panel per variable and overwriting, with the random change beside the algorithms."""
    rows: list[dict[str, Scalar]] = []
    for m in measurements:
        if m.instrument != NAME or m.quantity != AGREEMENT.name:
            continue
        where = m.coordinates
        shown = [(str(where["algorithm"]), m.value, m.interval)]
        shown += [(f"{c.name}, {where['algorithm']}", c.value, c.interval) for c in m.controls if c.name == RANDOM]
        for name, value, interval in shown:
            low, high = interval or (None, None)
            rows.append(
                {
                    "site": where["site"],
                    "overwritten": f"{where['variable']}, {where['with']}",
                    "prediction": name,
                    "agreement": max(value, LOWEST),
                    "low": None if low is None else max(low, LOWEST),
                    "high": None if high is None else max(high, LOWEST),
                }
            )
    caption = (
        "A part of the state is overwritten, in the subject and in the algorithm, and the changes of their answers are "
        "compared: 1 if the answer changes exactly as predicted, 0 if it does not change. Lower values than "
        f"−{-LOWEST:g} are drawn there."
    )
    for variable in (WEIGHTS, ANSWER):
        found = [m for m in measurements if m.quantity == READ.name and m.coordinates["variable"] == variable]
        if found:
            best = max(found, key=lambda m: m.value)
            caption += f" For {variable} the probes' R² is at most {best.value:.2f}, after {best.coordinates['site']}."
    return Figure(
        name="causal",
        section="Causal test",
        title="Does the answer change as the algorithm predicts?",
        caption=caption,
        kind="lines",
        rows=tuple(rows),
        x="site",
        y="agreement",
        series="prediction",
        facet="overwritten",
        low="low",
        high="high",
        titles={"site": "overwritten after", "prediction": "predicted by"},
    )


def _before_last(subject: Subject) -> tuple[Site, ...]:
    """The residual stream after every sub-layer but the last, after which nothing could multiply weights by a query."""
    after = tuple(s for s in residual_sites(subject) if s.kind in ("resid_mid", "resid_post"))[:-1]
    if not after:
        raise NotApplicable(
            f"{subject.name} shows no residual stream before its last sub-layer, so nothing can be overwritten."
        )
    return after


def _by_channels(
    subject: Declaring, fitted: Sequence[ClaimedPath], pairs: Sequence[Pair], recipients: Prompts, seed: int
) -> tuple[Measurement, ...]:
    """The measurements of a network that declares its state, with hand-built networks as controls."""
    assert subject.holds is not None
    own, held = declared_claim(subject, recipients.dim), subject.holds.variables
    rivals = [claim for claim in fitted if claim.name != own.name]
    known: Known = {}
    for variable in held:
        for overwrite, effect in _known_by_channels(variable, pairs, seed).items():
            known |= {(variable, overwrite, claim.name): {KNOWN_NETWORK: effect} for claim in (own, *rivals)}
    found = effects_of(subject, declared_changes(subject, held, own, rivals, seed=seed), pairs)
    return compared(found, known, recipients, seed=seed)


def _known_by_channels(variable: str, pairs: Sequence[Pair], seed: int) -> dict[str, Effect]:
    pairs = of_size_one(pairs, float(pairs[0].recipients.xs.square().mean()))
    shown = pairs[0].recipients
    network, claim = declared.known_network(variable, shown.dim, shown.examples)
    found = effects_of(network, declared_changes(network, (variable,), claim, (), seed=seed), pairs)
    return {overwrite: effect for (_, _, overwrite, _), effect in found.items()}


def _by_probes(
    subject: Subject,
    claims: Sequence[ClaimedPath],
    sites: Sequence[Site],
    fitting: Prompts,
    pairs: Sequence[Pair],
    recipients: Prompts,
    seed: int,
) -> tuple[Measurement, ...]:
    """The measurements of any other subject, with hand-built networks as controls, overwritten by probes and in channels."""
    draws = bootstrap.weights(len(recipients), seed=seed, strata=recipients.strata)
    by_channels = {iterate: _known_by_channels(iterate, pairs, seed) for iterate in ("position", "solution")}
    known: Known = {}
    sure: dict[str, Tensor] = {}
    size = float(fitting.xs.square().mean())
    there, asked, others = rescaled(fitting, size), rescaled(recipients, size), of_size_one(pairs, size)
    for variable in (WEIGHTS, ANSWER):
        network, claim = probed.known_network(variable, recipients.dim)
        probes = {k: v for k, v in fit_probes(network, [claim], tuple(claim.steps), there).items() if k[0] == variable}
        [(sure[variable], _)] = readings(network, [claim], probes, asked).values()
        by_probe = effects_of(network, probed_changes([claim], probes, network, seed=seed), others)
        for (_, _, overwrite, _), effect in by_probe.items():
            for tested in claims:
                iterate = "position" if tested.name == claim.name else "solution"  # gradient descent, or conjugate
                exact = by_channels[iterate][overwrite]
                known[variable, overwrite, tested.name] = {KNOWN_NETWORK: exact, PROBED_NETWORK: effect}
    probes, held = fit_probes(subject, claims, sites, fitting), dict[ProbedPlace, Probe]()
    read: list[Measurement] = []
    for where, (right, other) in readings(subject, claims, probes, recipients).items():
        variable, name, site = where
        coordinates = {"site": str(site), "variable": variable, "with": None, "algorithm": name}
        sure_of, wrong = {PROBED_NETWORK: sure[variable]}, {OTHERS: other}
        read.append(measure(NAME, READ, right, draws, coordinates=coordinates, positive=sure_of, negative=wrong))
        if read[-1].value >= HELD:
            held[where] = probes[where]
    found = effects_of(subject, probed_changes(claims, held, subject, seed=seed), pairs) if held else {}
    return (*read, *compared(found, known, recipients, seed=seed))


INSTRUMENT = Instrument(
    name=NAME,
    question="Does the answer follow when an algorithm's state, declared or found by a probe, is overwritten?",
    measure=causal,
    needs="a residual stream",
    quantities=(
        "R² of the probe",
        "agreement",
        "slope",
    ),
    coordinates=(
        "algorithm",
        "site",
        "variable",
        "with",
    ),
    through_origin=True,
    sizes=sizes(n=(24, 128, 512), fit=(48, 256, 1024)),
    figure=figure,
    expected=(
        Expected(
            quantity=AGREEMENT.name,
            control=KNOWN_NETWORK,
            words=f"1 within {EXACT:g}",
            holds=lambda v: abs(v - 1) <= EXACT,
        ),
        Expected(quantity=READ.name, control=PROBED_NETWORK, words="at least 0.99", holds=lambda v: v >= 0.99),
    ),
)

__all__ = (
    "INSTRUMENT",
    "AGREEMENT",
    "EXACT",
    "KNOWN_NETWORK",
    "NAME",
    "PROBED_NETWORK",
    "RANDOM",
    "READ",
    "SLOPE",
    "causal",
    "figure",
    "overwritten",
    "predicted_change",
    "states",
    "variables",
)
