"""Ranks of several members over blocks: whether they differ at all, and by how much two mean ranks must differ.

Source: Demšar 2006, sections 3.2.2 and 3.2.3 (Friedman's test, and Nemenyi's critical difference after it).
"""

from collections.abc import Sequence
from functools import cache

from scipy.stats import chi2, studentized_range

from mesascope.instruments.statistics.bootstrap import LEVEL


def friedman(ranks: Sequence[float], blocks: int) -> float:
    """The p-value of Friedman's test that all members are alike.

    Args:
        ranks: each member's rank, averaged over the blocks.
        blocks: in how many they were ranked.
    """
    members = len(ranks)
    spread = sum(rank**2 for rank in ranks) - members * (members + 1) ** 2 / 4
    return float(chi2.sf(12 * blocks / (members * (members + 1)) * spread, members - 1))


@cache
def critical_difference(members: int, blocks: int) -> float:
    """By how much two mean ranks must differ for any two of so many members to differ, all pairs together at 95 %."""
    quantile = float(studentized_range.ppf(LEVEL, members, float("inf"))) / 2**0.5
    return quantile * (members * (members + 1) / (6 * blocks)) ** 0.5


__all__ = ("critical_difference", "friedman")
