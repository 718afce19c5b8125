"""Progress bars: how far a piece of work is, and how long it will take; and warnings, which stand between two of them."""

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mesascope.records.shown import plain

if TYPE_CHECKING:
    from tqdm import tqdm

SELDOM = 10.0
"""Seconds between two lines where nobody watches: a log of hours must stay readable."""


def progress_bar(*, total: int, start: int, shown: bool, **options: Any) -> "tqdm[Any]":
    """A bar on stderr; a line every ten seconds where that is a file.

    Args:
        total: number of steps in all.
        start: how many were done before.
        shown: whether to show it; the environment variable ``TQDM_DISABLE`` hides all bars.
        options: others of ``tqdm``, such as ``unit`` and ``desc``.
    """
    from tqdm import tqdm  # noqa: PLC0415 (every command starts here, and help shows no bar)

    often = {} if sys.stderr.isatty() else {"mininterval": SELDOM}
    hidden = not shown or os.environ.get("TQDM_DISABLE", "0") not in ("", "0")
    return tqdm(total=total, initial=start, disable=hidden, dynamic_ncols=True, **often, **options)


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Show each of Python's warnings as one line on stderr, ``warning: …``, without the code that raised it."""

    def show(message: Warning | str, *_: object, **__: object) -> None:
        from tqdm import tqdm  # noqa: PLC0415 (as above)

        tqdm.write(f"warning: {plain(str(message))}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


__all__ = ("plain_warnings", "progress_bar")
