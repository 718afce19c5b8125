"""``mesascope train``: train a model from a specification."""

import argparse
import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mesascope.commands.arguments import UsageError, command, natural, out_directory, say, text
from mesascope.commands.index import index
from mesascope.records.checks import nearest
from mesascope.records.codec import from_file
from mesascope.records.directories import Holds
from mesascope.records.shown import shown

if TYPE_CHECKING:
    from mesascope.training import Recipe

ONE: Holds = "a training run"
SEVERAL: Holds = "training runs, one a seed"


def add(commands: Any) -> None:
    """Add the command and its arguments."""
    words = "train a model from a specification"
    sub = command(commands, "train", _run, words, check=_check, loads=("mesascope.training",))
    sub.add_argument("spec", type=text, help=f"a JSON file, or one of {', '.join(index()['specs'])}")
    sub.add_argument("--out", type=text, help="run directory; default: out/train-NAME")
    sub.add_argument(
        "--seeds",
        help="one or more seeds, separated by commas; with several, each trains in seed-N/ below the run directory",
    )
    sub.add_argument(
        "--together",
        action="store_true",
        help="train the seeds as one batched program: about three times as fast where the networks are small",
    )
    sub.add_argument("--resume", action="store_true", help="continue from the last intact checkpoint")


def _check(options: argparse.Namespace) -> None:
    specs = index()["specs"]
    if options.spec not in specs and not os.path.exists(options.spec):
        raise UsageError(
            f"spec must be a JSON file or one of {', '.join(specs)}; got {shown(options.spec)}.{nearest(options.spec, specs)}"
        )
    several = options.seeds is not None and len(_seeds(options.seeds)) > 1
    if options.together and not several:
        raise UsageError("--together needs several seeds; name them with --seeds, as in --seeds 1,2,3.")
    if options.out is not None:  # the default name comes from the specification, which is not read yet
        out_directory(options, SEVERAL if several else ONE, options.spec)


def _run(options: argparse.Namespace) -> None:
    from mesascope.training import train, train_many

    spec = _spec(options.spec)
    seeds = (spec.seed,) if options.seeds is None else _seeds(options.seeds)
    given = {"resume": options.resume, "device": options.device}
    if len(seeds) == 1:
        out = out_directory(options, ONE, spec.name)
        done = [train(dataclasses.replace(spec, seed=seeds[0]), out, **given)]
    else:
        out = out_directory(options, SEVERAL, spec.name)
        done = train_many(spec, seeds, out, together=options.together, **given)
    for directory in done:
        say(directory)


def _spec(given: str) -> "Recipe":
    from mesascope.training import LADDER, SPECS, LanguageSpec, TrainingSpec

    if found := SPECS.get(given) or LADDER.get(given):
        return found
    return from_file((TrainingSpec, LanguageSpec), Path(given), "spec")


def _seeds(given: str) -> tuple[int, ...]:
    try:
        seeds = tuple(natural(part) for part in given.split(","))
    except argparse.ArgumentTypeError as error:
        raise UsageError(f"seeds must be whole numbers separated by commas; {error}.") from None
    if len(set(seeds)) != len(seeds):
        raise UsageError(f"seeds must differ from each other; got {shown(given)}.")
    return seeds
