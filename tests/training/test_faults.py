"""Kills, interruptions, damage, divergence, full disks: what a run survives, and what it says when it does not."""

import errno
import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mesascope.records import checkpoint as checkpoints
from mesascope.records.codec import to_json
from mesascope.training import Diverged, Interrupted, TrainingSpec, loop, train, train_many

Check = Callable[[Path], None]
ANOTHER_PROCESS = """
import json, sys
from pathlib import Path
import torch
from mesascope.records.codec import from_json
from mesascope.training import Interrupted, TrainingSpec, regression, train

torch.set_num_threads(1)
regression.EVALUATION_PROMPTS = 512
spec = from_json(TrainingSpec, json.loads(sys.argv[1]))
try:
    train(spec, sys.argv[2], resume=True, progress=False)
except Interrupted as stopped:
    print(stopped)
    sys.exit(130)
"""


def start(spec: TrainingSpec, out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", ANOTHER_PROCESS, json.dumps(to_json(spec)), str(out)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)


def reached(out: Path, step: int) -> Callable[[], bool]:
    return lambda: any(s >= step for s in checkpoints.steps(out / "checkpoints"))


# ------------------------------------------------------------------------------------------- killed


@pytest.mark.parametrize("after", [1, 22])
def test_a_killed_run_resumes_to_the_same_bits(
    tiny: TrainingSpec, tmp_path: Path, ends_alike: Check, after: int
) -> None:
    out = tmp_path / "run"
    process = start(tiny, out)
    wait_for(reached(out, after), process)
    time.sleep(random.uniform(0, 0.05))  # at whatever moment that is: a step, a line of metrics, half a checkpoint
    process.kill()
    process.communicate()
    assert process.returncode in (-signal.SIGKILL, 0)
    train(tiny, out, resume=True, progress=False)
    ends_alike(out)


class Killed(BaseException):
    """Stands for SIGKILL: nobody handles it, and nothing is cleaned up."""


def test_killed_at_any_write_it_resumes_to_the_same_bits(
    tiny: TrainingSpec, tmp_path: Path, ends_alike: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_sync, real_unlink = os.fsync, Path.unlink
    calls = {"left": 0}

    def fsync(handle: int) -> None:
        calls["left"] -= 1
        if calls["left"] == 0:
            raise Killed
        real_sync(handle)

    def unlink(self: Path, missing_ok: bool = False) -> None:
        if calls["left"] > 0:  # the dead do not tidy up
            real_unlink(self, missing_ok=missing_ok)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "unlink", unlink)
    out, kills = tmp_path / "run", 0
    while True:  # each attempt gets a little further than the one before
        calls["left"] = 3 + 5 * kills
        try:
            train(tiny, out, resume=True, progress=False)
            break
        except Killed:
            kills += 1
    assert kills > 5
    ends_alike(out)


def test_stopped_twice_in_one_stretch_of_steps_the_metrics_agree(
    tiny: TrainingSpec, tmp_path: Path, ends_alike: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in (15, 18, 19, 45):  # none of them ends a line of metrics
        interrupt_at(step, monkeypatch)
        with pytest.raises(Interrupted) as stopped:
            train(tiny, tmp_path / "run", resume=True, progress=False)
        assert stopped.value.step == step
    train(tiny, tmp_path / "run", resume=True, progress=False)
    ends_alike(tmp_path / "run")


# ------------------------------------------------------------------------------------------- interrupted


def interrupt_at(step: int, monkeypatch: pytest.MonkeyPatch, times: int = 1) -> None:
    real = loop.Run.update

    def update(self: Any, batch: Any) -> None:
        real(self, batch)
        if self.step == step:
            for _ in range(times):
                os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(loop.Run, "update", update)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_says_how_to_go_on(
    tiny: TrainingSpec, tmp_path: Path, ends_alike: Check, number: signal.Signals
) -> None:
    out = tmp_path / "run"
    long = replace(tiny, steps=10**7, checkpoint_every=10**7)
    process = start(long, out)
    wait_for(reached(out, 4), process)
    process.send_signal(number)
    said, complained = process.communicate(timeout=60)
    assert (process.returncode, complained) == (130, "")
    step = checkpoints.steps(out / "checkpoints")[-1]
    assert said.strip() == f"stopped after step {step}; continue with --resume --out {out}"
    found = checkpoints.latest(out / "checkpoints", resumable=True)
    assert found is not None
    assert found.step == step


def test_a_signal_before_the_first_step_is_caught_too(
    tiny: TrainingSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = loop.Run.restore

    def restore(self: Any, found: Any) -> int:
        os.kill(os.getpid(), signal.SIGINT)
        return real(self, found)

    monkeypatch.setattr(loop.Run, "restore", restore)
    with pytest.raises(Interrupted) as stopped:
        train(tiny, tmp_path / "run", progress=False)
    assert stopped.value.step == 1
    assert stopped.value.directory == tmp_path / "run"


def test_a_second_signal_stops_at_once_and_handlers_are_put_back(
    tiny: TrainingSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    interrupt_at(10, monkeypatch, times=2)
    with pytest.raises(KeyboardInterrupt):
        train(tiny, tmp_path / "run", progress=False)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_signal_that_comes_too_late_is_passed_on(
    tiny: TrainingSpec, tmp_path: Path, ends_alike: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_at(tiny.steps, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        train(tiny, tmp_path / "run", progress=False)
    ends_alike(tmp_path / "run")


def test_outside_the_main_thread_it_trains_without_handlers(
    tiny: TrainingSpec, tmp_path: Path, ends_alike: Check
) -> None:
    thread = threading.Thread(target=lambda: train(tiny, tmp_path / "run", progress=False))
    thread.start()
    thread.join()
    ends_alike(tmp_path / "run")


# ------------------------------------------------------------------------------------------- damaged


def stop_at(spec: TrainingSpec, step: int, out: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(step, patch)
        with pytest.raises(Interrupted):
            train(spec, out, progress=False)


@pytest.mark.parametrize("ending", [".json", ".safetensors"])
def test_a_damaged_checkpoint_is_passed_over_and_the_bits_are_the_same(
    tiny: TrainingSpec, tmp_path: Path, ends_alike: Check, caplog: pytest.LogCaptureFixture, ending: str
) -> None:
    out = tmp_path / "run"
    stop_at(tiny, 40, out)
    path = checkpoints.stem(out / "checkpoints", 40).with_suffix(ending)
    path.write_bytes(path.read_bytes()[:-7])
    train(tiny, out, resume=True, progress=False)
    assert "step-00000040" in caplog.text
    assert "Looking for an earlier one" in caplog.text
    ends_alike(out)


def test_with_every_checkpoint_damaged_it_starts_over(tiny: TrainingSpec, tmp_path: Path, ends_alike: Check) -> None:
    out = tmp_path / "run"
    stop_at(tiny, 40, out)
    for path in (out / "checkpoints").glob("*.safetensors"):
        path.write_bytes(b"")
    train(tiny, out, resume=True, progress=False)
    ends_alike(out)


def test_a_line_of_metrics_that_was_cut_off_is_dropped(tiny: TrainingSpec, tmp_path: Path, ends_alike: Check) -> None:
    out = tmp_path / "run"
    stop_at(tiny, 30, out)
    with (out / "metrics.jsonl").open("a", errors="surrogateescape") as file:
        file.write('3\n{"loss": 1}\n{"step": 35, "loss": 0.1}\n\udcff\n{"step": 2')
    train(tiny, out, resume=True, progress=False)
    ends_alike(out)


def test_damaged_finished_weights_are_made_again(
    tiny: TrainingSpec, uninterrupted: Path, tmp_path: Path, ends_alike: Check, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "run"
    shutil.copytree(uninterrupted, out)
    (out / "model.safetensors").write_bytes(b"?")
    train(tiny, out, resume=True, progress=False)
    assert "Making it again" in caplog.text
    ends_alike(out)


# ------------------------------------------------------------------------------------------- diverged


def poison(step: int, monkeypatch: pytest.MonkeyPatch, what: Callable[[Any], None]) -> None:
    real = loop.Run.update

    def update(self: Any, batch: Any) -> None:
        real(self, batch)
        if self.step == step:
            what(self)

    monkeypatch.setattr(loop.Run, "update", update)


def all_finite(out: Path) -> bool:
    found = [checkpoints.read(checkpoints.stem(out, s)) for s in checkpoints.steps(out)]
    assert found
    return all(bool(torch.isfinite(v).all()) for c in found for v in c.tensors.values())


def test_a_loss_that_is_not_finite_stops_the_run(
    tiny: TrainingSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(24, monkeypatch, lambda run: run.model.unembed.weight.data.fill_(float("nan")))
    message = (
        r"not finite at step 25\. The last good checkpoint is that of step 22\. Lower learning_rate \(now 0\.01\).*clip"
    )
    with pytest.raises(Diverged, match=message):
        train(tiny, tmp_path / "run", progress=False)
    assert checkpoints.steps(tmp_path / "run" / "checkpoints")[-1] == 22
    assert all_finite(tmp_path / "run" / "checkpoints")
    assert not (tmp_path / "run" / "model.json").exists()


def test_weights_that_are_not_finite_are_not_saved_though_every_loss_was(
    tiny: TrainingSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(32, monkeypatch, lambda run: run.model.unembed.weight.data.fill_(float("inf")))  # 32 is on the grid
    with pytest.raises(Diverged, match=r"a weight .* after step 32\. The last good checkpoint is that of step 22\."):
        train(tiny, tmp_path / "run", progress=False)
    assert all_finite(tmp_path / "run" / "checkpoints")


def test_divergence_before_any_checkpoint_says_so(
    tiny: TrainingSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(1, monkeypatch, lambda run: run.losses.append(run.losses.pop() * float("nan")))
    with pytest.raises(Diverged, match=r"not finite at step 1\. The last good checkpoint is none\."):
        train(tiny, tmp_path / "run", progress=False)


def test_a_rate_that_is_too_high_really_diverges(tiny: TrainingSpec, tmp_path: Path) -> None:
    wild = replace(
        tiny,
        learning_rate=9.9,
        schedule="constant",
        model=replace(tiny.model, norm=False, layers=4, attention="linear"),
    )
    with pytest.raises(Diverged, match="not finite"):
        train(wild, tmp_path / "run", progress=False)
    assert all_finite(tmp_path / "run" / "checkpoints")


# ------------------------------------------------------------------------------------------- full


@pytest.mark.parametrize("what", ["checkpoint", "metrics"])
def test_a_full_disk_is_named_and_the_last_checkpoint_is_good(
    tiny: TrainingSpec, tmp_path: Path, ends_alike: Check, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    out = tmp_path / "run"
    real = os.fsync

    def fill(run: Any) -> None:
        if what == "metrics":
            (out / "metrics.jsonl").rename(out / "kept")
            (out / "metrics.jsonl").symlink_to("/dev/full")
        else:
            monkeypatch.setattr(os, "fsync", full)

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        poison(26, patch, fill)
        with pytest.raises(
            OSError, match=rf"cannot write .*{'metrics' if what == 'metrics' else 'step-00000032'}.*No space"
        ):
            train(tiny, out, progress=False)
    monkeypatch.setattr(os, "fsync", real)
    if what == "metrics":
        (out / "kept").replace(out / "metrics.jsonl")
    assert checkpoints.steps(out / "checkpoints")[-1] == 22
    train(tiny, out, resume=True, progress=False)
    ends_alike(out)


# ------------------------------------------------------------------------------------------- refused


def test_a_run_of_another_spec_is_refused_and_left_alone(tiny: TrainingSpec, uninterrupted: Path) -> None:
    before = sorted((p, p.stat().st_mtime_ns) for p in uninterrupted.rglob("*"))
    for resume in (True, False):
        with pytest.raises(ValueError, match=r"out must be new, or a run of the same spec; .* Choose another\."):
            train(replace(tiny, seed=1), uninterrupted, resume=resume, progress=False)
    with pytest.raises(ValueError, match=r"out must be new; .* holds this same run\. Pass --resume to continue it"):
        train(tiny, uninterrupted, progress=False)
    assert sorted((p, p.stat().st_mtime_ns) for p in uninterrupted.rglob("*")) == before


@pytest.mark.parametrize("ended", [True, False])
def test_the_spec_inside_the_checkpoints_is_the_runs(
    tiny: TrainingSpec, uninterrupted: Path, tmp_path: Path, ended: bool
) -> None:
    """Nothing is recorded that the weights never saw, whatever became of the run's own ``spec.json``."""
    out = tmp_path / "run"
    shutil.copytree(uninterrupted, out)
    (out / "spec.json").unlink()
    if not ended:
        (out / "model.json").unlink()
    where = "model" if ended else "checkpoints"
    message = rf"run/{where}\S* is of another spec, where learning_rate is 0\.01 and not 0\.5\. Choose another\."
    with pytest.raises(ValueError, match=message):
        train(replace(tiny, learning_rate=0.5), out, resume=True, progress=False)
    assert not (out / "spec.json").exists()
    train(tiny, out, resume=True, progress=False)


def test_a_spec_of_the_run_that_was_changed_by_hand_is_refused(
    tiny: TrainingSpec, uninterrupted: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    shutil.copytree(uninterrupted, out)
    text = (out / "spec.json").read_text()
    (out / "spec.json").write_text(text.replace('"learning_rate": 0.01', '"learning_rate": 0.5'))
    with pytest.raises(
        ValueError, match=r"spec\.json is damaged, or was changed after .* Move it away: --resume then uses"
    ):
        train(replace(tiny, learning_rate=0.5), out, resume=True, progress=False)


def test_a_directory_without_its_spec_is_no_new_one(tiny: TrainingSpec, uninterrupted: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(uninterrupted, out)
    (out / "spec.json").unlink()
    with pytest.raises(ValueError, match=r"out must be new; .* holds this same run\. Pass --resume to continue it"):
        train(tiny, out, progress=False)


def test_a_foreign_directory_and_an_unknown_device_are_refused_and_nothing_is_written(
    tiny: TrainingSpec, tmp_path: Path
) -> None:
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(ValueError, match="out must be empty or made by mesascope"):
        train(tiny, tmp_path, progress=False)
    for device in ("quantum", *(() if torch.cuda.is_available() else ("cuda",))):
        with pytest.raises(
            ValueError, match=rf"device must be a device that this machine has; got '{device}' .*Pass 'cpu'\."
        ):
            train(tiny, tmp_path / "run", device=device, progress=False)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_run_without_a_checkpoint_yields_to_another_spec_and_its_lines_go(
    tiny: TrainingSpec, tmp_path: Path, ends_alike: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(loop.Run, "save", lambda self: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            train(replace(tiny, log_every=1), out, progress=False)
    assert {p.name for p in out.iterdir()} >= {"spec.json", "metrics.jsonl"}
    train(tiny, out, progress=False)
    ends_alike(out)


def test_of_several_seeds_all_directories_are_looked_at_before_one_trains(tiny: TrainingSpec, tmp_path: Path) -> None:
    train(replace(tiny, seed=2), tmp_path / "runs" / "seed-2", progress=False)
    with pytest.raises(ValueError, match=r"seed-2 holds this same run"):
        train_many(tiny, [1, 2], tmp_path / "runs", progress=False)
    assert [p.name for p in (tmp_path / "runs").iterdir()] == ["seed-2"]


def test_another_number_of_threads_is_noted(
    tiny: TrainingSpec, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stop_at(tiny, 59, tmp_path / "run")
    torch.set_num_threads(2)
    with caplog.at_level(logging.WARNING):
        train(tiny, tmp_path / "run", resume=True, progress=False)
    assert "began with 1 threads and continues with 2" in caplog.text
    assert "Pass --threads 1" in caplog.text
