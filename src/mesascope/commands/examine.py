"""``mesascope examine``: measure one model with every instrument, and write a page."""

import argparse
from typing import Any

import mesascope as ms
from mesascope.commands.arguments import (
    add_engine,
    add_json,
    add_subject,
    check_model,
    command,
    engine,
    natural,
    out_directory,
    print_document,
    print_places,
    print_verdict,
    say,
    subject_and_task,
    text,
    wrapped,
)
from mesascope.commands.index import index
from mesascope.records.directories import Holds, claim

HOLDS: Holds = "an examination"


def add(commands: Any) -> None:
    """Add the command and its arguments."""
    words = "examine one model with every instrument and write a page and a record"
    sub = command(commands, "examine", _run, words, check=_check)
    add_subject(sub)
    profiles = index()["profiles"]["examine"]
    sub.add_argument("--profile", choices=profiles, default="laptop", help="how many prompts (default: laptop)")
    sub.add_argument("--seed", type=natural, default=0)
    sub.add_argument(
        "--out",
        type=text,
        help="directory for report.html and record.json; default: out/examine-MODEL[-TASK][-seed-N][-PROFILE]",
    )
    add_engine(sub)
    add_json(sub)


def _check(options: argparse.Namespace) -> None:
    out_directory(options, HOLDS, options.model, options.task)
    check_model(options)


def _run(options: argparse.Namespace) -> None:
    from mesascope.examination import ModelReference
    from mesascope.instruments.asking.rehearsal import rehearse

    out = out_directory(options, HOLDS, options.model, options.task)
    subject, task = subject_and_task(options)
    rehearse(subject, task, seed=options.seed)
    given = {"profile": options.profile, "seed": options.seed, "journal": out, "progress": not options.json}
    given["engine"] = elsewhere = engine(options)
    sent = subject if elsewhere is None else ModelReference(reference=options.model, device=options.device)
    with claim(out, HOLDS):
        record = ms.examine(sent, task, **given)
        ms.save(record, out)
    if options.json:
        print_document(record)
        return
    print_verdict(record.verdict)
    for sentence in ms.report.failures(record):
        say(f"  {sentence}")
    for sentence in ms.report.silent_failures(record):
        say(wrapped(sentence, "  "))
    print_places(out)
