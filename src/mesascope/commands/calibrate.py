"""``mesascope calibrate``: judge subjects whose algorithm is known."""

import argparse
from pathlib import Path
from typing import Any

import mesascope as ms
from mesascope.commands.arguments import (
    add_engine,
    add_json,
    candidates,
    command,
    engine,
    natural,
    out_directory,
    print_document,
    print_places,
    say,
    text,
    wrapped,
)
from mesascope.commands.index import index, panel_name
from mesascope.records.directories import Holds, claim
from mesascope.records.shown import shown

HOLDS: Holds = "findings"


def add(commands: Any) -> None:
    """Add the command and its arguments."""
    words = "judge subjects whose algorithm is known, and write the confusion matrix"
    sub = command(commands, "calibrate", _run, words, check=_out)
    panels = index()["panels"]
    sub.add_argument(
        "--out",
        type=text,
        help="where report.html and record.json go; default: out/calibrate-PANEL[-PARTS][-own-readout-only][-PROFILE]",
    )
    sub.add_argument(
        "--panel-seed",
        type=natural,
        default=panels["S"],
        help=f"{panels['T']} is panel T (thresholds), {panels['S']} is S (default), {panels['H']} is H; or another seed",
    )
    sub.add_argument(
        "--profile",
        choices=index()["profiles"]["calibrate"],
        default="laptop",
        help="how many subjects and prompts (default: laptop, more than an hour on two cores)",
    )
    sub.add_argument(
        "--parts",
        type=_parts,
        help=f"what is measured: names separated by commas, out of {', '.join(index()['parts'])} (default: all)",
    )
    sub.add_argument(
        "--own-readout-only",
        action="store_true",
        help="do not judge the mixed panel a second time with the subjects' own readouts withheld",
    )
    add_engine(sub)
    add_json(sub)


def _parts(given: str) -> list[str]:
    names, known = candidates(given), index()["parts"]
    if set(names) - set(known):
        raise argparse.ArgumentTypeError(f"must be names out of {', '.join(known)}; got {shown(given)}")
    return names


def _out(options: argparse.Namespace) -> Path:
    return out_directory(
        options,
        HOLDS,
        panel_name(options.panel_seed),
        *(options.parts or ()),
        "own-readout-only" if options.own_readout_only else None,
    )


def _run(options: argparse.Namespace) -> None:
    out, where = _out(options), engine(options)
    with claim(out, HOLDS):
        found = ms.calibrate(
            panel_seed=options.panel_seed,
            profile=options.profile,
            parts=options.parts,
            withheld=not options.own_readout_only,
            journal=out,
            engine=where,
            progress=not options.json,
        )
        ms.save(found, out)
    if options.json:
        print_document(found)
        return
    for sentence in found.sentences:
        say(wrapped(sentence))
    print_places(out)
