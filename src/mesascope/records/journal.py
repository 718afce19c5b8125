"""Finished parts of a long run, so that one that was cut off goes on where it stopped."""

import hashlib
import json
import logging
from pathlib import Path
from typing import TypeVar

from mesascope.records.codec import from_json, to_json
from mesascope.records.shown import shown
from mesascope.records.store import claim, read_sealed, write_json

log = logging.getLogger("mesascope")
T = TypeVar("T")


class Journal:
    """Parts of one run in ``directory/parts``; parts of another run (another key) are never taken for its own.

    Raises:
        ValueError: the directory holds files that are not ours.
    """

    def __init__(self, directory: Path | str, key: object) -> None:
        self._parts = claim(directory) / "parts"
        self._parts.mkdir(exist_ok=True)
        self._key = hashlib.sha256(json.dumps(to_json(key), sort_keys=True).encode()).hexdigest()

    def get(self, name: str, expected: type[T]) -> T | None:
        """A finished part of this very run, or None; a damaged one is passed over with a message."""
        path = self._parts / f"{name}.json"
        if not path.exists():
            return None
        try:
            held = read_sealed(path)
            if (held.get("key"), held.get("name")) != (self._key, name):
                return None
            return from_json(expected, held.get("value"), shown(path), ours=True)
        except ValueError as error:  # damaged, or of a version whose parts had other fields
            log.warning("%s It is made again.", error)
            return None

    def put(self, name: str, value: object) -> None:
        """Keep a finished part."""
        write_json(self._parts / f"{name}.json", {"key": self._key, "name": name, "value": to_json(value)})
