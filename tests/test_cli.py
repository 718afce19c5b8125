"""The command line where `test_commands` does not go: damaged input, interruptions, full disks, real processes."""

import argparse
import errno
import functools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import mesascope as ms
import mesascope.examination as examining
from mesascope.cli import main
from mesascope.commands.arguments import subject_and_task
from mesascope.instruments.instrument import Instrument, sizes
from mesascope.records.codec import to_json
from mesascope.training import Interrupted, loop

SPEC = {
    "name": "tiny",
    "task": {"dim": 2, "examples": 4},
    "model": {"dim": 2, "examples": 4, "layers": 1, "width": 8, "heads": 2, "feedforward": 8},
    "steps": 4,
    "batch": 4,
    "checkpoint_every": 2,
    "log_every": 1,
}
GD = "construction:gradient-descent?layers=2"
SMOKE = ("--profile", "smoke")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch, unchecked):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def command(capsys) -> Callable[..., tuple[int, str, str]]:
    """Runs a command in this process: status, stdout, stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        status = main(arguments)
        return status, *capsys.readouterr()

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
    return ms.identify(ms.load(GD), task, algorithms=["gd", "cg"], prompts=12)


def write(name: str, content: object) -> str:
    Path(name).write_text(content if isinstance(content, str) else json.dumps(content))
    return name


def everything() -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in Path().rglob("*") if p.is_file()}


def refused(command, *arguments: str) -> str:
    """What is said of unusable input, with everything that a refusal must be besides."""
    before = everything()
    status, out, err = command(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("mesascope: ")
    assert len(err.splitlines()) <= 2
    assert everything() == before
    return err


# ------------------------------------------------------------------------------------- unusable input


def test_help_is_no_error(command):
    for arguments in ((), ("--help",), ("examine", "--help")):
        status, out, err = command(*arguments)
        assert (status, err) == (0, "")
        assert out.startswith("usage: mesascope")


SPECS = {
    "an unknown key": (SPEC | {"stepz": 3}, "Did you mean 'steps'"),
    "a wrong type": (SPEC | {"steps": "many"}, "steps must be a whole number; got 'many'"),
    "dimension 0": (SPEC | {"task": {"dim": 0}}, "dim must be a whole number of at least 1; got 0"),
    "absurdly many steps": (SPEC | {"steps": 10**12}, "steps must be at most 100,000,000"),
    "no layer": (SPEC | {"model": {"layers": 0}}, "layers must be a whole number of at least 1"),
    "a list": ([1], "must be an object describing a TrainingSpec"),
    "no name": ({"steps": 3}, "spec needs name"),
    "NaN": ('{"name": "x", "learning_rate": NaN}', "learning_rate must lie between 0 and 10; got nan"),
    "half a file": ('{"name": ', "is not JSON"),
}


@pytest.mark.parametrize("case", SPECS)
def test_a_specification_with(case, command):
    content, words = SPECS[case]
    assert words in refused(command, "train", write("spec.json", content), "--out", "run")


@pytest.mark.parametrize("seeds", ["1,x", "1,1", "-1", "1,,2"])
def test_seeds_that_are_none(seeds, command):
    assert "seeds must" in refused(command, "train", write("spec.json", SPEC), "--seeds", seeds)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("model.pt", "PK", "mesascope convert"),
        ("model.json", {"layers": 2}, "not a mesascope checkpoint"),
        ("model.safetensors", "?", "is missing"),
        ("notes.txt", "hello", "must be a run directory or a checkpoint"),
    ],
)
def test_a_checkpoint_that_is_foreign(name, content, words, command):
    assert words in refused(command, "examine", write(name, content), "--out", "out")


def test_a_checkpoint_that_was_damaged(command):
    assert command("train", write("spec.json", SPEC), "--out", "run")[0] == 0
    weights = next(Path("run").rglob("model*.safetensors"))
    whole = weights.read_bytes()
    for damaged in (whole[:-7], whole[:-1] + bytes([whole[-1] ^ 1]), b""):
        weights.write_bytes(damaged)
        assert "damaged" in refused(command, "identify", "run", *SMOKE)


@pytest.mark.parametrize("out", ["theirs", "theirs/file", "theirs/file/below"])
def test_output_goes_nowhere_that_is_not_ours(out, command):
    Path("theirs").mkdir()
    write("theirs/file", "thesis")
    for arguments in (("examine", GD), ("train", write("spec.json", SPEC)), ("train", "spec.json", "--seeds", "1,2")):
        assert "out must be" in refused(command, *arguments, "--out", out)


def test_a_device_that_cannot_compute(command):
    for device in ("nonsense", "meta", "cuda:99"):
        assert f"--device must be a device that this machine has; got '{device}'" in refused(
            command, "identify", GD, "--device", device
        )


LARGE = {"dim": {"dim": 10**9}, "examples": {"examples": 10**17}, "queries": {"queries": 10**17}}


@pytest.mark.parametrize("case", LARGE)
def test_more_memory_than_there_is_is_refused_with_what_would_be_needed(case, command):
    task = write("task.json", LARGE[case])
    identify = ("identify", GD, "--task", task)
    for arguments in (identify, (*identify, "--compare", "cg,gd"), ("examine", GD, "--task", task, "--out", "out")):
        assert "GiB of memory, and this machine has" in refused(command, *arguments)


def test_a_task_outside_the_domain_is_refused_before_anything_is_drawn(command, monkeypatch):
    monkeypatch.setattr(ms.tasks.LinearRegression, "sample", lambda *_, **__: pytest.fail("drawn"))
    task = write("task.json", {"dim": 2000, "examples": 5000})
    for arguments in (("identify", "two-layer"), ("examine", "two-layer", "--out", "out")):
        assert "dim must be 5 for this subject; got 2000" in refused(command, *arguments, "--task", task)


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


OWN_TASK = """
from dataclasses import dataclass
from mesascope.tasks import LinearRegression

