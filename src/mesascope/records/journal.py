"""The finished parts of a long run, so that an interrupted run resumes where it stopped."""

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from mesascope.records.codec import from_json, to_json
from mesascope.records.directories import MARKER, check, is_marked, mark
from mesascope.records.parsing import Damaged
from mesascope.records.shown import shown
from mesascope.records.store import is_temporary, read_sealed, write_json

log = logging.getLogger("mesascope")
T = TypeVar("T")
HOLDS = "parts of a run"
PLAN = "plan.json"


class Journal:
    """The finished parts of one plan in ``directory/parts``, each in a file whose name is the hash of the part's key.

    Args:
        directory: a directory that the caller has claimed; with None nothing is kept.

    Raises:
        ValueError: there is a directory ``parts`` that mesascope did not make.
    """

    def __init__(self, directory: Path | str | None) -> None:
        self._parts = None if directory is None else check(Path(directory) / "parts", HOLDS)

    def open(self, words: str, keys: Sequence[object]) -> None:
        """Record which plan the parts belong to.

        Args:
            words: a description of the plan for readers.
            keys: the keys of its parts; equal keys mean equal parts.

        Raises:
            ValueError: there are parts of another plan, which a user may want to finish.
        """
        if self._parts is None:
            return
        ours = {"words": words, "works": digest(sorted(digest(key) for key in keys))}
        if (there := self._plan()) is not None and there.get("works") != ours["works"]:
            raise ValueError(
                f"{shown(self._parts)} must be empty or hold parts of this run ({words}); it holds parts of another, unfinished "
                f"run: {shown(there.get('words'))}. Finish that run, choose another --out, or delete the folder."
            )
        if there is None:
            mark(self._parts, HOLDS)
            write_json(self._parts / PLAN, ours)

    def get(self, key: object, expected: type[T]) -> T | None:
        """The finished part with this key, or None; a damaged part is skipped with a warning."""
        if self._parts is None or not (path := self._parts / f"{digest(key)}.json").exists():
            return None
        try:
            held = read_sealed(path)
            if held.get("key") != digest(key):
                return None
            return from_json(expected, held.get("value"), shown(path), ours=True)
        except ValueError as error:  # damaged, or written by a version whose parts had other fields
            log.warning("%s It is computed again.", error)
            return None

    def put(self, key: object, value: object, name: str = "") -> None:
        """Keep a finished part; the name is for readers of the file."""
        if self._parts is not None:
            mark(self._parts, HOLDS)
            path = self._parts / f"{digest(key)}.json"
            write_json(path, {"key": digest(key), "name": name, "value": to_json(value)})

    def _plan(self) -> dict[str, Any] | None:
        assert self._parts is not None
        if not (path := self._parts / PLAN).exists():
            return None
        try:
            return read_sealed(path)
        except Damaged as error:
            log.warning("%s It is written again.", error)
            return None


def digest(key: object) -> str:
    """The SHA-256 of a key's JSON."""
    return hashlib.sha256(json.dumps(to_json(key), sort_keys=True).encode()).hexdigest()


def discard(directory: Path) -> None:
    """Remove the parts of a run whose result has been written. Other files among them stay."""
    parts = directory / "parts"
    if not is_marked(parts, HOLDS):
        return
    for entry in sorted(parts.iterdir(), key=lambda entry: entry.name == MARKER):  # the marker last
        if entry.suffix == ".json" or is_temporary(entry):
            entry.unlink()
    if not any(parts.iterdir()):
        parts.rmdir()
