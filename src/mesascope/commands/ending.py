"""How a command ends: from an exception to an exit status and a line."""

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
    """A statement that a prover rejects."""


def ending(error: BaseException, model: str | None) -> tuple[int, str] | None:
    """Exit status and words; None for a fault of our own.

    Args:
        error: what ended the command.
        model: the reference of the model that it worked on.
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
    """A class of a module that is there; none where it was not loaded, since then nothing can have raised it."""
    return (getattr(sys.modules[module], name),) if module in sys.modules else ()


def _raised_by(error: BaseException, model: str) -> bool:
    """Whether an exception comes from the user's code: the innermost frame that is not a library's is not ours."""
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
