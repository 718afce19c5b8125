"""The public names of ``import mesascope``: joins the rooms of the package for users, and holds no logic."""

from pathlib import Path

from mesascope import algorithms, instruments, models, regressors, report, studies, tasks, training, zoo
from mesascope.algorithms import run
from mesascope.calibration import calibrate
from mesascope.examination import examine
from mesascope.instruments.behaving.silent_failure import silent_failure
from mesascope.instruments.explaining.verdict import identify_and_describe as identify
from mesascope.records.codec import to_json
from mesascope.records.directories import Holds, claim
from mesascope.records.journal import discard
from mesascope.records.store import write_json, write_text
from mesascope.studies import run_study
from mesascope.types import (
    Domain,
    Findings,
    Intervention,
    Iterates,
    Measurement,
    Prompts,
    Record,
    Site,
    StudyResult,
    Subject,
    Task,
    Trace,
    Verdict,
)
from mesascope.zoo import load

_HOLDS: dict[type, Holds] = {Record: "an examination", Findings: "findings", StudyResult: "a study"}


def save(record: Record | Findings | StudyResult, directory: Path | str) -> Path:
    """Write ``record.json`` and ``report.html``.

    Args:
        record: what `examine`, `calibrate` or `run_study` returned.
        directory: new, empty, or made by mesascope before.

    Returns:
        The directory.

    Raises:
        ValueError: the directory holds something else, or another process is writing there.
        OSError: the disk is full or not writable; nothing is left half written.
    """
    document, page = to_json(record), report.page(record)
    with claim(directory, _HOLDS[type(record)]) as out:
        write_json(out / "record.json", document)
        write_text(out / "report.html", page)
        discard(out)  # the parts that the run kept in case of an interruption
    return out


__all__ = (
    "Domain",
    "Findings",
    "Intervention",
    "Iterates",
    "Measurement",
    "Prompts",
    "Record",
    "Site",
    "StudyResult",
    "Subject",
    "Task",
    "Trace",
    "Verdict",
    "algorithms",
    "calibrate",
    "examine",
    "identify",
    "instruments",
    "load",
    "models",
    "regressors",
    "report",
    "run",
    "run_study",
    "save",
    "silent_failure",
    "studies",
    "tasks",
    "training",
    "zoo",
)
