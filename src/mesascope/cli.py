"""The command line. Exit status: 0 done, 1 failed while working, 2 unusable arguments or input, 130 interrupted."""

import argparse
import dataclasses
import errno
import itertools
import json
import logging
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

import mesascope as ms
from mesascope.algorithms import ALL
from mesascope.calibration.calibrate import BUDGETS as CALIBRATION_BUDGETS
from mesascope.calibration.panel import HELD_OUT, SHIPPED, THRESHOLDS, panel_name
from mesascope.examine import BUDGETS
from mesascope.instruments.identification.design import Design, design_prompts, settings
from mesascope.instruments.identification.power import prompts_needed
from mesascope.models.constructions import CONSTRUCTIONS
from mesascope.records.codec import from_file, from_json, nearest, to_json
from mesascope.records.parsing import sealed
from mesascope.records.shown import plain, said, shown
from mesascope.records.store import claim, read_sealed, write_text
from mesascope.studies import PROFILES, STUDIES
from mesascope.tasks import LinearRegression
from mesascope.theory import STATEMENTS, check, export, rests_on
from mesascope.training import SPECS, Diverged, Interrupted, TrainingSpec, train, train_many
from mesascope.zoo import default_task, load, names
from mesascope.zoo.convert import convert


class UsageError(ValueError):
    """Arguments that cannot be used."""


class BrokenTheory(Exception):
    """A statement that a prover rejects."""


