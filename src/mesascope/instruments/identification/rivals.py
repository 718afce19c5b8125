"""Explanations that can look like a candidate: a path of ridge solutions, and a candidate's answers times a factor."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mesascope.instruments.identification.candidates import EQUIVALENT, Fitted, Halves, predict
from mesascope.instruments.identification.fitting import Aim, fit_multiple
from mesascope.instruments.identification.mixing import mixture
from mesascope.instruments.identification.runner import Runner
from mesascope.instruments.reading.paths import Paths
from mesascope.instruments.statistics import discrepancy as scoring
from mesascope.types import Control

RIDGES = torch.logspace(-6, 4, 240, dtype=torch.float64)
"""The values of λ/n to choose from, in units of the mean eigenvalue. Neighbours differ by a tenth, which changes a prediction by
at most a thousandth of its variance."""
RIVAL = 0.002
"""The ridge path counts as better than the best candidate if its score is better by at least this, and significantly so."""
MULTIPLE = 0.01
"""A factor closer to 1 than this counts as 1."""
MOST = 0.9
"""The share of the best candidate's repeated remainder that the factor must explain."""
TRIED = 5
"""The number of best candidates that are tried with a factor."""


def ridges(
    best: Float[Tensor, "layer batch query"],
    paths: Paths,
    halves: Halves,
    units: Float[Tensor, "layer batch"],
    informative: Bool[Tensor, "layer batch"],
    *,
    flexible: bool,
) -> tuple[Control, bool]:
    """The score of a path of ridge solutions, with one λ per layer, and whether it is better than the best candidate.

    Early stopping resembles ridge, and gradient descent at doubling steps (Newton–Schulz) resembles a λ that falls
    geometrically. So a subject that solves a ridge problem at every layer, without iterating, can leave a remainder below
    the 2 % that are allowed (`remainder.EXPLAINED`). A candidate with coefficients for every layer (``flexible``) follows such
    a path closely; the ridge path, with one number per layer, is then better unless that candidate saves something that matters.
    """
    path = ridge_path(halves.fitting, halves.scoring, paths.fitting, gains=paths.gains)
    losses = scoring.losses(paths.scoring, torch.stack([best, path]), units, informative)
    better = float(losses.scores[1] - losses.scores[0]) > RIVAL
    control = Control(
        kind="negative",
        name="a path of ridge solutions",
        value=float(losses.scores[1]),
        interval=losses.intervals(halves.draws)[1],
    )
    if flexible and losses.saving(0, 1) <= EQUIVALENT:
        return control, True
    return control, better and 0 not in scoring.confidence_set(losses, [0, 1], halves.draws)


def ridge_path(
    fitting: Runner, scoring_half: Runner, subject: Float[Tensor, "layer batch query"], *, gains: bool
) -> Float[Tensor, "layer other query"]:
    """Ridge solutions on the scoring half, with the λ that describes the subject best on the fitting half at each layer.

    Args:
        fitting, scoring_half: the two halves.
        subject: the subject's answers on the fitting half.
        gains: whether one factor per layer is fitted too, as for the candidates.
    """
    there, here = (
        half.channels.predictions(
            half.channels.eigenvalues / (half.channels.eigenvalues + fitting.size * RIDGES[:, None, None])
        )
        for half in (fitting, scoring_half)
    )
    units = scoring.units(subject, fitting.prompts.target_variance)
    if gains:
        wide = there[:, None].expand(-1, len(subject), -1, -1)
        read = mixture(subject, wide, torch.zeros_like(wide), fitting.prompts.targets, units)
        there, here = (read(each[:, None], torch.zeros_like(each[:, None])) for each in (there, here))
    else:
        there, here = there[:, None].expand(-1, len(subject), -1, -1), here[:, None].expand(-1, len(subject), -1, -1)
    best = torch.stack([scoring.discrepancy(subject, path, units).mean(-1) for path in there]).argmin(0)
    return here[best, torch.arange(len(subject))]


def multiplied(
    fitted: Fitted,
    order: Sequence[int],
    paths: Paths,
    halves: Halves,
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
        paths, halves: the subject's answers, and the prompts.
        units, informative: the units of squared errors, and the layers and prompts that count, on the scoring half.
        repeated: the repeated share of the best candidate's remainder (`remainder.repeated_share`).
    """
    names = [family.name for family in fitted.families]
    first = order[:TRIED]
    smaller = [names.index(name) for i in first for name in fitted.families[i].contains if name in names]
    tried = [i for i in dict.fromkeys((*first, *smaller)) if fitted.families[i].variable is None]
    if not tried:
        return None
    aim = Aim.of(halves.fitting, paths.fitting, paths.gains)
    found = {i: fit_multiple(fitted.fits[i], aim) for i in tried}
    nearly = min(fit.loss for fit, _ in found.values()) + scoring.PRECISION * len(paths.fitting)
    best = min((i for i, (fit, _) in found.items() if fit.loss <= nearly), key=lambda i: len(fitted.fits[i].values))
    fit, factor = found[best]
    path = predict(fit, halves.scoring, paths, halves.fitting).clone()
    path[slice(-1, None) if paths.gains else slice(None)] *= factor
    losses = scoring.losses(paths.scoring, torch.stack([fitted.scoring[order[0]], path]), units, informative)
    floor = scoring.BLUR if paths.gains else scoring.PRECISION
    better = 0 not in scoring.confidence_set(losses, [0, 1], halves.draws, floor=floor)
    most = float(losses.scores[1] - losses.scores[0]) > MOST * repeated
    return (factor, names[best]) if better and most and abs(factor - 1) > MULTIPLE else None
