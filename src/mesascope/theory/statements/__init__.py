"""Every statement, by topic and in reading order."""

from mesascope.theory.statement import Statement
from mesascope.theory.statements import channels, construction, depth, linear_attention, softmax

STATEMENTS: tuple[Statement, ...] = tuple(
    statement for topic in (linear_attention, softmax, depth, channels, construction) for statement in topic.STATEMENTS
)

__all__ = ("STATEMENTS",)
