"""The mathematics of in-context gradient descent: statements, each written once and checked by several provers."""

from mesascope.theory.checking import ProverFailed, check
from mesascope.theory.exporting import export
from mesascope.theory.outcome import StatementOutcome, rests_on
from mesascope.theory.statements import STATEMENTS

__all__ = ("STATEMENTS", "StatementOutcome", "ProverFailed", "check", "export", "rests_on")
