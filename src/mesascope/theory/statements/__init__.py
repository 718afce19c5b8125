"""All statements, by topic and in reading order."""

from mesascope.theory.statement import Statement
from mesascope.theory.statements import (
    attention,
    channels,
    conjugate_gradient,
    construction,
    depth,
    gains,
    linear_attention,
    softmax,
    spectrum,
)

TOPICS = (linear_attention, softmax, depth, channels, spectrum, conjugate_gradient, construction, attention, gains)
STATEMENTS: tuple[Statement, ...] = tuple(statement for topic in TOPICS for statement in topic.STATEMENTS)

__all__ = ("STATEMENTS",)
