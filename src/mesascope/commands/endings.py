"""The end of a command: turns an exception into an exit status and a message."""

import errno
import re
import sys
import sysconfig
import traceback
from pathlib import Path

import mesascope
from mesascope.records.shown import said, shown

HERE = str(Path(mesascope.__file__).parent)
INSTALLED = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


class BrokenTheory(Exception):
    """A prover rejects a statement."""


def ending(error: BaseException, model: str | None) -> tuple[int, str] | None:
    """Exit status and message; None for an error in mesascope itself.

    Args:
        error: the exception that ended the command.
        model: the reference of the command's model, if it has one.
    """
    if isinstance(error, (KeyboardInterrupt, *_loaded("mesascope.training", "Interrupted"))):
        return 130, str(error) or "stopped"
    match error:
        case MemoryError():
            return 1, f"not enough memory: {said(error) or 'it ran out'}"
        case RuntimeError() if re.search("allocate memory|out of memory", str(error)):
            return 1, f"not enough memory: {said(error)}"
    if isinstance(error, _loaded("mesascope.types", "BrokenSubject")):
        return 1, str(error)
    if model is not None and model.startswith("python:") and _raised_by(error, model):
        from mesascope.zoo.own import raised

        return 1, f"the code of {shown(model)} must answer; it raised {raised(error)}"
    failures = (
        BrokenTheory,
        *_loaded("mesascope.plans", "PlanFailed"),
        *_loaded("mesascope.theory", "ProverFailed"),
        *_loaded("mesascope.training", "Diverged"),
    )
    if isinstance(error, failures):
        return 1, next(iter(str(error).splitlines()), "")
    match error:
        case ValueError():
            return 2, str(error)
        case OSError(errno=errno.ENOSPC):
            return 1, f"the disk is full: {error}. Nothing is left half written; free some space and run again."
        case OSError():
            return 1, str(error)
    return None


def _loaded(module: str, name: str) -> tuple[type[BaseException], ...]:
    """A module's exception class, in a tuple; empty if the module is not loaded, since it can't have been raised then."""
    return (getattr(sys.modules[module], name),) if module in sys.modules else ()


def _raised_by(error: BaseException, model: str) -> bool:
    """Whether an exception comes from the user's code: the innermost frame outside installed libraries is the user's."""
    package = model.removeprefix("python:").split(":")[0].split(".")[0]
    for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__))):
        if frame.f_globals.get("__name__", "").split(".")[0] == package:
            return True
        where = frame.f_code.co_filename
        if where.startswith(HERE):
            return False
        if not where.startswith((*INSTALLED, "<")):
            return True
    return False
