"""Makes the records of trainings of the ladder whose checkpoints do not ship.

``python -m mesascope.studies.language_models.recording RUN…`` measures all checkpoints of each run, with the instruments of the
studies, and writes its record beside the others.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from mesascope.plans import Plan, execute
from mesascope.records.codec import to_json
from mesascope.records.journal import Journal
from mesascope.records.provenance import provenance
from mesascope.records.shown import shown
from mesascope.records.store import write_json
from mesascope.studies.bench import Bench
from mesascope.studies.language_models.following import everything
from mesascope.studies.language_models.recorded import RECORDS, TrainingRecord
from mesascope.studies.measure import works
from mesascope.types import spec_mapping
from mesascope.zoo.revisions import integrity


def record(run: Path, journal: Path, *, seed: int = 0, progress: bool = False) -> TrainingRecord:
    """Measure all checkpoints of a run of the ladder.

    Args:
        run: its directory.
        journal: a directory that keeps what is done, so that a recording that was cut off goes on.
        seed: of prompts and resampling.
        progress: show a progress bar.

    Raises:
        ValueError: there is no such run, or it is not one of a language model.
    """
    bench = Bench(profile="laptop", seed=seed, directory=journal, networks=journal)
    spec = spec_mapping(bench.reference(str(run)))
    if "corpus" not in spec:
        raise ValueError(f"run must be a training of a language model, with a corpus; got {shown(str(run))}.")
    checked = integrity(str(run))
    measures = everything(str(spec["name"]), str(run))
    plan = Plan(
        words=f"record of {spec['name']}, seed {seed}", works=tuple(work for m in measures for work in works(m, bench))
    )
    done = execute(plan, Journal(journal), progress=progress)
    return TrainingRecord(
        name=str(spec["name"]),
        spec=dict(spec),
        measurements=tuple(m for each in done.values() for m in each.measurements),
        missing=checked.missing,
        excluded={str(step): why for step, why in checked.excluded.items()},
        provenance=provenance(command="recording", seed=seed),
    )


def _main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m mesascope.studies.language_models.recording", description=__doc__)
    parser.add_argument(
        "runs", metavar="RUN", type=Path, nargs="+", help="a directory that a training of the ladder wrote"
    )
    runs = parser.parse_args(arguments).runs
    try:
        for run in runs:
            with tempfile.TemporaryDirectory(prefix="mesascope-") as journal:
                found = record(run, Path(journal), progress=True)
            write_json(RECORDS / f"{found.name}.json", to_json(found))
    except ValueError as refused:
        parser.error(str(refused))
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    _main()
