"""Overwriting in a subject that declares nothing: along the directions of linear probes at the queries."""

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
"""What a query can hold: the iterate itself, or in the dual form its product with this query and nothing more."""

ProbedPlace = tuple[str, str, Site]  # variable, claim, site


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Probe:
    """A linear probe, and the way back.

    Attributes:
        fit: from activations at the queries to what is probed for.
        back: the change of an activation that goes with one unit of each output, and changes the reading by just that: the
            least one in units of the activations' covariance Σ, (WᵀΣW)⁻¹WᵀΣ. The least change in plain length goes
            along W itself, into directions in which activations hardly vary: it depends on the probe's penalty more than
            on the network.

    Source: Haufe et al. 2014, eq. 6 (patterns for filters).
    """

    fit: LinearFit
    back: Float[Tensor, "output width"]

    @classmethod
    def of(cls, fit: LinearFit, activations: Float[Tensor, "batch query width"]) -> "Probe":
        """The probe of a fit to these activations."""
        rows = activations.double().flatten(0, 1)
        rows = rows - rows.mean(0)
        readings = rows @ fit.weights
        return cls(fit=fit, back=torch.linalg.pinv(readings.T @ readings) @ (readings.T @ rows))


def fit_probes(
    subject: Subject, claims: Sequence[ClaimedPath], sites: Sequence[Site], fitting: Prompts
) -> dict[ProbedPlace, Probe]:
    """For each claim and site the probes for the weights that the claim says are there, and for their answer."""
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
    """Squared error and squared deviation of what the probes read on other prompts; and against another prompt's target."""
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
    """What the probes read at the queries, moved to the donor's and scaled.

    Weights are moved for all queries of a prompt alike, by the mean of what is read there, and the claim's iterate by the
    same. An answer is moved at each query; nobody else reads it there, so every algorithm that only adds to it carries
    the change to the end. Readings are counted from the mean of the target, so that the part of a probe that tells
    nothing of the prompt is not scaled with it.
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
    """A network that is known to hold its weights at the queries, or its answer, and its claim two steps before the end."""
    network = primal_gradient_descent(layers=8) if variable == WEIGHTS else gradient_descent(layers=8)
    return network, declared_claim(network, dim).at(network.path[-3:-2])


def _targets(claim: ClaimedPath, prompts: Prompts) -> dict[tuple[str, Site], Float[Tensor, "batch query output"]]:
    """What the claim says is held at its sites, for each query."""
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
