"""Reference pages: every public name of a room, in alphabetical order."""

import importlib
import inspect


def reference(room: str, *, without: tuple[str, ...] = ()) -> str:
    """What documents a room's classes and functions, as Markdown for mkdocstrings.

    Args:
        room: a module with ``__all__``.
        without: names that another page has.
    """
    module = importlib.import_module(room)
    named = [name for name in sorted(module.__all__, key=str.lower) if name not in without]
    shown = [name for name in named if inspect.isclass(it := getattr(module, name)) or inspect.isfunction(it)]
    return "\n\n".join(f"::: {room}.{name}" for name in shown)
