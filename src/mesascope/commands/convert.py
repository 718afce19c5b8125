"""``mesascope convert``: convert another project's checkpoint."""

import argparse
from pathlib import Path
from typing import Any

from mesascope.commands.arguments import command, out_directory, say, text
from mesascope.records.directories import Holds

HOLDS: Holds = "a conversion"


def add(commands: Any) -> None:
    """Add the command and its arguments."""
    words = "convert another project's .pt checkpoint (weights-only loading)"
    sub = command(commands, "convert", _run, words, check=_out, loads=("mesascope.zoo.convert",))
    sub.add_argument(
        "checkpoint",
        type=text,
        help="a .pt file with the weights of a GPT-2 from Garg et al.'s code, or the directory of its run",
    )
    sub.add_argument("--out", type=text, help="directory for the converted checkpoint; default: out/convert-NAME")
    sub.add_argument(
        "--like", type=text, help="a JSON file with fields of the TransformerConfig; they override all other sources"
    )


def _out(options: argparse.Namespace) -> Path:
    return out_directory(options, HOLDS, Path(options.checkpoint).stem)


def _run(options: argparse.Namespace) -> None:
    from mesascope.zoo.convert import convert, told

    out = convert(Path(options.checkpoint), _out(options), like=options.like)
    for taken in told(out):
        say(f"  {taken}")
    say(out)
