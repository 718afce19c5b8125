"""Changes of a subject's state, and the changes of the answers that algorithms predict."""

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms import Algorithm, LeastSquares, Problem, State
from mesascope.instruments.identification.candidates import fit_one
from mesascope.instruments.identification.evidence import Evidence, Halves
from mesascope.instruments.identification.families import BY_NAME
from mesascope.instruments.intervening.causal.claims import overwritten, predicted_change, states, variables
from mesascope.instruments.reading.paths import Splits, nudged, paths
from mesascope.types import Intervention, Prompts, Site, Subject

RIGHT, EARLIER, LATER = "right", "predicted from a step earlier", "predicted from a step later"
DONOR = "donor's"
SCALES = {"scaled by 0.5": 0.5, "scaled by 2": 2.0}
ANSWERED = "none: the answer is ⟨x_q, w⟩"
"""The claim without an algorithm: the answer is the product of the query with the w that has arrived, however w was found."""
RIVALS = ("gradient-descent", "conjugate-gradient")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClaimedPath:
    """The claim that a subject runs an algorithm, with the number of steps it has taken at each site.

    Attributes:
        name: the claim's name in reports.
        algorithm: the algorithm with its coefficients.
        steps: the number of steps taken at each site.
        total: the number of steps taken at the end.
        ridge: λ of the problem that the algorithm is run on.
    """

    name: str
    algorithm: Algorithm
    steps: Mapping[Site, int]
    total: int
    ridge: float = 0.0

    def at(self, sites: Collection[Site]) -> "ClaimedPath":
        """The claim at these sites only, without those before the first step, where the iterate is always 0."""
        steps = {site: step for site, step in self.steps.items() if site in sites and step > 0}
        return dataclasses.replace(self, steps=steps)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pair:
    """A batch of pairs: recipients, and donors with the recipients' queries.

    Attributes:
        donors: the prompts whose state is put in.
        recipients: the prompts whose state is overwritten.
        first: the place of the batch's first pair among all pairs.
    """

    donors: Prompts
    recipients: Prompts
    first: int = 0


def of_size_one(pairs: Sequence[Pair], size: float) -> list[Pair]:
    """The pairs scaled from mean eigenvalue ``size`` of the inputs to 1, for networks whose step size assumes 1."""
    return [
        dataclasses.replace(pair, donors=rescaled(pair.donors, size), recipients=rescaled(pair.recipients, size))
        for pair in pairs
    ]


def rescaled(prompts: Prompts, size: float) -> Prompts:
    """The prompts with inputs, labels and targets divided by √size; the weights stay as they are."""
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
        site: where the variable is overwritten.
        variable: which part of the state is overwritten.
        overwrite: what it is overwritten with.
        intervention: the edit of the subject's activations.
        random: an edit by a random change at the same place, with the same length on every prompt.
        predicted: for each claim by name, the predicted change of the answers (`RIGHT`), and those predicted as if the
            state were that of one step earlier or later, where there is such a step.
    """

    site: Site
    variable: str
    overwrite: str
    intervention: Intervention
    random: Intervention
    predicted: Mapping[str, Mapping[str, Float[Tensor, "batch query"]]]


Changes = Callable[[Pair], Iterator[Change]]
"""A function that yields the changes to make in a batch of pairs."""


def fitted_claims(subject: Subject, prompts: Prompts, reading: Prompts, *, seed: int) -> list[ClaimedPath]:
    """Gradient descent and conjugate gradient, with the coefficients and steps per layer that fit the subject's path best.

    Args:
        subject: the subject whose path is fitted.
        prompts: the prompts to fit coefficients and steps on.
        reading: other prompts, to fit readouts on if the subject's own readout is not used (`reading.paths.paths`).
        seed: of the order in which prompts are asked again.
    """
    again = nudged(prompts, seed)
    splits = Splits(fitting=prompts, scoring=prompts, again=again, reading=lambda: (reading, reading))
    evidence = Evidence(paths(subject, splits, seed=seed), Halves.of("pairs", splits, seed))
    found: list[ClaimedPath] = []
    for name in RIVALS:
        fit = fit_one("path", BY_NAME[name], evidence)
        steps = dict(zip(subject.path, fit.steps, strict=True))
        found.append(
            ClaimedPath(name=name, algorithm=fit.family.algorithm(fit.values), steps=steps, total=fit.steps[-1])
        )
    return found


def answered(sites: tuple[Site, ...]) -> ClaimedPath:
    """The claim that the least-squares weights have arrived at these sites, and only their product with the query is left."""
    return ClaimedPath(name=ANSWERED, algorithm=LeastSquares(), steps=dict.fromkeys(sites, 1), total=1)


def shifted(algorithm: Algorithm, problem: Problem, state: State, change: Float[Tensor, "batch dim"]) -> State:
    """The state with ``change`` added to its iterate."""
    iterate = variables(state)[0]
    return overwritten(algorithm, problem, state, **{iterate: getattr(state, iterate) + change})


def predictions(
    claim: ClaimedPath, site: Site, problem: Problem, path: list[State], move: Callable[[State], State]
) -> dict[str, Float[Tensor, "batch query"]]:
    """The predicted changes of the answers if the claim's state at the site, one step earlier or one step later is moved.

    Args:
        claim: the claim whose state is moved.
        site: where it is moved.
        problem: the prompts.
        path: the claim's states after 0, 1, … steps.
        move: the change of a state, the same in all three cases.
    """
    step = claim.steps[site]
    found: dict[str, Tensor] = {}
    for name, at in ((RIGHT, step), (EARLIER, step - 1), (LATER, step + 1)):
        if 0 <= at <= claim.total:
            found[name] = predicted_change(claim.algorithm, problem, path[at], move(path[at]), claim.total - at)
    return found


def claimed_states(claim: ClaimedPath, prompts: Prompts) -> tuple[Problem, list[State]]:
    """The prompts as the claim's problem, in double precision, and the claim's states after 0, 1, … steps."""
    problem = Problem.of(prompts.to(device="cpu", dtype=torch.float64), claim.ridge)
    return problem, states(claim.algorithm, problem, claim.total)


def as_large(noise: Tensor, change: Tensor) -> Tensor:
    """The noise, set to 0 where the change is 0 and scaled to the change's norm on every prompt."""
    noise = noise.to(change) * (change != 0)
    length = change.flatten(1).norm(dim=1) / noise.flatten(1).norm(dim=1).clamp(min=torch.finfo(change.dtype).tiny)
    return noise * length.view(-1, *[1] * (change.ndim - 1))
