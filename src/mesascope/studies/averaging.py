"""Numbers over networks that differ in their seed alone: means, differences and scatter, with intervals over networks."""

import math
from collections.abc import Callable, Sequence
from statistics import fmean, stdev
from typing import Any

from scipy import stats

from mesascope.studies.rules import Derived, Where
from mesascope.types import Control, Measurement, Scalar

POWER = 0.8
SEEN = "effect seen with a probability of 80 %"
Key = tuple[tuple[str, Scalar], ...]


def by_seed(found: Sequence[Measurement]) -> dict[Key, dict[Scalar, Measurement]]:
    """Measurements by their coordinates but the seed, and then by the seed."""
    groups: dict[Key, dict[Scalar, Measurement]] = {}
    for m in found:
        key = tuple((k, v) for k, v in m.coordinates.items() if k != "seed")
        groups.setdefault(key, {})[m.coordinates["seed"]] = m
    return groups


def over_networks(of: Where, *, least: int = 1, geometric: bool = False) -> Derived:
    """The mean of some measurement over seeds, by its other coordinates, with an interval over networks.

    Args:
        of: what is averaged.
        least: over fewer networks there is no evidence.
        geometric: take the geometric mean, for numbers that differ by factors.
    """

    def among(found: Sequence[Measurement]) -> list[Measurement]:
        groups = [list(group.values()) for group in by_seed(of.among(found)).values()]
        return [mean(group, geometric=geometric) for group in groups if len(group) >= least]

    return Derived(words=f"mean over networks of {of}", of=among, uses=(of,), lacks=_lacks(least, of))


def contrast(a: Where, b: Where, *, least: int = 2, geometric: bool = False, comparisons: int = 1) -> Derived:
    """By how much the mean over the networks of ``a`` is above that over those of ``b``; with ``geometric`` how many times.

    The networks aren't paired, and their scatter may differ (Welch). The control says which effect would have been seen.

    Args:
        a, b: two groups of networks.
        least: over fewer networks in either group there is no evidence.
        geometric: compare geometric means, by their ratio.
        comparisons: as many intervals hold at 95 % at once (Bonferroni).
    """

    def among(found: Sequence[Measurement]) -> list[Measurement]:
        mine, theirs = a.among(found), b.among(found)
        if min(len(mine), len(theirs)) < max(2, least):
            return []
        x, y = ([_scaled(m.value, geometric) for m in group] for group in (mine, theirs))
        welch: Any = stats.ttest_ind(x, y, equal_var=False)
        low, high = welch.confidence_interval(1 - 0.05 / comparisons)
        error = math.sqrt(stdev(x) ** 2 / len(x) + stdev(y) ** 2 / len(y))
        back, first = _back(geometric), mine[0]
        seen = back(_quantiles(float(welch.df), comparisons) * error)
        return [
            Measurement(
                instrument=first.instrument,
                quantity=f"{first.quantity}, {'ratio' if geometric else 'difference'} of means over networks",
                value=back(fmean(x) - fmean(y)),
                interval=(back(float(low)), back(float(high))),
                n=len(x) + len(y),
                coordinates={
                    **{k: v for k, v in first.coordinates.items() if k != "seed"},
                    **{f"less {k}": v[0] for k, v in b.coordinates.items() if v != a.coordinates.get(k)},
                },
                controls=(Control(kind="positive", name=SEEN, value=seen, interval=None),),
            )
        ]

    return Derived(words=f"{a} against {b}", of=among, uses=(a, b), lacks=_lacks(max(2, least), a, b))


def scatter(of: Where, *, least: int = 2, geometric: bool = False) -> Derived:
    """The standard deviation over networks, over the standard error over prompts of one of them (their root mean square).

    At 1, networks that differ in their seed alone differ as much as an interval over one network's prompts suggests. All networks
    must have answered the same prompts, so that prompts add nothing to the scatter. The interval is that of a standard deviation
    (chi-squared). The negative control is the same of the networks' untrained twins.

    Args:
        of: what is compared.
        least: over fewer networks there is no evidence.
        geometric: compare logarithms.
    """

    def among(found: Sequence[Measurement]) -> list[Measurement]:
        groups = [list(group.values()) for group in by_seed(of.among(found)).values()]
        return [_scatter(group, geometric) for group in groups if len(group) >= max(2, least)]

    return Derived(words=f"scatter over networks of {of}", of=among, uses=(of,), lacks=_lacks(max(2, least), of))


