"""Forecasts over models, on panels whose answer is known."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from scipy import stats

from mesascope.studies.language_models.forecasting import PEARSON, RANKS, SHUFFLED, SKILL, forecast, pearson, skill
from mesascope.types import Measurement

X = [0.1, 0.9, 0.4, 0.7, 0.2, 0.5, 0.35]
Y = [1.2, 2.0, 1.1, 1.9, 1.3, 1.2, 1.6]


def panel(values: Sequence[float]) -> list[Measurement]:
    return [
        Measurement(instrument="r", quantity="q", value=v, interval=None, n=1, coordinates={"network": str(i)})
        for i, v in enumerate(values)
    ]


def test_statistics_are_those_of_others() -> None:
    x, y = (torch.tensor([v], dtype=torch.float64) for v in (X, Y))
    (found,) = forecast(panel(X), panel(Y), RANKS, "y from x")
    assert found.value == pytest.approx(stats.spearmanr(X, Y)[0])
    assert float(pearson(x, y)) == pytest.approx(stats.pearsonr(X, Y)[0])
    kept = [[j for j in range(7) if j != i] for i in range(7)]
    lines = [np.polyfit(np.array(X)[k], np.array(Y)[k], 1) for k in kept]
    errors = sum((Y[i] - np.polyval(line, X[i])) ** 2 for i, line in enumerate(lines))
    mean = sum((Y[i] - np.array(Y)[k].mean()) ** 2 for i, k in enumerate(kept))
    assert float(skill(x, y)) == pytest.approx(1 - errors / mean)


def test_a_perfect_forecast_and_none() -> None:
    for statistic in (RANKS, PEARSON, SKILL):
        (found,) = forecast(panel(X), panel([3 * v + 1 for v in X]), statistic, "")
        assert found.value == pytest.approx(1) and found.interval == pytest.approx((1, 1)) and found.n == 7
        null, itself = found.controls
        assert null.name == SHUFFLED and null.interval is not None and null.interval[1] < 1 and null.value < 0.1
        assert itself.value == pytest.approx(1)
    (turned,) = forecast(panel(X), panel(X), PEARSON, "", sign=-1)
    assert turned.value == pytest.approx(-1)
    (nothing,) = forecast(panel(X), panel([2.0] * 7), SKILL, "")
    assert nothing.value == 0
    (constant,) = forecast(panel([1.0] * 7), panel(Y), PEARSON, "")
    assert constant.value == 0


def test_only_models_with_both_count_and_few_say_nothing() -> None:
    (found,) = forecast(panel(X), panel(Y[:5]), RANKS, "")
    assert found.n == 5
    assert forecast(panel(X), panel(Y[:4]), RANKS, "") == []
