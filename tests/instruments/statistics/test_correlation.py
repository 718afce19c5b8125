"""Correlations over a panel, against SciPy and closed forms."""

import math

import numpy as np
import pytest
from scipy import stats

from mesascope.instruments.statistics.correlation import correlation

RNG = np.random.default_rng(0)
A, B, C, D = RNG.normal(size=(4, 12)) + RNG.normal(size=12)


def test_pearson_interval_and_p_are_scipys() -> None:
    found, known = correlation(A.tolist(), B.tolist()), stats.pearsonr(A, B)
    assert found.value == pytest.approx(known.statistic, rel=1e-12)
    assert found.p == pytest.approx(known.pvalue, rel=1e-9)
    interval = known.confidence_interval(0.95)
    assert found.interval == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert found.n == 12


def test_one_variable_held_fixed_is_the_closed_form() -> None:
    ab, ac, bc = (stats.pearsonr(x, y).statistic for x, y in ((A, B), (A, C), (B, C)))
    r = (ab - ac * bc) / math.sqrt((1 - ac**2) * (1 - bc**2))
    found = correlation(A.tolist(), B.tolist(), [C.tolist()])
    assert found.value == pytest.approx(r, rel=1e-10)
    t = r * math.sqrt((12 - 3) / (1 - r**2))
    assert found.p == pytest.approx(2 * stats.t.sf(abs(t), 9), rel=1e-9)
    half = 1.959963984540054 / math.sqrt(12 - 1 - 3)
    assert found.interval == pytest.approx((math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half)), rel=1e-9)


def test_several_held_fixed_are_read_off_the_inverse_covariance() -> None:
    precision = np.linalg.inv(np.cov([A, B, C, D]))
    known = -precision[0, 1] / math.sqrt(precision[0, 0] * precision[1, 1])
    assert correlation(A.tolist(), B.tolist(), [C.tolist(), D.tolist()]).value == pytest.approx(known, rel=1e-9)


def test_a_line_correlates_fully_and_units_do_not_matter() -> None:
    found = correlation(A.tolist(), (3 - 2 * A).tolist())
    assert found.value == pytest.approx(-1) and found.p < 1e-12
    plain, scaled = (correlation((k * A + s).tolist(), B.tolist(), [C.tolist()]) for k, s in ((1, 0), (1e6, -3)))
    assert scaled.value == pytest.approx(plain.value, rel=1e-8)


@pytest.mark.parametrize(
    ("a", "b", "given"),
    [
        ([1.0, 1.0, 1.0, 1.0], [1.0, 2.0, 4.0, 3.0], []),  # constant
        ([1.0, 2.0, 3.0, 5.0], [1.0, 2.0, 4.0, 3.0], [[2.0, 4.0, 6.0, 10.0]]),  # given by what is held fixed
        ([1.0, 2.0], [1.0, 3.0], []),  # two points
        ([], [], []),
    ],
)
def test_where_there_is_nothing_to_correlate(a: list[float], b: list[float], given: list[list[float]]) -> None:
    found = correlation(a, b, given)
    assert math.isnan(found.value) and found.interval is None and math.isnan(found.p)


def test_three_models_have_a_value_and_no_interval() -> None:
    found = correlation([1.0, 2.0, 4.0], [1.0, 3.0, 2.0])
    assert found.interval is None and found.value == pytest.approx(stats.pearsonr([1, 2, 4], [1, 3, 2]).statistic)


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match=r"one value for each model; got 3, 2\. Leave out the models"):
        correlation([1.0, 2.0, 3.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="must be finite. Leave out the models that have no value"):
        correlation([1.0, math.nan, 3.0], [1.0, 2.0, 3.0])


def test_intervals_cover_what_they_say() -> None:
    """Of 2,000 samples of ten models with a correlation of 0.6, about 95 % of the intervals hold it."""
    first = RNG.normal(size=(2000, 10))
    second = 0.6 * first + 0.8 * RNG.normal(size=(2000, 10))
    held = [correlation(a, b).interval for a, b in zip(first.tolist(), second.tolist(), strict=True)]
    assert np.mean([low <= 0.6 <= high for low, high in held]) == pytest.approx(0.95, abs=0.02)