class _Parser(argparse.ArgumentParser):
    """Errors in a line or two, like every other message of ours."""

    def error(self, message: str) -> Any:
        raise UsageError(f"{message}. See `{self.prog} --help`.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Plain())
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        options = _parser().parse_args(given or ["--help"])
        _hardware(options)
        options.run(options)
    except SystemExit as stop:  # argparse has printed its help
        return int(stop.code or 0)
    except ValueError as error:
        return _complain(error, 2)
    except (Interrupted, KeyboardInterrupt) as stop:
        return _complain(stop if str(stop) else "stopped", 130)
    except (Diverged, BrokenTheory) as error:
        return _complain(error, 1)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            return _complain(
                f"the disk is full: {error}. Nothing is left half written; free some space and run again.", 1
            )
        return _complain(error, 1)
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not re.search("allocate memory|out of memory", str(error)):
            raise
        return _complain(f"not enough memory: {said(error)}", 1)
    return 0


def _complain(message: object, status: int) -> int:
    print(f"mesascope: {plain(str(message))}", file=sys.stderr)
    return status


class _Plain(logging.Formatter):
    """Messages as they are, but for what a terminal would obey."""

    def format(self, record: logging.LogRecord) -> str:
        return plain(super().format(record))


def _say(text: object) -> None:
    """Print for people: names in it may be anybody's."""
    print("\n".join(map(plain, str(text).split("\n"))))


def _examine(options: argparse.Namespace) -> None:
    out = _out(options, "examine", options.model)
    subject, task = _subject_and_task(options)
    subject.domain.check(task)  # before prompts are drawn
    task.sample(1, seed=options.seed)  # before anything is written
    record = ms.examine(
        subject, task, profile=options.profile, seed=options.seed, journal=out, progress=not options.json
    )
    ms.save(record, out)
    if options.json:
        _print_document(record)
        return
    _say(record.verdict)
    for sentence in (*ms.report.sentences(record.verdict), *ms.report.failures(record)):
        _say(f"  {sentence}")
    _say(f"{out / 'report.html'}\n{out / 'record.json'}")


def _identify(options: argparse.Namespace) -> None:
    if options.design and options.compare is None:
        raise UsageError("--design must know which candidates to tell apart; name them, as in --compare cg,pcg.")
    if options.distance is not None and not options.design:
        raise UsageError("--distance is how far designed prompts may lie from training; add --design.")
    subject, task = _subject_and_task(options)
    if options.compare is not None:
        _compare(options, subject, task)
        return
    chosen = None if options.algorithms is None else [name.strip() for name in options.algorithms.split(",")]
    verdict = ms.identify(
        subject, task, seed=options.seed, algorithms=chosen, prompts=BUDGETS[options.profile].identify
    )
    if options.json:
        _print_json(dataclasses.replace(verdict, figures=()))
        return
    _say(verdict)
    for sentence in ms.report.sentences(verdict):
        _say(f"  {sentence}")


def _compare(options: argparse.Namespace, subject: ms.Subject, task: LinearRegression) -> None:
    """How many prompts tell two candidates apart, where the subject's domain allows them."""
    names = [name.strip() for name in options.compare.split(",")]
    if len(names) < 2 or (len(names) > 2 and not options.design):
        raise UsageError(f"--compare must name two candidates, as in cg,pcg; got {shown(options.compare)}.")
    given = {"noise": options.noise, "seed": options.seed}
    found = {pair: prompts_needed(*pair, task, subject.domain, **given) for pair in itertools.combinations(names, 2)}
    design = None
    if options.design:
        design = design_prompts(names, task, subject.domain, limit=options.distance, **given)
    if options.json:
        rows = [m for measurements in found.values() for m in measurements]
        _print_json(rows if design is None else {"conditions": rows, "design": design})
        return
    for (first, second), measurements in found.items():
        _say(
            f"prompts needed to tell {second} from {first}, for a subject that follows {first} with {options.noise:g} of the"
        )
        _say("target's variance as prediction noise (power 0.9 at level 0.95):")
        for m in measurements:
            _say(f"  κ = {m.coordinates['condition']:<6g} {_number(m)}")
    if design is not None:
        _print_design(design)


def _print_design(design: Design) -> None:
    _say(f"prompts designed to tell {', '.join(design.candidates)} apart, at most {design.limit:.2f} from training:")
    _say(f"  {settings(design.task)}")
    _say("prompts needed for the pair that is hardest, whichever the subject follows:")
    for name, m in zip(("training", "standard", "designed"), (*design.before, design.after), strict=True):
        who = f"({m.coordinates['against']} from {m.coordinates['subject']})"
        _say(f"  {name:<9} at distance {m.coordinates['distance']:.2f}  {_number(m)}  {who}")


def _number(needed: ms.Measurement) -> str:
    return "no number is enough" if needed.value == float("inf") else f"{needed.value:.0f}"


def _calibrate(options: argparse.Namespace) -> None:
    out = _out(options, "calibrate", panel_name(options.panel_seed).replace(" ", "-"))
    found = ms.calibrate(
        panel_seed=options.panel_seed,
        profile=options.profile,
        withheld=not options.own_readout_only,
        journal=out,
        progress=not options.json,
    )
    ms.save(found, out)
    if options.json:
        _print_document(found)
        return
    for sentence in found.sentences:
        _say(sentence)
    _say(f"{out / 'report.html'}\n{out / 'record.json'}")


def _study_list(options: argparse.Namespace) -> None:
    if options.json:
        _print_json({name: study.title for name, study in STUDIES.items()})
        return
    width = max(map(len, STUDIES))
    for name, study in STUDIES.items():
        _say(f"{name:<{width}}  {study.title}")


def _study_run(options: argparse.Namespace) -> None:
    if options.name not in STUDIES:
        raise UsageError(
            f"study must be one of {', '.join(STUDIES)}; got {shown(options.name)}.{nearest(options.name, list(STUDIES))}"
        )
    out = _out(options, "study", options.name)
    networks = out.parent / "networks" if options.networks is None else Path(options.networks)
    given = {"profile": options.profile, "seed": options.seed, "device": options.device, "networks": networks}
    result = ms.run_study(options.name, out, **given, progress=not options.json)
    ms.save(result, out)
    if options.json:
        _print_document(result)
        return
    for outcome in result.outcomes:
        _say(f"{outcome.judgement}: {outcome.claim} ({outcome.reason})")
    for note in result.notes:
        _say(f"  {note}")
    _say(f"{out / 'report.html'}\n{out / 'record.json'}")


def _study_report(options: argparse.Namespace) -> None:
    directory = Path(options.directory)
    if not directory.is_dir():
        raise UsageError(
            f"DIR must be a directory with results of studies below it; there is no {shown(str(directory))}."
        )
    records = {path: read_sealed(path) for path in sorted(directory.rglob("record.json"))}
    held = {path: record for path, record in records.items() if record.get("type") == ms.StudyResult.__name__}
    found = [from_json(ms.StudyResult, record, shown(path), ours=True) for path, record in held.items()]
    results = {result.study: result for result in found}
    if not results:
        raise UsageError(
            f"DIR must hold results of studies; there are none below {shown(str(directory))}. Run some first."
        )
    ordered = [results[name] for name in STUDIES if name in results]
    write_text(directory / "studies.html", ms.report.study_page(ordered))
    outcomes = [outcome for result in ordered for outcome in result.outcomes]
    _say(f"{len(ordered)} of {len(STUDIES)} studies: {ms.report.judged(outcomes)}\n{directory / 'studies.html'}")


def _train(options: argparse.Namespace) -> None:
    spec = _spec(options.spec)
    seeds = _seeds(options.seeds) if options.seeds else (spec.seed,)
    out = _out(options, "train", spec.name)
    if len(seeds) == 1:
        spec = dataclasses.replace(spec, seed=seeds[0])
        done = [train(spec, out, resume=options.resume, device=options.device)]
    else:
        done = train_many(spec, seeds, out, resume=options.resume, device=options.device)
    for directory in done:
        _say(directory)


def _convert(options: argparse.Namespace) -> None:
    _say(convert(Path(options.checkpoint), _out(options, "convert", Path(options.checkpoint).stem), like=options.like))


def _theory_check(options: argparse.Namespace) -> None:
    known = {statement.key: statement for statement in STATEMENTS}
    if unknown := [key for key in options.statements if key not in known]:
        raise UsageError(
            f"statement must be one of {', '.join(known)}; got {shown(unknown[0])}. Leave it out for all of them."
        )
    project = None if options.lean is None else Path(options.lean)
    if project is not None and not project.is_dir():
        raise UsageError(f"--lean must be a folder, a Lake project that depends on Mathlib; got {options.lean}.")
    outcomes = check([known[key] for key in dict.fromkeys(options.statements)] or STATEMENTS, lean_project=project)
    if options.json:
        _print_json(outcomes)
    else:
        for outcome in outcomes:
            _say(outcome)
            if options.statements:
                _say(outcome.details)
        _say(rests_on(outcomes))
    if broken := [outcome.key for outcome in outcomes if outcome.broken]:
        raise BrokenTheory(f"{len(broken)} of {len(outcomes)} statements are broken: {', '.join(broken)}.")


def _theory_export(options: argparse.Namespace) -> None:
    for path in export(STATEMENTS, options.to, options.directory):
        _say(path)


def _list(options: argparse.Namespace) -> None:
    things: dict[str, Callable[[], list[str]]] = {
        "models": lambda: [*names(), *(f"construction:{name}" for name in CONSTRUCTIONS)],
        "tasks": lambda: [LinearRegression.__name__],
        "algorithms": lambda: [algorithm.name for algorithm in ALL],
        "instruments": lambda: [*ms.instruments.INSTRUMENTS, *ms.instruments.FURTHER],
        "specs": lambda: list(SPECS),
        "studies": lambda: list(STUDIES),
    }
    listed = things[options.what]()
    print(json.dumps(listed) if options.json else "\n".join(listed))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="mesascope", description="Which learning algorithm does a sequence model run in its forward pass?"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], None], words: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=words, description=words)
        sub.set_defaults(run=run)
        sub.add_argument("--device", default="cpu", help="where to compute: cpu (default), cuda, cuda:1, mps")
        sub.add_argument("--threads", type=int, help="CPU threads; default: all cores")
        return sub

    examine = command("examine", _examine, "examine one model with every instrument and write a page and a record")
    identify = command(
        "identify", _identify, "name the algorithm that a model follows, or say that the evidence does not"
    )
    for sub in (examine, identify):
        sub.add_argument("model", help="two-layer, construction:NAME, runs/…, python:module:factory")
        sub.add_argument(
            "--task", help="a JSON file with the model's training distribution; default: the one it was trained on"
        )
        sub.add_argument(
            "--profile", choices=list(BUDGETS), default="laptop", help="how many prompts (default: laptop)"
        )
        sub.add_argument("--seed", type=_natural, default=0)
        sub.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    examine.add_argument("--out", help="directory for report.html and record.json; default: out/examine-MODEL")
    identify.add_argument("--algorithms", help="candidates, separated by commas; default: all")
    identify.add_argument("--compare", help="two candidates, as in cg,pcg: how many prompts would tell them apart")
    identify.add_argument(
        "--design", action="store_true", help="for --compare, of two or more: choose prompts that tell them apart"
    )
    identify.add_argument(
        "--distance", type=float, help="for --design: how far from training (default: as far as the standard prompts)"
    )
    identify.add_argument("--noise", type=float, default=0.05, help="for --compare: share of prediction noise (0.05)")

    calibrating = command(
        "calibrate", _calibrate, "judge subjects whose algorithm is known, and write the confusion matrix"
    )
    calibrating.add_argument("--out", help="directory for report.html and record.json; default: out/calibrate-PANEL")
    calibrating.add_argument(
        "--panel-seed",
        type=_natural,
        default=SHIPPED,
        help=f"{THRESHOLDS} is T (thresholds), {SHIPPED} is S (default), {HELD_OUT} is H; or your own",
    )
    calibrating.add_argument(
        "--profile",
        choices=list(CALIBRATION_BUDGETS),
        default="laptop",
        help="how many subjects and prompts (default: laptop, a quarter of an hour)",
    )
    calibrating.add_argument(
        "--own-readout-only", action="store_true", help="do not judge a second time with own readouts withheld"
    )
    calibrating.add_argument("--json", action="store_true", help="print one JSON document and nothing else")

    training = command("train", _train, "train a model from a specification")
    training.add_argument("spec", help=f"a JSON file, or one of {', '.join(SPECS)}")
    training.add_argument("--out", help="run directory; default: out/train-NAME")
    training.add_argument(
        "--seeds", help="one or several, separated by commas; several go to seed-N/ below the run directory"
    )
    training.add_argument("--resume", action="store_true", help="go on from the last intact checkpoint")

    converting = command("convert", _convert, "convert another project's .pt checkpoint (weights-only loading)")
    converting.add_argument(
        "checkpoint", help="a .pt file with a state dict of GPT-2 blocks, as Garg et al.'s code saves it"
    )
    converting.add_argument("--out", help="directory for the converted checkpoint; default: out/convert-NAME")
    converting.add_argument("--like", help="a JSON file with the TransformerConfig; default: read off the weights")

    study = commands.add_parser("study", help="published results, put to the test")
    acts = study.add_subparsers(dest="verb", required=True, metavar="VERB")
    studies = acts.add_parser("list", help="every study and its question")
    studies.set_defaults(run=_study_list)
    running = acts.add_parser("run", help="run a study and judge its claims")
    running.add_argument("name", help="see `mesascope study list`")
    running.add_argument("--out", help="directory for report.html and record.json; default: out/study-NAME")
    running.add_argument(
        "--profile",
        choices=list(PROFILES),
        default="laptop",
        help="smoke (seconds, decides nothing), laptop (networks that ship; default), full (trains them first, for hours)",
    )
    running.add_argument(
        "--networks",
        help="for profile full: where networks are trained, and found again; default: networks/ beside --out",
    )
    running.add_argument("--seed", type=_natural, default=0)
    running.set_defaults(run=_study_run)
    reporting = acts.add_parser("report", help="one page of all results below a directory")
    reporting.add_argument("directory", metavar="DIR", help="where results of `study run` lie, as in out/")
    reporting.set_defaults(run=_study_report, json=False)
    for sub in (studies, running):
        sub.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    for sub in (studies, running, reporting):
        sub.add_argument("--device", default="cpu", help="where to compute: cpu (default), cuda, cuda:1, mps")
        sub.add_argument("--threads", type=int, help="CPU threads; default: all cores")

    theory = commands.add_parser("theory", help="the mathematics: check it, or write it out for provers")
    verbs = theory.add_subparsers(dest="verb", required=True, metavar="VERB")
    checking = verbs.add_parser("check", help="put every statement to every prover that is installed")
    checking.add_argument(
        "statements", nargs="*", metavar="STATEMENT", help="its short name, to see it whole; default: all, a line each"
    )
    checking.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    checking.add_argument("--lean", metavar="PROJECT", help="a Lake project with Mathlib, to compile the Lean text in")
    checking.set_defaults(run=_theory_check)
    exporting = verbs.add_parser("export", help="write the statements for a prover or a reader")
    exporting.add_argument("--to", choices=["rocq", "lean", "smt", "markdown"], required=True)
    exporting.add_argument("directory", help="new, empty, or made by mesascope")
    exporting.set_defaults(run=_theory_export)
    for sub in (checking, exporting):
        sub.add_argument("--device", default="cpu", help="where to compute: cpu (default), cuda, cuda:1, mps")
        sub.add_argument("--threads", type=int, help="CPU threads; default: all cores")

    listing = command("list", _list, "list what there is")
    listing.add_argument("what", choices=["models", "tasks", "algorithms", "instruments", "specs", "studies"])
    listing.add_argument("--json", action="store_true", help="print a JSON list")
    return parser


