"""Output directories: what mesascope may write into, with one writer at a time.

A directory is claimed after everything else has been checked and before anything is written there. Its marker says what it
holds, so that a result never overwrites one of another kind. A lock, which the system releases when its holder dies, keeps a
second writer out. No file in it may be a link, so that nothing outside the directory is changed through a link.
"""

import errno
import fcntl
import logging
import os
import socket
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, get_args

from mesascope.records.parsing import Damaged
from mesascope.records.shown import plain, shown
from mesascope.records.store import is_temporary, read_sealed, write_json

log = logging.getLogger("mesascope")
MARKER = "mesascope.json"
LOCK = "mesascope.lock"
SCHEMA = 2
Holds = Literal[
    "an examination",
    "a training run",
    "training runs, one a seed",
    "findings",
    "a study",
    "a conversion",
    "statements",
    "parts of a run",
]
"""What a directory holds, in the words of its marker."""


def check(directory: Path | str, holds: Holds) -> Path:
    """Check that a directory can be claimed, as far as this is possible without writing.

    Raises:
        ValueError: it holds files that mesascope did not make, or results of another kind; or it, or a parent, is a file.
    """
    path = Path(directory)
    with _possible(path):
        for part in (path, *path.parents):
            if part.is_symlink() and not part.exists():
                raise ValueError(f"out must be a directory; {shown(part)} is a link to nothing. Choose another name.")
            if part.exists() and not part.is_dir():
                raise ValueError(f"out must be a directory; {shown(part)} is a file. Choose another name.")
        if path.is_dir():
            _check_marker(path, holds)
    return path


@contextmanager
def claim(directory: Path | str, holds: Holds) -> Iterator[Path]:
    """Be the only writer of a directory that is new, empty, or was claimed before for the same kind of content.

    Claims nest within one thread. If the directory is new and nothing was written into it, an exception removes it again.

    Raises:
        ValueError: as for `check`; or the directory contains a link; or another process or thread is writing there.
        OSError: for example, the disk is full. Nothing is left behind then.
    """
    path = check(directory, holds)
    made = [part for part in (path, *path.parents) if not part.exists()]
    try:
        with _possible(path):
            path.mkdir(parents=True, exist_ok=True)
        with _locked(path), _marked(path, holds):
            yield path
    except BaseException:
        for part in made:
            if os.path.isdir(part) and not any(part.iterdir()):
                part.rmdir()
        raise


@contextmanager
def _marked(path: Path, holds: Holds) -> Iterator[None]:
    """Write the marker; remove it after an exception if nothing else was written.

    Called with the lock held. It checks again, because another process may have used the directory before the lock was taken.
    """
    check(path, holds)
    _check_plain(path)
    sweep(path)
    fresh = not (path / MARKER).exists()
    try:
        mark(path, holds)
        yield
    except BaseException:
        if fresh and {entry.name for entry in path.iterdir()} <= {MARKER, LOCK}:
            (path / MARKER).unlink(missing_ok=True)
        raise


def mark(path: Path, holds: Holds) -> None:
    """Write a marker into a subdirectory of a claimed directory; make the subdirectory if it does not exist.

    Raises:
        ValueError: as for `check`.
    """
    check(path, holds)
    path.mkdir(parents=True, exist_ok=True)
    if not (path / MARKER).exists():
        write_json(path / MARKER, {"made_by": "mesascope", "schema_version": SCHEMA, "holds": holds})


def is_marked(path: Path, holds: Holds) -> bool:
    """Whether a directory has our marker and holds this kind of content."""
    return (path / MARKER).is_file() and _marker(path).get("holds") == holds


def sweep(directory: Path) -> None:
    """Remove half-written files that killed writers left. Only for directories that no other process is writing to."""
    for entry in _below(directory):
        if is_temporary(entry):
            entry.unlink(missing_ok=True)


