"""A log of one sealed document a line, which grows while a run goes on and is read back when it is taken up again."""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mesascope.records.parsing import Damaged, parse, sealed, unsealed
from mesascope.records.shown import shown
from mesascope.records.store import append_text, write_text

log = logging.getLogger("mesascope")


def append_line(path: Path, line: Mapping[str, Any]) -> None:
    """Add a line. `OSError` as for `append_text`."""
    append_text(path, json.dumps(sealed(line)) + "\n")


def read_lines(path: Path) -> tuple[dict[str, Any], ...]:
    """All lines, without their seals. A last one that a killed writer left unfinished is passed over with a message.

    Raises:
        Damaged: naming the file and the first line that is not what was written.
    """
    found = []
    for _, line in _lines(path):
        if isinstance(line, Damaged):
            raise line
        found.append(line)
    return tuple(found)


def keep_lines(path: Path, wanted: Callable[[Mapping[str, Any]], bool]) -> None:
    """Drop lines from the log: those that are not wanted, and those that are damaged, with a message.

    Raises:
        OSError: as for `write_text`.
    """
    kept = []
    for raw, line in _lines(path):
        if isinstance(line, Damaged):
            log.warning("%s The line is left out.", line)
        elif wanted(line):
            kept.append(raw + b"\n")
    write_text(path, b"".join(kept).decode())


def _lines(path: Path) -> Iterator[tuple[bytes, dict[str, Any] | Damaged]]:
    """Every line as it stands, and what it says; or what is wrong with it."""
    *whole, rest = path.read_bytes().split(b"\n")
    for number, raw in enumerate(whole, 1):
        where = f"{shown(path)}, line {number},"
        try:
            yield raw, unsealed(parse(raw, where), where, required=True)
        except Damaged as error:
            yield raw, error
    if rest:
        log.warning("%s ends in a line that is not whole, as a killed run leaves it. It is left out.", shown(path))
