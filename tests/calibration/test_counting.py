"""Clopper–Pearson intervals against their closed forms."""

import math

import pytest
from scipy.stats import beta, binom

from mesascope.calibration.counting import share


@pytest.mark.parametrize("of", [1, 7, 200])
def test_none_and_all_have_closed_forms(of):
    value, (low, high) = share(0, of)
    assert (value, low) == (0.0, 0.0)
    assert high == pytest.approx(1 - 0.025 ** (1 / of), rel=1e-9)
    value, (low, high) = share(of, of)
    assert (value, high) == (1.0, 1.0)
    assert low == pytest.approx(0.025 ** (1 / of), rel=1e-9)


@pytest.mark.parametrize(("hits", "of"), [(1, 4), (13, 20), (190, 200)])
def test_in_between_each_end_leaves_out_a_fortieth(hits, of):
    value, (low, high) = share(hits, of)
    assert value == hits / of
    assert binom.sf(hits - 1, of, low) == pytest.approx(0.025, rel=1e-6)
    assert binom.cdf(hits, of, high) == pytest.approx(0.025, rel=1e-6)
    assert low == pytest.approx(beta.ppf(0.025, hits, of - hits + 1), rel=1e-9)


def test_of_nothing_nothing_is_known():
    value, interval = share(0, 0)
    assert math.isnan(value)
    assert interval == (0.0, 1.0)
