"""``mesascope list``: what there is."""

import argparse
import json
from collections.abc import Callable
from typing import Any

from mesascope.algorithms import ALL
from mesascope.commands.arguments import command
from mesascope.instruments.catalogue import INSTRUMENTS
from mesascope.models.constructions import CONSTRUCTIONS
from mesascope.studies import STUDIES
from mesascope.tasks import LinearRegression
from mesascope.training import SPECS
from mesascope.zoo import names

THINGS: dict[str, Callable[[], list[str]]] = {
    "models": lambda: [*names(), *(f"construction:{name}" for name in CONSTRUCTIONS)],
    "tasks": lambda: [LinearRegression.__name__],
    "algorithms": lambda: [algorithm.name for algorithm in ALL],
    "instruments": lambda: ["identification", *(each.name for each in INSTRUMENTS)],
    "specs": lambda: list(SPECS),
    "studies": lambda: list(STUDIES),
}


def add(commands: Any) -> None:
    """Its arguments."""
    sub = command(commands, "list", _run, "list what there is")
    sub.add_argument("what", choices=list(THINGS))
    sub.add_argument("--json", action="store_true", help="print a JSON list")


def _run(options: argparse.Namespace) -> None:
    listed = THINGS[options.what]()
    print(json.dumps(listed) if options.json else "\n".join(listed))