def _check_marker(path: Path, holds: Holds) -> None:
    if not os.path.lexists(path / MARKER):
        if any(not is_temporary(entry) and entry.name != LOCK for entry in path.iterdir()):
            raise ValueError(
                f"out must be empty or made by mesascope; {shown(path)} holds other files. "
                "Choose another directory, or empty it."
            )
        return
    held = _marker(path).get("holds")
    if held is None:
        raise ValueError(
            f"out must be empty or made by mesascope; the {MARKER} in {shown(path)} is not a marker of this version. "
            "Choose another directory."
        )
    if held != holds:
        other = held if held in get_args(Holds) else "something else"
        raise ValueError(
            f"out must be new, empty, or hold {holds}; {shown(path)} holds {other}. Choose another directory."
        )


def _marker(path: Path) -> dict[str, object]:
    """The contents of the marker; empty if it is not a marker of this version."""
    try:
        found = read_sealed(path / MARKER) if (path / MARKER).is_file() else None
    except Damaged:
        return {}
    ours = found is not None and (found.get("made_by"), found.get("schema_version")) == ("mesascope", SCHEMA)
    return found if found is not None and ours else {}


def _check_plain(path: Path) -> None:
    for entry in _below(path):
        found = entry.lstat()
        if not (stat.S_ISDIR(found.st_mode) or stat.S_ISREG(found.st_mode)):
            kind = "a link" if entry.is_symlink() else "not a file"
            raise ValueError(
                f"out must hold plain files only; {shown(entry)} is {kind}. Choose another directory, or remove it."
            )
        if stat.S_ISREG(found.st_mode) and found.st_nlink > 1:
            raise ValueError(
                f"out must hold no hard links; {shown(entry)} has a second name elsewhere, and would change there too. "
                "Work on a copy of the directory, made with `cp -r`."
            )


def _below(path: Path) -> Iterator[Path]:
    """Everything in a directory, except the contents of subdirectories that have their own marker."""
    for entry in path.iterdir():
        yield entry
        if entry.is_dir() and not entry.is_symlink() and not (entry / MARKER).exists():
            yield from _below(entry)


@contextmanager
def _possible(path: Path) -> Iterator[None]:
    """Turn the file system's error for a name that is too long into a ValueError: the caller must change the name."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise ValueError(
            f"out must be a possible file name; {shown(path)} is too long. Choose a shorter one."
        ) from error


# ------------------------------------------------------------------------------------------- the lock

_held: dict[tuple[int, int], int] = {}
"""The directories that this process has locked, by device and inode number, with the thread that holds the lock."""


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    found = path.stat()
    key = (found.st_dev, found.st_ino)
    if _held.get(key) == threading.get_ident():
        yield
        return
    handle = _lock(path)
    _held[key] = threading.get_ident()
    try:
        yield
    finally:
        del _held[key]
        (path / LOCK).unlink(missing_ok=True)  # before the lock is released
        os.close(handle)


def _lock(path: Path) -> int:
    """A handle that holds the lock; closing it, or the end of the process, releases the lock.

    Raises:
        ValueError: another process holds it; the message names the process.
    """
    while True:
        handle = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_there(handle, path / LOCK):
                os.ftruncate(handle, 0)
                os.write(
                    handle, f"process {os.getpid()} on {socket.gethostname()}, since {time.strftime('%F %T')}".encode()
                )
                return handle
        except BlockingIOError as error:
            words = plain(os.read(handle, 200).decode(errors="replace"))
            os.close(handle)
            raise ValueError(
                f"out must be free; {shown(path)} is being written to by {words or 'another process'}. Wait until it ends, "
                "or choose another directory."
            ) from error
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                os.close(handle)
                raise
            log.warning(
                "the file system of %s has no locks: make sure that no other process writes there.", shown(path)
            )
            return handle
        os.close(handle)  # the previous holder has just removed the file: try again with a new one


def _is_there(handle: int, path: Path) -> bool:
    """Whether an open file is still the one at its path."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


__all__ = ("LOCK", "MARKER", "Holds", "check", "claim", "is_marked", "mark", "sweep")
