"""Shared parts of the commands' arguments: their types, and how they become directories, models and tasks.

Fast to import, like every command: modules that compute are imported only by the functions that run (see `command`).
"""

import argparse
import json
import os
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mesascope as ms
from mesascope.commands.index import index
from mesascope.records.checks import nearest
from mesascope.records.codec import from_file, to_json
from mesascope.records.directories import Holds, check
from mesascope.records.parsing import sealed
from mesascope.records.shown import plain, shown
from mesascope.zoo.shipped import place

if TYPE_CHECKING:
    from mesascope.plans import Engine


WIDTH = 100
"""Characters in a line of a terminal."""


class UsageError(ValueError):
    """Arguments that cannot be used."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one or two lines, like all messages of mesascope."""

    def error(self, message: str) -> Any:
        words = re.sub(r"\S{200,}", lambda word: f"{word[0][:100]}…", message)  # argparse quotes the whole argument
        raise UsageError(f"{words}. See `{self.prog} --help`.")


def check_words(given: Sequence[str]) -> None:
    """Refuse ``--option=--``, which argparse handles wrongly: it drops the value."""
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
    """Add a command, with the options that all commands have.

    Args:
        commands: the subparsers that the command is added to.
        name: its name.
        run: does the command's work.
        words: what the command does, for the help text.
        check: raises if the options cannot be used, as far as this can be checked before slow modules are loaded.
        loads: the modules that ``run`` needs and that take seconds to load; until they are loaded, Ctrl-C ends the process
            at once.
    """
    added = commands.add_parser(name, help=words, description=words)
    added.set_defaults(check=check, loads=loads, run=run)
    added.add_argument("--device", type=text, default="cpu", help="where to compute: cpu (default), cuda, cuda:1, mps")
    added.add_argument("--threads", type=natural, help="CPU threads; default: all cores")
    return added


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--json``."""
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")


def add_subject(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that `subject_and_task` reads."""
    parser.add_argument("model", help="two-layer, construction:NAME, runs/…, python:module:factory (runs its code)")
    parser.add_argument(
        "--task",
        type=text,
        help="the model's training distribution: a JSON file, a data set's name (see `mesascope list tasks`), or "
        "python:module:factory (runs its code); default: the one it was trained on",
    )


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where a plan runs; `engine` reads them."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--workers", type=positive, help="processes on this machine, with one thread each (default: 1)")
    where.add_argument(
        "--scheduler", type=text, help="a running Dask cluster instead: tcp://HOST:PORT, or its scheduler file"
    )


def engine(options: argparse.Namespace) -> "Engine | None":
    """The engine that the options select; None for this process.

    Raises:
        ValueError: the scheduler does not answer, has no workers, or its workers run other versions.
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
    """Argument type: text that is not empty."""
    if not given.strip():
        raise argparse.ArgumentTypeError(f"must not be empty; got {shown(given)}")
    return given


def natural(given: str) -> int:
    """Argument type: a whole number of 0 or more."""
    if not re.fullmatch(r"\s*\d{1,18}\s*", given):
        raise argparse.ArgumentTypeError(f"must be a whole number of 0 or more; got {shown(given)}")
    return int(given)


def positive(given: str) -> int:
    """Argument type: a whole number of 1 or more."""
    if natural(given) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of 1 or more; got {shown(given)}")
    return natural(given)


def candidates(given: str) -> list[str]:
    """Argument type: names, separated by commas."""
    return [text(name.strip()) for name in given.split(",")]


def out_directory(options: argparse.Namespace, holds: Holds, *names: str | None) -> Path:
    """The output directory, ``out/COMMAND-NAME`` by default; checked here, before any work: see `check`.

    A seed or a profile other than the default one is part of the name, so that no results take the place of others.

    Args:
        options: those of the command.
        holds: what is written there.
        names: what is asked about, the first of them always; each that is given is part of the name.
    """
    safe = [re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:100].strip("-.") or "model" for name in names if name]
    seed, profile = getattr(options, "seed", 0), getattr(options, "profile", "laptop")
    others = (*((f"seed-{seed}",) if seed else ()), *((profile,) if profile != "laptop" else ()))
    named = "-".join((options.command, *safe, *others))
    return check(Path("out") / named if options.out is None else options.out, holds)


def check_model(options: argparse.Namespace) -> None:
    """Raise if no model has this name; the model itself is not read."""
    place(options.model, index()["constructions"])


def subject_and_task(options: argparse.Namespace) -> "tuple[ms.Subject, ms.Task]":
    """The model, and the task that it is examined on."""
    from mesascope.tasks import DATASETS, KINDS
    from mesascope.zoo import default_task, load
    from mesascope.zoo.own import load_own_task

    subject = load(options.model, device=options.device)
    if options.task is None:
        return subject, default_task(subject)
    if options.task.startswith("python:"):
        return subject, load_own_task(options.task.removeprefix("python:"))
    if options.task in DATASETS:
        return subject, DATASETS[options.task]
    if not os.path.isfile(options.task):  # unlike Path.is_file, also False for a name that is too long
        raise ValueError(
            f"task must be a JSON file, python:module:factory, or a data set of `mesascope list tasks`; {shown(options.task)} is "
            f"none of them.{nearest(options.task, DATASETS)}"
        )
    return subject, from_file(KINDS, Path(options.task), "task")


def say(words: object) -> None:
    """Print text for readers, without control characters, because names in it may come from anywhere."""
    print("\n".join(map(plain, str(words).split("\n"))))


def say_columns(rows: Mapping[str, str]) -> None:
    """Print names and what belongs to each in two columns, at most `WIDTH` characters wide."""
    indent = max(map(len, rows)) + 2
    for name, words in rows.items():
        say(textwrap.fill(words, WIDTH, initial_indent=f"{name:<{indent}}", subsequent_indent=" " * indent))


def print_json(value: object) -> None:
    """Print one JSON document on stdout."""
    print(json.dumps(to_json(value), allow_nan=False))


def print_document(record: "ms.Record | ms.Findings | ms.StudyResult") -> None:
    """Print the document that `record.json` holds."""
    print(json.dumps(sealed(to_json(record))))


def print_verdict(verdict: "ms.Verdict") -> None:
    """Print a verdict in sentences: what the model computes, then which algorithm that is."""
    if (description := verdict.description) is not None:
        say(wrapped(f"{verdict.subject}: {description.sentence}"))
        for line in ms.report.ladder(description):
            say(f"  {line}")
    say(wrapped(str(verdict)))
    for sentence in ms.report.sentences(verdict):
        say(wrapped(sentence, "  "))


def wrapped(words: str, indent: str = "") -> str:
    """A paragraph at the width of a terminal; names with hyphens stay in one piece."""
    return textwrap.fill(words, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


def print_places(out: Path) -> None:
    """Print the paths of the results."""
    say(f"{out / 'report.html'}\n{out / 'record.json'}")
