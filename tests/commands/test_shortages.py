"""Memory or disk that is not enough."""

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mesascope as ms

GD = "construction:gradient-descent?layers=2"
SMOKE = ("--profile", "smoke")


LARGE = {"dim": {"dim": 10**9}, "examples": {"examples": 10**17}, "queries": {"queries": 10**17}}


@pytest.mark.parametrize("case", LARGE)
def test_more_memory_than_there_is_is_refused_with_what_would_be_needed(case, write, refused):
    task = write("task.json", LARGE[case])
    identify = ("identify", GD, "--task", task)
    for arguments in (identify, (*identify, "--compare", "cg,gd"), ("examine", GD, "--task", task, "--out", "out")):
        assert "GiB of memory, and this machine has" in refused(*arguments)


@pytest.mark.parametrize(
    "error", [MemoryError("you tried\nto"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_memory_that_runs_out_at_work_ends_with_1(error, command, monkeypatch):
    def run_out(*_, **__):
        raise error

    monkeypatch.setattr(ms, "identify", run_out)
    status, out, err = command("identify", GD, *SMOKE)
    assert (status, out) == (1, "")
    assert "not enough memory" in err
    assert len(err.splitlines()) == 1


def full_from(monkeypatch, name: str) -> None:
    """A disk without room for files whose name fits this expression."""
    real = os.fsync

    def fsync(handle: int) -> None:
        if re.search(name, os.readlink(f"/proc/self/fd/{handle}")):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)


PART = r"[0-9a-f]{64}\.json"


@pytest.mark.parametrize("name", [r"mesascope\.json", r"plan\.json", PART, r"record\.json", r"report\.html"])
def test_a_disk_that_is_full_at_any_point_leaves_no_half_written_file(name, cheap, command, monkeypatch):
    with pytest.MonkeyPatch.context() as patch:
        full_from(patch, name)
        status, out, err = command("examine", GD, *SMOKE, "--out", "out")
    assert (status, out) == (1, "")
    last = err.splitlines()[-1]
    assert "the disk is full" in last
    assert re.search(name, last)
    left = {p.name for p in Path("out").rglob("*") if p.is_file()}
    assert not any(re.search(name, each) for each in left)
    assert all(re.fullmatch(rf"mesascope\.json|plan\.json|record\.json|{PART}", each) for each in left)
    for path in Path("out").rglob("*.json"):
        json.loads(path.read_text())
    assert command("examine", GD, *SMOKE, "--out", "out")[0] == 0


def test_where_stdout_cannot_be_written_to_it_is_said_once():
    with open("/dev/full", "w") as full:
        words = [sys.executable, "-c", "import sys; from mesascope.cli import main; sys.exit(main())", "list", "tasks"]
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, timeout=300)
    assert done.returncode == 1
    assert "the disk is full" in done.stderr
    assert len(done.stderr.splitlines()) == 1