def mean(group: Sequence[Measurement], *, geometric: bool = False) -> Measurement:
    """The mean over networks, with its interval; its controls are the means of theirs."""
    first, back = group[0], _back(geometric)

    def averaged(values: Sequence[float]) -> tuple[float, tuple[float, float] | None]:
        scaled = [_scaled(value, geometric) for value in values]
        ends = interval(scaled, 0.95)
        return back(fmean(scaled)), ends and (back(ends[0]), back(ends[1]))

    value, ends = averaged([m.value for m in group])
    controls = []
    for i, control in enumerate(first.controls):
        own = [m.controls[i].value for m in group if len(m.controls) > i]
        if len(own) == len(group):
            middle, around = averaged(own)
            controls.append(Control(kind=control.kind, name=control.name, value=middle, interval=around))
    return Measurement(
        instrument=first.instrument,
        quantity=f"{first.quantity}, {'geometric ' if geometric else ''}mean over networks",
        value=value,
        interval=ends,
        n=len(group),
        unit=first.unit,
        coordinates={k: v for k, v in first.coordinates.items() if k != "seed"},
        controls=tuple(controls),
    )


def detectable(values: Sequence[float], comparisons: int = 1) -> float:
    """The mean that a paired t-test of as many, as scattered values would tell from zero with a probability of `POWER`.

    The test is two-sided at 5 % over ``comparisons`` (Bonferroni). Not a number for fewer than two values.
    """
    if len(values) < 2:
        return math.nan
    return _quantiles(len(values) - 1, comparisons) * stdev(values) / math.sqrt(len(values))


def interval(values: Sequence[float], level: float) -> tuple[float, float] | None:
    """Student's interval of the mean; None for fewer than two values."""
    if len(values) < 2:
        return None
    half = float(stats.t.ppf(0.5 + level / 2, len(values) - 1)) * stdev(values) / math.sqrt(len(values))
    return fmean(values) - half, fmean(values) + half


def _quantiles(freedom: float, comparisons: int) -> float:
    """The effect that is seen with a probability of `POWER`, in standard errors."""
    return float(stats.t.ppf(1 - 0.025 / comparisons, freedom) + stats.t.ppf(POWER, freedom))


def _scatter(group: Sequence[Measurement], geometric: bool) -> Measurement:
    first, freedom = group[0], len(group) - 1
    own = [(m.value, m.interval) for m in group]
    fresh = [(c.value, c.interval) for m in group for c in m.controls if c.name == "untrained network"]
    value = _times(own, geometric)
    low, high = (math.sqrt(freedom / float(stats.chi2.ppf(at, freedom))) for at in (0.975, 0.025))
    return Measurement(
        instrument=first.instrument,
        quantity=f"{first.quantity}, scatter over networks",
        value=value,
        interval=(value * low, value * high),
        n=len(group),
        unit="standard errors over prompts",
        coordinates={k: v for k, v in first.coordinates.items() if k != "seed"},
        controls=(Control(kind="negative", name="untrained network", value=_times(fresh, geometric), interval=None),),
    )


def _times(numbers: Sequence[tuple[float, tuple[float, float] | None]], geometric: bool) -> float:
    """The scatter of numbers, over the standard error that their intervals tell of; not a number where they have none."""
    ends = [tuple(_scaled(end, geometric) for end in each) for _, each in numbers if each is not None]
    if len(numbers) < 2 or len(ends) < len(numbers):
        return math.nan
    errors = [(high - low) / 2 / float(stats.norm.ppf(0.975)) for low, high in ends]
    return stdev(_scaled(value, geometric) for value, _ in numbers) / math.sqrt(fmean(e**2 for e in errors))


def _scaled(value: float, geometric: bool) -> float:
    return math.log(value) if geometric else value


def _back(geometric: bool) -> Callable[[float], float]:
    return math.exp if geometric else float


def _lacks(least: int, *groups: Where) -> Callable[[Sequence[Measurement]], str]:
    """Says how many networks were measured, for evidence that there is not enough of."""

    def lacks(found: Sequence[Measurement]) -> str:
        counts = " and ".join(str(len(group.among(found))) for group in groups)
        each = " of each" if len(groups) > 1 else ""
        return f"networks measured: {counts}; at least {least}{each} are needed" if least > 1 else ""

    return lacks
