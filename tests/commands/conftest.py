"""The command line in a directory of its own, and what its tests write there."""

import functools
import json
from collections.abc import Callable
from pathlib import Path

import pytest

import mesascope as ms
import mesascope.examination as examining
from mesascope.cli import main
from mesascope.instruments.instrument import Instrument, sizes

SPEC = {
    "name": "tiny",
    "task": {"dim": 2, "examples": 4},
    "model": {"dim": 2, "examples": 4, "layers": 1, "width": 8, "heads": 2, "feedforward": 8},
    "steps": 4,
    "batch": 4,
    "checkpoint_every": 2,
    "log_every": 1,
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unchecked: None) -> None:
    """The working directory, empty at first."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def write() -> Callable[[str, object], str]:
    """Writes text, or anything else as JSON, to a file; its name."""

    def written(name: str, content: object) -> str:
        Path(name).write_text(content if isinstance(content, str) else json.dumps(content))
        return name

    return written


@pytest.fixture
def spec(write: Callable[[str, object], str]) -> Callable[..., str]:
    """Writes the specification of a tiny training, with these fields changed; the file's name."""
    return lambda **changes: write("spec.json", SPEC | changes)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs a command in this process: status, stdout, stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(arguments)
        out, err = capsys.readouterr()
        return status, out, err

    return run


@pytest.fixture
def refused(command: Callable[..., tuple[int, str, str]]) -> Callable[..., str]:
    """Runs a command that must end with a status and a line or two, and leave everything as it was; the line."""

    def everything() -> list[tuple[str, int, int]]:
        return sorted((str(p), p.lstat().st_size, p.lstat().st_mtime_ns) for p in Path().rglob("*"))

    def run(*arguments: str, status: int = 2) -> str:
        before = everything()
        ended, out, err = command(*arguments)
        assert (ended, out) == (status, ""), err
        assert err.startswith("mesascope: ")
        assert len(err.splitlines()) <= 2
        assert everything() == before
        return err

    return run


@pytest.fixture
def cheap(monkeypatch) -> dict[str, Callable]:
    """Quick examinations: two candidates, and one instrument, which does what is put under ``last``."""
    instruments: dict[str, Callable] = {}
    monkeypatch.setattr(examining, "identify_and_describe", lambda subject, task, **_: verdict(task))

    def measure(*_: object, **__: object) -> tuple:
        return instruments.get("last", tuple)() or ()

    last = Instrument(name="last", question="?", quantities=(), coordinates=(), measure=measure, sizes=sizes())
    monkeypatch.setattr(examining, "EXAMINED", (last,))
    monkeypatch.setattr(examining, "_known_subjects", lambda seed, say: examining.Checked(rows=(), seconds=0.0))
    return instruments


@functools.cache
def verdict(task: ms.Task) -> ms.Verdict:
    """What the network that is examined here runs; asked once."""
    return ms.identify(ms.load("construction:gradient-descent?layers=2"), task, algorithms=["gd", "cg"], prompts=12)
