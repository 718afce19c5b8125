"""Directories: claimed by one writer, for one purpose, without anything in them that leads outside."""

import errno
import fcntl
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from mesascope.records import directories
from mesascope.records.directories import LOCK, MARKER, Holds, check, claim
from mesascope.records.store import TEMPORARY, write_json

RUN: Holds = "a training run"


def everything(directory: Path) -> list[str]:
    return sorted(str(p.relative_to(directory)) for p in directory.rglob("*"))


def refused(directory: Path, words: str, holds: Holds = RUN) -> None:
    """Neither `check` nor `claim` takes it, and nothing changes."""
    before = everything(directory.parent)
    for act in (check, lambda *given: claim(*given).__enter__()):
        with pytest.raises(ValueError, match=words):
            act(directory, holds)
    assert everything(directory.parent) == before


def test_a_new_an_empty_and_an_own_directory_are_taken(tmp_path: Path) -> None:
    with claim(tmp_path / "new" / "deep", RUN) as ours:
        assert everything(ours) == [MARKER, LOCK]
        (ours / "more").write_text("")
    assert everything(ours) == [MARKER, "more"]
    assert json.loads((ours / MARKER).read_text())["holds"] == RUN
    with claim(str(ours), RUN) as again:
        assert again == ours
    (tmp_path / "empty").mkdir()
    killed = tmp_path / "killed"  # while the marker was being written
    killed.mkdir()
    (killed / f".{MARKER}.abc{TEMPORARY}").write_text("")
    (killed / LOCK).write_text("process 1")
    for directory in (tmp_path / "empty", killed):
        with claim(directory, RUN):
            pass
        assert everything(directory) == [MARKER]


def test_what_killed_writers_left_goes_but_not_from_below_another_marker(tmp_path: Path) -> None:
    with claim(tmp_path / "out", RUN) as ours:
        for name in ("checkpoints", "inner"):
            (ours / name).mkdir()
            (ours / name / f".a{TEMPORARY}").write_text("")
        (ours / "inner" / MARKER).write_text("")  # somebody may be writing there
    with claim(ours, RUN):
        assert everything(ours) == ["checkpoints", "inner", f"inner/.a{TEMPORARY}", f"inner/{MARKER}", MARKER, LOCK]


def test_foreign_directories_are_refused_and_left_alone(tmp_path: Path) -> None:
    (theirs := tmp_path / "theirs").mkdir()
    (theirs / "thesis.tex").write_text("")
    refused(theirs, r"out must be empty or made by mesascope; .* Choose another directory")
    for path in (theirs / "thesis.tex", theirs / "thesis.tex" / "below" / "it"):
        with pytest.raises(
            ValueError, match=r"out must be a directory; .*thesis\.tex is a file\. Choose another name\."
        ):
            check(path, RUN)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    refused(tmp_path / "dangling", r"out must be a directory; .*dangling is a link to nothing")
    refused(tmp_path / ("x" * 300), r"out must be a possible file name; .*x…x+ is too long")
    with pytest.raises(ValueError, match="too long"), claim(tmp_path / "new" / ("x" * 300), RUN):
        pass
    assert everything(tmp_path) == ["dangling", "theirs", "theirs/thesis.tex"]


@pytest.mark.parametrize(
    "content",
    ["", "{}", "[]", '{"made_by": "me"}', '{"made_by": "mesascope", "schema_version": 1}', "\udcff"],
    ids=["empty", "nothing", "a list", "another's", "another version's", "no text"],
)
def test_a_file_of_the_marker_s_name_is_no_marker(content: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / MARKER).write_bytes(content.encode(errors="surrogateescape"))
    refused(tmp_path / "out", rf"the {MARKER} in .*out is not a marker of this version")
    (tmp_path / "out" / MARKER).unlink()
    os.mkfifo(tmp_path / "out" / MARKER)
    refused(tmp_path / "out", rf"the {MARKER} in .*out is not a marker of this version")


def test_one_kind_of_result_is_not_written_over_another(tmp_path: Path) -> None:
    with claim(tmp_path / "out", "an examination"):
        pass
    refused(tmp_path / "out", r"out must be new, empty, or hold a training run; .*out holds an examination\.")
    write_json(tmp_path / "out" / MARKER, {"made_by": "mesascope", "schema_version": 2, "holds": "\x1b[31mred"})
    refused(tmp_path / "out", r"out holds something else\.")


PLANTED: dict[str, tuple[Callable[[Path, Path], None], str]] = {
    "a link to a file": (lambda at, theirs: at.symlink_to(theirs / "thesis.tex"), "is a link"),
    "a link to a directory": (lambda at, theirs: at.symlink_to(theirs), "is a link"),
    "a hard link": (lambda at, theirs: at.hardlink_to(theirs / "thesis.tex"), "has a second name elsewhere"),
    "a pipe": (lambda at, theirs: os.mkfifo(at), "is not a file"),
}


