"""A change of a subject's state, and what algorithms predict of it."""

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms import Algorithm, LeastSquares, Problem, State
from mesascope.instruments.identification.families import BY_NAME
from mesascope.instruments.identification.fitting import fit_path
from mesascope.instruments.identification.runner import Runner
from mesascope.instruments.intervening.causal.claims import overwritten, predicted_change, states, variables
from mesascope.instruments.reading.paths import Splits, paths
from mesascope.types import Intervention, Prompts, Site, Subject

RIGHT, EARLIER, LATER = "right", "predicted from a step earlier", "predicted from a step later"
DONOR = "donor's"
SCALES = {"scaled by 0.5": 0.5, "scaled by 2": 2.0}
ANSWERED = "none: the answer is ⟨x_q, w⟩"
"""The claim that needs no algorithm: whatever w is there at last, the answer is its product with the query."""
RIVALS = ("gradient-descent", "conjugate-gradient")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClaimedPath:
    """An algorithm, and the step that it says a subject has taken after each layer.

    Attributes:
        name: what it is called.
        algorithm: with its coefficients.
        steps: taken at each site.
        total: taken at the end.
        ridge: λ of the problem that it is run on.
    """

    name: str
    algorithm: Algorithm
    steps: Mapping[Site, int]
    total: int
    ridge: float = 0.0

    def at(self, sites: Collection[Site]) -> "ClaimedPath":
        """The claim at these sites alone, and there only once it has taken a step: before, its iterate is always 0."""
        steps = {site: step for site, step in self.steps.items() if site in sites and step > 0}
        return dataclasses.replace(self, steps=steps)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pair:
    """Recipients, and donors with the recipients' queries; ``first`` is the place of the first among all prompts."""

    donors: Prompts
    recipients: Prompts
    first: int = 0


def of_size_one(pairs: Sequence[Pair], size: float) -> list[Pair]:
    """The pairs in units in which inputs of this mean eigenvalue have 1, for networks whose step size is made for that."""
    return [
        dataclasses.replace(pair, donors=rescaled(pair.donors, size), recipients=rescaled(pair.recipients, size))
        for pair in pairs
    ]


def rescaled(prompts: Prompts, size: float) -> Prompts:
    """The prompts with inputs, and labels with them, over the root of a mean eigenvalue; the weights stay."""
    unit = size**0.5
    return dataclasses.replace(
        prompts,
        xs=prompts.xs / unit,
        ys=prompts.ys / unit,
        queries=prompts.queries / unit,
        targets=prompts.targets / unit,
        target_variance=prompts.target_variance / size,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Change:
    """One overwriting of one variable at one site.

    Attributes:
        site: where.
        variable: which part of the state.
        overwrite: with what.
        intervention: how, in the subject.
        random: a random change at the same place, as large for every prompt.
        predicted: by the name of the claim: the change of the answers as predicted (`RIGHT`), and as if the state were
            that of a step earlier or later, where there is such a step.
    """

    site: Site
    variable: str
    overwrite: str
    intervention: Intervention
    random: Intervention
    predicted: Mapping[str, Mapping[str, Float[Tensor, "batch query"]]]


Changes = Callable[[Pair], Iterator[Change]]
"""The changes to make to some prompts."""


def fitted_claims(subject: Subject, prompts: Prompts, reading: Prompts, *, seed: int) -> list[ClaimedPath]:
    """Gradient descent and conjugate gradient, with the coefficients and timings that describe the subject's path best.

    Args:
        subject: whose path.
        prompts: to fit coefficients and timings on.
        reading: others, to fit readouts on where the subject's own does not serve.
        seed: of the order in which prompts are asked again.
    """
    splits = Splits(fitting=prompts, scoring=prompts, again=prompts[:1], reading=lambda: (reading, reading))
    path = paths(subject, splits, seed=seed)
    runner = Runner(prompts)
    found: list[ClaimedPath] = []
    for name in RIVALS:
        fit = fit_path(BY_NAME[name], runner, path.fitting, gains=path.gains)
        steps = dict(zip(subject.path, fit.steps, strict=True))
        found.append(
            ClaimedPath(name=name, algorithm=fit.family.algorithm(fit.values), steps=steps, total=fit.steps[-1])
        )
    return found


def answered(sites: tuple[Site, ...]) -> ClaimedPath:
    """The claim that w has arrived: as if least squares were done at these sites, and nothing left but the product."""
    return ClaimedPath(name=ANSWERED, algorithm=LeastSquares(), steps=dict.fromkeys(sites, 1), total=1)


def shifted(algorithm: Algorithm, problem: Problem, state: State, change: Float[Tensor, "batch dim"]) -> State:
    """The state with its iterate moved."""
    iterate = variables(state)[0]
    return overwritten(algorithm, problem, state, **{iterate: getattr(state, iterate) + change})


def predictions(
    claim: ClaimedPath, site: Site, problem: Problem, path: list[State], move: Callable[[State], State]
) -> dict[str, Float[Tensor, "batch query"]]:
    """What the claim predicts if its state at the site, or at the step before or after, is moved.

    Args:
        claim: whose state.
        site: where it is moved.
        problem: the prompts.
        path: the claim's states after 0, 1, … steps.
        move: the same change for each of them.
    """
    step = claim.steps[site]
    found: dict[str, Tensor] = {}
    for name, at in ((RIGHT, step), (EARLIER, step - 1), (LATER, step + 1)):
        if 0 <= at <= claim.total:
            found[name] = predicted_change(claim.algorithm, problem, path[at], move(path[at]), claim.total - at)
    return found


def claimed_states(claim: ClaimedPath, prompts: Prompts) -> tuple[Problem, list[State]]:
    """The prompts as the claim sees them, in double precision, and its states after 0, 1, … steps."""
    problem = Problem.of(prompts.to(device="cpu", dtype=torch.float64), claim.ridge)
    return problem, states(claim.algorithm, problem, claim.total)


def as_large(noise: Tensor, change: Tensor) -> Tensor:
    """The noise, where the change is not zero, as long as the change for every prompt."""
    noise = noise.to(change) * (change != 0)
    length = change.flatten(1).norm(dim=1) / noise.flatten(1).norm(dim=1).clamp(min=torch.finfo(change.dtype).tiny)
    return noise * length.view(-1, *[1] * (change.ndim - 1))
