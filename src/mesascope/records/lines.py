"""A log with one sealed document per line, which grows during a run and is read back when the run resumes."""

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
    """All lines, without their seals. An unfinished last line, left by a killed writer, is skipped with a warning.

    Raises:
        Damaged: a line is not what was written; the message names the file and the first such line.
    """
    found = []
    for _, line in _lines(path):
        if isinstance(line, Damaged):
            raise line
        found.append(line)
    return tuple(found)


def keep_lines(path: Path, wanted: Callable[[Mapping[str, Any]], bool]) -> None:
    """Drop from the log the lines that are not wanted, and (with a warning) damaged lines.

    Raises:
        OSError: as for `write_text`.
    """
    kept = []
    for raw, line in _lines(path):
        if isinstance(line, Damaged):
            log.warning("%s The line is dropped.", line)
        elif wanted(line):
            kept.append(raw + b"\n")
    write_text(path, b"".join(kept).decode())


def _lines(path: Path) -> Iterator[tuple[bytes, dict[str, Any] | Damaged]]:
    """Every line as bytes, with its document, or with the error if it is damaged."""
    *whole, rest = path.read_bytes().split(b"\n")
    for number, raw in enumerate(whole, 1):
        where = f"{shown(path)}, line {number},"
        try:
            yield raw, unsealed(parse(raw, where), where, required=True)
        except Damaged as error:
            yield raw, error
    if rest:
        log.warning("%s ends in an incomplete line, as a killed run leaves it. The line is left out.", shown(path))
