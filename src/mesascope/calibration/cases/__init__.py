"""The kinds of planted subjects, one file for each group of algorithms."""

from mesascope.calibration.cases import alike, first_order, idle, krylov, newton, nothing, outside, preconditioned
from mesascope.calibration.planted import Case

CASES: tuple[Case, ...] = (
    *first_order.CASES,
    *krylov.CASES,
    *newton.CASES,
    *preconditioned.CASES,
    *outside.CASES,
    *nothing.CASES,
    *idle.CASES,
    *alike.CASES,
)
"""Every kind; their shares are of 200 subjects."""

__all__ = ("CASES",)
