"""Language models beside regressors: what several data sets say together."""

from collections.abc import Callable, Sequence
from typing import Any

from mesascope.instruments.regressing.likelihood import FIRST, LIKELIHOOD, WHOLE
from mesascope.instruments.regressing.verdicts import NEARER
from mesascope.instruments.statistics.contrast import difference
from mesascope.studies.language_models.panel import averaged
from mesascope.studies.rules import Derived, Where, where
from mesascope.types import Measurement

ANSWERS = "answers"
BY = (ANSWERS, WHOLE, FIRST)
"""What can say which regressor a model is like: its answers, or its likelihoods of the regressors' numbers."""


def over_sets(of: Where, sets: Sequence[str]) -> Derived:
    """The mean of some evidence over data sets; nothing unless all were measured."""

    def among(found: Sequence[Measurement]) -> list[Measurement]:
        each = [m for m in of.among(found) if m.coordinates["data set"] in sets]
        if {m.coordinates["data set"] for m in each} != set(sets):
            return []
        shared = {k: v for k, v in each[0].coordinates.items() if all(m.coordinates.get(k) == v for m in each)}
        return [averaged(each, {**shared, "data sets": len(sets)})]

    return Derived(words=f"mean {of.quantity} over {len(sets)} data sets", of=among, uses=(of,))


def pooled(found: Sequence[Measurement], by: str, network: str, sets: Sequence[str]) -> list[Measurement]:
    """Every regressor's likeness to a network, averaged over data sets, the most like first.

    Args:
        found: all measurements.
        by: one of `BY`.
        network: the network.
        sets: the data sets. A regressor counts that was measured on all of them.
    """
    more: dict[str, Any] = {} if by == ANSWERS else {"by": by}
    here = where(NEARER if by == ANSWERS else LIKELIHOOD, network=network, **more)
    names = dict.fromkeys(str(m.coordinates["regressor"]) for m in here.among(found))
    means = [
        mean
        for name in names
        for mean in over_sets(where(here.quantity, network=network, regressor=name, **more), sets).among(found)
    ]
    return sorted(means, key=lambda m: -m.value)


def change(words: str, of: Callable[[int], Where], first: int, last: int) -> Derived:
    """How much some evidence changes from one number of examples to another."""

    def among(found: Sequence[Measurement]) -> list[Measurement]:
        before, after = of(first).among(found), of(last).among(found)
        return [difference(b, a, **{"from": first, "to": last}) for a, b in zip(before, after, strict=False)]

    return Derived(words=words, of=among, uses=(of(first), of(last)))


__all__ = ("ANSWERS", "BY", "change", "over_sets", "pooled")
