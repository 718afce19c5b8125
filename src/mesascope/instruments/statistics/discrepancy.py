"""One error for everybody, and what is significantly worse than the best.

``D_p(a, b)`` is the mean over a prompt's queries of (a − b)², divided by V_p, the variance of that prompt's target over the
query distribution, or by a quarter of the subject's own mean square where that is more (`units`). It is clipped at 4 (a
prediction of the wrong sign), since a few ill-conditioned prompts would otherwise decide everything. The progress score of a
candidate path a is 1 − Σ_ℓ mean_p D_p(ŷ_ℓ, a_ℓ) / Σ_ℓ mean_p D_p(ŷ_ℓ, 0): progress from the zero predictor, so that
doing nothing earns nothing.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mesascope.instruments.statistics.bootstrap import estimate

CLIP = 4.0
SAME = 0.01
"""Discrepancy below which candidates are said to agree at a layer of a prompt: it says how well, not how."""
PRECISION = 1e-6
"""A difference in score below this is rounding (single precision leaves 1e-7 of the variance)."""
BLUR = 5e-4
"""The same where readouts were fitted: they err by more than that themselves."""


def units(
    subject: Float[Tensor, "layer batch query"], variance: Float[Tensor, " batch"]
) -> Float[Tensor, "layer batch"]:
    """What squared errors are divided by: V_p, or, where a layer's answers lie so far out that D(ŷ, 0) would exceed 4, a
    quarter of their mean square.

    A subject that diverges on a prompt is thus asked whether it diverges as the candidate does: in units of V_p, any rounding
    of answers that large would pass for a difference.
    """
    size = subject.square().mean(-1) / CLIP
    return torch.where(size.isfinite() & (size > variance), size, variance.expand_as(size))


def discrepancy(
    a: Float[Tensor, "*#layer batch query"],
    b: Float[Tensor, "*#layer batch query"],
    units: Float[Tensor, "*#layer batch"],
) -> Float[Tensor, "... batch"]:
    """min(D_p(a, b), 4); 4 where a value is not finite.

    Args:
        a, b: the answers.
        units: what squared errors are divided by: V_p, or `units`.
    """
    raw = (a - b).square().mean(-1) / units
    return torch.nan_to_num(raw, nan=CLIP, posinf=CLIP).clamp(max=CLIP)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Losses:
    """Per-prompt losses, summed over the layers and prompts that tell the candidates apart.

    Attributes:
        candidates: a row a candidate: Σ_ℓ min(D_p(ŷ_ℓ, a_ℓ), 4).
        nothing: the same for the zero predictor.
        telling: share of layers × prompts that count.
    """

    candidates: Float[Tensor, "candidate batch"]
    nothing: Float[Tensor, " batch"]
    telling: float

    @property
    def scores(self) -> Float[Tensor, " candidate"]:
        return 1 - self.candidates.mean(-1) / self.nothing.mean()

    def intervals(self, draws: Float[Tensor, "repeat batch"]) -> list[tuple[float, float]]:
        """95 % interval of each score."""
        return [
            estimate(torch.stack([row, self.nothing], -1), lambda m: 1 - m[:, 0] / m[:, 1], draws)[1]
            for row in self.candidates
        ]

    def saving(self, larger: int, smaller: int) -> float:
        """What one candidate saves over another at most, with 95 % confidence, as a share of the subject's variance."""
        saved = self.candidates[smaller] - self.candidates[larger]
        return float((saved.mean() + 1.96 * saved.std() / len(saved) ** 0.5) / self.nothing.mean())

    def on(self, prompts: Int[Tensor, " chosen"]) -> "Losses":
        """The losses on some of the prompts."""
        return Losses(candidates=self.candidates[:, prompts], nothing=self.nothing[prompts], telling=self.telling)


def noisy(
    path: Float[Tensor, "layer batch query"], share: float, variance: Float[Tensor, " batch"], rng: torch.Generator
) -> Float[Tensor, "layer batch query"]:
    """The path with Gaussian prediction noise after every layer, its variance a share of the target's."""
    normal = torch.randn(path.shape, generator=rng, dtype=torch.float64)
    return path + (share * variance).sqrt()[:, None] * normal


def contrasts(
    loss: Float[Tensor, "*candidate batch"], best: Float[Tensor, "*candidate batch"]
) -> Float[Tensor, "contrast *candidate batch"]:
    """How much more a candidate loses than another: the difference L_c − L_b, and (L_c − L_b)/(L_c + L_b), which a few hard
    prompts cannot dominate.
    """
    difference = loss - best
    return torch.stack([difference, difference / (loss + best).clamp(min=1e-300)])


