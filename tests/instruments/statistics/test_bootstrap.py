"""Intervals cover what they promise, from few prompts too."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mesascope.instruments.statistics import bootstrap

Draw = Callable[[torch.Generator, int, int], Tensor]


def normal(rng: torch.Generator, prompts: int, trials: int) -> Tensor:
    return torch.randn(prompts, trials, generator=rng, dtype=torch.float64)


def heavy(rng: torch.Generator, prompts: int, trials: int) -> Tensor:
    """Student's t with three degrees of freedom."""
    spread = torch.randn(3, prompts, trials, generator=rng, dtype=torch.float64).square().mean(0).sqrt()
    return normal(rng, prompts, trials) / spread


def squares(rng: torch.Generator, prompts: int, trials: int) -> Tensor:
    return normal(rng, prompts, trials).square() - 1


def coverage(draw: Draw, sizes: tuple[int, ...], scales: tuple[float, ...], seeds: int = 4, trials: int = 500) -> float:
    """How often the interval of a mean holds its expectation, 0; strata differ in place and in spread."""
    strata = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    rng = torch.Generator().manual_seed(0)
    held = 0
    for seed in range(seeds):
        weights = bootstrap.weights(len(strata), seed=seed, strata=strata)
        values = draw(rng, len(strata), trials) * torch.tensor(scales, dtype=torch.float64)[strata, None]
        values = values + (strata - strata.double().mean())[:, None]
        means = weights @ values / weights.sum(1, keepdim=True)
        low, high = means.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64), dim=0)
        held += int(((low <= 0) & (high >= 0)).sum())
        assert bootstrap.interval(means[:, 0]) == pytest.approx((float(low[0]), float(high[0])))
    return held / (seeds * trials)


@pytest.mark.parametrize("size", [10, 30, 100])
@pytest.mark.parametrize(("draw", "least"), [(normal, 0.935), (heavy, 0.93)])
def test_a_95_percent_interval_covers_95_percent(draw: Draw, least: float, size: int) -> None:
    assert least <= coverage(draw, (size,), (1.0,)) <= 0.965
    # One stratum that decides the spread, as the hardest prompts do.
    assert least <= coverage(draw, (size,) * 4, (0.1, 0.3, 1.0, 10.0)) <= 0.97


def test_many_small_strata_alike_are_covered_rather_too_well() -> None:
    assert 0.955 <= coverage(normal, (10,) * 5, (1.0,) * 5) <= 0.985
    assert 0.945 <= coverage(normal, (100,) * 5, (1.0,) * 5) <= 0.965


def test_skewed_values_are_covered_as_well_as_a_percentile_interval_can() -> None:
    assert 0.85 <= coverage(squares, (10,), (1.0,)) <= 0.91
    assert 0.92 <= coverage(squares, (100,), (1.0,)) <= 0.955


@pytest.mark.parametrize("size", [2, 3, 4, 10, 100])
def test_weights_vary_as_a_mean_does(size: int) -> None:
    weights = bootstrap.weights(size + 1, seed=0, strata=torch.tensor([0] + [1] * size), repeats=40_000)
    assert (weights[:, 0] == 1).all()
    assert float(weights.min()) >= 0
    torch.testing.assert_close(weights.sum(1), torch.full((40_000,), size + 1.0, dtype=torch.float64))
    values = torch.linspace(-1, 2, size, dtype=torch.float64).square()
    error = float((weights[:, 1:] @ values / size).std())
    standard = float(values.std()) / size**0.5
    student = {10: 2.2622 / 1.96, 100: 1.9842 / 1.96, 4: 3.1824 / 1.96}.get(size)
    expected = standard * (student or ((size - 1) ** 0.5))  # two or three: one is drawn
    assert error == pytest.approx(expected, rel=0.02)


def test_an_interval_holds_its_own_value_where_a_denominator_is_near_0() -> None:
    missed = 0
    for seed in range(200):
        draw = torch.Generator().manual_seed(seed)
        sums = torch.randn(6, 2, generator=draw, dtype=torch.float64)
        draws = bootstrap.weights(6, seed=seed)
        value, (low, high) = bootstrap.estimate(sums, lambda m: m[:, 0] / m[:, 1], draws)
        resampled = draws @ sums / draws.sum(1, keepdim=True)
        least, most = bootstrap.interval(resampled[:, 0] / resampled[:, 1])
        assert low <= value <= high
        assert (low, high) == (min(least, value), max(most, value))
        missed += not least <= value <= most
    assert missed > 0  # the percentiles alone do not hold it


def test_a_value_that_is_none_leaves_its_interval_alone() -> None:
    sums = torch.zeros(4, 2, dtype=torch.float64)
    value, (low, high) = bootstrap.estimate(sums, lambda m: m[:, 0] / m[:, 1], bootstrap.weights(4, seed=0))
    assert all(map(math.isnan, (value, low, high)))
