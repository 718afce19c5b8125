"""Overwriting the state of a network that declares its channels (`mesascope.models.constructions.holding`)."""

from collections.abc import Iterator, Sequence
from typing import Protocol, cast, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms import Problem, State
from mesascope.instruments.intervening.causal.changes import (
    DONOR,
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
from mesascope.instruments.intervening.causal.claims import overwritten
from mesascope.models.constructions import (
    Channels,
    Construction,
    conjugate_gradient,
    gd_plus_plus,
    heavy_ball,
    newton_schulz,
)
from mesascope.models.constructions.holding import Holding
from mesascope.seeds import generator
from mesascope.types import DeclaresState, Intervention, Site, Subject


@runtime_checkable
class Declaring(Subject, DeclaresState, Protocol):
    """A subject that declares which variables its channels hold, as a `Construction` does."""

    @property
    def holds(self) -> Holding | None:
        """The variables of the state and how the channels hold them; ``None`` if none is declared."""
        ...

    def channels(self, dim: int) -> Channels:
        """The named channels of the residual stream."""
        ...


def declaring(subject: Subject) -> Declaring | None:
    """The subject, if it declares which variables its channels hold; otherwise ``None``."""
    return cast(Declaring, subject) if isinstance(subject, DeclaresState) and subject.holds is not None else None


def declared_claim(construction: Declaring, dim: int) -> ClaimedPath:
    """The algorithm that a construction declares, with the number of steps at every site where a step is complete."""
    assert construction.holds is not None
    done = {site: site.layer + 1 - construction.layers_to_start for site in construction.path}
    stride = construction.layers_per_step
    algorithm = construction.holds.algorithm(dim)
    return ClaimedPath(
        name=algorithm.name,
        algorithm=algorithm,
        steps={site: layers // stride for site, layers in done.items() if layers >= stride and layers % stride == 0},
        total=(construction.layers - construction.layers_to_start) // stride,
        ridge=construction.holds.ridge,
    )


def known_network(variable: str, dim: int, examples: int) -> tuple[Construction, ClaimedPath]:
    """A hand-built network that holds this variable, and its claim at the first site where a step is complete.

    Conjugate gradient is done after as many steps as XᵀX has eigenvalues different from 0. Later steps are rounding errors,
    which differ between network and algorithm, so the network takes no more steps than that.
    """
    known = (
        heavy_ball(layers=4),
        conjugate_gradient(iterations=min(3, dim, examples)),
        newton_schulz(iterations=3),
        gd_plus_plus(layers=4),
    )
    network = next(built for built in known if built.holds is not None and variable in built.holds.variables)
    claim = declared_claim(network, dim)
    return network, claim.at((min(claim.steps),))


def declared_changes(
    construction: Declaring, variables: Sequence[str], claim: ClaimedPath, rivals: Sequence[ClaimedPath], *, seed: int
) -> Changes:
    """The changes of the declared variables at every site where a step is complete: the donor's value, and scaled values.

    The change of the network's channels is the difference between two states of its algorithm. Where the weights of these
    differ, rival algorithms are given the same change of the weights. A donor's vector is first projected onto the span of
    the recipient's examples, which no state of these algorithms leaves.

    Args:
        construction: the network.
        variables: the variables to overwrite, of those that it holds.
        claim: its own algorithm, at the sites where variables are overwritten.
        rivals: other algorithms.
        seed: of the random changes.
    """

    def changes(pair: Pair) -> Iterator[Change]:
        problem, path = claimed_states(claim, pair.recipients)
        _, donated = claimed_states(claim, pair.donors)
        streams = construction.trace(pair.recipients, capture=tuple(claim.steps)).activations
        others = [(rival, *claimed_states(rival, pair.recipients)) for rival in rivals]
        for site, step in claim.steps.items():
            for variable in variables:
                own, theirs = getattr(path[step], variable), getattr(donated[step], variable)
                moves = {DONOR: _reachable(problem, theirs) - own} | {n: (s - 1) * own for n, s in SCALES.items()}
                for overwrite, move in moves.items():

                    def put(state: State, move: Tensor = move, variable: str = variable) -> State:
                        value = getattr(state, variable) + move
                        return overwritten(claim.algorithm, problem, state, **{variable: value})

                    predicted = {claim.name: predictions(claim, site, problem, path, put)}
                    before, after = path[step], put(path[step])
                    assert before.weights is not None and after.weights is not None, "it has the variable overwritten"
                    difference = after.weights - before.weights
                    for rival, its_problem, its_path in others if bool(difference.any()) else ():

                        def shift(state: State, rival=rival, its_problem=its_problem, by=difference) -> State:
                            return shifted(rival.algorithm, its_problem, state, by)

                        predicted[rival.name] = predictions(rival, site, its_problem, its_path, shift)
                    change = _in_channels(construction, streams[site], problem, before, after)
                    rng = generator(seed, f"causal/{site}/{variable}/{overwrite}", pair.first)
                    noise = torch.randn(change.shape, generator=rng, dtype=torch.float64)
                    yield Change(
                        site=site,
                        variable=variable,
                        overwrite=overwrite,
                        intervention=_add(site, change),
                        random=_add(site, as_large(noise, change)),
                        predicted=predicted,
                    )

    return changes


def _in_channels(
    construction: Declaring,
    stream: Float[Tensor, "batch position width"],
    problem: Problem,
    before: State,
    after: State,
) -> Float[Tensor, "batch position width"]:
    """The difference between two states, as the channels hold them."""
    assert construction.holds is not None
    channels = construction.channels(problem.moment.shape[-1])
    named = channels.split(stream.double())
    old, new = (construction.holds.values(problem, state, named) for state in (before, after))
    change = torch.zeros_like(stream, dtype=torch.float64)
    for name, place in channels.split(change).items():
        if name in new:
            place += new[name] - old[name]
    return change


def _add(site: Site, change: Float[Tensor, "batch position width"]) -> Intervention:
    return Intervention(site=site, edit=lambda stream: stream + change.to(stream))


def _reachable(problem: Problem, value: Float[Tensor, "batch *unknown"]) -> Float[Tensor, "batch *unknown"]:
    """The projection of a vector in feature or data space onto the span of the examples; a matrix stays as it is."""
    if value.ndim > 2:
        return value
    xs, _ = problem.data
    inverse = torch.linalg.pinv(xs)
    projector = inverse @ xs if value.shape[-1] == xs.shape[-1] else xs @ inverse
    return (projector @ value[..., None])[..., 0]
