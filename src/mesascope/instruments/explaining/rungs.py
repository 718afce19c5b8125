"""How much of a subject's answers each class of explanation leaves, prompt by prompt, on prompts that nothing was fitted to."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms import Algorithm, MeanLabel, run
from mesascope.instruments.behaving.matching.families import SMOOTHERS
from mesascope.instruments.explaining.asked import Asked
from mesascope.instruments.explaining.filters import Quadratic
from mesascope.instruments.spectral.channels import SpectralChannels
from mesascope.instruments.spectral.krylov import krylov_terms
from mesascope.instruments.statistics.discrepancy import discrepancy
from mesascope.types import RungKind

PULLS = tuple(10.0**power for power in (-4, -3, -2, -1, 0, 1, 3))
"""How strongly a prompt's own gains are drawn to the filter of all prompts, in units of a channel's mean energy."""
CLOSER = 8
"""How often the search for a bandwidth halves its step."""
_SMALL = 1e-10  # singular values below this share of the largest are noise


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Left:
    """The error that remains when answers are explained by a class.

    Attributes:
        kind: the class.
        errors: the error on each scored prompt.
        detail: the member of the class.
        noise: the error that noise in the answers causes, in units of the noise's own size: 1 for that of the answer explained,
            and more where the prediction is made of noisy answers.
    """

    kind: RungKind
    errors: Float[Tensor, " batch"]
    detail: str = ""
    noise: float | Float[Tensor, " batch"] = 1.0


def of_query(asked: Asked) -> Left:
    """The answers to the same queries under other examples."""
    return Left(kind="query alone", errors=discrepancy(asked.answers, asked.swapped, asked.units), detail="", noise=2.0)


def of_labels(asked: Asked) -> Left:
    """Superposition: what the answers would be if the subject were linear in the labels."""
    return Left(kind="labels", errors=discrepancy(asked.answers, asked.superposed, asked.units), detail="", noise=2.0)


def of_labels_and_query(asked: Asked) -> Left:
    """Each prompt's own weights, fitted to all queries but the one that is scored."""
    errors, noise = _leave_one_out(asked, asked.scoring.queries)
    return Left(kind="labels and query", errors=errors, noise=noise)


def of_own_polynomial(asked: Asked, degree: int) -> Left:
    """Each prompt's own polynomial of this degree in XᵀX, applied to Xᵀy; fitted to all queries but the one that is scored."""
    errors, noise = _leave_one_out(asked, krylov_terms(asked.scoring, degree + 1))
    return Left(kind="own polynomial", errors=errors, detail=f"degree {degree}", noise=noise)


def _leave_one_out(
    asked: Asked, features: Float[Tensor, "batch query feature"]
) -> tuple[Float[Tensor, " batch"], Float[Tensor, " batch"]]:
    """Error of a regression, prompt by prompt, at each query when all others are fitted to; and what noise adds to it."""
    answers = asked.answers
    scaled = features / features.square().mean(1, keepdim=True).sqrt().clamp(min=1e-300)
    left, sizes, _ = torch.linalg.svd(scaled, full_matrices=False)
    left = left * (sizes > _SMALL * sizes[:, :1])[:, None]
    leverage = left.square().sum(-1).clamp(max=1 - 1e-9)
    remainder = (answers - (left @ (left.mT @ answers[..., None]))[..., 0]) / (1 - leverage)
    return discrepancy(remainder, torch.zeros_like(remainder), asked.units), (1 / (1 - leverage)).mean(-1)


def of_diagonal(
    asked: Asked, channels: SpectralChannels, gains: Float[Tensor, "batch dim"], errors: Float[Tensor, " batch"]
) -> Left:
    """Each prompt's own gain for every eigen-direction, fitted to the answers to other labels on the same inputs.

    The gains are drawn to the best filter of all prompts, as strongly as predicts the last of those other answers best, so
    that this class contains the filters.

    Args:
        asked: the answers.
        channels: of the scored prompts.
        gains: the best filter at their eigenvalues.
        errors: what that filter leaves.
    """
    known, sizes = [], []
    for prompts, answers in asked.others:
        shares = SpectralChannels.of(prompts.to(dtype=torch.float64))
        size = answers.square().mean(-1).nan_to_num(nan=1.0, posinf=1.0).clamp(min=1e-12)
        known.append(Quadratic.of(shares, answers, size))
        sizes.append(size)
    *fitted, judge = known
    judged = [float(judge.errors(gains + _own_gains(fitted, pull, gains)).mean()) for pull in PULLS]
    if min(judged) >= float(judge.errors(gains).mean()):
        return Left(kind="diagonal", errors=errors)
    pull = PULLS[judged.index(min(judged))]
    gram = torch.stack([each.gram for each in known]).sum(0)
    predicted = channels.predictions(gains + _own_gains(known, pull, gains))
    spread = _pulled(gram, pull, _pulled(gram, pull, gram).mT)  # how the gains vary with noise in the answers
    energy = (channels.shares.mT @ channels.shares / channels.shares.shape[1] * spread).sum((-1, -2))
    noise = 1 + energy / (channels.shares.shape[1] * torch.stack(sizes).mean(0))
    return Left(kind="diagonal", errors=discrepancy(asked.answers, predicted, asked.units), noise=noise)


def _own_gains(
    known: Sequence[Quadratic], pull: float, gains: Float[Tensor, "batch dim"]
) -> Float[Tensor, "batch dim"]:
    """What to add to given gains, prompt by prompt, to fit answers to several label vectors."""
    gram, moment = torch.stack([k.gram for k in known]).sum(0), torch.stack([k.moment for k in known]).sum(0)
    return _pulled(gram, pull, moment - (gram @ gains[..., None])[..., 0])


def _pulled(gram: Float[Tensor, "batch dim dim"], pull: float, right: Tensor) -> Tensor:
    """(G + pull)⁻¹ of vectors or matrices, the pull in units of the mean energy of a channel."""
    energy = gram.diagonal(dim1=-2, dim2=-1).mean(-1).clamp(min=1e-300)[:, None, None]
    damped = gram + pull * energy * torch.eye(gram.shape[-1], dtype=gram.dtype)
    return torch.linalg.solve(damped, right if right.ndim == 3 else right[..., None]).reshape(right.shape)


def of_smoother(asked: Asked) -> Left:
    """The kernel smoother that is nearest on the fitted prompts; the mean label is the one with the widest kernel."""
    answers = asked.paths.fitting[-1]
    sizes = answers.square().mean(-1).clamp(min=1e-300)

    def error(member: Algorithm) -> float:
        return float(discrepancy(answers, run(member, asked.fitting).predictions[-1], sizes).mean())

    nearest: tuple[float, str, Algorithm] = (error(MeanLabel()), "the mean label", MeanLabel())
    for family in SMOOTHERS:
        tried = {value: error(family.member(value)) for value in family.values}
        ratio = family.values[1] / family.values[0]
        for _ in range(CLOSER):
            best = min(tried, key=tried.__getitem__)
            ratio = ratio**0.5
            tried |= {value: error(family.member(value)) for value in (best / ratio, best * ratio)}
        best = min(tried, key=tried.__getitem__)
        named = f"{family.name}, {family.parameter} {best:.2g}"
        nearest = min(nearest, (tried[best], named, family.member(best)), key=lambda each: each[0])
    predicted = run(nearest[2], asked.scoring).predictions[-1]
    return Left(kind="smoother", errors=discrepancy(asked.answers, predicted, asked.units), detail=nearest[1])


__all__ = ("Left", "of_diagonal", "of_labels", "of_labels_and_query", "of_own_polynomial", "of_query", "of_smoother")