@dataclass(frozen=True, kw_only=True)
class Mine:
    dim: int = 3
    examples: int = 9
    queries: int = 1

    def sample(self, n, **where):
        return LinearRegression(dim=self.dim, examples=self.examples, queries=self.queries).sample(n, **where)

number = lambda: 3
broken = lambda: 1 / 0
"""


def test_a_task_of_ones_own_is_named_as_python_reference(command):
    write("own_task.py", OWN_TASK)
    arguments = ["identify", "construction:gradient-descent?layers=2", "--profile", "smoke", "--json", "--task"]
    status, out, _ = command(*arguments, "python:own_task:Mine")
    assert status == 0
    assert "Mine is no linear task" in out


@pytest.mark.parametrize("task", [*ms.tasks.DATASETS.values(), ms.tasks.DigitRegression(), ms.tasks.PooledRegression()])
def test_every_kind_of_task_is_read_from_a_file(task):
    options = argparse.Namespace(model=GD, device="cpu", task=write("task.json", to_json(task)))
    assert subject_and_task(options)[1] == task


def test_a_data_set_is_a_task_by_its_name(command):
    options = argparse.Namespace(model=GD, device="cpu", task="friedman-1")
    assert subject_and_task(options)[1] == ms.tasks.DATASETS["friedman-1"]
    assert "Did you mean 'friedman-1'" in refused(command, "identify", GD, "--task", "freidman-1")


@pytest.mark.parametrize(
    ("name", "status", "message"),
    [
        ("number", 2, "must satisfy the protocol mesascope.types.Task; got a int without dim"),
        ("Minr", 2, "'Minr' of 'python:own_task:Minr' must be defined in own_task; it is not. Did you mean 'Mine'?"),
        ("broken", 1, "'python:own_task:broken' must return a task; it raised ZeroDivisionError: division by zero"),
    ],
)
def test_what_is_no_task_of_ones_own_is_refused(name, status, message, command):
    write("own_task.py", OWN_TASK)
    found, _, err = command("identify", "construction:gradient-descent", "--task", f"python:own_task:{name}")
    assert found == status
    assert message in err


HOSTILE = "\x1b[31mred\n\r\u202e\x9b"


@pytest.mark.parametrize(
    "arguments",
    [
        ("examine", HOSTILE),
        ("identify", "two-layer", "--task", f"{HOSTILE}.json"),
        ("identify", "two-layer", "--algorithms", HOSTILE),
        ("identify", "two-layer", "--device", HOSTILE),
        ("identify", f"python:{HOSTILE}:load"),
        ("identify", f"construction:gradient-descent?{HOSTILE}=3"),
        ("train", "foreign.json"),
        ("train", HOSTILE),
        ("train", "spec.json", "--out", f"{HOSTILE}/below"),
        ("convert", f"{HOSTILE}.pt"),
        ("study", "run", HOSTILE),
        (HOSTILE,),
    ],
    ids=str,
)
def test_nothing_foreign_reaches_the_terminal_raw(arguments, command):
    write("spec.json", SPEC)
    write("foreign.json", {HOSTILE: 3, "name": "x"})
    write(HOSTILE, "a file")
    assert refused(command, *arguments).removesuffix("\n").isprintable()


def test_what_is_said_of_a_run_under_a_hostile_name_is_inert(command, caplog):
    """Names of directories, in a refusal, in a message and where all went well."""
    out = HOSTILE.replace("\n", "")
    status, said, _ = command("train", write("spec.json", SPEC), "--out", out)
    assert (status, said.removesuffix("\n").isprintable()) == (0, True)
    (Path(out) / "model.json").write_text("{")
    assert command("train", "spec.json", "--out", out, "--resume")[0] == 0
    assert "Making it again" in caplog.text
    assert all(record.getMessage().isprintable() for record in caplog.records)


# ----------------------------------------------------------------------------------------- what works


def test_examine_on_a_task_of_ones_own_prints_one_document(cheap, command):
    task = {"type": "LinearRegression", "dim": 3, "examples": 9, "inputs": {"type": "Uniform"}}
    status, out, err = command("examine", GD, "--task", write("task.json", task), *SMOKE, "--json", "--out", "a/b")
    document = json.loads(out)
    assert (status, err) == (0, "")
    assert out.count("\n") == 1
    assert document["provenance"]["task"]["inputs"]["type"] == "Uniform"
    assert document == json.loads(Path("a/b/record.json").read_text())
    assert {p.name for p in Path("a/b").iterdir()} == {"mesascope.json", "record.json", "report.html"}


def test_examine_says_the_verdict_and_where_the_page_is(cheap, command):
    status, out, _ = command("examine", GD, *SMOKE)
    assert status == 0
    assert out.startswith(
        "gradient-descent: Linear in the labels and the same spectral filter for every prompt (100 % of its"
    )
    assert "identified (gradient-descent)" in out
    folder = Path("out/examine-construction-gradient-descent-layers-2-smoke")
    assert out.splitlines()[-2:] == [str(folder / "report.html"), str(folder / "record.json")]
    assert all(Path(line).is_file() for line in out.splitlines()[-2:])


def test_several_seeds_go_side_by_side(command):
    status, out, _ = command("train", write("spec.json", SPEC), "--seeds", "3,5", "--out", "runs")
    assert (status, out.split()) == (0, ["runs/seed-3", "runs/seed-5"])
    task = ms.tasks.LinearRegression(dim=2, examples=4)
    first, second = (ms.load(f"runs/seed-{seed}").trace(task.sample(2, seed=0)).predictions for seed in (3, 5))
    assert not first.equal(second)


def test_seeds_train_together(command):
    status, out, _ = command("train", write("spec.json", SPEC), "--seeds", "3,5", "--together", "--out", "runs")
    assert (status, out.split()) == (0, ["runs/seed-3", "runs/seed-5"])
    assert command("train", "spec.json", "--seeds", "3,5", "--together", "--resume", "--out", "runs")[0] == 0
    command("train", "spec.json", "--seeds", "5", "--out", "alone")
    task = ms.tasks.LinearRegression(dim=2, examples=4)
    member, alone = (ms.load(run).trace(task.sample(2, seed=0)).predictions for run in ("runs/seed-5", "alone"))
    assert member.allclose(alone, atol=1e-5)
    assert "--together needs several seeds" in refused(command, "train", "spec.json", "--together")
    climbing = {**SPEC, "curriculum": {"start": 1}}
    given = ("--seeds", "1,2", "--together", "--out", "new")
    assert "needs curriculum=None" in refused(command, "train", write("climbing.json", climbing), *given)
    assert "a language model" in refused(command, "train", "ladder-small", *given)
    assert not Path("new").exists()


# ------------------------------------------------------------------------------------- interruptions


def test_examine_says_a_silent_failure(cheap, command):
    said = {"setting": "training", "in words": "training: the error looks acceptable, but the order is lost."}
    name, control = "silent failure", ms.types.Control(kind="negative", name="least squares", value=0.0)
    cheap["last"] = lambda: (
        ms.Measurement(
            instrument=name, quantity=name, value=1.0, interval=None, n=8, coordinates=said, controls=(control,)
        ),
    )
    status, out, _ = command("examine", GD, *SMOKE, "--out", "out")
    assert status == 0
    assert "  Silent failure. training: the error looks acceptable, but the order is lost.\n" in out


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


def test_an_error_says_in_which_work_it_was(cheap, command):
    def fail() -> tuple:
        raise ValueError("x must be positive; got -1.")

    cheap["last"] = fail
    status, _, err = command("examine", GD, *SMOKE, "--out", "out")
    assert (status, err.splitlines()[-1]) == (2, "mesascope: x must be positive; got -1. (in last)")


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
def test_the_advice_for_several_seeds_can_be_followed(step, seed, command, monkeypatch):
    arguments = ("train", write("spec.json", SPEC), "--seeds", "3,5", "--out", "runs")
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


def test_a_quick_try_does_not_take_the_place_of_a_long_run(command, monkeypatch):
    monkeypatch.setattr(ms, "run_study", lambda name, out, *, profile, **_: result_of(f"study run {name}", profile))
    for profile in ("laptop", "smoke"):
        assert command("study", "run", "depth-loss", "--profile", profile)[0] == 0
    assert {p.name for p in Path("out").iterdir()} == {"study-depth-loss", "study-depth-loss-smoke"}
    status, out, _ = command("study", "report", "out")
    assert status == 0
    assert "left out, since another run of this study is as thorough or more so: out/study-depth-loss-smoke" in out
    assert max(map(len, out.splitlines())) <= 100
    page = Path("out/studies.html").read_text()
    assert "profile laptop" in page
    assert "profile smoke" not in page


def test_a_page_of_studies_holds_what_one_study_says_of_each_model(command):
    for model, profile in (("", "laptop"), (" --model two-layer", "smoke"), (" --model four-layer", "full")):
        ms.save(result_of(f"study run depth-loss{model}", profile), f"out/{profile}")
    status, out, _ = command("study", "report", "out")
    assert status == 0
    assert "left out" not in out
    assert out.startswith("1 of ")
    page = Path("out/studies.html").read_text()
    assert all(f"profile {profile}" in page for profile in ("smoke", "laptop", "full"))


def result_of(asked: str, profile: str) -> ms.StudyResult:
    return ms.StudyResult(
        study="depth-loss", title="T", source="B", profile=profile, outcomes=(), notes=(), measurements=(), figures=(),
        provenance={"command": asked, "seed": 0, "networks": {}},
    )  # fmt: skip


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


def start(*arguments: str) -> subprocess.Popen:
    words = [sys.executable, "-m", "mesascope", *arguments]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_real_process_refuses_with_a_line_and_status_2():
    with start("examine", "two-leyer") as process:
        out, err = process.communicate(timeout=300)
    assert (process.returncode, out) == (2, "")
    assert "Did you mean 'two-layer'" in err
    assert "Traceback" not in err
    assert not list(Path().iterdir())


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


def test_where_stdout_cannot_be_written_to_it_is_said_once():
    with open("/dev/full", "w") as full:
        words = [sys.executable, "-c", "import sys; from mesascope.cli import main; sys.exit(main())", "list", "tasks"]
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, timeout=300)
    assert done.returncode == 1
    assert "the disk is full" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_two_trainings_of_one_directory(command):
    spec = write("spec.json", SPEC | {"steps": 1_000_000, "checkpoint_every": 5})
    with start("train", spec, "--out", "run") as process:
        for _ in range(3000):
            if list(Path("run").glob("checkpoints/*.json")) or process.poll() is not None:
                break
            time.sleep(0.1)
        for resume in ((), ("--resume",)):
            status, _, err = command("train", spec, "--out", "run", *resume)
            assert status == 2
        assert f"out must be free; run is being written to by process {process.pid} on " in err
        process.kill()
        process.communicate(timeout=300)
    lines = [json.loads(line)["step"] for line in Path("run/metrics.jsonl").read_text().splitlines()[:-1]]
    assert lines == list(range(1, len(lines) + 1))


def test_ctrl_c_ends_a_training_process_with_130_and_it_can_be_resumed(command):
    spec = write("spec.json", SPEC | {"steps": 1_000_000, "checkpoint_every": 5})
    with start("train", spec, "--out", "run") as process:
        for _ in range(3000):
            if list(Path("run").glob("checkpoints/*.json")) or process.poll() is not None:
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "--resume" in err.splitlines()[-1]
    assert ms.load("run").domain.dims == (2,)


def test_a_failed_control_is_said_in_the_terminal_too(cheap, command, monkeypatch):
    status, out, _ = command("examine", GD, *SMOKE, "--out", "sound")
    assert status == 0
    assert "did not come out" not in out
    broken = {"instrument": "probes", "control": "a planted target", "expected": "at least 0.9", "observed": "0.2"}
    checked = examining.Checked(rows=({**broken, "kind": "positive", "holds": False},), seconds=0.0)
    monkeypatch.setattr(examining, "_known_subjects", lambda seed, say: checked)
    status, out, _ = command("examine", GD, *SMOKE, "--out", "broken")
    assert status == 0
    assert "controls did not give their known answer (probes). Do not rely on results of these instruments" in out
    assert "probes, a planted target: must be at least 0.9; observed 0.2." in out


def weights_of_theirs(layers: int = 3, width: int = 64, dim: int = 5, points: int = 8) -> dict[str, torch.Tensor]:
    """A state dict as Garg et al.'s code saves it."""
    inner = 4 * width
    block = {"ln_1": (width,), "ln_2": (width,), "attn.c_attn": (width, 3 * width), "attn.c_proj": (width, width)}
    block |= {"mlp.c_fc": (width, inner), "mlp.c_proj": (inner, width)}
    parts = {"_read_in": (width, dim), "_read_out": (1, width), "_backbone.ln_f": (width,)}
    parts |= {f"_backbone.h.{i}.{name}": shape for i in range(layers) for name, shape in block.items()}
    bias = {name: shape[:1] if name.startswith("_read") else shape[-1:] for name, shape in parts.items()}
    shapes = {f"{name}.weight": shape for name, shape in parts.items()} | {
        f"{n}.bias": shape for n, shape in bias.items()
    }
    return {name: torch.zeros(shape) for name, shape in {"_backbone.wpe.weight": (2 * points, width), **shapes}.items()}


def test_convert_prints_what_it_took_from_where_and_warns_of_what_it_assumed(command, caplog):
    torch.save({"state_dict": {f"model.{k}": v for k, v in weights_of_theirs().items()}}, "weights.pt")
    status, out, _ = command("convert", "weights.pt", "--out", "runs/theirs")
    assert (status, out.splitlines()) == (
        0,
        [
            "  taken from 'state_dict'",
            "  model. taken off the names",
            "  heads: 2, from the paper's model of this size",
            "  examples: 7, from its positions",
            "  task: linear regression with w ~ N(0, I), from the paper",
            "runs/theirs",
        ],
    )
    assert "heads are not in the weights" in caplog.text
    assert "does not say how many examples" in caplog.text
    torch.save(weights_of_theirs(layers=2), "small.pt")
    words = refused(command, "convert", "small.pt", "--out", "runs/small")
    assert "heads cannot be read off the weights" in words
    assert "--like" in words
