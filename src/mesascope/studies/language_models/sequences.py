"""The sequences that source C's studies show to language models."""

from mesascope.studies.language_models.networks import LADDER, SHUFFLED
from mesascope.tasks import Alternation, RepeatedBlocks

SYMBOLS = 1000
"""Different symbols, for a pretrained model."""
CHARACTERS = 36
"""Different symbols for the ladder, of the 38 characters that its models know."""
PAIRS = (3, 6)
"""How many pairs A B source C shows before the last A."""
LENGTH = 16
"""Symbols of a block that every model is asked to repeat. The ladder was trained on blocks of 8 to 24."""
SHORT = 4
"""Symbols of a block that is shorter than any that the ladder was trained on."""


def blocks(network: str, length: int = LENGTH) -> RepeatedBlocks:
    """A block of random symbols of this length, twice."""
    return RepeatedBlocks(vocabulary=symbols(network), length=length)


def alternation(network: str) -> Alternation:
    """A B A B … A, up to the largest number of pairs that source C shows; each B along the way is asked too."""
    return Alternation(vocabulary=symbols(network), times=PAIRS[1] + 1)


def symbols(network: str) -> int:
    """How many different symbols a model is shown."""
    return CHARACTERS if network in (*LADDER, SHUFFLED) else SYMBOLS
