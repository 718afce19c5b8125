"""Foreign text in messages: cut to about a line, and nothing in it that a terminal would obey."""

import reprlib
from pathlib import PurePath

LONGEST = 160
"""Characters of whatever is quoted. What is wrong with a longer value shows at one of its ends, or not at all."""


def shown(value: object) -> str:
    """A value as messages quote it: as Python writes it, cut to `LONGEST` characters; a path without quotes.

    For whatever we did not write: values from files and options, the names of files, fields and subjects.
    """
    if isinstance(value, PurePath):
        return _cut(plain(str(value)))
    return _cut(plain(_SHORT.repr(value)))


def said(error: BaseException) -> str:
    """The first line of an error that comes from another library or from a user's code; empty if it says nothing."""
    return _cut(plain(next(iter(str(error).strip().splitlines()), "")))


def plain(text: str) -> str:
    r"""The text on one line, with an escape such as ``\x1b`` for every character that is not printed."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _cut(text: str) -> str:
    """Without its middle, where it is too long."""
    end = LONGEST // 4
    return text if len(text) <= LONGEST else f"{text[: LONGEST - end - 1]}…{text[-end:]}"


class _Short(reprlib.Repr):
    """Python's ``repr``, of so much of a value as will be quoted."""

    def repr_int(self, x: int, level: int) -> str:
        """Python refuses to write very long numbers out."""
        return repr(x) if x.bit_length() < 400 else f"a whole number of about {x.bit_length() * 3 // 10} digits"


_SHORT = _Short()
_SHORT.maxlevel = 6
_SHORT.maxstring = _SHORT.maxother = 4 * LONGEST  # `_cut` shortens it; this keeps what is made small
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = _SHORT.maxset = _SHORT.maxfrozenset = 20
