"""Intervals over prompts: one stratified bootstrap, shared by every instrument.

A prompt is the unit that is resampled, never a query or a position. Statistics that are means, ratios of means, or
solutions of normal equations are functions of sums over prompts; with the resampling weights as a matrix, all repetitions
are one matrix product.
"""

from collections.abc import Callable

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
    """How much each prompt counts in each repetition, on average 1; every stratum keeps its size.

    Of the n prompts of a stratum, m are drawn with replacement, and what the counts deviate from their mean is shrunk, so
    that a mean varies as its estimate does: by its standard error, times t/z, the ratio of Student's 97.5 % point with
    n − 1 degrees of freedom to the normal one. For that m is the whole number below m* = (n − 1)(z/t)², and deviations
    are shrunk by √(m/m*). Drawing n of n instead leaves out the n − 1 and Student: intervals from 10 prompts then cover
    90 %. A stratum of one does not vary; two or three prompts are too few for t, and m* is 1.

    Args:
        prompts: number of prompts.
        seed: of the resampling.
        strata: label of each prompt.
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
    """How many of so many prompts are drawn, and how many it should be if it could be a fraction: m and m*."""
    tail = (1 - LEVEL) / 2
    share = max(1.0, (size - 1) * (float(ndtri(tail)) / float(stdtrit(size - 1, tail))) ** 2)
    return int(share), share


def interval(replicates: Float[Tensor, " repeat"]) -> tuple[float, float]:
    """95 % percentile interval of bootstrap replicates, leaving out those that are not finite."""
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
    """A statistic that is a function of means over prompts, and its 95 % interval.

    Args:
        sums: each prompt's contributions.
        combine: from means over prompts to the statistic, a row at a time; for a ratio, ``lambda m: m[:, 0] / m[:, 1]``.
        draws: from `weights`.
    """
    sums = sums.double().cpu()
    value = combine(sums.mean(0, keepdim=True))
    return float(value[0]), interval(combine(draws @ sums / draws.sum(1, keepdim=True)))