def losses(
    subject: Float[Tensor, "layer batch query"],
    candidates: Float[Tensor, "candidate layer batch query"],
    units: Float[Tensor, "... batch"],
    informative: Bool[Tensor, "layer batch"],
) -> Losses:
    """Losses over the informative layers and prompts."""
    errors = torch.stack([discrepancy(subject, path, units) for path in candidates])
    nothing = discrepancy(subject, torch.zeros_like(subject), units)
    return Losses(
        candidates=(errors * informative).sum(1),
        nothing=(nothing * informative).sum(0),
        telling=float(informative.double().mean()),
    )


def telling_apart(
    candidates: Float[Tensor, "candidate layer batch query"], units: Float[Tensor, "... batch"]
) -> Bool[Tensor, "layer batch"]:
    """Where some pair of candidates disagrees by more than 1 % of the unit."""
    first = candidates[:1]
    widest = torch.zeros(candidates.shape[1:3], dtype=torch.float64)
    for path in candidates:  # the largest pairwise distance is at least half of the largest distance to any one
        widest = torch.maximum(widest, discrepancy(first[0], path, units))
    apart = widest > SAME
    for i in range(1, len(candidates)):
        undecided = ~apart
        if not bool(undecided.any()):
            break
        for j in range(i + 1, len(candidates)):
            apart |= undecided & (discrepancy(candidates[i], candidates[j], units) > SAME)
    return apart


def confidence_set(
    all_losses: Losses, eligible: list[int], draws: Float[Tensor, "repeat batch"], *, floor: float = PRECISION
) -> list[int]:
    """The eligible candidates left after those that are significantly worse than another one have gone, one by one.

    In every round all pairs that are left are compared by two paired contrasts (`contrasts`), each studentised; the critical
    value is the 95 % quantile of the largest bootstrap deviation over all of them (max-t). Where the largest contrast exceeds
    it, the worse of its pair goes. What is promised: with 95 % probability every candidate with the least expected loss
    stays, however many share it. What differs by at most ``floor``, a share of the subject's variance, counts as equal.

    Source: Hansen, Lunde & Nason 2011 (model confidence set, range statistic).
    """
    if len(eligible) < 2:
        return list(eligible)
    table = all_losses.candidates[eligible]
    better, worse = torch.combinations(torch.arange(len(eligible))).unbind(-1)
    means = table.mean(-1)
    swap = means[better] > means[worse]
    better, worse = torch.where(swap, worse, better), torch.where(swap, better, worse)
    found = contrasts(table[worse], table[better])  # (contrast, pair, batch)
    mean = found.mean(-1)
    replicates = torch.einsum("rb,cpb->rcp", draws, found) / draws.sum(1)[:, None, None]
    error = replicates.std(0)
    varies = error > 0
    deviation = torch.where(varies, (replicates - mean).abs() / error.clamp(min=1e-300), torch.zeros_like(replicates))
    size = torch.where(varies, mean / error.clamp(min=1e-300), torch.where(mean > 0, torch.inf, 0.0))
    deviation, size = deviation.amax(1), size.amax(0)  # over the two contrasts; (repeat, pair) and (pair)
    differ = mean[0] > floor * all_losses.nothing.mean()
    left = torch.ones(len(eligible), dtype=torch.bool)
    while bool((compared := left[better] & left[worse] & differ).any()):
        critical = torch.quantile(deviation[:, left[better] & left[worse]].amax(1), 0.95)
        largest = torch.where(compared, size, -torch.inf).argmax()
        if not float(size[largest]) > float(critical):
            break
        left[worse[largest]] = False
    return [index for index, stays in zip(eligible, left.tolist(), strict=True) if stays]


def agreement(
    subject: Float[Tensor, "layer batch query"],
    candidates: Float[Tensor, "candidate layer batch query"],
    units: Float[Tensor, "... batch"],
) -> Float[Tensor, "candidate candidate"]:
    """1 − discrepancy between each two candidates, over the subject's own size: 1 means the same predictions."""
    size = discrepancy(subject, torch.zeros_like(subject), units).sum(0).mean()
    rows = [torch.stack([discrepancy(a, b, units).sum(0).mean() for b in candidates]) for a in candidates]
    return 1 - torch.stack(rows) / size


def progress(
    answers: Float[Tensor, "batch query"],
    targets: Float[Tensor, "batch query"],
    variance: Float[Tensor, " batch"],
    draws: Float[Tensor, "repeat batch"],
) -> tuple[float, tuple[float, float]]:
    """Share of the zero predictor's error that the answers remove, with its interval."""
    left = discrepancy(answers, targets, variance)
    whole = discrepancy(targets, torch.zeros_like(targets), variance)
    return estimate(torch.stack([left, whole], -1), lambda m: 1 - m[:, 0] / m[:, 1], draws)


__all__ = ("Losses", "agreement", "confidence_set", "discrepancy", "losses", "progress", "telling_apart", "units")
