"""Explanations that can look like a candidate: a path of ridge solutions, and a candidate's answers times a factor."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mesascope.instruments.identification.candidates import EQUIVALENT, Fitted
from mesascope.instruments.identification.decoding import Projection
from mesascope.instruments.identification.evidence import Evidence
from mesascope.instruments.identification.fitting import Aim, fit_multiple
from mesascope.instruments.identification.generalised import penalised
from mesascope.instruments.identification.runner import Runner
from mesascope.instruments.statistics import discrepancy as scoring
from mesascope.instruments.statistics.discrepancy import Compared
from mesascope.types import Control

RIDGES = torch.logspace(-6, 4, 240, dtype=torch.float64)
"""The values of λ/n to choose from, in units of the mean eigenvalue. Neighbours differ by a tenth, which changes a prediction by
at most a thousandth of its variance."""
PENALTIES = torch.logspace(-5, 3, 100, dtype=torch.float64)
"""The same for the penalised solutions of a generalised linear model, of which each is found by an iteration."""
RIVAL = 0.002
"""The ridge path counts as better than the best candidate if its score is better by at least this, and significantly so."""
MULTIPLE = 0.01
"""A factor closer to 1 than this counts as 1."""
MOST = 0.9
"""The share of the best candidate's repeated remainder that the factor must explain."""
TRIED = 5
"""The number of best candidates that are tried with a factor."""


def ridges(
    fitted: Fitted,
    best: int,
    evidence: Evidence,
    units: Float[Tensor, "layer batch"],
    informative: Bool[Tensor, "layer batch"],
) -> tuple[Control, bool]:
    """The score of a path of ridge solutions, with one λ per layer, and whether it is better than the best candidate.

    Early stopping resembles ridge, and gradient descent at doubling steps (Newton–Schulz) resembles a λ that falls
    geometrically. So a subject that solves a ridge problem at every layer, without iterating, can leave a remainder below
    the 2 % that are allowed (`remainder.EXPLAINED`). A candidate with coefficients for every layer follows such a path
    closely; the ridge path, with one number per layer, is then better unless that candidate saves something that matters.
    Beside a candidate that minimises the objective of a generalised linear model, the solutions are the penalised ones of it.

    Args:
        fitted, best: the candidates, and the index of the best.
        evidence: the subject's answers.
        units, informative: the units of squared errors, and the layers and prompts that count, on the scoring half.
    """
    solve = penalised_solutions if fitted.families[best].generalised else ridge_solutions
    chosen = ridge_path(evidence.halves.fitting, evidence.paths.fitting, evidence.projection, solve)
    steps = torch.ones(1, len(chosen), dtype=torch.long)
    found = evidence.read(lambda runner: solve(runner, chosen)[None], steps, ("scoring", "again"))
    losses = evidence.losses(_beside(fitted, best, found), units, informative)
    better = float(losses.scores[1] - losses.scores[0]) > RIVAL
    control = Control(
        kind="negative",
        name="a path of penalised solutions" if solve is penalised_solutions else "a path of ridge solutions",
        value=float(losses.scores[1]),
        interval=losses.intervals(evidence.halves.draws)[1],
    )
    if fitted.families[best].variable is not None and losses.saving(0, 1) <= EQUIVALENT:
        return control, True
    return control, better and 0 not in scoring.confidence_set(losses, [0, 1], evidence.halves.draws)


def _beside(fitted: Fitted, best: int, found: Sequence[Compared]) -> list[Compared]:
    """The best candidate and another explanation, on the scoring half and where it is asked again."""
    pairs = []
    for (subject, candidates), (read, other) in zip((fitted.scoring, fitted.again), found, strict=True):
        pairs.append((torch.cat([subject[best][None], read]), torch.cat([candidates[best][None], other])))
    return pairs


Solutions = Callable[[Runner, Float[Tensor, " ridge"]], Float[Tensor, "ridge batch query"]]


def ridge_solutions(runner: Runner, ridges: Float[Tensor, " ridge"]) -> Float[Tensor, "ridge batch query"]:
    """The answers of ridge regression, by λ/n."""
    eigenvalues = runner.channels.eigenvalues
    return runner.channels.predictions(eigenvalues / (eigenvalues + ridges[:, None, None]))


