"""``mesascope list``: list the names of models, tasks, algorithms, regressors, instruments, specs or studies."""

import argparse
import json
from collections.abc import Callable
from typing import Any

from mesascope.commands.arguments import command, say_columns
from mesascope.commands.index import index
from mesascope.zoo import names
from mesascope.zoo.shipped import PRETRAINED

THINGS: dict[str, Callable[[], list[str]]] = {
    "models": lambda: [*names(), *PRETRAINED, *(f"construction:{name}" for name in index()["constructions"])],
    "tasks": lambda: index()["tasks"],
    "algorithms": lambda: index()["algorithms"],
    "regressors": lambda: index()["regressors"],
    "instruments": lambda: list(index()["instruments"]),
    "specs": lambda: index()["specs"],
    "studies": lambda: list(index()["studies"]),
}


def add(commands: Any) -> None:
    """Add the command and its arguments."""
    sub = command(commands, "list", _run, "list what is available", loads=())
    sub.add_argument("what", choices=list(THINGS))
    sub.add_argument("--json", action="store_true", help="print a JSON list")


def _run(options: argparse.Namespace) -> None:
    listed = THINGS[options.what]()
    if options.json:
        print(json.dumps(listed))
        return
    if options.what == "instruments":
        say_columns(index()["instruments"])
    elif options.what == "studies":
        say_columns(index()["studies"])
    else:
        print("\n".join(listed))
