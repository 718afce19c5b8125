"""``mesascope study``: test published results."""

import argparse
import os
from pathlib import Path
from typing import Any

import mesascope as ms
from mesascope.commands.arguments import (
    UsageError,
    add_engine,
    add_json,
    check_model,
    command,
    engine,
    natural,
    out_directory,
    print_document,
    print_json,
    print_places,
    say,
    say_columns,
    text,
    wrapped,
)
from mesascope.commands.index import index
from mesascope.records.checks import nearest
from mesascope.records.codec import from_json
from mesascope.records.directories import Holds, claim
from mesascope.records.shown import shown
from mesascope.records.store import read_sealed, write_text

HOLDS: Holds = "a study"


def add(commands: Any) -> None:
    """Add the command, its verbs and their arguments."""
    study = commands.add_parser("study", help="test published results")
    verbs = study.add_subparsers(dest="verb", required=True, metavar="VERB")
    add_json(command(verbs, "list", _list, "every study and its question", loads=()))
    running = command(verbs, "run", _run, "run a study and judge its claims", check=_check)
    running.add_argument("name", help="see `mesascope study list`")
    running.add_argument(
        "--out",
        type=text,
        help="directory for report.html and record.json; default: out/study-NAME[-MODEL][-seed-N][-PROFILE]",
    )
    running.add_argument(
        "--profile",
        choices=index()["profiles"]["study"],
        default="laptop",
        help="smoke (seconds, decides nothing), laptop (shipped networks; default), full (trains its networks, for hours)",
    )
    running.add_argument(
        "--networks",
        type=text,
        help="with profile full: directory where networks are trained and found again; default: networks/ beside --out",
    )
    running.add_argument("--seed", type=natural, default=0)
    able = ", ".join(index()["studies_of_models"])
    running.add_argument("--model", type=text, help=f"ask about this model instead of the study's own ({able})")
    add_engine(running)
    add_json(running)
    words = "write one page of all results below a directory"
    reporting = command(verbs, "report", _report, words, check=_check_report)
    reporting.add_argument(
        "directory", metavar="DIR", type=text, help="directory with results of `study run`, such as out/"
    )


def _list(options: argparse.Namespace) -> None:
    studies = index()["studies"]
    if options.json:
        print_json(studies)
        return
    say_columns(studies)


def _check(options: argparse.Namespace) -> tuple[Path, Path]:
    """Check the options; return the directories of the results and of the networks."""
    studies = list(index()["studies"])
    if options.name not in studies:
        raise UsageError(
            f"study must be one of {', '.join(studies)}; got {shown(options.name)}.{nearest(options.name, studies)}"
        )
    if options.model is not None:
        able = index()["studies_of_models"]
        if options.name not in able:
            raise UsageError(
                f"--model must be left out for the study {options.name}, which is about its own. Studies of any model: "
                f"{', '.join(able)}."
            )
        check_model(options)
    out = out_directory(options, HOLDS, options.name, options.model)
    networks = out.parent / "networks" if options.networks is None else Path(options.networks)
    if os.path.lexists(networks) and not os.path.isdir(networks):
        raise UsageError(f"--networks must be a directory; {shown(networks)} is not one. Choose another name.")
    return out, networks


def _run(options: argparse.Namespace) -> None:
    from mesascope.studies import Place
    from mesascope.training import Interrupted

    out, networks = _check(options)
    place = Place(networks=networks, device=options.device, engine=engine(options))
    with claim(out, HOLDS):
        try:
            result = ms.run_study(
                options.name,
                out,
                profile=options.profile,
                seed=options.seed,
                model=options.model,
                place=place,
                progress=not options.json,
            )
        except Interrupted as stopped:  # its message names an option of `mesascope train`
            raise KeyboardInterrupt("stopped while training a network; run the same command to resume") from stopped
        ms.save(result, out)
    if options.json:
        print_document(result)
        return
    for outcome in result.outcomes:
        say(wrapped(f"{outcome.judgement}: {outcome.claim} ({outcome.reason})"))
    for note in result.notes:
        say(wrapped(note, "  "))
    print_places(out)


def _check_report(options: argparse.Namespace) -> None:
    directory = Path(options.directory)
    if not os.path.isdir(directory):
        raise UsageError(
            f"DIR must be a directory with results of studies below it; there is no {shown(str(directory))}."
        )


def _report(options: argparse.Namespace) -> None:
    from mesascope.studies import STUDIES

    directory = Path(options.directory)
    page = directory / "studies.html"
    if os.path.lexists(page) and not (page.is_file() and not page.is_symlink() and ms.report.is_page(page)):
        raise UsageError(
            f"DIR must hold no {page.name}, except one that `study report` wrote; move {shown(page)} away."
        )
    records = {path: read_sealed(path) for path in sorted(directory.rglob("record.json"))}
    held = {path: record for path, record in records.items() if record.get("type") == ms.StudyResult.__name__}
    found = {path: from_json(ms.StudyResult, record, shown(path), ours=True) for path, record in held.items()}
    if not found:
        raise UsageError(
            f"DIR must hold results of studies; there are none below {shown(str(directory))}. Run some first."
        )
    chosen = _most_thorough(found)
    ordered = [found[path] for name in STUDIES for path in chosen if found[path].study == name]
    write_text(page, ms.report.study_page(ordered))
    outcomes = [outcome for result in ordered for outcome in result.outcomes]
    studies = {result.study for result in ordered}
    say(f"{len(studies)} of {len(STUDIES)} studies: {ms.report.judged(outcomes)}\n{page}")
    for path in found:
        if path not in chosen:
            say(wrapped(f"left out, since another run of this study is as thorough or more so: {path.parent}"))


def _most_thorough(found: "dict[Path, ms.StudyResult]") -> list[Path]:
    """One result for each study and model: that of the largest profile, and of several such that of the smallest seed."""
    profiles = index()["profiles"]["study"]

    def thorough(path: Path) -> tuple[int, int]:
        seed = found[path].provenance.get("seed")
        return profiles.index(found[path].profile), -seed if isinstance(seed, int) else 0

    best: dict[object, Path] = {}
    for path in sorted(found, key=thorough):
        best[found[path].provenance.get("command", found[path].study)] = path
    return list(best.values())
