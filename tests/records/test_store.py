"""Files: written whole or not at all."""

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

from mesascope.records import provenance as origin
from mesascope.records import store
from mesascope.records.directories import sweep
from mesascope.records.parsing import Damaged
from mesascope.records.store import (
    read_json,
    read_sealed,
    write_json,
    write_text,
)
from mesascope.records.tensors import read_tensors, write_tensors


def everything(directory: Path) -> list[str]:
    return sorted(str(p.relative_to(directory)) for p in directory.rglob("*"))


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    digest = write_json(tmp_path / "a.json", {"ä": [1, None]})
    assert read_json(tmp_path / "a.json") == read_sealed(tmp_path / "a.json") == {"ä": [1, None]}
    assert digest == store.sha256(tmp_path / "a.json")
    tensors = {"a": torch.arange(6.0).view(2, 3).T, "b": torch.ones((), dtype=torch.float64), "c": torch.empty(0)}
    digest = write_tensors(tmp_path / "a.safetensors", tensors)
    back = read_tensors(tmp_path / "a.safetensors", digest)
    assert all(torch.equal(back[k], v) and back[k].dtype == v.dtype for k, v in tensors.items())
    assert everything(tmp_path) == ["a.json", "a.safetensors"]
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o644


def test_nan_is_not_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"a": float("nan")})
    assert everything(tmp_path) == []


@pytest.mark.usefixtures("full_disk")
@pytest.mark.parametrize("existing", [True, False])
def test_a_full_disk_leaves_what_was_there(tmp_path: Path, existing: bool) -> None:
    path = tmp_path / "a.safetensors"
    if existing:
        path.write_bytes(b"before")
    with pytest.raises(OSError, match=r"cannot write .*a\.safetensors: No space left on device") as caught:
        write_tensors(path, {"a": torch.ones(3)})
    assert caught.value.errno == errno.ENOSPC
    assert everything(tmp_path) == (["a.safetensors"] if existing else [])
    assert not existing or path.read_bytes() == b"before"


# A real failure in the kernel: no file may grow beyond 4 KiB. Then a real kill at the worst moment.
FAULT = """
import os, resource, signal, sys
from pathlib import Path
from mesascope.records import store
from mesascope.records.directories import sweep

path, how = Path(sys.argv[1]), sys.argv[2]
if how == "limit":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
else:
    os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)
store.write_text(path, "x" * 10**6)
"""


def in_another_process(path: Path, how: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", FAULT, str(path), how], capture_output=True, text=True, timeout=60)


def test_a_write_that_the_system_refuses_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("before")
    result = in_another_process(tmp_path / "a.txt", "limit")
    assert result.returncode == 1
    assert f"cannot write {tmp_path / 'a.txt'}: File too large" in result.stderr
    assert (tmp_path / "a.txt").read_text() == "before"
    assert everything(tmp_path) == ["a.txt"]


def test_a_kill_in_the_middle_leaves_what_was_there_and_sweeping_removes_the_rest(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "before")
    assert in_another_process(tmp_path / "a.txt", "kill").returncode == -signal.SIGKILL
    assert (tmp_path / "a.txt").read_text() == "before"
    assert len(everything(tmp_path)) == 2  # the temporary file of the dead
    (tmp_path / ".hidden").write_text("mine")
    sweep(tmp_path)
    assert everything(tmp_path) == [".hidden", "a.txt"]


def test_an_interruption_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(handle: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_text(tmp_path / "a.txt", "after")
    assert everything(tmp_path) == []


def test_a_log_grows_and_a_full_disk_names_it(tmp_path: Path) -> None:
    store.append_text(tmp_path / "a.jsonl", "1\n")
    store.append_text(tmp_path / "a.jsonl", "2\n")
    assert (tmp_path / "a.jsonl").read_text() == "1\n2\n"
    (tmp_path / "full").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"cannot write .*full: No space left on device"):
        store.append_text(tmp_path / "full", "1\n")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[[[["])
def test_what_is_not_json_is_damaged(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(Damaged, match=r"a\.json is not JSON"):
        read_json(tmp_path / "a.json")


def test_damaged_tensors(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    with pytest.raises(Damaged, match="is missing"):
        read_tensors(path)
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for a writer, for ever
    for what in (tmp_path, tmp_path / "pipe"):
        for read in (read_tensors, read_json, read_sealed):
            with pytest.raises(Damaged, match="is not a file"):
                read(what)
    digest = write_tensors(path, {"a": torch.ones(100)})
    whole = path.read_bytes()
    for content in (whole[:-1], whole[:9], b"", whole[:-1] + b"\x00", b"PK\x03\x04"):
        path.write_bytes(content)
        with pytest.raises(Damaged, match="its hash is not the one recorded"):
            read_tensors(path, digest)
    path.write_bytes(whole[:-1])
    with pytest.raises(Damaged, match="is not a readable safetensors file"):
        read_tensors(path)


def test_tensors_that_do_not_fit_are_not_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        raise OSError("Cannot allocate memory (os error 12)")  # what safetensors says

    write_tensors(tmp_path / "a.safetensors", {"a": torch.ones(100)})
    monkeypatch.setattr(safetensors.torch, "load_file", full)
    with pytest.raises(MemoryError, match=r"a\.safetensors cannot be read \(Cannot allocate memory"):
        read_tensors(tmp_path / "a.safetensors")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_tensors_in_what_is_no_file(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / "a.safetensors")  # a pipe would be waited for
    with pytest.raises(Damaged, match=r"a\.safetensors is not a file"):
        read_tensors(tmp_path / "a.safetensors", "0" * 64)


def test_provenance_says_what_ran_where() -> None:
    found = origin.provenance(seed=3)
    assert found["versions"]["torch"].startswith(torch.__version__.split("+")[0])
    assert found["versions"]["mesascope"]
    assert found["hardware"]["threads"] == torch.get_num_threads()
    assert found["seed"] == 3
    json.dumps(found)
    assert origin._version("no-such-package") is None


def test_a_device_is_stated_and_a_gpu_only_where_it_was_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: f"the GPU of {device}")
    assert {"device": "cpu", "gpu": None}.items() <= origin.provenance()["hardware"].items()
    assert {"device": "cuda:1", "gpu": "the GPU of cuda:1"}.items() <= origin.provenance("cuda:1")["hardware"].items()


def test_the_commit_is_that_of_the_code_and_of_no_repository_around_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=n", "-c", "user.email=e@e", "-c", "commit.gpgsign=false")
        run = subprocess.run(["git", *identity, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True)
        return run.stdout.strip()

    def commit() -> str | None:
        origin.commit.cache_clear()
        return origin.commit()

    installed = tmp_path / "site-packages" / "provenance.py"  # inside a repository that does not track it
    installed.parent.mkdir()
    installed.write_text("")
    monkeypatch.setattr(origin, "__file__", str(installed))
    try:
        assert commit() is None
        git("init", "-q")
        assert commit() is None
        (tmp_path / "mine").write_text("")
        git("add", "mine")
        git("commit", "-qm", "1")
        assert commit() is None
        git("add", ".")
        git("commit", "-qm", "2")
        assert commit() == git("rev-parse", "HEAD")
        installed.write_text("changed")
        assert commit() == git("rev-parse", "HEAD") + "+"
        monkeypatch.setenv("PATH", "")
        assert commit() is None
    finally:
        origin.commit.cache_clear()
