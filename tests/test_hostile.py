"""Hostile input by the hundred: specifications, tasks, records, references, options, damaged files, users' code.

Each input goes through the command line in this process, with what is expensive cut short. Whatever it is, the command
ends with one of its statuses and a line or two that a terminal shows as they are; a refusal leaves every file as it was;
and what was damaged on disk is never loaded as something else.

The suite tries some hundred inputs. By hand, more of them, from another seed: ``python tests/test_hostile.py 2000 --seed 5``;
the environment variable ``MESASCOPE_HOSTILE_INPUTS`` does the same for the suite.
"""

import argparse
import contextlib
import copy
import io
import itertools
import json
import math
import os
import random
import resource
import shutil
import signal
import stat
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import mesascope as ms
import mesascope.instruments.identification.power as comparing
import mesascope.theory as proving
from mesascope.cli import main
from mesascope.models import TransformerConfig
from mesascope.records.codec import to_json
from mesascope.records.journal import Journal, digest
from mesascope.tasks import Diagonal, Gaussian, LinearRegression
from mesascope.training import Curriculum, TrainingSpec, regression
from mesascope.types import Evidence, Measurement, Outcome, PublishedFigure

INPUTS = int(os.environ.get("MESASCOPE_HOSTILE_INPUTS", "260"))
MEMORY = 12 * 10**9
"""Bytes that the inputs may claim together; the system refuses more, so that a runaway ends as an error here."""
SECONDS = 10  # of processor time for one input: a machine that others keep busy is no fault
HANGING = 120  # seconds by the clock, after which it waits for what never comes

SPEC = TrainingSpec(
    name="tiny",
    task=LinearRegression(dim=2, examples=3, noise=0.1, inputs=Gaussian(covariance=Diagonal(condition=3.0))),
    model=TransformerConfig(dim=2, examples=3, layers=2, width=8, heads=2, feedforward=8),
    steps=2,
    batch=4,
    curriculum=Curriculum(),
    checkpoint_every=1,
    log_every=1,
)
# fmt: off
VALUES: tuple[Any, ...] = (
    None, True, 0, 1, -1, 7, 0.5, -0.0, 1e-320, 1e308, math.nan, math.inf, -math.inf, 10**9, 10**18, -(10**18), 10**400,
    "", "x", "query", "Gaussian", "a\x1b[31mb\nc", "\ud800", "y" * 5000, "７", [], {}, [[]], [0.0] * 3, [1, "a"],
    {"type": []}, {"type": {}}, {"type": "Diagonal"}, {"": 0}, {"type": "Gaussian", "x": 1},
)
REFERENCES = (
    "two-layer", "construction:gradient-descent?layers=2", "construction:conjugate-gradient?iterations=2", "run",
    "python:own:load", "run/checkpoints/step-00000002", "construction:chebyshev-iteration?layers=3&largest=2", "gguf:state.pt",
)
WORDS = (
    "", " ", "-", "--", ".", "..", "/", "x" * 300, "a/" * 2000, "\x1b[31m", "\udcff", "0", "-1", "1,2", "1,1", ",",
    "nan", "inf", "1e308", "9" * 400, "20000", "hpu", "meta", "cuda:99", "cpu:1", "smoke",
    "gd", "gd,cg", "ols", "least-squares,ridge", "cg,cg",
    "theirs", "link", "dangling", "pipe", "theirs/file", "run", "task.json", "broken.json", "state.pt", "run/model.json",
)
OPTIONS = {
    "examine": ("--out", "--task", "--profile", "--seed", "--json", "--device", "--threads"),
    "identify": ("--algorithms", "--compare", "--design", "--distance", "--noise", "--task", "--seed", "--json", "--threads"),
    "calibrate": ("--out", "--panel-seed", "--profile", "--parts", "--own-readout-only", "--json"),
    "train": ("--out", "--seeds", "--together", "--resume", "--device", "--threads"),
    "convert": ("--out", "--like"),
    "study run": ("--out", "--profile", "--networks", "--seed", "--json"),
    "study report": (),
    "theory export": ("--to",),
    "theory check": ("--lean", "--json"),
    "list": ("--json",),
}
CODE = (
    "raise SystemExit(0)", "import sys; sys.exit('x')", "1 / 0", "def load(:", "load = 3", "import nowhere_at_all", "\0",
    "def load(): raise KeyError('odd')", "def load(): return None", "load = int", "def load(): exit()",
    *(f"class load(Mine): {line}" for line in (
        "domain = None", "name = 3", "name = 'a\\x1b[31m'", "path = ('resid',)", "path = ()", "sites = 7", "readout = None",
        "domain = property(lambda self: 1 / 0)", "pass",
    )),
    *(f"class load(Mine):\n def trace(self, prompts, **k): {line}" for line in (
        "raise SystemExit('gone')", "1 / 0", "return None", "return Trace(predictions=torch.ones(1), activations={})",
        "return Trace(predictions=torch.zeros(prompts.targets.shape), activations={})",
    )),
)
# fmt: on
MINE = """
import torch
from mesascope.types import Domain, Site, Trace
class Mine:
    name = "mine"; domain = Domain(); sites = path = (Site(layer=0, kind="resid_post"),)
    def trace(self, prompts, *, capture=(), interventions=()):
        held = torch.zeros(*prompts.targets.shape, 3)
        return Trace(predictions=held[..., 0], activations={site: held for site in capture})
    def readout(self, activation, site): return activation.sum(-1)
"""


