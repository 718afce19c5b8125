"""Ranks over blocks against Demšar's worked example and SciPy's own test."""

import numpy as np
import pytest
from scipy.stats import friedmanchisquare, rankdata

from mesascope.instruments.statistics.ranking import critical_difference, friedman


def test_the_critical_difference_is_the_published_one() -> None:
    """Demšar 2006, section 3.2.4: four classifiers on fourteen data sets, q = 2.569, CD = 1.25."""
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)


def test_friedmans_test_is_scipys() -> None:
    values = np.random.default_rng(0).normal(size=(12, 5)) + np.arange(5) * 0.3
    ranks = rankdata(values, axis=1).mean(0)
    assert friedman(list(ranks), 12) == pytest.approx(friedmanchisquare(*values.T).pvalue, rel=1e-9)
