"""The commands, one file per command: their arguments and what they do."""

import contextlib
import importlib
import importlib.metadata
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from mesascope.commands import calibrate, checkpoints, convert, examine, identify, listing, study, sweep, theory, train
from mesascope.commands.arguments import Parser, check_words
from mesascope.commands.endings import ending
from mesascope.machine.devices import check_device, check_threads, set_threads
from mesascope.machine.progress import plain_warnings
from mesascope.records.shown import plain


def run(arguments: Sequence[str], begin: Callable[[], None] = lambda: None) -> int:
    """Run a command; return the exit status, and print a line on stderr if the status is not 0.

    Unusable arguments are refused before any module is loaded that takes seconds. Errors in mesascope itself are raised, so
    that their traceback is shown.

    Args:
        arguments: the command and its options.
        begin: called when everything is loaded, before the command begins its work.
    """
    model = None
    try:
        handler = logging.StreamHandler()
        handler.setFormatter(_Plain())
        logging.basicConfig(handlers=[handler], level=logging.WARNING)
        check_words(arguments)
        try:
            options = parser().parse_args(arguments or ["--help"])
        except SystemExit as stop:  # argparse has printed its help
            return int(stop.code or 0)
        model = getattr(options, "model", None)
        if options.threads is not None:
            check_threads(options.threads, "--threads")
        options.check(options)
        for module in options.loads:
            importlib.import_module(module)
        check_device(options.device, "--device")
        if options.threads is not None:
            set_threads(options.threads, "--threads")
        begin()
        with plain_warnings():
            options.run(options)
        sys.stdout.flush()
    except BaseException as error:
        found = ending(error, model)
        if found is None:
            raise
        status, words = found
        words += "".join(f" ({note})" for note in getattr(error, "__notes__", ()) if note.startswith("in "))
        with contextlib.suppress(OSError):  # stderr may be closed
            print(f"mesascope: {plain(words)}", file=sys.stderr)
        if isinstance(error, OSError):
            _forget_stdout()
        return status
    return 0


def parser() -> Any:
    """The parser of all commands and their arguments."""
    found = Parser(
        prog="mesascope", description="Which learning algorithm does a sequence model run in its forward pass?"
    )
    found.add_argument("--version", action="version", version=f"mesascope {importlib.metadata.version('mesascope')}")
    commands = found.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in (examine, identify, calibrate, study, theory, train, sweep, checkpoints, convert, listing):
        command.add(commands)
    return found


class _Plain(logging.Formatter):
    """Log messages without terminal control characters."""

    def format(self, record: logging.LogRecord) -> str:
        return plain(super().format(record))


def _forget_stdout() -> None:
    """Redirect an unwritable stdout (full disk, closed pipe) to nowhere, or Python would try to flush it at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


__all__ = ("parser", "run")
