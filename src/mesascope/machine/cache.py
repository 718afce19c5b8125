"""The user's cache: where what was downloaded or converted is kept for the next time."""

import os
from pathlib import Path

VARIABLE = "MESASCOPE_CACHE"


def cache_directory() -> Path:
    """The directory that ``MESASCOPE_CACHE`` names, else ``mesascope`` in the user's cache. It may not exist yet."""
    if own := os.environ.get(VARIABLE):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "mesascope"
