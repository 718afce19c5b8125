"""Ctrl-C, signals and SIGKILL at any point; two processes in one directory."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import mesascope as ms
import mesascope.examination as examining
from mesascope.training import Interrupted, loop

GD = "construction:gradient-descent?layers=2"
SMOKE = ("--profile", "smoke")


def test_an_examination_stopped_with_ctrl_c_goes_on(cheap, command, monkeypatch):
    def stop() -> tuple:
        raise KeyboardInterrupt

    cheap["last"] = stop
    status, _, err = command("examine", GD, *SMOKE, "--out", "out")
    assert (status, err.splitlines()[-1]) == (130, "mesascope: stopped")
    assert not Path("out/record.json").exists()
    cheap["last"] = tuple
    monkeypatch.setattr(examining, "identify_and_describe", stop)  # that was done before
    assert command("examine", GD, *SMOKE, "--out", "out")[0] == 0
    assert Path("out/report.html").is_file()


class Killed(BaseException):
    """Stands for SIGKILL: nobody handles it, and nothing is cleaned up."""


def test_an_examination_killed_at_any_write_ends_in_the_same_record(cheap, command, monkeypatch):
    cheap["last"] = tuple
    arguments = ("examine", GD, *SMOKE, "--out")
    assert command(*arguments, "whole")[0] == 0
    real_sync, real_unlink, left, kills = os.fsync, Path.unlink, 0, 0

    def fsync(handle: int) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise Killed
        real_sync(handle)

    def unlink(self: Path, missing_ok: bool = False) -> None:
        if left > 0:  # the dead do not tidy up
            real_unlink(self, missing_ok=missing_ok)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "unlink", unlink)
    while True:  # each attempt gets a little further than the one before
        left = 2 + kills // 2
        try:
            assert command(*arguments, "out")[0] == 0
            break
        except Killed:
            kills += 1
    assert kills > 5
    assert {p.name for p in Path("out").iterdir()} == {p.name for p in Path("whole").iterdir()}
    first, second = (json.loads(Path(folder, "record.json").read_text()) for folder in ("whole", "out"))
    for name in ("verdict", "measurements", "controls", "figures", "skipped", "subject"):
        assert first[name] == second[name]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_sigterm_counts_as_ctrl_c_and_handlers_are_put_back(number, cheap, command):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    cheap["last"] = lambda: os.kill(os.getpid(), number)
    status, _, err = command("examine", GD, *SMOKE, "--out", "out")
    assert (status, err.splitlines()[-1]) == (130, "mesascope: stopped")
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def stopping_at(step: int, seed: int, monkeypatch) -> None:
    """Ctrl-C at a step of the training from one of the seeds."""
    real = loop.Run.update

    def update(self, batch) -> None:
        real(self, batch)
        if (self.step, self.spec.seed) == (step, seed):
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(loop.Run, "update", update)


@pytest.mark.parametrize(("step", "seed"), [(2, 3), (4, 3), (1, 5), (3, 5)])
def test_the_advice_for_several_seeds_can_be_followed(step, seed, command, monkeypatch, spec):
    arguments = ("train", spec(), "--seeds", "3,5", "--out", "runs")
    with monkeypatch.context() as patch:
        stopping_at(step, seed, patch)
        status, out, err = command(*arguments)
    assert (status, out) == (130, "")
    advice = re.fullmatch(r"mesascope: stopped after step \d; continue with (.*)", err.splitlines()[-1])
    assert advice is not None
    assert command(*arguments[:-2], *advice[1].split())[:2] == (0, "runs/seed-3\nruns/seed-5\n")
    command(*arguments[:-1], "whole")
    for seed in (3, 5):
        first, second = (Path(folder, f"seed-{seed}", "model.safetensors").read_bytes() for folder in ("runs", "whole"))
        assert first == second


def test_a_network_that_a_study_trains_is_not_stopped_with_advice_for_train(command, monkeypatch):
    def stopped(*_: object, **__: object) -> None:
        raise Interrupted(3, Path("networks/a"))

    monkeypatch.setattr(ms, "run_study", stopped)
    status, _, err = command("study", "run", "depth-loss", "--out", "out")
    assert (status, err) == (130, "mesascope: stopped while training a network; run the same command to resume\n")
    assert not Path("out").exists()


DOOR = """
import os, sys

class Bell:
    def find_spec(self, name, *rest):
        if name == BELL:
            os.kill(os.getpid(), NUMBER)

sys.meta_path.insert(0, Bell())
from mesascope.cli import main
sys.exit(main(["identify", "two-layer"]))
"""


@pytest.mark.parametrize(
    ("bell", "number"),
    [("mesascope.commands", signal.SIGTERM), ("torch", signal.SIGINT), ("mesascope.studies", signal.SIGINT)],
)
def test_a_signal_while_the_package_loads_ends_in_a_line(bell, number):
    script = DOOR.replace("BELL", repr(bell)).replace("NUMBER", str(int(number)))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "mesascope: stopped\n")


TWICE = """
import os, signal, sys
import mesascope.commands.listing as listing
from mesascope.cli import main

def stubborn():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except KeyboardInterrupt:
        os.kill(os.getpid(), signal.SIGINT)
    print("still here")

listing.THINGS["tasks"] = stubborn
sys.exit(main(["list", "tasks"]))
"""


def test_the_second_signal_ends_at_once():
    done = subprocess.run([sys.executable, "-c", TWICE], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "mesascope: stopped\n")


def start(*arguments: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "mesascope", *arguments]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_real_process_refuses_with_a_line_and_status_2():
    with start("examine", "two-leyer") as process:
        out, err = process.communicate(timeout=300)
    assert (process.returncode, out) == (2, "")
    assert "Did you mean 'two-layer'" in err
    assert "Traceback" not in err
    assert not list(Path().iterdir())


@contextlib.contextmanager
def long_training(file: str) -> Iterator[subprocess.Popen[str]]:
    """A process that trains in ``run`` and has written a checkpoint."""
    with start("train", file, "--out", "run") as process:
        for _ in range(3000):
            if list(Path("run").glob("checkpoints/*.json")) or process.poll() is not None:
                break
            time.sleep(0.1)
        yield process


def test_two_trainings_of_one_directory(command, spec):
    file = spec(steps=1_000_000, checkpoint_every=5)
    with long_training(file) as process:
        for resume in ((), ("--resume",)):
            status, _, err = command("train", file, "--out", "run", *resume)
            assert status == 2
        assert f"out must be free; run is being written to by process {process.pid} on " in err
        process.kill()
        process.communicate(timeout=300)
    lines = [json.loads(line)["step"] for line in Path("run/metrics.jsonl").read_text().splitlines()[:-1]]
    assert lines == list(range(1, len(lines) + 1))


def test_ctrl_c_ends_a_training_process_with_130_and_it_can_be_resumed(spec):
    with long_training(spec(steps=1_000_000, checkpoint_every=5)) as process:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "--resume" in err.splitlines()[-1]
    assert ms.load("run").domain.dims == (2,)
