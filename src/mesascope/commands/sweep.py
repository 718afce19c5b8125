"""``mesascope sweep``: trainings and measures over a grid."""

import argparse
import os
from pathlib import Path
from typing import Any

import mesascope as ms
from mesascope.commands.arguments import (
    UsageError,
    add_engine,
    add_json,
    command,
    engine,
    natural,
    out_directory,
    print_document,
    print_places,
    say,
    text,
)
from mesascope.records.directories import Holds, claim
from mesascope.records.shown import shown

HOLDS: Holds = "findings"


def add(commands: Any) -> None:
    """Its arguments."""
    words = "train networks over a grid of specifications, and measure each, as one plan that can be resumed"
    sub = command(commands, "sweep", _run, words, check=_check, loads=("mesascope.facade", "mesascope.sweeps"))
    sub.add_argument("file", metavar="FILE", type=text, help="a JSON file with spec, grid, seeds, measure and profile")
    sub.add_argument(
        "--out", type=text, help="directory for the runs, report.html and record.json; default: out/sweep-FILE[-seed-N]"
    )
    sub.add_argument("--seed", type=natural, default=0, help="of the prompts that are measured on")
    sub.add_argument("--yes", action="store_true", help="go on with more than 10,000 cells")
    add_engine(sub)
    add_json(sub)


def _check(options: argparse.Namespace) -> None:
    if not os.path.isfile(options.file):
        raise UsageError(f"FILE must be a JSON file that describes a sweep; {shown(options.file)} is none.")
    out_directory(options, HOLDS, Path(options.file).stem)


def _run(options: argparse.Namespace) -> None:
    from mesascope.sweeps import MOST_CELLS, cells, read_sweep, sweep
    from mesascope.training import Interrupted

    what = read_sweep(Path(options.file))
    if what.size > MOST_CELLS and not options.yes:
        raise UsageError(f"FILE asks for {what.size:,} cells, and {MOST_CELLS:,} are many. If it is meant, add --yes.")
    cells(what)
    where = engine(options)
    out = out_directory(options, HOLDS, Path(options.file).stem)
    with claim(out, HOLDS):
        try:
            found = sweep(what, out, seed=options.seed, device=options.device, engine=where, progress=not options.json)
        except Interrupted as stopped:  # its own advice is for `mesascope train`
            raise KeyboardInterrupt("stopped while training; the same command goes on there") from stopped
        ms.save(found, out)
    if options.json:
        print_document(found)
        return
    for sentence in found.sentences:
        say(sentence)
    for line in ms.report.text_table(found.figures[0]):
        say(line)
    print_places(out)
