"""``mesascope train``: a model from a specification."""

import argparse
import dataclasses
import os
from pathlib import Path
from typing import Any

from mesascope.commands.arguments import UsageError, command, natural, out_directory, say, text
from mesascope.records.codec import from_file, nearest
from mesascope.records.shown import shown
from mesascope.training import SPECS, TrainingSpec, train, train_many


def add(commands: Any) -> None:
    """Its arguments."""
    sub = command(commands, "train", _run, "train a model from a specification")
    sub.add_argument("spec", type=text, help=f"a JSON file, or one of {', '.join(SPECS)}")
    sub.add_argument("--out", type=text, help="run directory; default: out/train-NAME")
    sub.add_argument(
        "--seeds",
        help="one or several, separated by commas; several go to seed-N/ below the run directory",
    )
    sub.add_argument("--resume", action="store_true", help="go on from the last intact checkpoint")


def _run(options: argparse.Namespace) -> None:
    spec = _spec(options.spec)
    seeds = (spec.seed,) if options.seeds is None else _seeds(options.seeds)
    given = {"resume": options.resume, "device": options.device}
    if len(seeds) == 1:
        out = out_directory(options, spec.name, "a training run")
        done = [train(dataclasses.replace(spec, seed=seeds[0]), out, **given)]
    else:
        out = out_directory(options, spec.name, "training runs, one a seed")
        done = train_many(spec, seeds, out, **given)
    for directory in done:
        say(directory)


def _spec(given: str) -> TrainingSpec:
    if given in SPECS:
        return SPECS[given]
    if not os.path.exists(given):
        raise UsageError(
            f"spec must be a JSON file or one of {', '.join(SPECS)}; got {shown(given)}.{nearest(given, list(SPECS))}"
        )
    return from_file(TrainingSpec, Path(given), "spec")


def _seeds(given: str) -> tuple[int, ...]:
    try:
        seeds = tuple(natural(part) for part in given.split(","))
    except argparse.ArgumentTypeError as error:
        raise UsageError(f"seeds must be whole numbers separated by commas; {error}.") from None
    if len(set(seeds)) != len(seeds):
        raise UsageError(f"seeds must differ from each other; got {shown(given)}.")
    return seeds
