"""The kinds of planted subjects, with one file per group of algorithms."""

from mesascope.calibration.cases import (
    alike,
    first_order,
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
    *per_layer.CASES,
    *outside.CASES,
    *nothing.CASES,
    *idle.CASES,
    *alike.CASES,
)
"""All kinds; their shares are numbers out of 200 subjects."""

__all__ = ("CASES",)
