"""The mathematics behind in-context gradient descent: stated once, checked by provers."""

from mesascope.theory.check import ProverFailed, check
from mesascope.theory.export import export
from mesascope.theory.outcome import Outcome, rests_on
from mesascope.theory.statements import STATEMENTS

__all__ = ("STATEMENTS", "Outcome", "ProverFailed", "check", "export", "rests_on")
