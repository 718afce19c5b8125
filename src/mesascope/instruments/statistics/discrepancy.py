"""One error measure for all comparisons, and which candidates are significantly worse than the best.

``D_p(a, b)`` is the mean over a prompt's queries of (a − b)², divided by V_p, the variance of that prompt's target over the
query distribution, or by a quarter of the subject's own mean square where that is larger (`units`). It is clipped at 4, the
error of a prediction with the wrong sign, since a few ill-conditioned prompts would otherwise decide everything. The
progress score of a candidate's path a is 1 − Σ_ℓ mean_p D_p(ŷ_ℓ, a_ℓ) / Σ_ℓ mean_p D_p(ŷ_ℓ, 0): the zero predictor scores 0.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mesascope.instruments.statistics.bootstrap import estimate

CLIP = 4.0
SAME = 0.01
"""Candidates whose discrepancy is below this at a layer of a prompt agree there: the layer cannot tell them apart."""
PRECISION = 1e-6
"""A difference in score below this is rounding (single precision leaves an error of 1e-7 of the variance)."""
BLUR = 5e-4
"""The same limit for fitted readouts, whose own error is larger than rounding."""


def units(
    subject: Float[Tensor, "layer batch query"], variance: Float[Tensor, " batch"]
) -> Float[Tensor, "layer batch"]:
    """The divisor of squared errors: V_p, or a quarter of the answers' mean square where D(ŷ, 0) would exceed 4.

    Where a subject diverges on a prompt, it is thus compared with how the candidate diverges. In units of V_p, the rounding
    error of such large answers would count as a difference.
    """
    size = subject.square().mean(-1) / CLIP
    return torch.where(size.isfinite() & (size > variance), size, variance.expand_as(size))


def discrepancy(
    a: Float[Tensor, "*#layer batch query"],
    b: Float[Tensor, "*#layer batch query"],
    units: Float[Tensor, "*#layer batch"],
) -> Float[Tensor, "... batch"]:
    """min(D_p(a, b), 4), and 4 where a value is not finite.

    Args:
        a, b: the answers.
        units: the divisor of squared errors: V_p, or the result of `units`.
    """
    raw = (a - b).square().mean(-1) / units
    return torch.nan_to_num(raw, nan=CLIP, posinf=CLIP).clamp(max=CLIP)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Losses:
    """The losses of each prompt, summed over the layers that tell the candidates apart on it.

    Attributes:
        candidates: one row per candidate: Σ_ℓ min(D_p(ŷ_ℓ, a_ℓ), 4).
        nothing: the same sum for the zero predictor.
        telling: the share of all pairs of a layer and a prompt that tell the candidates apart.
        noisy: the losses with the noise of readings, where ``candidates`` are without (see `errors`); None if there is no
            difference.
    """

    candidates: Float[Tensor, "candidate batch"]
    nothing: Float[Tensor, " batch"]
    telling: float
    noisy: Float[Tensor, "candidate batch"] | None = None

    @property
    def scores(self) -> Float[Tensor, " candidate"]:
        """The progress score of each candidate."""
        return 1 - self.candidates.mean(-1) / self.nothing.mean()

    def intervals(self, draws: Float[Tensor, "repeat batch"]) -> list[tuple[float, float]]:
        """95 % interval of each score."""
        return [
            estimate(torch.stack([row, self.nothing], -1), lambda m: 1 - m[:, 0] / m[:, 1], draws)[1]
            for row in self.candidates
        ]

    def saving(self, larger: int, smaller: int) -> float:
        """Upper bound (97.5 %, one-sided) of how much less ``larger`` loses than ``smaller``, over the zero predictor's loss."""
        mean, error = self.saved(larger, smaller)
        return mean + 1.96 * error

    def saved(self, larger: int, smaller: int) -> tuple[float, float]:
        """How much less ``larger`` loses than ``smaller``, over the zero predictor's loss, and the standard error of that."""
        saved = (self.candidates[smaller] - self.candidates[larger]) / self.nothing.mean()
        return float(saved.mean()), float(saved.std()) / len(saved) ** 0.5

    def on(self, prompts: Int[Tensor, " chosen"]) -> "Losses":
        """The losses on some of the prompts."""
        noisy = None if self.noisy is None else self.noisy[:, prompts]
        kept, nothing = self.candidates[:, prompts], self.nothing[prompts]
        return Losses(candidates=kept, nothing=nothing, telling=self.telling, noisy=noisy)


def noisy(
    path: Float[Tensor, "layer batch query"], share: float, variance: Float[Tensor, " batch"], rng: torch.Generator
) -> Float[Tensor, "layer batch query"]:
    """The path with Gaussian prediction noise after every layer, its variance a share of the target's."""
    normal = torch.randn(path.shape, generator=rng, dtype=torch.float64)
    return path + (share * variance).sqrt()[:, None] * normal


def contrasts(
    loss: Float[Tensor, "*candidate batch"],
    best: Float[Tensor, "*candidate batch"],
    sizes: Float[Tensor, "*candidate batch"] | None = None,
) -> Float[Tensor, "contrast *candidate batch"]:
    """How much more one candidate loses than another: L_c − L_b, and (L_c − L_b)/(L_c + L_b).

    A few hard prompts can dominate the mean of the first, but not that of the second.

    Args:
        loss, best: L_c and L_b.
        sizes: the divisors of the second; L_c + L_b by default.
    """
    difference = loss - best
    return torch.stack([difference, difference / (loss + best if sizes is None else sizes).clamp(min=1e-300)])


