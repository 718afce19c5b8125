"""Shares of a count, with exact intervals, and how they are told."""

from mesascope.types import Measurement


def share(hits: int, of: int) -> tuple[float, tuple[float, float]]:
    """The share and its 95 % interval; NaN and (0, 1) if ``of`` is 0.

    Source: Clopper & Pearson 1934.
    """
    if of == 0:
        return float("nan"), (0.0, 1.0)
    from scipy.stats import binomtest  # noqa: PLC0415  (a second to import, and only the panels' shares need it)

    interval = binomtest(hits, of).proportion_ci(0.95, method="exact")
    return hits / of, (float(interval.low), float(interval.high))


def as_count(m: Measurement) -> str:
    """A share as a count: ``198 of 199``."""
    return f"{round(m.value * m.n)} of {m.n}"


def in_percent(m: Measurement) -> str:
    """A share's interval in percent; all shares if it has none."""
    low, high = m.interval or (0.0, 1.0)
    return f"{low:.1%} to {high:.1%}"
