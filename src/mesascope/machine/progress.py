"""Progress bars: how far a piece of work is, and how long it will take."""

import os
import sys
from typing import Any

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
    often = {} if sys.stderr.isatty() else {"mininterval": SELDOM}
    hidden = not shown or os.environ.get("TQDM_DISABLE", "0") not in ("", "0")
    return tqdm(total=total, initial=start, disable=hidden, dynamic_ncols=True, **often, **options)


__all__ = ("progress_bar",)
