"""Directories that are ours: what may be written into, by one writer at a time.

A directory is claimed once everything else has been checked, and before anything is written there. Its marker says what it holds,
so that no result is written over another kind's; a lock, which the system lets go when its holder dies, keeps a second
writer out; and nothing in it is a link, so that nothing outside is changed through one.
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
"""What is in a directory, as its marker says it."""


def check(directory: Path | str, holds: Holds) -> Path:
    """Whether a directory can be claimed, as far as can be seen without writing anything.

    Raises:
        ValueError: it holds files that are not ours, or another kind of ours; or it, or something above it, is a file.
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
    """Be the only writer of a directory: of a new one, an empty one, or one that was claimed for the same before.

    Claims nest within one thread. A directory that is new, and into which nothing was written, is gone again after an exception.

    Raises:
        ValueError: as for `check`; or there is a link in it; or somebody else is writing there.
        OSError: the disk is full, say. Nothing is left then.
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
    """Our marker, which goes again if it stays alone. (Under the lock: somebody may have come before it.)"""
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
    """Make a directory within one that is claimed, if need be, and say in it what it holds.

    Raises:
        ValueError: as for `check`.
    """
    check(path, holds)
    path.mkdir(parents=True, exist_ok=True)
    if not (path / MARKER).exists():
        write_json(path / MARKER, {"made_by": "mesascope", "schema_version": SCHEMA, "holds": holds})


def is_marked(path: Path, holds: Holds) -> bool:
    """Whether a directory is ours and holds this."""
    return (path / MARKER).is_file() and _marker(path).get("holds") == holds


def sweep(directory: Path) -> None:
    """Remove what killed writers left half-written. For directories that no other process is writing to."""
    for entry in _below(directory):
        if is_temporary(entry):
            entry.unlink(missing_ok=True)


def _check_marker(path: Path, holds: Holds) -> None:
    if not os.path.lexists(path / MARKER):
        if any(not is_temporary(entry) and entry.name != LOCK for entry in path.iterdir()):
            raise ValueError(
                f"out must be empty or made by mesascope; {shown(path)} holds other files. Choose another directory, or empty it."
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
    """What the marker says; nothing, if it is not one of ours."""
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
            kind = "a link" if entry.is_symlink() else "no file"
            raise ValueError(
                f"out must hold plain files only; {shown(entry)} is {kind}. Choose another directory, or remove it."
            )
        if stat.S_ISREG(found.st_mode) and found.st_nlink > 1:
            raise ValueError(
                f"out must hold files of its own; {shown(entry)} has a second name elsewhere (a hard link), and would change "
                "there too. Work on a copy of the directory, made with `cp -r`."
            )


def _below(path: Path) -> Iterator[Path]:
    """Everything in a directory, but for what lies in directories that have a marker of their own."""
    for entry in path.iterdir():
        yield entry
        if entry.is_dir() and not entry.is_symlink() and not (entry / MARKER).exists():
            yield from _below(entry)


@contextmanager
def _possible(path: Path) -> Iterator[None]:
    """A name that the file system cannot take is the caller's to change."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise ValueError(f"out must be a name that can be; {shown(path)} is too long. Choose a shorter one.") from error


# ------------------------------------------------------------------------------------------- the lock

_held: dict[tuple[int, int], int] = {}
"""The directories that this process holds, by device and number, each with the thread that does."""


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
        (path / LOCK).unlink(missing_ok=True)  # while it is still ours
        os.close(handle)


def _lock(path: Path) -> int:
    """A handle that holds the lock; closing it, or dying, lets go.

    Raises:
        ValueError: somebody else holds it, who is named.
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
                f"out must be free; {shown(path)} is being written to by {words or 'another process'}. Wait for its end, or "
                "choose another directory."
            ) from error
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                os.close(handle)
                raise
            log.warning("the file system of %s has no locks: see to it that nobody else writes there.", shown(path))
            return handle
        os.close(handle)  # whoever held it removed it just now: there is a new one to be had


def _is_there(handle: int, path: Path) -> bool:
    """Whether a file that is open still has its name."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


__all__ = ("LOCK", "MARKER", "Holds", "check", "claim", "is_marked", "mark", "sweep")
