"""Atomic writes to disk, with a hash of each file's content. Tensors are in `records.tensors`, which is slow to import."""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mesascope.records.parsing import Damaged, parse, sealed, unsealed
from mesascope.records.shown import shown

TEMPORARY = ".mesascope-tmp"


def is_temporary(path: Path) -> bool:
    """Whether a file has the name of a temporary file, which a killed writer may have left behind."""
    return path.name.startswith(".") and path.name.endswith(TEMPORARY)


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Add the file's name to errors of the file system; the error of a failed write does not contain it."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, f"cannot write {shown(path)}: {error.strerror or error}") from error


def write_bytes(path: Path, data: bytes) -> str:
    """Write atomically; return the content's SHA-256.

    Raises:
        OSError: for example, on a full disk; the message names the file. The old content is intact, and nothing is left behind.
    """
    with _naming(path):
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=TEMPORARY, dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)  # the new name itself must survive a power cut
        finally:
            os.close(directory)
    return hashlib.sha256(data).hexdigest()


def write_text(path: Path, text: str) -> str:
    """Write atomically; return the content's SHA-256. `OSError` as for `write_bytes`."""
    return write_bytes(path, text.encode())


def append_text(path: Path, text: str) -> None:
    """Add to the end of a log. Not atomic: a reader must expect a last line that was cut off.

    Raises:
        OSError: the write failed; the message names the file.
    """
    with _naming(path), path.open("a", encoding="utf-8") as file:
        file.write(text)


def write_json(path: Path, document: Mapping[str, Any]) -> str:
    """Write a document atomically, with its seal (no NaN); return the content's SHA-256."""
    return write_text(path, json.dumps(sealed(document), indent=1, ensure_ascii=False) + "\n")


def read_unchecked(path: Path) -> Any:
    """A file's JSON, without a check of its seal.

    Raises:
        Damaged: no file, not JSON, or JSON that cannot be used (see `parse`).
    """
    check_file(path)
    return parse(path.read_bytes(), shown(path))


def read_json(path: Path) -> Any:
    """JSON that a user wrote: a specification, a task. It needs no seal; if it has one, the seal must be right.

    Raises:
        Damaged: as for `read_unchecked`, or a wrong seal.
    """
    return unsealed(read_unchecked(path), shown(path), required=False)


def read_sealed(path: Path) -> dict[str, Any]:
    """A document that `write_json` wrote, with its seal checked.

    Raises:
        Damaged: as for `read_json`, or there is no seal.
    """
    return unsealed(read_unchecked(path), shown(path), required=True)


def check_file(path: Path) -> None:
    """Raise `Damaged` if there is no file."""
    if not path.is_file():
        raise Damaged(f"{shown(path)} {'is not a file' if path.exists() else 'is missing'}.")


def sha256(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
