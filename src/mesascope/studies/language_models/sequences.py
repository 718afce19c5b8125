"""The sequences that source C's studies show to language models."""

from mesascope.studies.language_models.networks import LADDER
from mesascope.tasks import Alternation, RepeatedBlocks

SYMBOLS = 1000
"""Different symbols, for a pretrained model."""
CHARACTERS = 36
"""Different symbols for the ladder, whose models know 38 characters."""
PAIRS = (3, 6)
"""How many pairs A B source C shows before the last A."""
LENGTH = 16
"""Symbols of a block, for a pretrained model."""
LEARNT = 24
"""Symbols of the blocks that the ladder was trained on. It repeats no shorter ones, see `repeated`."""


def alternation(network: str) -> Alternation:
    """A B A B … A, up to the largest number of pairs that source C shows; each B along the way is asked too."""
    return Alternation(vocabulary=_symbols(network), times=PAIRS[1] + 1)


def repeated(network: str, length: int = LENGTH) -> RepeatedBlocks:
    """A block of random symbols, twice.

    The ladder's models have learnt to copy what stood 24 places before, and not what followed the same symbol: they repeat
    blocks of that length only.

    Args:
        network: its name.
        length: of a pretrained model's blocks.
    """
    return RepeatedBlocks(vocabulary=_symbols(network), length=LEARNT if network in LADDER else length)


def _symbols(network: str) -> int:
    return CHARACTERS if network in LADDER else SYMBOLS
