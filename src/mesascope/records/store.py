"""Writing to disk: atomically, with a hash of each file's content. Tensors are in `records.tensors`, which is heavy to import."""

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
    """Whether a writer that was killed may have left this behind."""
    return path.name.startswith(".") and path.name.endswith(TEMPORARY)


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Have errors of the file system say which file they were about; a failed write alone does not."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, f"cannot write {shown(path)}: {error.strerror or error}") from error


def write_bytes(path: Path, data: bytes) -> str:
    """Write atomically; return the content's SHA-256.

    Raises:
        OSError: naming the file, on a full disk, say. What was there before is intact, and nothing is left behind.
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
        OSError: naming the file.
    """
    with _naming(path), path.open("a", encoding="utf-8") as file:
        file.write(text)


def write_json(path: Path, document: Mapping[str, Any]) -> str:
    """Write a document atomically, with its seal (no NaN); return the content's SHA-256."""
    return write_text(path, json.dumps(sealed(document), indent=1, ensure_ascii=False) + "\n")


def read_unchecked(path: Path) -> Any:
    """JSON as it stands, whatever its seal says.

    Raises:
        Damaged: no file, not JSON, or nothing that can be meant (see `parse`).
    """
    check_file(path)
    return parse(path.read_bytes(), shown(path))


def read_json(path: Path) -> Any:
    """JSON that somebody wrote: a specification, a task. A seal is not asked for; one that is there must be right.

    Raises:
        Damaged: as `read_unchecked`, or a wrong seal.
    """
    return unsealed(read_unchecked(path), shown(path), required=False)


def read_sealed(path: Path) -> dict[str, Any]:
    """What `write_json` wrote.

    Raises:
        Damaged: as `read_json`, and where there is no seal.
    """
    return unsealed(read_unchecked(path), shown(path), required=True)


def check_file(path: Path) -> None:
    """Raise `Damaged` where there is no file."""
    if not path.is_file():
        raise Damaged(f"{shown(path)} {'is no file' if path.exists() else 'is missing'}.")


def sha256(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