# ------------------------------------------------------------------------------------- the inputs


def places(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """Where something could be put into a JSON document."""
    yield path
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield from places(inner, (*path, key))


def changed(value: Any, rng: random.Random) -> Any:
    """A document with something else at one place: another value, a key too many, one too few, another name."""
    *above, last = rng.choice(list(places(value))[1:])
    holder = value = copy.deepcopy(value)
    for key in above:
        holder = holder[key]
    match rng.choice(("value", "value", "value", "drop", "add", "rename", "swap")):
        case "drop":
            del holder[last]
        case "add" if isinstance(holder, dict):
            holder[rng.choice(("x", "type", "", "dim", "\x1b[31m", "k" * 3000))] = rng.choice(VALUES)
        case "rename" if isinstance(holder, dict):
            holder["u" + str(last)[1:]] = holder.pop(last)
        case "swap" if isinstance(holder[last], int | float) and not isinstance(holder[last], bool):
            holder[last] = holder[last] + rng.choice((1, -1))
        case _:
            holder[last] = rng.choice(VALUES)
    return value


def written(value: Any, rng: random.Random) -> bytes:
    """As text, sometimes damaged as text."""
    whole = json.dumps(value).encode()
    match rng.randrange(12):
        case 0:
            return whole[: rng.randrange(len(whole))]
        case 1:
            return flipped(whole, rng)
        case 2:
            return rng.choice(
                (b"[" * 900 + b"]" * 900, b'{"a":' * 100_000, b"", b"\xff\xfe", b"null", b"\xef\xbb\xbf" + whole)
            )
        case 3:
            return whole.replace(b":", b": " + str(10**400).encode() + b" ,", 1)
    return whole


def flipped(whole: bytes, rng: random.Random) -> bytes:
    """One bit is another."""
    if not whole:
        return b"\0"
    place, bit = rng.randrange(len(whole)), 1 << rng.randrange(8)
    return whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :]


def damage(path: Path, rng: random.Random) -> str:
    """Do something to a file; say what."""
    whole, how = path.read_bytes(), rng.choice(("flip", "flip", "flip", "cut", "edit", "edit", "edit", "gone", "other"))
    if how == "edit" and path.suffix == ".json":
        path.write_text(json.dumps(changed(json.loads(whole), rng)))
    elif how == "cut":
        path.write_bytes(whole[: rng.randrange(len(whole) + 1)])
    elif how in ("gone", "other"):
        path.unlink()
        if how == "other":
            rng.choice(
                (os.mkfifo, os.mkdir, lambda p: p.symlink_to("nowhere"), lambda p: p.symlink_to("/etc/hostname"))
            )(path)
    else:
        path.write_bytes(flipped(whole, rng))
    return f"{how} {path}"


