"""Write the file that `mesascope.commands.index` reads: run ``python -m mesascope.commands.reindex`` after names change."""

import json

from mesascope.algorithms import ALL, GENERALISED
from mesascope.calibration.panel import HELD_OUT, SHIPPED, THRESHOLDS, panel_name
from mesascope.calibration.parts import BUDGETS, PARTS
from mesascope.commands.index import FILE, Index
from mesascope.instruments.catalogue import INSTRUMENTS
from mesascope.instruments.identification import IDENTIFIED, QUESTION
from mesascope.models.constructions import CONSTRUCTIONS
from mesascope.records.store import write_text
from mesascope.regressors import REGRESSORS
from mesascope.studies import PROFILES, STUDIES
from mesascope.tasks import DATASETS, KINDS
from mesascope.theory import STATEMENTS
from mesascope.training import LADDER, SPECS


def present() -> Index:
    """The names as the modules define them."""
    return {
        "constructions": list(CONSTRUCTIONS),
        "tasks": [*(kind.__name__ for kind in KINDS), *DATASETS],
        "algorithms": [algorithm.name for algorithm in (*ALL, *GENERALISED)],
        "regressors": list(REGRESSORS),
        "instruments": {"identification": QUESTION, **{each.name: each.question for each in INSTRUMENTS}},
        "specs": [*SPECS, *LADDER],
        "studies": {name: study.title for name, study in STUDIES.items()},
        "studies_of_models": [name for name, study in STUDIES.items() if study.of is not None],
        "statements": [statement.key for statement in STATEMENTS],
        "panels": {panel_name(seed): seed for seed in (THRESHOLDS, SHIPPED, HELD_OUT)},
        "parts": list(PARTS),
        "profiles": {"examine": list(IDENTIFIED), "calibrate": list(BUDGETS), "study": list(PROFILES)},
    }


def text() -> str:
    """The content of the index file."""
    return json.dumps(present(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    write_text(FILE, text())