Compared = tuple[Float[Tensor, "_ layer _ query"], Float[Tensor, "_ layer _ query"]]  # any candidates, any prompts
"""A subject's answers, as read for each candidate, and the candidates' answers in the same units."""


def errors(
    subject: Float[Tensor, "*#candidate layer batch query"],
    candidates: Float[Tensor, "candidate layer batch query"],
    units: Float[Tensor, "... batch"],
    again: Compared | None = None,
) -> Float[Tensor, "candidate layer batch"]:
    """The error of each candidate after each layer.

    Args:
        subject: the subject's answers; where readouts are fitted to each candidate, those that are read for it.
        candidates: the candidates' answers.
        units: the divisors of squared errors.
        again: subject and candidates where the same is asked again, if the readings for different candidates have different
            noise. Then the errors at every layer but the last, once a candidate has begun, are mean products of both, which no
            noise adds to.
    """
    read = subject.expand_as(candidates)
    found = torch.stack([discrepancy(a, b, units) for a, b in zip(read, candidates, strict=True)])
    if again is not None:
        product = ((read - candidates) * (again[0] - again[1])).mean(-1) / units
        product = torch.nan_to_num(product, nan=CLIP, posinf=CLIP, neginf=CLIP).clamp(-CLIP, CLIP)
        begun = (candidates != 0).any(-1).any(-1)[..., None]  # before, the readings do not depend on the candidate
        found[:, :-1] = torch.where(begun, product, found)[:, :-1]
    return found


def losses(
    subject: Float[Tensor, "*#candidate layer batch query"],
    candidates: Float[Tensor, "candidate layer batch query"],
    units: Float[Tensor, "... batch"],
    informative: Bool[Tensor, "layer batch"],
    *,
    shown: Float[Tensor, "layer batch query"] | None = None,
    again: Compared | None = None,
) -> Losses:
    """Losses over the informative layers and prompts.

    Args:
        subject, candidates, units, again: see `errors`.
        informative: the layers and prompts that count.
        shown: the answers whose size is the zero predictor's loss; the subject's by default.
    """
    shown = subject.expand_as(candidates)[0] if shown is None else shown
    nothing = discrepancy(shown, torch.zeros_like(shown), units)
    return Losses(
        candidates=(errors(subject, candidates, units, again) * informative).sum(1),
        nothing=(nothing * informative).sum(0),
        telling=float(informative.double().mean()),
        noisy=None if again is None else (errors(subject, candidates, units) * informative).sum(1),
    )


def telling_apart(
    candidates: Float[Tensor, "candidate layer batch query"], units: Float[Tensor, "... batch"]
) -> Bool[Tensor, "layer batch"]:
    """At which layers of which prompts some pair of candidates has a discrepancy above 1 %."""
    first = candidates[:1]
    widest = torch.zeros(candidates.shape[1:3], dtype=torch.float64)
    for path in candidates:  # a cheap first pass: some pair already disagrees if any candidate disagrees with the first
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
    """The eligible candidates that remain after those significantly worse than another have been removed, one by one.

    Each round compares all remaining pairs by two paired contrasts (`contrasts`), each divided by its standard error. The
    critical value is the 95 % quantile, over bootstrap repetitions, of the largest deviation of any contrast (max-t). If the
    largest contrast exceeds it, the worse candidate of that pair is removed; otherwise the procedure ends. With 95 %
    probability all candidates with the least expected loss remain, however many there are. Two candidates count as equal
    where their losses differ by at most ``floor``, as a share of the zero predictor's loss.

    Source: Hansen, Lunde & Nason 2011 (model confidence set, range statistic).
    """
    if len(eligible) < 2:
        return list(eligible)
    table = all_losses.candidates[eligible]
    better, worse = torch.combinations(torch.arange(len(eligible))).unbind(-1)
    means = table.mean(-1)
    swap = means[better] > means[worse]
    better, worse = torch.where(swap, worse, better), torch.where(swap, better, worse)
    sizes = (table if all_losses.noisy is None else all_losses.noisy[eligible])[torch.stack([worse, better])].sum(0)
    found = contrasts(table[worse], table[better], sizes)  # (contrast, pair, batch)
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
    """For each pair of candidates, 1 − their discrepancy over that of subject and zero predictor; 1: same predictions."""
    size = discrepancy(subject, torch.zeros_like(subject), units).sum(0).mean()
    rows = [torch.stack([discrepancy(a, b, units).sum(0).mean() for b in candidates]) for a in candidates]
    return 1 - torch.stack(rows) / size


def progress(
    answers: Float[Tensor, "batch query"],
    targets: Float[Tensor, "batch query"],
    variance: Float[Tensor, " batch"],
    draws: Float[Tensor, "repeat batch"],
) -> tuple[float, tuple[float, float]]:
    """The share of the zero predictor's error that the answers remove, with its 95 % interval."""
    left = discrepancy(answers, targets, variance)
    whole = discrepancy(targets, torch.zeros_like(targets), variance)
    return estimate(torch.stack([left, whole], -1), lambda m: 1 - m[:, 0] / m[:, 1], draws)


__all__ = ("Losses", "agreement", "confidence_set", "discrepancy", "losses", "progress", "telling_apart", "units")
