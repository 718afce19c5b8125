"""What was measured over the training of models whose checkpoints do not ship: a record that ships in their place.

`mesascope.studies.language_models.recording` makes them. What comes from a record is called so wherever it is shown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from mesascope.records.codec import from_json
from mesascope.records.store import read_sealed
from mesascope.studies.pictures import only
from mesascope.types import Measurement

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
