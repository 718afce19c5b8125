"""Makes the records of a study whose networks do not ship.

``python -m mesascope.studies.recording STUDY --networks DIR`` trains the networks of a study in ``DIR``, as many together as
can be, measures them at the laptop's sizes, and writes the records that ship. One that was cut off goes on. Where every network
has a record of its own, ``--only 'query-only-3-layers-*'`` adds those networks and leaves the other records as they are.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from mesascope.plans import Plan, execute
from mesascope.records.codec import to_json
from mesascope.records.directories import claim
from mesascope.records.journal import Journal, digest
from mesascope.records.provenance import provenance
from mesascope.records.shown import shown
from mesascope.records.store import write_json
from mesascope.studies import STUDIES
from mesascope.studies.bench import Bench
from mesascope.studies.measure import Measure, works
from mesascope.studies.networks import Trained
from mesascope.studies.recorded import RECORDS, StudyRecord
from mesascope.training import Interrupted
from mesascope.zoo import names


def record(study: str, networks: Path, *, only: str = "*", progress: bool = False) -> Iterator[tuple[str, StudyRecord]]:
    """Train and measure a study's networks that do not ship.

    Args:
        study: its name.
        networks: where they are trained, and found again; what is measured is kept there, too.
        only: the names of the networks that are wanted, as a shell pattern.
        progress: show progress bars.

    Yields:
        Each record's name and the record, as soon as it is complete.

    Raises:
        ValueError: no network of the study has such a name and a record.
    """
    by_record = _measures(study, only)
    trainer = Bench(profile="laptop", seed=0, directory=networks, networks=networks, trains=True)
    trainer.prepare([m.network for measures in by_record.values() for m in measures], progress=progress)
    for name, measures in by_record.items():
        yield name, _record(study, name, measures, networks, progress)


def _measures(study: str, only: str) -> dict[str, list[Measure]]:
    """What is measured, by the record that it goes to. What ships is never read from a record."""
    by_record: dict[str, list[Measure]] = {}
    for m in STUDIES[study].measures:
        network = m.network
        if not isinstance(network, Trained) or not network.record or network.ships_as in names():
            continue
        if fnmatchcase(network.name, only):
            by_record.setdefault(network.record, []).append(m)
    if not by_record:
        raise ValueError(
            f"only must match the name of a network of {study} that has a record and does not ship; got {shown(only)}. Leave "
            "it out for all of them."
        )
    return by_record


def _record(study: str, name: str, measures: Sequence[Measure], networks: Path, progress: bool) -> StudyRecord:
    folder = networks / "measured" / name
    bench = Bench(profile="laptop", seed=0, directory=folder, networks=networks, trains=True)
    plan = Plan(words=f"record {name}", works=tuple(work for m in measures for work in works(m, bench)))
    specs = {n.name: to_json(n.laptop) for m in measures if isinstance(n := m.network, Trained)}
    with claim(folder, "a study"):
        done = execute(plan, Journal(folder), progress=progress)
    return StudyRecord(
        study=study,
        measured={digest(work.key): done[work.name] for work in plan.works},
        provenance=provenance(command="recording", seed=0, networks=specs),
    )


def _main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m mesascope.studies.recording", description=__doc__)
    parser.add_argument(
        "study", choices=sorted(STUDIES), metavar="STUDY", help="its name, as in `mesascope study list`"
    )
    parser.add_argument("--networks", type=Path, required=True, help="where they are trained, and found again")
    parser.add_argument("--only", default="*", help="the names of the networks that are wanted, as a shell pattern")
    options = parser.parse_args(arguments)
    if options.networks.exists() and not options.networks.is_dir():
        parser.error(f"--networks must be a directory; {shown(str(options.networks))} is not one. Choose another name.")
    try:
        for name, found in record(options.study, options.networks, only=options.only, progress=True):
            path = RECORDS / f"{name}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, to_json(found))
    except ValueError as refused:
        parser.error(str(refused))
    except (Interrupted, KeyboardInterrupt):
        print("stopped; run the same command to go on", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    _main()
