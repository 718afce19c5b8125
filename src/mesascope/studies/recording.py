"""Makes the record of a study whose networks do not ship.

``python -m mesascope.studies.recording STUDY --networks DIR`` trains the networks of a study in ``DIR``, as many together as
can be, measures them at the laptop's sizes, and writes the record that ships. One that was cut off goes on.
"""

import argparse
from pathlib import Path

from mesascope.plans import Plan, execute
from mesascope.records.codec import to_json
from mesascope.records.directories import claim
from mesascope.records.journal import Journal, digest
from mesascope.records.provenance import provenance
from mesascope.records.store import write_json
from mesascope.studies import STUDIES
from mesascope.studies.bench import Bench
from mesascope.studies.measure import works
from mesascope.studies.networks import Trained
from mesascope.studies.recorded import RECORDS, StudyRecord


def record(study: str, networks: Path, *, progress: bool = False) -> StudyRecord:
    """Train and measure a study's networks.

    Args:
        study: its name.
        networks: where they are trained, and found again; what is measured is kept there, too.
        progress: show progress bars.
    """
    measures = [m for m in STUDIES[study].measures if isinstance(m.network, Trained) and m.network.record]
    folder = networks / "measured" / study
    bench = Bench(profile="laptop", seed=0, directory=folder, networks=networks, trains=True)
    bench.prepare([m.network for m in measures], progress=progress)
    plan = Plan(words=f"record of {study}", works=tuple(work for m in measures for work in works(m, bench)))
    with claim(folder, "a study"):
        done = execute(plan, Journal(folder), progress=progress)
    return StudyRecord(
        study=study,
        measured={digest(work.key): done[work.name] for work in plan.works},
        provenance=provenance(command="recording", seed=0),
    )


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study")
    parser.add_argument("--networks", type=Path, required=True)
    options = parser.parse_args()
    found = record(options.study, options.networks, progress=True)
    RECORDS.mkdir(exist_ok=True)
    write_json(RECORDS / f"{options.study}.json", to_json(found))


if __name__ == "__main__":
    _main()
