"""``mesascope checkpoints``: hash every checkpoint of a model, and say which are not what their names say."""

import argparse
from typing import Any

from mesascope.commands.arguments import (
    UsageError,
    add_json,
    check_model,
    command,
    natural,
    positive,
    print_json,
    say,
    text,
    wrapped,
)

PREFIX = 12
"""Digits of a hash that are printed; ``--json`` has all."""


def add(commands: Any) -> None:
    """Add the command and its arguments."""
    words = "check a model's checkpoints: equal ones, swapped weights, missing steps"
    sub = command(commands, "checkpoints", _run, words, check=_check, loads=("mesascope.zoo.revisions",))
    sub.add_argument(
        "model",
        type=text,
        help="a name in the zoo, a run's directory, or hf:NAME_OR_DIR with a folder or revision per step; hf:NAME@step* chooses",
    )
    sub.add_argument("--steps", help="steps at which there should be a checkpoint, separated by commas")
    sub.add_argument(
        "--disk", type=positive, help="GiB that the download of one may take; default: half of what is free"
    )
    add_json(sub)


def _check(options: argparse.Namespace) -> None:
    _steps(options)
    check_model(options)


def _steps(options: argparse.Namespace) -> tuple[int, ...]:
    if options.steps is None:
        return ()
    try:
        return tuple(natural(part) for part in options.steps.split(","))
    except argparse.ArgumentTypeError as error:
        raise UsageError(f"steps must be whole numbers separated by commas; {error}.") from None


def _run(options: argparse.Namespace) -> None:
    from mesascope.zoo.revisions import integrity

    budget = None if options.disk is None else options.disk * 2**30
    found = integrity(options.model, expected=_steps(options), budget=budget)
    if options.json:
        print_json(found)
        return
    for each in found.checkpoints:
        verdict = "; ".join(each.faults) or "ok"
        say(wrapped(f"{each.step:>9}  {each.sha256[:PREFIX]:<{PREFIX}}  {verdict}"))
    if found.missing:
        say(wrapped(f"missing: {', '.join(map(str, found.missing))}"))
    say(f"{len(found.usable)} of {len(found.checkpoints)} can be measured")
