"""The model zoo: shipped trained models (weights beside the specification that made them), and all other references.

Names can be listed without torch; it is loaded at the first use of a function that needs it.
"""

import importlib
from typing import TYPE_CHECKING, Any

from mesascope.zoo.shipped import checkpoints_of, names

if TYPE_CHECKING:
    from mesascope.zoo.references import curve, default_task, load


def __getattr__(name: str) -> Any:
    if name not in ("curve", "default_task", "load"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("mesascope.zoo.references"), name)


__all__ = ("checkpoints_of", "curve", "default_task", "load", "names")
