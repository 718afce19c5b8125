"""``mesascope identify``: the verdict alone; or, without measuring, how many prompts would tell candidates apart."""

import argparse
import dataclasses
import itertools
from typing import TYPE_CHECKING, Any

import mesascope as ms
from mesascope.commands.arguments import (
    UsageError,
    add_json,
    add_subject,
    candidates,
    check_model,
    command,
    natural,
    print_json,
    print_verdict,
    say,
    subject_and_task,
)
from mesascope.commands.index import index
from mesascope.records.shown import shown

if TYPE_CHECKING:
    from mesascope.instruments.identification.design import Design
    from mesascope.types import Task

COMPARING = ("mesascope.facade", "mesascope.instruments.identification.design")


def add(commands: Any) -> None:
    """Add the command and its arguments."""
    words = "name the algorithm that a model follows, or say that the evidence does not support one"
    sub = command(commands, "identify", _run, words, check=_check, loads=COMPARING)
    add_subject(sub)
    profiles = index()["profiles"]["examine"]
    sub.add_argument("--profile", choices=profiles, default="laptop", help="how many prompts (default: laptop)")
    sub.add_argument("--seed", type=natural, default=0)
    sub.add_argument("--algorithms", type=candidates, help="candidates, separated by commas; default: all")
    sub.add_argument(
        "--compare", type=candidates, help="two candidates, such as cg,pcg: how many prompts would tell them apart"
    )
    sub.add_argument(
        "--design",
        action="store_true",
        help="with --compare of two or more candidates: choose prompts that tell them apart",
    )
    sub.add_argument(
        "--distance",
        type=float,
        help="with --design: the largest distance from training (default: that of the standard prompts)",
    )
    sub.add_argument(
        "--noise",
        type=float,
        default=0.05,
        help="with --compare: prediction noise as a share of the target variance (default: 0.05)",
    )
    add_json(sub)


def _check(options: argparse.Namespace) -> None:
    if options.design and options.compare is None:
        raise UsageError("--design needs the candidates to tell apart; name them, as in --compare cg,pcg.")
    if options.distance is not None and not options.design:
        raise UsageError("--distance limits how far designed prompts may lie from training; add --design.")
    names = options.compare
    if names is not None and (len(names) < 2 or (len(names) > 2 and not options.design)):
        raise UsageError(f"--compare must name two candidates, as in cg,pcg; got {shown(','.join(names))}.")
    check_model(options)


def _run(options: argparse.Namespace) -> None:
    from mesascope.instruments.asking.lines import fewer
    from mesascope.instruments.asking.rehearsal import rehearse
    from mesascope.instruments.identification import IDENTIFIED

    subject, task = subject_and_task(options)
    rehearse(subject, task, seed=options.seed)
    if options.compare is not None:
        _compare(options, subject, task)
        return
    given = {"algorithms": options.algorithms, "prompts": fewer(subject, IDENTIFIED[options.profile])}
    verdict = ms.identify(subject, task, seed=options.seed, **given)
    if options.json:
        print_json(dataclasses.replace(verdict, figures=()))
    else:
        print_verdict(verdict)


def _compare(options: argparse.Namespace, subject: "ms.Subject", task: "Task") -> None:
    """Print how many prompts tell two candidates apart, with prompts that the subject's domain allows."""
    from mesascope.instruments.identification.design import design_prompts
    from mesascope.instruments.identification.power import prompts_needed

    names = options.compare
    given = {"noise": options.noise, "seed": options.seed}
    found = {pair: prompts_needed(*pair, task, subject.domain, **given) for pair in itertools.combinations(names, 2)}
    design = None
    if options.design:
        design = design_prompts(names, task, subject.domain, limit=options.distance, **given)
    if options.json:
        rows = [m for measurements in found.values() for m in measurements]
        print_json(rows if design is None else {"conditions": rows, "design": design})
        return
    for (first, second), measurements in found.items():
        say(
            f"prompts needed to tell {second} from {first}, for a subject that follows {first} with {options.noise:g} of the"
        )
        say("target's variance as prediction noise (power 0.9 at level 0.95):")
        for m in measurements:
            say(f"  κ = {m.coordinates['condition']:<6g} {_number(m)}")
    if design is not None:
        _print_design(design)


def _print_design(design: "Design") -> None:
    from mesascope.instruments.identification.design import settings

    say(f"prompts designed to tell {', '.join(design.candidates)} apart, at most {design.limit:.2f} from training:")
    say(f"  {settings(design.task)}")
    say("prompts needed for the pair that is hardest, whichever the subject follows:")
    for name, m in zip(("training", "standard", "designed"), (*design.before, design.after), strict=True):
        who = f"({m.coordinates['against']} from {m.coordinates['subject']})"
        say(f"  {name:<9} at distance {m.coordinates['distance']:.2f}  {_number(m)}  {who}")


def _number(needed: "ms.Measurement") -> str:
    return "no number is enough" if needed.value == float("inf") else f"{needed.value:.0f}"
