"""The mathematics behind in-context gradient descent: stated once, checked by provers."""

from mesascope.theory.check import check
from mesascope.theory.export import export
from mesascope.theory.outcome import Outcome, rests_on
from mesascope.theory.statements import STATEMENTS

__all__ = ("STATEMENTS", "Outcome", "check", "export", "rests_on")
