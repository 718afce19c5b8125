"""Overwriting the state of a subject that declares none: along the directions of linear probes at the queries."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mesascope.instruments.asking.collect import at_queries
from mesascope.instruments.asking.tokens import asked
from mesascope.instruments.intervening.causal.changes import (
    DONOR,
    RIGHT,
    SCALES,
    Change,
    Changes,
    ClaimedPath,
    Pair,
    as_large,
    claimed_states,
    predictions,
    shifted,
)
from mesascope.instruments.intervening.causal.claims import answers
from mesascope.instruments.intervening.causal.declared import declared_claim
from mesascope.instruments.statistics.regression import LinearFit, ridge_fits
from mesascope.instruments.statistics.scores import partners
from mesascope.models.constructions import Construction, gradient_descent, primal_gradient_descent
from mesascope.seeds import generator
from mesascope.types import Intervention, Prompts, Site, Subject

WEIGHTS, ANSWER = "w (probe)", "answer (probe)"
"""The variables that the stream at a query can hold: the weights, or, in the dual form, only their product with the query."""

ProbedPlace = tuple[str, str, Site]  # variable, claim, site


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Probe:
    """A linear probe, and the change of an activation that changes the probe's reading.

    Attributes:
        fit: the map from activations at the queries to the variable.
        back: for each output, the change of an activation that raises its reading by 1. Of all such changes it is the
            smallest in the norm of the activations' covariance Σ: (WᵀΣW)⁻¹WᵀΣ. The smallest in Euclidean norm would lie
            along W itself, in directions in which activations hardly vary, and would depend more on the probe's penalty
            than on the network.

    Source: Haufe et al. 2014, eq. 6 (patterns for filters).
    """

    fit: LinearFit
    back: Float[Tensor, "output width"]

    @classmethod
    def of(cls, fit: LinearFit, activations: Float[Tensor, "batch query width"]) -> "Probe":
        """The probe with this fit, whose way back is computed from these activations."""
        rows = activations.double().flatten(0, 1)
        rows = rows - rows.mean(0)
        readings = rows @ fit.weights
        return cls(fit=fit, back=torch.linalg.pinv(readings.T @ readings) @ (readings.T @ rows))


def fit_probes(
    subject: Subject, claims: Sequence[ClaimedPath], sites: Sequence[Site], fitting: Prompts
) -> dict[ProbedPlace, Probe]:
    """For each claim and site, probes for the weights that the claim says are held there, and for their answer."""
    _, seen = at_queries(subject, fitting, sites)
    wanted: dict[Site, dict[str, Tensor]] = {site: {} for site in sites}
    names: dict[str, tuple[str, str]] = {}
    for claim in claims:
        for (variable, site), target in _targets(claim, fitting).items():
            names[f"{variable}/{claim.name}"] = (variable, claim.name)
            wanted[site][f"{variable}/{claim.name}"] = target
    return {
        (*names[name], site): Probe.of(fit, seen[site])
        for site, targets in wanted.items()
        if targets
        for name, fit in ridge_fits(seen[site], targets).items()
    }


def readings(
    subject: Subject, claims: Sequence[ClaimedPath], probes: Mapping[ProbedPlace, Probe], prompts: Prompts
) -> dict[ProbedPlace, tuple[Float[Tensor, "batch 2"], Float[Tensor, "batch 2"]]]:
    """Each prompt's squared error and squared deviation from the mean, against its own target and against another prompt's.

    The prompts must be others than those that the probes were fitted on.
    """
    _, seen = at_queries(subject, prompts, _sites(probes))
    other, found = partners(prompts), {}
    for claim in claims:
        for (variable, site), target in _targets(claim, prompts).items():
            if (variable, claim.name, site) not in probes:
                continue
            fit = probes[variable, claim.name, site].fit
            guess = fit.guess(seen[site])
            found[variable, claim.name, site] = tuple(
                torch.stack([(guess - t).square().mean((1, 2)), (t - fit.mean).square().mean((1, 2))], -1)
                for t in (target, target[other])
            )
    return found


def probed_changes(
    claims: Sequence[ClaimedPath], probes: Mapping[ProbedPlace, Probe], subject: Subject, *, seed: int
) -> Changes:
    """The changes of the probes' readings at the queries: to the donor's readings, and scaled.

    Weights are moved by the same amount at all queries of a prompt, the mean of the moves at each, and so is the claim's
    iterate. An answer is moved at each query separately. No other position reads it there, so every algorithm that only adds
    to the answer carries the change to the end. Readings are taken relative to the mean target, so that scaling does not
    scale the probe's constant part.
    """
    sites = _sites(probes)

    def changes(pair: Pair) -> Iterator[Change]:
        answered = asked(subject, pair.recipients)[:, -1]
        _, own = at_queries(subject, pair.recipients, sites)
        _, theirs = at_queries(subject, pair.donors, sites)
        for claim in claims:
            problem, path = claimed_states(claim, pair.recipients)
            for (variable, name, site), probe in probes.items():
                if name != claim.name:
                    continue
                held, given = (_deviation(probe, variable, seen[site]) for seen in (own, theirs))
                for overwrite, move in {DONOR: given - held, **{n: (s - 1) * held for n, s in SCALES.items()}}.items():
                    if variable == ANSWER:
                        predicted = {RIGHT: move[..., 0]}
                    else:
                        predicted = predictions(
                            claim,
                            site,
                            problem,
                            path,
                            lambda s, c=claim, p=problem, m=move: shifted(c.algorithm, p, s, m[:, 0]),
                        )
                    change = move @ probe.back
                    rng = generator(seed, f"causal/{site}/{variable}/{name}/{overwrite}", pair.first)
                    noise = torch.randn(change.shape, generator=rng, dtype=torch.float64)
                    yield Change(
                        site=site,
                        variable=variable,
                        overwrite=overwrite,
                        intervention=_at_answers(site, change, answered),
                        random=_at_answers(site, as_large(noise, change), answered),
                        predicted={name: predicted},
                    )

    return changes


def known_network(variable: str, dim: int) -> tuple[Construction, ClaimedPath]:
    """A hand-built network that holds its weights, or its answer, at the queries; and its claim two steps before the end."""
    network = primal_gradient_descent(layers=8) if variable == WEIGHTS else gradient_descent(layers=8)
    return network, declared_claim(network, dim).at(network.path[-3:-2])


def _targets(claim: ClaimedPath, prompts: Prompts) -> dict[tuple[str, Site], Float[Tensor, "batch query output"]]:
    """The weights and answers that the claim says are held at its sites, for each query."""
    problem, path = claimed_states(claim, prompts)
    found: dict[tuple[str, Site], Tensor] = {}
    for site, step in claim.steps.items():
        weights = path[step].weights
        assert weights is not None, f"{claim.name} has weights"
        found[WEIGHTS, site] = weights[:, None].expand(-1, prompts.queries.shape[1], -1)
        found[ANSWER, site] = answers(problem, path[step])[..., None]
    return found


def _deviation(
    probe: Probe, variable: str, activations: Float[Tensor, "batch query width"]
) -> Float[Tensor, "batch _ output"]:
    reading = probe.fit.guess(activations) - probe.fit.mean
    return reading if variable == ANSWER else reading.mean(1, keepdim=True)


def _sites(probes: Mapping[ProbedPlace, Probe]) -> tuple[Site, ...]:
    return tuple(sorted({site for _, _, site in probes}))


def _at_answers(site: Site, change: Float[Tensor, "batch _ width"], answered: Int[Tensor, " query"]) -> Intervention:
    def edit(stream: Tensor) -> Tensor:
        new = stream.clone()
        new[:, answered] += change.to(stream)
        return new

    return Intervention(site=site, edit=edit)
