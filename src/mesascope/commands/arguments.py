"""What the commands' arguments share: their types, and how they become directories, models and tasks.

Light to import, as every command is: what computes is imported by the functions that run (see `command`).
"""

import argparse
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mesascope as ms
from mesascope.commands.index import index
from mesascope.records.codec import from_file, to_json
from mesascope.records.directories import Holds, check
from mesascope.records.parsing import sealed
from mesascope.records.shown import plain, shown
from mesascope.zoo.shipped import place

if TYPE_CHECKING:
    from mesascope.plans import Engine
    from mesascope.tasks import LinearRegression


class UsageError(ValueError):
    """Arguments that cannot be used."""


class Parser(argparse.ArgumentParser):
    """Errors in a line or two, like every other message of ours."""

    def error(self, message: str) -> Any:
        words = re.sub(r"\S{200,}", lambda word: f"{word[0][:100]}…", message)  # argparse quotes whatever was given
        raise UsageError(f"{words}. See `{self.prog} --help`.")


def check_words(given: Sequence[str]) -> None:
    """Refuse what argparse stumbles over: it takes the value away from ``--option=--``."""
    for word in given:
        if word.startswith("--") and word.endswith("=--"):
            raise UsageError(f"{word.removesuffix('=--')} must have a value; got '--'.")


def command(
    commands: Any,
    name: str,
    run: Callable[[argparse.Namespace], None],
    words: str,
    *,
    check: Callable[[argparse.Namespace], object] = lambda options: None,
    loads: tuple[str, ...] = ("mesascope.facade",),
) -> argparse.ArgumentParser:
    """A command, with the options that all have.

    Args:
        commands: where it is added.
        name: what it is called.
        run: does it.
        words: what it does.
        check: raises where the options cannot be used, as far as that shows before anything is loaded.
        loads: the modules that ``run`` needs and that take seconds to load; Ctrl-C ends the process at once until they are
            there.
    """
    added = commands.add_parser(name, help=words, description=words)
    added.set_defaults(check=check, loads=loads, run=run)
    added.add_argument("--device", type=text, default="cpu", help="where to compute: cpu (default), cuda, cuda:1, mps")
    added.add_argument("--threads", type=natural, help="CPU threads; default: all cores")
    return added


def add_json(parser: argparse.ArgumentParser) -> None:
    """The option ``--json``."""
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")


def add_subject(parser: argparse.ArgumentParser) -> None:
    """What `subject_and_task` reads."""
    parser.add_argument("model", help="two-layer, construction:NAME, runs/…, python:module:factory (runs its code)")
    parser.add_argument(
        "--task",
        type=text,
        help="a JSON file with the model's training distribution; default: the one it was trained on",
    )


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Where a plan runs: `engine` reads it."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--workers", type=positive, help="processes on this machine, with one thread each (default: 1)")
    where.add_argument(
        "--scheduler", type=text, help="a running Dask cluster instead: tcp://HOST:PORT, or its scheduler file"
    )


def engine(options: argparse.Namespace) -> "Engine | None":
    """The engine that was asked for; None for this process.

    Raises:
        ValueError: a scheduler that does not answer, or whose workers run something else.
    """
    if options.scheduler is not None:
        from mesascope.plans.cluster import Cluster

        asked = Cluster(scheduler=options.scheduler)
        asked.check()
        return asked
    if options.workers is None or options.workers == 1:
        return None
    from mesascope.plans import Processes

    return Processes(workers=options.workers)


def text(given: str) -> str:
    """A type: anything but nothing."""
    if not given.strip():
        raise argparse.ArgumentTypeError(f"must not be empty; got {shown(given)}")
    return given


def natural(given: str) -> int:
    """A type: a whole number of 0 or more."""
    if not re.fullmatch(r"\s*\d{1,18}\s*", given):
        raise argparse.ArgumentTypeError(f"must be a whole number of 0 or more; got {shown(given)}")
    return int(given)


def positive(given: str) -> int:
    """A type: a whole number of 1 or more."""
    if natural(given) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of 1 or more; got {shown(given)}")
    return natural(given)


def candidates(given: str) -> list[str]:
    """A type: names, separated by commas."""
    return [text(name.strip()) for name in given.split(",")]


def out_directory(options: argparse.Namespace, name: str, holds: Holds) -> Path:
    """The output directory, ``out/COMMAND-NAME`` by default; refused here, before any work, if it is not ours."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:100].strip("-.") or "model"
    return check(Path("out") / f"{options.command}-{safe}" if options.out is None else options.out, holds)


def check_model(options: argparse.Namespace) -> None:
    """Raise where no model has the name; what it holds is not looked at."""
    place(options.model, index()["constructions"])


def subject_and_task(options: argparse.Namespace) -> "tuple[ms.Subject, LinearRegression]":
    """The model, and the task that it is examined on."""
    from mesascope.tasks import LinearRegression
    from mesascope.zoo import default_task, load

    subject = load(options.model, device=options.device)
    if options.task is None:
        return subject, default_task(subject)
    return subject, from_file(LinearRegression, Path(options.task), "task")


def say(words: object) -> None:
    """Print for people: names in it may be anybody's."""
    print("\n".join(map(plain, str(words).split("\n"))))


def print_json(value: object) -> None:
    """One document on stdout."""
    print(json.dumps(to_json(value), allow_nan=False))


def print_document(record: "ms.Record | ms.Findings | ms.StudyResult") -> None:
    """What `record.json` holds."""
    print(json.dumps(sealed(to_json(record))))


def print_verdict(verdict: "ms.Verdict") -> None:
    """A verdict in sentences."""
    say(verdict)
    for sentence in ms.report.sentences(verdict):
        say(f"  {sentence}")


def print_places(out: Path) -> None:
    """Where the results lie."""
    say(f"{out / 'report.html'}\n{out / 'record.json'}")
