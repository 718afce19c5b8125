"""Workers: results in order, and nobody left when the parent is gone, whoever ended whom."""

import functools
import math
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import pytest

from mesascope.machine.processes import Died, in_processes, run_beside

PARENT = """
import functools, multiprocessing, sys, threading, time
from mesascope.machine.processes import in_processes, run_beside

def tell():
    while len(multiprocessing.active_children()) < 2:
        time.sleep(0.001)
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)

if __name__ == "__main__":
    threading.Thread(target=tell).start()
    list(in_processes([functools.partial(time.sleep, 60)] * 2, 2))
"""


BESIDE = """
import sys
from mesascope.machine.processes import run_beside
program = "import os, time; open('number', 'w').write(str(os.getpid())); time.sleep(60)"
run_beside([sys.executable, "-c", program], sys.argv[1], 60)
"""


def alive(process: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has asked after does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(processes: Sequence[int]) -> bool:
    deadline = time.monotonic() + 20
    while any(map(alive, processes)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not any(map(alive, processes))


def calls(function, *values):
    return [functools.partial(function, value) for value in values]


def test_every_result_comes_with_its_number() -> None:
    assert dict(in_processes(calls(math.sqrt, 9.0, 4.0, 1.0), 2)) == {0: 3.0, 1: 2.0, 2: 1.0}
    assert list(in_processes([], 2)) == []


def test_an_error_in_a_worker_is_raised_here_and_ends_the_others() -> None:
    with pytest.raises(ValueError, match="math domain"):
        list(in_processes(calls(math.sqrt, 4.0, -1.0), 2))
    assert gone([child.pid or 0 for child in multiprocessing.active_children()])


def test_workers_end_with_whoever_stops_listening() -> None:
    results = in_processes(calls(time.sleep, 0, 60, 60), 2)
    assert next(results) == (0, None)
    working = [child.pid or 0 for child in multiprocessing.active_children()]
    assert len(working) == 2
    results.close()  # type: ignore[attr-defined]
    assert gone(working)


def test_a_call_that_ends_every_worker_is_given_up_and_the_others_go_on() -> None:
    found = dict(in_processes([*calls(os._exit, 1), *calls(math.sqrt, 9.0, 4.0)], 2))
    assert found == {0: Died(workers=3), 1: 3.0, 2: 2.0}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("after", [0.0, 0.3])
def test_workers_end_with_their_parent_also_while_they_start(number: signal.Signals, after: float) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as parent:
        assert parent.stdout is not None
        working = [int(word) for word in parent.stdout.readline().split()]
        time.sleep(after)
        parent.send_signal(number)
    assert len(working) == 2
    assert gone(working)


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv (util-linux) is not installed")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_another_program_ends_with_this_one(number: signal.Signals, tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", BESIDE, str(tmp_path)], stderr=subprocess.DEVNULL) as parent:
        deadline = time.monotonic() + 20
        while not (tmp_path / "number").exists() or not (tmp_path / "number").read_text():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        parent.send_signal(number)
    assert gone([int((tmp_path / "number").read_text())])


def test_another_program_that_takes_too_long(tmp_path: Path) -> None:
    assert run_beside(["echo", "here"], tmp_path, 60).stdout == "here\n"
    with pytest.raises(subprocess.TimeoutExpired):
        run_beside(["sleep", "60"], tmp_path, 0.1)


def test_a_workers_warning_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    assert list(in_processes([functools.partial(warnings.warn, "labels are few", stacklevel=2)], 1)) == [(0, None)]
    assert capfd.readouterr().err.split("\n") == ["warning: labels are few", ""]
