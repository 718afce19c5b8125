"""Mesascope: which learning algorithm does a sequence model run in its forward pass?

::

    import mesascope as ms

    task = ms.tasks.LinearRegression(dim=5, examples=20)
    prompts = task.sample(256, seed=0)
    path = ms.run(ms.algorithms.ConjugateGradient(), prompts, steps=8)
    model = ms.load("two-layer")
    trace = model.trace(prompts, capture=[ms.Site(layer=1, kind="attn_out")])
    verdict = ms.identify(model, task, seed=0)
    record = ms.examine(model, task, profile="laptop", seed=0)
    ms.save(record, "out/")
"""

import shutil
from pathlib import Path

from mesascope import algorithms, instruments, models, report, studies, tasks, training, zoo
from mesascope.algorithms import run
from mesascope.calibration import calibrate
from mesascope.examine import examine
from mesascope.instruments.identification import identify
from mesascope.records.codec import to_json
from mesascope.records.store import claim, write_json, write_text
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
    Trace,
    Verdict,
)
from mesascope.zoo import load


def save(record: Record | Findings | StudyResult, directory: Path | str) -> Path:
    """Write ``record.json`` and ``report.html``.

    Args:
        record: what `examine`, `calibrate` or `run_study` returned.
        directory: new, empty, or made by mesascope before.

    Returns:
        The directory.

    Raises:
        ValueError: the directory holds other files.
        OSError: the disk is full or not writable; nothing is left half written.
    """
    document, page = to_json(record), report.page(record)
    out = claim(directory)
    write_json(out / "record.json", document)
    write_text(out / "report.html", page)
    shutil.rmtree(out / "parts", ignore_errors=True)  # what a run kept to go on after an interruption
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
    "Trace",
    "Verdict",
    "algorithms",
    "calibrate",
    "examine",
    "identify",
    "instruments",
    "load",
    "models",
    "report",
    "run",
    "run_study",
    "save",
    "studies",
    "tasks",
    "training",
    "zoo",
)
