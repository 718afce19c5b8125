"""Users' own subjects and tasks, as ``python:package.module:factory``. Their code is run; its errors are reported as such."""

import importlib
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import cast

from mesascope.records.checks import nearest
from mesascope.records.shown import said, shown
from mesascope.types import BrokenSubject, Subject, Task, check_description, check_keeps_task

VERBS = ("name", "domain", "sites", "path", "trace", "readout")


def load_own(text: str) -> Subject:
    """The subject returned by the factory that ``package.module:factory`` names.

    Raises:
        ValueError: there is no such module or factory.
        BrokenSubject: the user's code raised an exception, called exit, or returned something that is not a subject.
    """
    factory = _factory(text)
    try:
        subject = factory()
        missing = [verb for verb in VERBS if not hasattr(subject, verb)]  # a property is computed, and may raise
        if not missing and not isinstance(subject, type):
            check_description(cast(Subject, subject))
    except BrokenSubject:
        raise
    except (Exception, SystemExit) as error:
        raise BrokenSubject(f"{shown(f'python:{text}')} must return a subject; it raised {raised(error)}") from error
    if isinstance(subject, type):
        raise BrokenSubject(
            f"{shown(f'python:{text}')} must return a subject; got the class {subject.__name__} itself. Return an instance of it."
        )
    if missing:
        raise BrokenSubject(
            f"{shown(f'python:{text}')} must return a subject; got a {type(subject).__name__} without {', '.join(missing)}. "
            "See mesascope.types.Subject."
        )
    return cast(Subject, subject)


def load_own_task(text: str) -> Task:
    """The task returned by the factory (a task's class, say) that ``package.module:factory`` names.

    Raises:
        ValueError: there is no such module or factory, or what it returned is not a task.
        BrokenSubject: the user's code raised an exception or called exit.
    """
    factory = _factory(text)
    try:
        task = factory()
    except (Exception, SystemExit) as error:
        raise BrokenSubject(f"{shown(f'python:{text}')} must return a task; it raised {raised(error)}") from error
    check_keeps_task(task)
    return cast(Task, task)


def _factory(text: str) -> Callable[[], object]:
    module, _, attribute = text.partition(":")
    if not module or not attribute or module.startswith("."):
        raise ValueError(
            f"a python reference must have the form python:package.module:factory; got {shown(f'python:{text}')}."
        )
    if "" not in sys.path:
        sys.path.insert(0, "")  # modules in the working directory, as `python -m` finds them
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"module {shown(module)} must be importable from here; {said(error)}. Run where Python can import it."
        ) from error
    except (Exception, SystemExit) as error:  # it is the user's code, and may raise anything
        raise BrokenSubject(f"module {shown(module)} must be importable; it raised {raised(error)}") from error
    factory = getattr(found, attribute, None)
    if not callable(factory):
        known = [name for name, value in vars(found).items() if callable(value) and not name.startswith("_")]
        what = "a callable without arguments" if hasattr(found, attribute) else f"defined in {module}"
        raise ValueError(
            f"{shown(attribute)} of {shown(f'python:{text}')} must be {what}; it is not.{nearest(attribute, known)}"
        )
    return cast(Callable[[], object], factory)


def raised(error: BaseException) -> str:
    """An exception of the user's code in one line: class, message, place."""
    frames = traceback.extract_tb(error.__traceback__)
    words = said(error)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}{': ' + words if words else ''}{place}."


__all__ = ("VERBS", "load_own", "load_own_task", "raised")
