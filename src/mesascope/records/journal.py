"""Finished parts of a long run, so that one that was cut off goes on where it stopped."""

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from mesascope.records.codec import from_json, to_json
from mesascope.records.directories import MARKER, check, is_marked, mark
from mesascope.records.shown import shown
from mesascope.records.store import is_temporary, read_sealed, write_json

log = logging.getLogger("mesascope")
T = TypeVar("T")
HOLDS = "parts of a run"


class Journal:
    """Parts of one run in ``directory/parts``; parts of another run (another key) are never taken for its own.

    Args:
        directory: one that the caller has claimed; None keeps nothing.
        key: what makes two runs the same.

    Raises:
        ValueError: there is a directory ``parts`` which is not ours.
    """

    def __init__(self, directory: Path | str | None, key: object) -> None:
        self._parts = None if directory is None else check(Path(directory) / "parts", HOLDS)
        self._key = hashlib.sha256(json.dumps(to_json(key), sort_keys=True).encode()).hexdigest()

    def get(self, name: str, expected: type[T]) -> T | None:
        """A finished part of this very run, or None; a damaged one is passed over with a message."""
        if self._parts is None or not (path := self._parts / f"{name}.json").exists():
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
        if self._parts is not None:
            mark(self._parts, HOLDS)
            write_json(self._parts / f"{name}.json", {"key": self._key, "name": name, "value": to_json(value)})

    def keep(self, name: str, expected: type[T], make: Callable[[], T]) -> T:
        """A part of this run, made now unless it was finished before."""
        found = self.get(name, expected)
        if found is None:
            found = make()
            self.put(name, found)
        return found


def discard(directory: Path) -> None:
    """Remove the parts of a run whose result is written. Whatever else lies among them stays."""
    parts = directory / "parts"
    if not is_marked(parts, HOLDS):
        return
    for entry in sorted(parts.iterdir(), key=lambda entry: entry.name == MARKER):  # what says that it is ours goes last
        if entry.suffix == ".json" or is_temporary(entry):
            entry.unlink()
    if not any(parts.iterdir()):
        parts.rmdir()
