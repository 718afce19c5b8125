"""The kinds of planted subjects, with one file per group of algorithms."""

from mesascope.calibration.cases import (
    alike,
    damped,
    explained,
    first_order,
    flow,
    idle,
    krylov,
    newton,
    nothing,
    outside,
    per_layer,
    preconditioned,
)
from mesascope.calibration.planted import Case

CASES: tuple[Case, ...] = (
    *first_order.CASES,
    *krylov.CASES,
    *newton.CASES,
    *preconditioned.CASES,
    *damped.CASES,
    *flow.CASES,
    *per_layer.CASES,
    *outside.CASES,
    *nothing.CASES,
    *explained.CASES,
    *idle.CASES,
    *alike.CASES,
)
"""All kinds; a panel has so many of each as its share of the sum of all shares."""

__all__ = ("CASES",)