def garbled(text: str, rng: random.Random) -> str:
    """A reference with a few characters changed, or an option put in."""
    pieces = ("", "?", "&", "=", ":", "/", "..", "0", "\x1b", "é", "9" * 30, "layers=", "\udcff")
    for _ in range(rng.randrange(3)):
        place = rng.randrange(len(text) + 1)
        text = text[:place] + rng.choice(pieces) + text[place + rng.randrange(2) :]
    if rng.random() < 0.3:
        name, value = (
            rng.choice(("layers", "iterations", "step_size", "x")),
            rng.choice(("0", "3", "1001", "nan", "inf", "")),
        )
        text += f"{'&' if '?' in text else '?'}{name}={value}"
    return text


def weights() -> dict[str, torch.Tensor]:
    """A state dict as Garg et al.'s code saves it, of one layer."""
    shapes = {"_read_in.weight": (8, 2), "_read_in.bias": (8,), "_read_out.weight": (1, 8), "_read_out.bias": (1,)}
    shapes |= {"_backbone.wpe.weight": (7, 8)} | {f"_backbone.ln_f.{part}": (8,) for part in ("weight", "bias")}
    for name, shape in {"ln_1": (8,), "ln_2": (8,), "attn.c_attn": (8, 24), "attn.c_proj": (8, 8)}.items():
        shapes |= {f"_backbone.h.0.{name}.weight": shape, f"_backbone.h.0.{name}.bias": shape[-1:]}
    for name, shape in {"mlp.c_fc": (8, 16), "mlp.c_proj": (16, 8)}.items():
        shapes |= {f"_backbone.h.0.{name}.weight": shape, f"_backbone.h.0.{name}.bias": shape[-1:]}
    return {name: torch.ones(shape) for name, shape in shapes.items()}


# ------------------------------------------------------------------------------------- the house


def contents(folder: Path) -> dict[str, bytes | str]:
    """Every file as it is; directories, links and pipes by what they are."""
    found: dict[str, bytes | str] = {}
    for above, names, files in os.walk(folder):
        for path in (Path(above, name) for name in (*names, *files)):
            plain = stat.S_ISREG(path.lstat().st_mode)
            found[str(path.relative_to(folder))] = (
                path.read_bytes() if plain else stat.filemode(path.lstat().st_mode)[0]
            )
    return found


def say_of(subject: ms.Subject) -> object:
    """What a subject is and answers."""
    prompts = LinearRegression(dim=2, examples=3).sample(2, seed=0)
    return (
        subject.trace(prompts).predictions.tolist(),
        getattr(subject, "spec", {}).get("task"),
        to_json(subject.domain),
    )


