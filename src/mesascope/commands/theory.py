"""``mesascope theory``: check the mathematics, or write it out for provers."""

import argparse
import os
from pathlib import Path
from typing import Any

from mesascope.commands.arguments import UsageError, add_json, command, print_json, say, text
from mesascope.commands.endings import BrokenTheory
from mesascope.commands.index import index
from mesascope.records import directories
from mesascope.records.shown import shown

LOADS = ("mesascope.theory",)


def add(commands: Any) -> None:
    """Add the command, its verbs and their arguments."""
    theory = commands.add_parser("theory", help="the mathematics: check it, or write it out for provers")
    verbs = theory.add_subparsers(dest="verb", required=True, metavar="VERB")
    words = "check every statement with every prover that is installed"
    checking = command(verbs, "check", _check, words, check=_known, loads=LOADS)
    checking.add_argument(
        "statements",
        nargs="*",
        metavar="STATEMENT",
        help="its short name, to print it in full; default: all, one line per statement",
    )
    add_json(checking)
    checking.add_argument(
        "--lean", metavar="PROJECT", type=text, help="a Lake project with Mathlib, to compile the Lean text in"
    )
    words = "write the statements for a prover or a reader"
    exporting = command(verbs, "export", _export, words, check=_check_directory, loads=LOADS)
    exporting.add_argument("--to", choices=["rocq", "lean", "smt", "markdown"], required=True)
    exporting.add_argument("directory", type=text, help="new, empty, or made by mesascope")


def _known(options: argparse.Namespace) -> None:
    known = index()["statements"]
    if unknown := [key for key in options.statements if key not in known]:
        raise UsageError(
            f"statement must be one of {', '.join(known)}; got {shown(unknown[0])}. Leave it out for all of them."
        )
    project = None if options.lean is None else Path(options.lean)
    if project is not None and not os.path.isdir(project):
        raise UsageError(f"--lean must be a folder, a Lake project that depends on Mathlib; got {shown(project)}.")


def _check(options: argparse.Namespace) -> None:
    from mesascope.theory import STATEMENTS, check, rests_on

    known = {statement.key: statement for statement in STATEMENTS}
    project = None if options.lean is None else Path(options.lean)
    outcomes = check([known[key] for key in dict.fromkeys(options.statements)] or STATEMENTS, lean_project=project)
    if options.json:
        print_json(outcomes)
    else:
        for outcome in outcomes:
            say(outcome)
            if options.statements:
                say(outcome.details)
        say(rests_on(outcomes))
    if broken := [outcome.key for outcome in outcomes if outcome.broken]:
        raise BrokenTheory(f"{len(broken)} of {len(outcomes)} statements are broken: {', '.join(broken)}.")


def _check_directory(options: argparse.Namespace) -> None:
    directories.check(options.directory, "statements")


def _export(options: argparse.Namespace) -> None:
    from mesascope.theory import STATEMENTS, export

    for path in export(STATEMENTS, options.to, options.directory):
        say(path)
