"""Intervals over prompts: one stratified bootstrap, shared by every instrument.

Whole prompts are resampled, never queries or positions. Means, ratios of means and solutions of normal equations are
functions of sums over prompts, so one product with the matrix of resampling weights computes all repetitions.
"""

from collections.abc import Callable
from math import isfinite

import torch
from jaxtyping import Float, Int
from scipy.special import ndtri, stdtrit
from torch import Tensor

from mesascope.seeds import generator

REPEATS = 1000
LEVEL = 0.95


def weights(
    prompts: int, *, seed: int, strata: Int[Tensor, " batch"] | None = None, repeats: int = REPEATS
) -> Float[Tensor, "repeat batch"]:
    """The weight of each prompt in each repetition: 1 on average, and every stratum keeps its size.

    Of the n prompts of a stratum, m are drawn with replacement, and the deviations of the counts from their mean are
    shrunk. Thus the mean of a repetition varies by the standard error times t/z, the ratio of the 97.5 % points of
    Student's distribution with n − 1 degrees of freedom and of the normal one. For that, m is m* = (n − 1)(z/t)² rounded
    down, and the deviations are shrunk by √(m/m*). The usual bootstrap, which draws n of n, uses neither n − 1 nor
    Student's distribution, and its intervals from 10 prompts cover 90 %. A stratum of one prompt does not vary; with two
    or three prompts m* would be below 1 and is set to 1.

    Args:
        prompts: number of prompts.
        seed: of the resampling.
        strata: the label of each prompt's stratum; one stratum by default.
        repeats: number of repetitions.

    Source: Rao & Wu 1988 (drawing m and rescaling); Hesterberg 2015 (percentile intervals of few are too narrow).
    """
    rng = generator(seed, "bootstrap")
    labels = torch.zeros(prompts, dtype=torch.long) if strata is None else strata.cpu()
    found = torch.ones(repeats, prompts, dtype=torch.float64)
    for label in labels.unique():
        members = (labels == label).nonzero()[:, 0]
        if (size := len(members)) > 1:
            drawn, share = _drawn(size)
            picks = torch.randint(size, (repeats, drawn), generator=rng)
            counts = torch.zeros(repeats, size, dtype=torch.float64).scatter_add_(
                1, picks, torch.ones_like(picks, dtype=torch.float64)
            )
            found[:, members] = 1 + (drawn / share) ** 0.5 * (counts * size / drawn - 1)
    return found


def _drawn(size: int) -> tuple[int, float]:
    """How many prompts to draw from a stratum of this size: the whole number m, and the exact value m*."""
    tail = (1 - LEVEL) / 2
    share = max(1.0, (size - 1) * (float(ndtri(tail)) / float(stdtrit(size - 1, tail))) ** 2)
    return int(share), share


def interval(replicates: Float[Tensor, " repeat"]) -> tuple[float, float]:
    """95 % percentile interval of the bootstrap replicates that are finite; NaN if none is."""
    finite = replicates[torch.isfinite(replicates)]
    if not len(finite):
        return (float("nan"), float("nan"))
    tail = (1 - LEVEL) / 2
    low, high = torch.quantile(finite.double(), torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
    return (low, high)


def estimate(
    sums: Float[Tensor, "batch statistic"],
    combine: Callable[[Float[Tensor, "repeat statistic"]], Float[Tensor, " repeat"]],
    draws: Float[Tensor, "repeat batch"],
) -> tuple[float, tuple[float, float]]:
    """A statistic that is a function of means over prompts, and its 95 % interval, which always holds it.

    The percentiles alone can miss it, as those of a ratio whose denominator is near 0 on few prompts; they are then widened.

    Args:
        sums: each prompt's contribution to every mean.
        combine: computes the statistic from the means, row by row; for a ratio, ``lambda m: m[:, 0] / m[:, 1]``.
        draws: from `weights`.
    """
    sums = sums.double().cpu()
    value = float(combine(sums.mean(0, keepdim=True))[0])
    low, high = interval(combine(draws @ sums / draws.sum(1, keepdim=True)))
    return value, ((min(low, value), max(high, value)) if isfinite(value) else (low, high))