def _subject_and_task(options: argparse.Namespace) -> tuple[ms.Subject, LinearRegression]:
    subject = load(options.model, device=options.device)
    task = default_task(subject) if options.task is None else from_file(LinearRegression, Path(options.task), "task")
    return subject, task


def _spec(text: str) -> TrainingSpec:
    if text in SPECS:
        return SPECS[text]
    if not Path(text).exists():
        raise UsageError(
            f"spec must be a JSON file or one of {', '.join(SPECS)}; got {shown(text)}.{nearest(text, list(SPECS))}"
        )
    return from_file(TrainingSpec, Path(text), "spec")


def _seeds(text: str) -> tuple[int, ...]:
    try:
        seeds = tuple(_natural(part) for part in text.split(","))
    except argparse.ArgumentTypeError as error:
        raise UsageError(f"seeds must be whole numbers separated by commas; {error}.") from None
    if len(set(seeds)) != len(seeds):
        raise UsageError(f"seeds must differ from each other; got {text}.")
    return seeds


def _natural(text: str) -> int:
    if not re.fullmatch(r"\s*\d{1,18}\s*", text):
        raise argparse.ArgumentTypeError(f"must be a whole number of 0 or more; got {shown(text)}")
    return int(text)


def _out(options: argparse.Namespace, command: str, name: str) -> Path:
    """The output directory; refused here, before any work, if it is not ours."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "model"
    out = Path(options.out) if options.out else Path("out") / f"{command}-{safe}"
    if out.exists():
        claim(out)
    return out


def _hardware(options: argparse.Namespace) -> None:
    if options.threads is not None:
        if options.threads < 1:
            raise UsageError(f"--threads must be at least 1; got {options.threads}.")
        torch.set_num_threads(options.threads)
    try:
        torch.ones(1, device=options.device).tolist()
    except (RuntimeError, AssertionError) as error:
        raise UsageError(
            f"--device must be one that torch can use here; got {shown(options.device)} ({said(error)})."
        ) from error


def _print_json(value: object) -> None:
    print(json.dumps(to_json(value), allow_nan=False))


def _print_document(record: ms.Record | ms.Findings | ms.StudyResult) -> None:
    """What `record.json` holds."""
    print(json.dumps(sealed(to_json(record))))


__all__ = ("main",)


if __name__ == "__main__":
    sys.exit(main())
