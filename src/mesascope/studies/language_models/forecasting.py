"""Whether a number from an early checkpoint forecasts another one at the end, over models: correlations, leave-one-out skill."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.instruments.statistics.bootstrap import interval
from mesascope.instruments.statistics.ordering import constant, rank_correlation
from mesascope.instruments.statistics.scores import correlation, moments
from mesascope.seeds import generator
from mesascope.types import Control, Measurement

FEWEST = 5
"""Models without which nothing is said."""
REPEATS = 1000
SHUFFLED = "another model's outcome"
RANKS, SKILL, PEARSON = "rank correlation over models", "leave-one-out skill", "correlation over models"

Values = Float[Tensor, "repeat member"]
Statistic = Callable[[Values, Values], Float[Tensor, " repeat"]]


def pearson(x: Values, y: Values) -> Float[Tensor, " repeat"]:
    """Pearson's correlation; 0 where either is constant."""
    none = constant(x) | constant(y)
    return torch.where(none, 0.0, correlation(moments(x, y)))


def skill(x: Values, y: Values) -> Float[Tensor, " repeat"]:
    """The share of the squared error of the others' mean that the others' line saves, each model being left out in turn.

    1 is a perfect forecast; 0 is no better than the mean, and below it is worse. Where the mean errs nowhere it is 0.
    """
    left = ~torch.eye(x.shape[1], dtype=torch.bool)
    others = left.double()
    count = others.sum(1)
    mean_x, mean_y = (values @ others / count for values in (x, y))
    dx, dy = ((values[:, None, :] - mean[:, :, None]) * others for values, mean in ((x, mean_x), (y, mean_y)))
    spread = dx.square().sum(2)
    slope = torch.where(spread > 0, (dx * dy).sum(2) / torch.where(spread > 0, spread, 1.0), 0.0)
    errors = (y - mean_y - slope * (x - mean_x)).square().sum(1)
    baseline = (y - mean_y).square().sum(1)
    return torch.where(baseline > 0, 1 - errors / torch.where(baseline > 0, baseline, 1.0), 0.0)


STATISTICS: dict[str, Statistic] = {RANKS: rank_correlation, PEARSON: pearson, SKILL: skill}


def forecast(
    early: Sequence[Measurement],
    final: Sequence[Measurement],
    statistic: str,
    words: str,
    *,
    sign: int = 1,
    seed: int = 0,
) -> list[Measurement]:
    """How well one number of each model tells another one, over the models that have both; empty for fewer than five.

    The interval is a bootstrap over models; a repetition with fewer than three different ones is left out.

    Controls. Negative: the outcomes of other models, in 1,000 random orders, with the interval in which 95 % of them lie.
    Positive: the outcome itself.

    Args:
        early, final: one measurement of each model, with a coordinate ``network``.
        statistic: one of `STATISTICS`.
        words: what is forecast from what.
        sign: −1 to turn the outcome round, such as a surprisal into a log-probability.
        seed: of the resampling.
    """
    outcome = {m.coordinates["network"]: sign * m.value for m in final}
    pairs = [(m.value, outcome[m.coordinates["network"]]) for m in early if m.coordinates["network"] in outcome]
    if len(pairs) < FEWEST:
        return []
    x, y = torch.tensor(pairs, dtype=torch.float64).T
    rng, of = generator(seed, "forecasting"), STATISTICS[statistic]
    orders = torch.rand(REPEATS, len(x), generator=rng).argsort(1)
    picks = torch.randint(len(x), (REPEATS, len(x)), generator=rng)
    picks = picks[(picks.sort(1).values.diff(dim=1) > 0).sum(1) >= 2]
    null = of(x.expand(REPEATS, -1).contiguous(), y[orders])
    return [
        Measurement(
            instrument="forecast",
            quantity=f"{statistic}, {words}",
            value=float(of(x[None], y[None])[0]),
            interval=interval(of(x[picks], y[picks])),
            n=len(x),
            controls=(
                Control(kind="negative", name=SHUFFLED, value=float(null.mean()), interval=interval(null)),
                Control(kind="positive", name="the outcome itself", value=float(of(y[None], y[None])[0])),
            ),
        )
    ]