@pytest.mark.parametrize("where", ["metrics.jsonl", "checkpoints/metrics.jsonl"])
@pytest.mark.parametrize("what", PLANTED)
def test_nothing_is_reached_through_a_link(what: str, where: str, tmp_path: Path) -> None:
    with claim(tmp_path / "out", RUN) as ours:
        (ours / "checkpoints").mkdir()
    (theirs := tmp_path / "theirs").mkdir()
    (theirs / "thesis.tex").write_text("chapter 1")
    plant, words = PLANTED[what]
    plant(ours / where, theirs)
    before = everything(tmp_path)
    with pytest.raises(ValueError, match=rf"out must hold .*{where} {words}"), claim(ours, RUN):
        pass
    assert everything(tmp_path) == before
    assert (theirs / "thesis.tex").read_text() == "chapter 1"


# ------------------------------------------------------------------------------------- given back


class Stop(Exception):
    pass


@pytest.mark.parametrize("there", ["", "a", "a/b"])
def test_a_directory_in_which_nothing_was_written_is_given_back(there: str, tmp_path: Path) -> None:
    (tmp_path / there).mkdir(parents=True, exist_ok=True)
    before = everything(tmp_path)
    with pytest.raises(Stop), claim(tmp_path / "a/b", RUN):
        raise Stop
    assert everything(tmp_path) == before
    with pytest.raises(Stop), claim(tmp_path / "a/b", RUN) as ours, claim(ours, RUN):
        raise Stop
    assert everything(tmp_path) == before


def test_a_directory_that_was_claimed_before_or_written_to_stays(tmp_path: Path) -> None:
    with claim(tmp_path / "out", RUN):
        pass
    with pytest.raises(Stop), claim(tmp_path / "out", RUN):
        raise Stop
    with pytest.raises(NotADirectoryError), claim(tmp_path / "other", RUN) as ours:
        (ours / "result").write_bytes(b"") or (ours / "result" / "below").touch()
    assert everything(tmp_path) == ["other", f"other/{MARKER}", "other/result", "out", f"out/{MARKER}"]


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"), claim(tmp_path / "a/b", RUN):
        pass
    assert everything(tmp_path) == []


# ------------------------------------------------------------------------------------- two writers


def test_a_second_writer_is_told_who_the_first_is(tmp_path: Path) -> None:
    found = []

    def second() -> None:
        try:
            with claim(tmp_path / "out", RUN):
                found.append("in")
        except ValueError as error:
            found.append(str(error))

    def other() -> None:
        (thread := threading.Thread(target=second)).start()
        thread.join()

    with (
        claim(tmp_path / "out", RUN) as ours,
        claim(ours, RUN),
    ):  # once more by the same thread: `save` within a command
        other()
        assert rf"out must be free; {ours} is being written to by process {os.getpid()} on " in found[0]
        assert "since 20" in found[0]
    other()
    assert found[1] == "in"
    assert everything(ours) == [MARKER]


HOLDER = """
import sys, time
from mesascope.records.directories import claim
with claim(sys.argv[1], "a training run"):
    print("in", flush=True)
    time.sleep(60)
"""


def test_the_lock_dies_with_its_holder(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path / "out")], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"in\n"
        said = rf"out must be free; .*out is being written to by process {process.pid} on "
        with pytest.raises(ValueError, match=said), claim(tmp_path / "out", RUN):
            pass
        process.kill()
    assert everything(tmp_path / "out") == [MARKER, LOCK]  # the dead do not tidy up
    with claim(tmp_path / "out", RUN):
        pass


def test_a_lock_that_was_just_removed_is_not_taken_for_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between opening and locking, the one who held it let go, and somebody else made a new one."""
    real, raced = fcntl.flock, []

    def flock(handle: int, how: int) -> None:
        if not raced:
            raced.append(handle)
            (tmp_path / "out" / LOCK).unlink()
        real(handle, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with claim(tmp_path / "out", RUN) as ours:
        assert (ours / LOCK).read_text().startswith(f"process {os.getpid()} ")


def test_where_the_file_system_has_no_locks_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def flock(number: int) -> Callable[[int, int], None]:
        def fail(handle: int, how: int) -> None:
            raise OSError(number, os.strerror(number))

        return fail

    monkeypatch.setattr(fcntl, "flock", flock(errno.ENOSYS))
    with caplog.at_level(logging.WARNING), claim(tmp_path / "out", RUN):
        assert "has no locks" in caplog.text
    monkeypatch.setattr(fcntl, "flock", flock(errno.EIO))
    with pytest.raises(OSError, match="Input/output"), claim(tmp_path / "new", RUN):
        pass
    assert not directories._held
