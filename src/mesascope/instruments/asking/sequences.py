"""Sequences of symbols for language models: whether a subject reads them, and blocks that fit it."""

from mesascope.instruments.asking.applicability import NotApplicable
from mesascope.models.language import LanguageSubject
from mesascope.models.language.sequences import ordinary_tokens
from mesascope.tasks import RepeatedBlocks
from mesascope.types import Subject

SYMBOLS = 1000
"""The most symbols that are drawn from a vocabulary."""


def language_model(subject: Subject) -> LanguageSubject:
    """The subject, if it reads sequences of tokens.

    Raises:
        NotApplicable: it is no language model.
    """
    if isinstance(subject, LanguageSubject):
        return subject
    raise NotApplicable(f"{subject.name} is no language model, so it cannot read sequences of symbols.")


def fitting_blocks(subject: LanguageSubject, length: int) -> RepeatedBlocks:
    """A block of random symbols, twice: as long as wanted, if so many symbols and positions fit the model.

    Its symbols come out of all of the model's ordinary tokens, but at most `SYMBOLS`.
    """
    symbols = min(SYMBOLS, len(ordinary_tokens(subject)))
    room = (subject.network.context - len(subject.writing.begin)) // 2
    return RepeatedBlocks(vocabulary=symbols, length=min(length, room, symbols))


__all__ = ("SYMBOLS", "fitting_blocks", "language_model")