class House:
    """A working directory with everything that inputs refer to, and what was seen in it."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.heard: list[object] = []
        self.patch = patch
        patch.chdir(folder)
        patch.setattr(sys, "dont_write_bytecode", True)
        self._cut_short()
        measurement = Measurement(instrument="ruler", quantity="length", value=1.0, interval=(0.5, 1.5), n=3)
        evidence = (Evidence(rule="at least 0", measurement=measurement, holds=True),)
        outcome = Outcome(
            claim="it holds", own=False, published=(PublishedFigure(path="a/b", value=1.0),), evidence=evidence,
            judgement="reproduced", reason="because",
        )  # fmt: skip
        self.study = ms.StudyResult(
            study="depth-loss", title="T", source="B", profile="smoke", outcomes=(outcome,), notes=("n",),
            measurements=(measurement,), figures=(), provenance={"seed": 0, "networks": {}},
        )  # fmt: skip
        Path("own.py").write_text(MINE + "def load(): return Mine()\n")
        Path("spec.json").write_text(json.dumps(to_json(SPEC)))
        Path("task.json").write_text(json.dumps(to_json(SPEC.task)))
        Path("broken.json").write_text('{"name": ')
        torch.save({"model_state_dict": weights(), "train_step": 7}, "state.pt")
        for name, change in (("sparse.pt", torch.Tensor.to_sparse), ("meta.pt", lambda t: t.to("meta"))):
            torch.save({"model_state_dict": weights() | {"_read_in.weight": change(torch.ones(8, 2))}}, name)
        assert main(["train", "spec.json", "--out", "run"]) == 0
        shutil.copytree("run", "stopped", ignore=shutil.ignore_patterns("model.*"))
        ms.save(self.study, "studies/one")
        assert main(["study", "report", "studies"]) == 0
        Journal("kept").put("part", self.study)
        Path("heads.json").write_text('{"heads": 2}')
        assert main(["convert", "state.pt", "--like", "heads.json", "--out", "converted"]) == 0
        self.converted = Path("converted/model.safetensors").read_bytes()
        Path("theirs").mkdir()
        Path("theirs/file").write_text("thesis")
        self.answers = say_of(ms.load("run"))
        self.bits = Path("run/model.safetensors").read_bytes()
        self.page = Path("studies/studies.html").read_bytes()
        Path("link").symlink_to("theirs")
        Path("dangling").symlink_to("nowhere")
        os.mkfifo("pipe")
        self.pristine = contents(folder)

    def _cut_short(self) -> None:
        """No training beyond two steps, and no measuring at all: what is listened to is what was loaded."""
        batches = regression.batches

        def listen(subject: ms.Subject, *_: object, **__: object) -> ms.Verdict:
            self.heard.append(subject)
            raise KeyboardInterrupt("measured")

        def measured(*_: object, **__: object) -> Any:
            raise KeyboardInterrupt("measured")

        self.patch.setattr(regression, "batches", lambda *given: itertools.islice(batches(*given), 2))
        self.patch.setattr(regression, "EVALUATION_PROMPTS", 8)
        for holder, name in ((ms, "calibrate"), (ms, "run_study"), (proving, "check"), (comparing, "prompts_needed")):
            self.patch.setattr(holder, name, measured)
        for name in ("identify", "examine"):
            self.patch.setattr(ms, name, listen)

    def renew(self) -> None:
        """The directory as it was."""
        os.chdir(self.folder)
        self.heard.clear()
        now = contents(self.folder)
        wrong = {name for name in now.keys() | self.pristine.keys() if now.get(name) != self.pristine.get(name)}
        for name in sorted(wrong & now.keys(), reverse=True):  # what is inside first
            remove = os.rmdir if now[name] == "d" else os.unlink
            remove(name)
        for name in sorted(wrong & self.pristine.keys()):
            held = self.pristine[name]
            Path(name).write_bytes(held) if isinstance(held, bytes) else os.mkdir(name)


Run = tuple[list[str], Callable[[], str]]
"""Arguments, and what may be wrong with the outcome where the status is 0 or work had begun; nothing is as it should be."""


def fine() -> str:
    return ""


def a_specification(house: House, rng: random.Random) -> Run:
    Path("new.json").write_bytes(written(changed(to_json(SPEC), rng), rng))
    return ["train", "new.json", "--out", rng.choice(("o", "a/b"))], fine


def a_task(house: House, rng: random.Random) -> Run:
    Path("new.json").write_bytes(written(changed(to_json(SPEC.task), rng), rng))
    return [
        rng.choice(("identify", "examine")),
        rng.choice(REFERENCES[:4]),
        "--task",
        "new.json",
        "--profile",
        "smoke",
    ], fine


def a_configuration(house: House, rng: random.Random) -> Run:
    Path("like.json").write_bytes(
        written(changed({"heads": 2, "examples": 3, "layers": 1, "type": "TransformerConfig"}, rng), rng)
    )
    return [
        "convert",
        rng.choice(("state.pt", "state.pt", "sparse.pt", "meta.pt")),
        "--like",
        "like.json",
        "--out",
        "o",
    ], fine


def a_pickle(house: House, rng: random.Random) -> Run:
    Path("new.pt").write_bytes(flipped(Path("state.pt").read_bytes(), rng))

    def other() -> str:
        path = Path("o/model.safetensors")
        return "" if not path.exists() or path.read_bytes() == house.converted else "it was converted to other weights"

    return ["convert", "new.pt", "--like", "heads.json", "--out", "o"], other


def a_reference(house: House, rng: random.Random) -> Run:
    return [rng.choice(("identify", "examine")), garbled(rng.choice(REFERENCES), rng)], fine


def some_options(house: House, rng: random.Random) -> Run:
    command = rng.choice(list(OPTIONS))
    given = {
        "train": "spec.json",
        "study run": "depth-loss",
        "convert": "state.pt",
        "list": "models",
        "study report": "studies",
    }
    first = given.get(command, "o" if command == "theory export" else rng.choice(REFERENCES))
    arguments = [*command.split(), first if rng.random() < 0.8 else rng.choice(WORDS)]
    if command in ("calibrate", "theory check"):
        arguments.pop()
    for name in rng.sample(OPTIONS[command], min(len(OPTIONS[command]), rng.randrange(3))):
        if name in ("--json", "--design", "--resume", "--together", "--own-readout-only"):
            arguments.append(name)
        elif rng.random() < 0.5:
            arguments.append(f"{name}={rng.choice(WORDS)}")
        else:
            arguments += [name, rng.choice(WORDS)]
    return arguments, fine


def some_code(house: House, rng: random.Random) -> Run:
    name = f"own_{rng.randrange(10**12)}"
    Path(f"{name}.py").write_text(MINE + rng.choice(CODE))
    return [rng.choice(("identify", "examine")), f"python:{name}:load"], fine


def a_damaged_model(house: House, rng: random.Random) -> Run:
    how = damage(rng.choice([p for p in Path("run").rglob("*") if p.is_file()]), rng)

    def other() -> str:
        if not house.heard or say_of(house.heard[0]) == house.answers:  # type: ignore[arg-type]
            return ""
        return f"something else was loaded after: {how}"

    return ["identify", rng.choice(("run", "run/model", "run/checkpoints/step-00000002"))], other


def a_damaged_run(house: House, rng: random.Random) -> Run:
    run = rng.choice(("run", "stopped"))
    how = damage(rng.choice([p for p in Path(run).rglob("*") if p.is_file()]), rng)

    def other() -> str:
        path = Path(run, "model.safetensors")
        return (
            ""
            if not path.is_file() or path.is_symlink() or path.read_bytes() == house.bits
            else f"it ended in other bits after: {how}"
        )

    return ["train", "spec.json", "--out", run, "--resume"], other


def a_damaged_result(house: House, rng: random.Random) -> Run:
    how = damage(Path("studies/one/record.json"), rng)

    def other() -> str:
        path = Path("studies/studies.html")
        return "" if path.read_bytes() == house.page else f"the page shows something else after: {how}"

    return ["study", "report", "studies"], other


def a_damaged_part(house: House, rng: random.Random) -> Run:
    how = damage(Path(f"kept/parts/{digest('part')}.json"), rng)

    def other() -> str:
        found = Journal("kept").get("part", ms.StudyResult)
        return "" if found is None or found == house.study else f"another part was taken up after: {how}"

    return ["list", "tasks"], other


# fmt: off
KINDS = (
    a_specification, a_task, a_configuration, a_pickle, a_reference, some_options, some_options, some_code,
    a_damaged_model, a_damaged_model, a_damaged_run, a_damaged_result, a_damaged_part,
)
# fmt: on


# ------------------------------------------------------------------------------------- the trial


def tried(house: House, kind: Callable[[House, random.Random], Run], seed: int) -> tuple[int | None, list[str]]:
    """The status of one input, and what is wrong with how it ended."""
    house.renew()
    arguments, other = kind(house, random.Random(f"{kind.__name__}/{seed}"))
    before, out, err, wrong, status = contents(house.folder), io.StringIO(), io.StringIO(), [], None
    began = time.process_time()

    def late(*_: object) -> None:
        raise TimeoutError(f"more than {HANGING} s")

    signal.signal(signal.SIGALRM, late)
    signal.alarm(HANGING)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = main(arguments)
        complaint = other()
    except BaseException as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        words = str(error).splitlines()[:1]
        return None, [f"{type(error).__name__} {words} at {last.filename}:{last.lineno}; {shortened(arguments)}"]
    finally:
        signal.alarm(0)
    said = [line for line in err.getvalue().splitlines() if line and "\r" not in line]
    ours = [line for line in said if line.startswith("mesascope: ")]
    if status not in (0, 1, 2, 130):
        wrong.append(f"status {status}")
    if status in (1, 2) and len(ours) != 1:
        wrong.append(f"{len(ours)} lines of ours: {said[:3]}")
    if status == 2 and len(said) > 3:
        wrong.append(f"{len(said)} lines")
    if any(len(line) > 1500 for line in said):
        wrong.append(f"a line of {max(map(len, said))} characters: {max(said, key=len)[:200]!r}")
    if not (out.getvalue() + err.getvalue()).replace("\n", "").replace("\r", "").isprintable():
        wrong.append(
            f"raw characters in {[w for w in [*said, *out.getvalue().splitlines()] if not w.isprintable()][:1]!r}"
        )
    if status == 2 and (after := contents(house.folder)) != before:
        wrong.append(
            f"refused, and yet changed: {sorted(n for n in after.keys() | before.keys() if after.get(n) != before.get(n))}"
        )
    if complaint:
        wrong.append(complaint)
    if (taken := time.process_time() - began) > SECONDS:
        wrong.append(f"{taken:.1f} s of processor time")
    return status, [f"{line}; {shortened(arguments)}; {said[-1:]}" for line in wrong]


def shortened(arguments: list[str]) -> str:
    return " ".join(repr(word)[:60] for word in arguments)


def claimed() -> int:
    """Bytes of address space that this process has now: much, where other tests ran before in it."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def trials(folder: Path, inputs: int, seed: int, patch: pytest.MonkeyPatch) -> tuple[Counter, list[str]]:
    """How many ended how, and what was wrong."""
    house, ends, wrong = House(folder, patch), Counter(), []
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (claimed() + MEMORY, before[1]))
    try:
        for number in range(inputs):
            kind = KINDS[number % len(KINDS)]
            status, found = tried(house, kind, 10**6 * seed + number)
            ends[kind.__name__, status] += 1
            wrong += [f"{kind.__name__} {10**6 * seed + number}: {line}" for line in found]
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
        os.chdir(folder)
    return ends, wrong


@pytest.mark.slow
def test_hostile_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unchecked: None) -> None:
    ends, wrong = trials(tmp_path, INPUTS, 1, monkeypatch)
    assert not wrong, "\n".join(wrong)
    statuses = {status for _, status in ends}
    assert statuses >= {0, 1, 2, 130}, ends  # 130 stands for a measurement that would have begun


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("inputs", type=int, nargs="?", default=2000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch, pytest.MonkeyPatch.context() as context:
        counted, faults = trials(Path(scratch), options.inputs, options.seed, context)
        os.chdir("/")
    print(
        *(f"{kind} ended with {status}: {count}" for (kind, status), count in sorted(counted.items(), key=str)),
        sep="\n",
    )
    print(*faults, sep="\n")
    print(
        f"{options.inputs} inputs from seed {options.seed} in {time.perf_counter() - start:.0f} s: {len(faults)} faults"
    )
    sys.exit(bool(faults))
