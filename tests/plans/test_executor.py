"""One loop for every plan: kept, resumed, the same by every engine, and no work lost to a worker that dies."""

import functools
import importlib
import json
import multiprocessing
import time
from pathlib import Path

import pytest

from mesascope.plans import Here, Plan, PlanFailed, Processes, Work, execute
from mesascope.records.journal import Journal, discard

WORKERS = '''
"""Work that other processes can import."""
import os, signal
from dataclasses import dataclass
from pathlib import Path

@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    value: float

def square(x, say):
    say("squaring")
    return Number(value=x * x)

def noted(folder, x, say):
    with (Path(folder) / "order").open("a") as file:
        file.write(f"{x}\\n")
    if (Path(folder) / f"stop at {x}").exists():
        raise KeyboardInterrupt
    return Number(value=float(x))

def fatal(folder, times, say):
    """Ends its process, so many times."""
    mark = Path(folder) / "deaths"
    with mark.open("a") as file:
        file.write(f"{os.getpid()}\\n")
    if len(mark.read_text().split()) <= times:
        os.kill(os.getpid(), signal.SIGKILL)
    return Number(value=-1.0)

def wrong(say):
    raise ValueError("x must be positive; got -1.")
'''


@pytest.fixture
def workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "mod").mkdir()
    (tmp_path / "mod/plan_workers.py").write_text(WORKERS)
    monkeypatch.syspath_prepend(tmp_path / "mod")
    return importlib.import_module("plan_workers")


def plan(workers, *runs, words="a plan") -> Plan:
    works = [
        Work(name=f"work {i}", key={"number": i, "of": str(run)[:40]}, result=workers.Number, run=run)
        for i, run in enumerate(runs)
    ]
    return Plan(words=words, works=tuple(works))


def values(found) -> list[float]:
    return [each.value for each in found.values()]


@pytest.mark.parametrize("engine", [Here(), Processes(workers=2)], ids=lambda engine: type(engine).__name__)
def test_every_engine_finds_the_same_in_the_plans_order(engine, workers, tmp_path):
    squares = plan(workers, *(functools.partial(workers.square, x) for x in (3.0, 1.0, 2.0)))
    assert values(execute(squares, Journal(None), engine=engine)) == [9.0, 1.0, 4.0]


def test_what_was_interrupted_goes_on_where_it_stopped(workers, tmp_path):
    runs = [functools.partial(workers.noted, tmp_path, x) for x in (1, 2, 3)]
    (tmp_path / "stop at 2").touch()
    with pytest.raises(KeyboardInterrupt):
        execute(plan(workers, *runs), Journal(tmp_path / "out"))
    (tmp_path / "stop at 2").unlink()
    assert values(execute(plan(workers, *runs), Journal(tmp_path / "out"))) == [1.0, 2.0, 3.0]
    assert (tmp_path / "order").read_text().split() == ["1", "2", "2", "3"]
    assert values(execute(plan(workers, *runs), Journal(tmp_path / "out"))) == [1.0, 2.0, 3.0]
    assert len((tmp_path / "order").read_text().split()) == 4  # nothing is done twice


def test_parts_of_another_plan_are_refused_and_left_alone(workers, tmp_path):
    square = functools.partial(workers.square, 2.0)
    execute(plan(workers, square, words="examine a"), Journal(tmp_path))
    before = {path.name: path.read_bytes() for path in (tmp_path / "parts").iterdir()}
    with pytest.raises(
        ValueError, match=r"must be empty or hold parts of this run \(examine b\); .* 'examine a'\. Finish"
    ):
        execute(plan(workers, square, square, words="examine b"), Journal(tmp_path))
    assert {path.name: path.read_bytes() for path in (tmp_path / "parts").iterdir()} == before
    discard(tmp_path)
    assert not (tmp_path / "parts").exists()
    execute(plan(workers, square, square, words="examine b"), Journal(tmp_path))


def test_a_damaged_part_is_made_again(workers, tmp_path, caplog):
    square = plan(workers, functools.partial(workers.square, 2.0))
    execute(square, Journal(tmp_path))
    [part] = [path for path in (tmp_path / "parts").glob("*.json") if len(path.stem) == 64]
    assert json.loads(part.read_text())["name"] == "work 0"
    part.write_text(part.read_text()[:-20])
    assert values(execute(square, Journal(tmp_path))) == [4.0]
    assert "It is computed again" in caplog.text


def test_a_worker_that_is_killed_takes_nothing_with_it(workers, tmp_path):
    runs = [functools.partial(workers.square, 2.0), functools.partial(workers.fatal, tmp_path, 2)]
    found = execute(plan(workers, *runs, *runs[:1] * 4), Journal(None), engine=Processes(workers=2))
    assert values(found) == [4.0, -1.0, 4.0, 4.0, 4.0, 4.0]
    assert len(set((tmp_path / "deaths").read_text().split())) == 3  # elsewhere each time


def test_work_that_kills_three_workers_is_named_and_the_rest_completes(workers, tmp_path):
    runs = [functools.partial(workers.fatal, tmp_path, 99), *[functools.partial(workers.square, 3.0)] * 3]
    dying = plan(workers, *runs)
    with pytest.raises(PlanFailed, match=r"1 of 4 work items killed every worker .*: work 0\. All others are done"):
        execute(dying, Journal(tmp_path / "out"), engine=Processes(workers=2))
    assert len((tmp_path / "deaths").read_text().split()) == 3
    assert len([path for path in (tmp_path / "out/parts").glob("*.json") if len(path.stem) == 64]) == 3
    deadline = time.monotonic() + 20
    while multiprocessing.active_children() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("engine", [Here(), Processes(workers=2)], ids=lambda engine: type(engine).__name__)
def test_an_error_ends_the_run_and_names_its_work(engine, workers, tmp_path):
    runs = [functools.partial(workers.square, 2.0), workers.wrong]
    with pytest.raises(ValueError, match="x must be positive") as raised:
        execute(plan(workers, *runs), Journal(tmp_path), engine=engine)
    assert raised.value.__notes__ == ["in work 1"]


def test_names_must_differ(workers):
    work = Work(name="a", key=1, result=workers.Number, run=workers.wrong)
    with pytest.raises(ValueError, match="names of a plan's works must differ; 'a' occurs more than once"):
        Plan(words="twice", works=(work, work))


def test_progress_has_a_total_and_says_what_runs(workers, capsys):
    execute(plan(workers, functools.partial(workers.square, 2.0)), Journal(None), progress=True)
    said = capsys.readouterr().err
    assert "1/1" in said
    assert "work 0: squaring" in said
