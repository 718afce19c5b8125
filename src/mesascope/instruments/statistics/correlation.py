"""Correlations over a panel of models: Pearson's, and partial ones, with Fisher's intervals.

The models of a panel are few and were chosen, not drawn. An interval says what would be known if they were a random sample of
models whose values are normally distributed; sizes and seeds of one family are no such sample, so it is too narrow for them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtr

from mesascope.instruments.statistics.bootstrap import LEVEL

ALIKE = 1e-12
"""A variable of which no more than this share of its variance is left beyond the others is a function of them, up to rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Correlation:
    """A correlation over a panel.

    Attributes:
        value: from −1 to 1; NaN where one of the variables is constant, or given by those that are held fixed.
        interval: Fisher's 95 % interval; None where there are too few models for one, or the value is NaN.
        p: two-sided p-value of Student's test that there is none; NaN where there are too few models.
        n: number of models.
    """

    value: float
    interval: tuple[float, float] | None
    p: float
    n: int


def correlation(a: Sequence[float], b: Sequence[float], given: Sequence[Sequence[float]] = ()) -> Correlation:
    """Pearson's correlation of two variables over models, or the partial one with others held fixed.

    The partial correlation is that of what a linear regression on the others leaves of each. Fisher's interval for it is the one
    of a plain correlation over as many models fewer as variables are held fixed.

    Args:
        a, b: a value for each model.
        given: the variables that are held fixed, each with a value for each model.

    Raises:
        ValueError: the variables have different numbers of values, or one is not finite.

    Source: Fisher 1921 (interval), 1924 (partial correlations).
    """
    n = len(a)
    if any(len(values) != n for values in (b, *given)):
        raise ValueError(
            f"a, b and given must have one value for each model; got {', '.join(str(len(v)) for v in (a, b, *given))}. "
            "Leave out the models that lack one."
        )
    both, held = np.asarray([a, b], dtype=float), np.asarray([[1.0] * n, *given], dtype=float)
    if not (np.isfinite(both).all() and np.isfinite(held).all()):
        raise ValueError("a, b and given must be finite. Leave out the models that have no value.")
    freedom = n - 2 - len(given)
    left = [values - held.T @ np.linalg.lstsq(held.T, values, rcond=None)[0] for values in both] if n else []
    sizes = [float(rest @ rest) for rest in left]
    totals = [float(values @ values) for values in both]
    if freedom < 1 or any(size <= ALIKE * max(total, 1e-300) for size, total in zip(sizes, totals, strict=True)):
        return Correlation(value=math.nan, interval=None, p=math.nan, n=n)
    value = min(1.0, max(-1.0, float(left[0] @ left[1]) / math.sqrt(sizes[0] * sizes[1])))
    t = math.inf if abs(value) == 1 else abs(value) * math.sqrt(freedom / (1 - value**2))
    return Correlation(value=value, interval=_interval(value, freedom - 1), p=2 * float(stdtr(freedom, -t)), n=n)


def _interval(value: float, size: int) -> tuple[float, float] | None:
    """Fisher's interval; ``size`` is 1 over the variance of artanh r, which is n − 3 for a plain correlation."""
    if size < 1:
        return None
    if abs(value) == 1:
        return (value, value)
    half = float(ndtri((1 + LEVEL) / 2)) / math.sqrt(size)
    return math.tanh(math.atanh(value) - half), math.tanh(math.atanh(value) + half)


__all__ = ("Correlation", "correlation")
