"""Reference pages: every public name of a room, in alphabetical order."""

import importlib
import inspect


def reference(room: str) -> str:
    """What documents a room's classes, then its functions, as Markdown for mkdocstrings; links to all of them come first.

    Args:
        room: a module with ``__all__``.
    """
    module = importlib.import_module(room)
    names = sorted(module.__all__, key=str.lower)
    kinds = (inspect.isclass, inspect.isfunction)
    shown = [name for kind in kinds for name in names if kind(getattr(module, name))]
    links = " · ".join(f"[{name}](#{room}.{name})" for name in shown)
    return "\n\n".join([links, *(f"::: {room}.{name}" for name in shown)])
