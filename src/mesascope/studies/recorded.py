"""What was measured of networks that do not ship: records that ship in their place, one per study or per network.

`mesascope.studies.recording` makes them. A measurement is found again by what made it: the specification of the network, the
instrument, its sizes and options, and the seed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mesascope.plans.work import Say
from mesascope.records.codec import from_json
from mesascope.records.journal import digest
from mesascope.records.store import read_sealed
from mesascope.types import Measured

RECORDS = Path(__file__).with_name("records")


class NotRecorded(Exception):
    """A measurement that the study's record does not hold, for example because it is of another seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRecord:
    """All that was measured of a study's networks, or of one of them.

    Attributes:
        study: its name.
        measured: what was measured, by the hash of what made it.
        provenance: versions, hardware, commit, and in newer records the specifications of the networks.
    """

    study: str
    measured: Mapping[str, Measured]
    provenance: Mapping[str, object]
    schema_version: int = 1


def shipped(record: str) -> bool:
    """Whether a record of this name ships."""
    return bool(record) and (RECORDS / f"{record}.json").exists()


def recorded(record: str, key: object, say: Say) -> Measured:
    """The measurement with this key.

    Raises:
        NotRecorded: the record does not hold it.
    """
    held = read(record).measured.get(digest(key))
    if held is None:
        raise NotRecorded(
            f"the record {record} does not hold this measurement: it is of seed 0. Run the study with seed 0, or at profile "
            "full, which trains its networks"
        )
    return held


@cache
def read(record: str) -> StudyRecord:
    """A record that ships."""
    path = RECORDS / f"{record}.json"
    return from_json(StudyRecord, read_sealed(path), path.name, ours=True)
