"""Foreign text in messages: cut to about one line, and without terminal control characters."""

import reprlib
from pathlib import PurePath

LONGEST = 160
"""Characters quoted at most. The fault of a longer value is visible at one of its ends, or not at all."""


def shown(value: object) -> str:
    """A value as messages quote it: its ``repr``, cut to `LONGEST` characters; a path without quotes.

    Used for all text that mesascope did not write: values from files and options; names of files, fields and subjects.
    """
    if isinstance(value, PurePath):
        return _cut(plain(str(value)))
    return _cut(plain(_SHORT.repr(value)))


def said(error: BaseException) -> str:
    """The first line of an error that comes from another library or from a user's code; empty if the error has no message."""
    return _cut(plain(next(iter(str(error).strip().splitlines()), "")))


def plain(text: str) -> str:
    r"""The text on one line, with an escape such as ``\x1b`` for every unprintable character."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _cut(text: str) -> str:
    """The text without its middle if it is too long."""
    end = LONGEST // 4
    return text if len(text) <= LONGEST else f"{text[: LONGEST - end - 1]}…{text[-end:]}"


class _Short(reprlib.Repr):
    """Python's ``repr``, limited to about as much of a value as will be quoted."""

    def repr_int(self, x: int, level: int) -> str:
        """Handle very long numbers, which Python refuses to write out."""
        return repr(x) if x.bit_length() < 400 else f"a whole number of about {x.bit_length() * 3 // 10} digits"


_SHORT = _Short()
_SHORT.maxlevel = 6
_SHORT.maxstring = _SHORT.maxother = 4 * LONGEST  # `_cut` shortens the text further; this limits the work
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = _SHORT.maxset = _SHORT.maxfrozenset = 20
