"""Which studies stand on which page: those of one folder of ``mesascope.studies`` on the page that is named after it."""

import sys
from functools import cache

from mesascope.studies import STUDIES

ROOM = "mesascope.studies."


@cache
def themes() -> dict[str, tuple[str, ...]]:
    """The studies of each folder, such as ``conditioning``, in the order in which they are best read."""
    folders = {
        module.STUDY.name: name.removeprefix(ROOM).split(".")[0]
        for name, module in sys.modules.items()
        if name.startswith(ROOM) and hasattr(module, "STUDY")
    }
    return {
        theme: tuple(s for s in STUDIES if folders[s] == theme)
        for theme in dict.fromkeys(map(folders.get, STUDIES))
        if theme
    }


def page(theme: str) -> str:
    """The address of a theme's page from the site's root."""
    return f"studies/{theme.replace('_', '-')}/"
