"""What was measured over the training of models whose checkpoints do not ship: a record that ships in their place.

``python -m mesascope.studies.language_models.recording RUN…`` measures all checkpoints of a run of the ladder, with the
instruments of the studies, and writes a record beside the others. What comes from a record is called so wherever it is shown.
"""

import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from mesascope.plans import Plan, execute
from mesascope.records.codec import from_json, to_json
from mesascope.records.journal import Journal
from mesascope.records.provenance import provenance
from mesascope.records.store import read_sealed, write_json
from mesascope.studies.bench import Bench
from mesascope.studies.language_models.following import everything
from mesascope.studies.measure import works
from mesascope.studies.pictures import only
from mesascope.types import Measurement, spec_mapping
from mesascope.zoo.revisions import integrity

RECORDS = Path(__file__).with_name("records")
MARK = " (recorded)"
"""What is put after the name of a network whose numbers come from a record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRecord:
    """What was measured at all checkpoints of one training.

    Attributes:
        name: of the model.
        spec: how it was trained.
        measurements: with a coordinate ``step``, as a study would have made them.
        missing: steps whose checkpoints were not there; excluded: what was wrong with others, by step.
        provenance: seed, versions, hardware, commit.
    """

    name: str
    spec: Mapping[str, object]
    measurements: tuple[Measurement, ...]
    missing: tuple[int, ...]
    excluded: Mapping[str, str]
    provenance: Mapping[str, object]
    schema_version: int = 1


def record(run: Path, journal: Path, *, seed: int = 0, progress: bool = False) -> TrainingRecord:
    """Measure all checkpoints of a run of the ladder.

    Args:
        run: its directory.
        journal: a directory that keeps what is done, so that a recording that was cut off goes on.
        seed: of prompts and resampling.
        progress: show a progress bar.

    Raises:
        ValueError: there is no such run.
    """
    bench = Bench(profile="laptop", seed=seed, directory=journal, networks=journal)
    spec = spec_mapping(bench.reference(str(run)))
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


@cache
def recorded() -> dict[str, TrainingRecord]:
    """All records that ship, by the name of the model."""
    found = (
        from_json(TrainingRecord, read_sealed(path), path.name, ours=True) for path in sorted(RECORDS.glob("*.json"))
    )
    return {each.name: each for each in found}


def from_records(names: Sequence[str], quantity: str = "", **coordinates: str) -> list[Measurement]:
    """Measurements of models from their records; their network's name says that they are recorded."""
    held = [recorded()[name] for name in names if name in recorded()]
    return [
        replace(m, coordinates={**m.coordinates, "network": f"{each.name}{MARK}"})
        for each in held
        for m in only(each.measurements, quantity=quantity, **coordinates)
    ]


def told(names: Sequence[str]) -> tuple[str, ...]:
    """For each record that is shown, a sentence that says where it comes from."""
    return tuple(
        f"{each.name}{MARK}: not measured in this run, but when it was trained, at {len(_steps(each))} checkpoints that do "
        f"not ship (seed {each.provenance.get('seed')}, mesascope {_version(each)})."
        for name, each in recorded().items()
        if name in names
    )


def _steps(record: TrainingRecord) -> set[object]:
    return {m.coordinates["step"] for m in record.measurements}


def _version(record: TrainingRecord) -> str:
    versions = record.provenance.get("versions")
    return str(versions.get("mesascope")) if isinstance(versions, Mapping) else "of an unknown version"


def _main(runs: Sequence[str]) -> None:
    RECORDS.mkdir(exist_ok=True)
    for run in runs:
        with tempfile.TemporaryDirectory(prefix="mesascope-") as journal:
            found = record(Path(run), Path(journal), progress=True)
        write_json(RECORDS / f"{found.name}.json", to_json(found))


if __name__ == "__main__":
    _main(sys.argv[1:])