def penalised_solutions(runner: Runner, ridges: Float[Tensor, " ridge"]) -> Float[Tensor, "ridge batch query"]:
    """The answers of the penalised solutions of a generalised linear model, by λ/n."""
    assert runner.glm is not None, "only a task of a generalised linear model has such candidates"
    values = [(ridge,) for ridge in (ridges * runner.problem.examples).tolist()]
    return runner.many(penalised(runner.glm), values, 1)[:, 1]


def ridge_path(
    runner: Runner,
    subject: Float[Tensor, "layer batch query"],
    projection: Projection | None,
    solve: Solutions = ridge_solutions,
) -> Float[Tensor, " layer"]:
    """The λ/n at each layer whose ridge solution describes the subject best.

    Args:
        runner: the prompts.
        subject: the subject's answers.
        projection: see `fitting.Aim`.
        solve: the solutions.
    """
    ridges = runner.size * (PENALTIES if solve is penalised_solutions else RIDGES)
    solutions = solve(runner, ridges)
    units = scoring.units(subject, runner.prompts.target_variance)
    middle = subject[:-1] if projection is None else subject[:0]
    errors = [
        torch.stack([scoring.discrepancy(layer, path, unit).mean() for path in solutions])
        for layer, unit in zip((*middle, subject[-1]), (*units[: len(middle)], units[-1]), strict=True)
    ]
    if projection is not None:
        read = projection.losses(torch.nn.functional.pad(solutions, (0, 0, 0, 0, 1, 0))[None])[0, 1:]
        errors = [*read.T, *errors]
    return ridges[torch.stack(errors).argmin(-1)]


def multiplied(
    fitted: Fitted,
    order: Sequence[int],
    evidence: Evidence,
    units: Float[Tensor, "layer batch"],
    informative: Bool[Tensor, "layer batch"],
    repeated: float,
) -> tuple[float, str] | None:
    """The factor and the candidate, if a candidate's answers times a factor describe the subject better than every candidate.

    They must also explain most of the best candidate's remainder; otherwise the result is ``None``. Without this test, a
    network of gradient descent with answers 5 % too large would be described best, and well, by an accelerated method.

    Args:
        fitted: the candidates.
        order: their indices, best first; the first few are tried, and the smaller families that these contain. Families
            with coefficients for every layer are left out: what they would be with a factor, they are nearly without it.
        evidence: the subject's answers.
        units, informative: the units of squared errors, and the layers and prompts that count, on the scoring half.
        repeated: the repeated share of the best candidate's remainder (`remainder.repeated_share`).
    """
    names = [family.name for family in fitted.families]
    first = order[:TRIED]
    smaller = [names.index(name) for i in first for name in fitted.families[i].contains if name in names]
    tried = [i for i in dict.fromkeys((*first, *smaller)) if fitted.families[i].variable is None]
    if not tried:
        return None
    aim = Aim.of(evidence.halves.fitting, evidence.paths.fitting, evidence.projection)
    found = {i: fit_multiple(fitted.fits[i], aim, fitted.fits[order[0]].steps) for i in tried}
    nearly = min(fit.loss for fit, _ in found.values()) + scoring.PRECISION * len(evidence.paths.fitting)
    best = min((i for i, (fit, _) in found.items() if fit.loss <= nearly), key=lambda i: len(fitted.fits[i].values))
    fit, factor = found[best]
    compared = [
        (subject, torch.cat([path[:, : aim.sized.start], factor * path[:, aim.sized]], 1))
        for subject, path in evidence.compare([fit], ("scoring", "again"))
    ]
    losses = evidence.losses(_beside(fitted, order[0], compared), units, informative)
    floor, draws = evidence.floor(losses), evidence.halves.draws
    better = 0 not in scoring.confidence_set(losses, [0, 1], draws, floor=floor)
    most = float(losses.scores[1] - losses.scores[0]) > MOST * repeated
    return (factor, names[best]) if better and most and abs(factor - 1) > MULTIPLE else None
