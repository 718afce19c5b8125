"""Shares of the answers, and the rules by which a class of explanation holds.

1. A class *holds* if what it leaves beyond noise is at most 2 % of the answers (`HOLDS`), by the lower end of the 95 % interval.
   It is a share and not a test, because with enough prompts every network differs from every class. All classes are compared
   with the ceiling, what comes back when the same is asked again, and not with the next wider class, so that small losses do
   not add up.
2. A polynomial or a named function is a filter, so it must also be as good as the best filter, up to 0.5 % of the answers
   (`COSTS`), again by the lower end of the interval of the paired difference. The limit is narrower because a name says more:
   gradient flow and ridge regression differ by little more.
3. The *rung* is the narrowest class that holds, unless a wider one leaves a twentieth of it (`FEWER`): then the wider one is what
   the subject computes, and the narrower one is near it. A prompt's own polynomial lies beside this order, and counts as wider
   than the filters: conjugate gradient is such a polynomial to the last digit, and within half a percent a filter. Only classes
   that say how the answer is made (`TELLING`) can take a narrower one's place: that a network is linear in the labels to the
   last digit says less than that one filter explains 99 % of its answers.
4. Of named functions, the one with the fewest coefficients that is not significantly worse than the best leads.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.instruments.explaining.asked import Asked
from mesascope.instruments.explaining.rungs import Left
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.discrepancy import discrepancy
from mesascope.types import Rung, RungKind

HOLDS = 0.02
"""Share of the answers that an explanation may leave beyond noise."""
COSTS = 0.005
"""Share of the answers by which a polynomial or a named function may be worse than the best filter."""
FEWER = 0.05
"""Part of what a class leaves; a wider class that leaves less than that, by the lower end of its interval, is no accident."""
DIFFER = 0.001
"""Share of the answers below which a difference between classes is of no interest: filters are interpolated."""
BLUR = 0.2
"""By how much of itself the noise that one class's error has more than another's may be mistaken."""
TELLING: tuple[RungKind, ...] = ("polynomial", "filter", "diagonal", "own polynomial")
ROUNDING = 1e-5
"""The same between named functions, which are computed exactly."""
ORDER: tuple[RungKind, ...] = (
    "function",
    "polynomial",
    "filter",
    "query alone",
    "smoother",
    "diagonal",
    "own polynomial",
    "labels and query",
    "labels",
)
"""The narrowest first; the rung is the first that holds."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shares:
    """What shares are computed from: for each prompt, the size of the answers and of the noise in them."""

    answers: Float[Tensor, " batch"]
    noise: Float[Tensor, " batch"]
    draws: Float[Tensor, "repeat batch"]

    @classmethod
    def of(cls, asked: Asked) -> "Shares":
        """The shares of a subject's final answers."""
        return cls(
            answers=discrepancy(asked.answers, torch.zeros_like(asked.answers), asked.units),
            noise=discrepancy(asked.answers, asked.paths.again[-1], asked.units) / 2,
            draws=asked.draws,
        )

    def rung(self, left: Left, holds: bool | None = None) -> Rung:
        """A class with its share, and whether it holds: by what it leaves, if nothing else is said."""
        share, interval = self.share(left.errors)
        rest, bounds = self._ratio(left.errors - left.noise * self.noise)
        return Rung(
            kind=left.kind,
            detail=left.detail,
            share=share,
            interval=interval,
            left=rest,
            left_interval=bounds,
            holds=bounds[0] <= HOLDS if holds is None else holds,
        )

    def share(self, errors: Float[Tensor, " batch"]) -> tuple[float, tuple[float, float]]:
        """The share that is explained where these errors are left, and its interval."""
        value, (low, high) = self._ratio(errors)
        return 1 - value, (1 - high, 1 - low)

    def costs(self, errors: Float[Tensor, " batch"], best: Float[Tensor, " batch"]) -> tuple[float, float]:
        """By how much more of the answers is left than by the best, and the lower end of its interval."""
        value, (low, _) = self._ratio(errors - best)
        return value, low

    def _ratio(self, part: Float[Tensor, " batch"]) -> tuple[float, tuple[float, float]]:
        return bootstrap.estimate(
            torch.stack([part, self.answers], -1), lambda m: m[:, 0] / m[:, 1].clamp(min=1e-300), self.draws
        )


def narrowest(lefts: Sequence[Left], holds: Sequence[bool], shares: Shares) -> Left | None:
    """The first class that holds, unless a later one leaves a twentieth of it; None if none holds.

    Args:
        lefts: what classes leave, the narrowest first.
        holds: which of them hold.
        shares: what shares are made of.
    """
    chosen: Left | None = None
    for left in (left for left, good in zip(lefts, holds, strict=True) if good):
        if chosen is None:
            chosen = left
            continue
        if left.kind not in TELLING:
            continue
        fewer = shares.rung(left).left_interval[0] <= FEWER * shares.rung(chosen).left
        apart = shares.costs(chosen.errors, left.errors + (chosen.noise - left.noise) * shares.noise)[1]
        more = (torch.as_tensor(left.noise - chosen.noise) * shares.noise).abs()
        if chosen.kind == "diagonal":  # the noisier the answers, the more its gains are drawn to those of all prompts
            more = shares.noise
        if fewer and apart > DIFFER + BLUR * (1 - shares.share(more)[0]):
            chosen = left
    return chosen


def as_good(shares: Shares, left: Left, best: Float[Tensor, " batch"]) -> bool:
    """Whether a filter of a kind holds: it leaves little, and hardly more than the best filter."""
    return shares.rung(left).holds and shares.costs(left.errors, best)[1] <= COSTS


__all__ = ("COSTS", "HOLDS", "ORDER", "ROUNDING", "Shares", "as_good", "narrowest")
