"""Help, lists and refused arguments are answered before anything is loaded that takes seconds."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mesascope.calibration.panel import panel_name
from mesascope.commands import index, reindex

HEAVY = {
    "torch",
    "numpy",
    "scipy",
    "pandas",
    "jaxtyping",
    "beartype",
    "safetensors",
    "jinja2",
    "tqdm",
    "mesascope.types",
}
SCRIPT = f"""
import json, sys
from mesascope.cli import main
status = main(sys.argv[1:])
print(json.dumps([status, sorted({HEAVY} & sys.modules.keys())]), file=sys.stderr)
"""


def loaded(script: str, *arguments: str) -> tuple[int, list[str], str]:
    """The status, what was loaded of what is heavy, and what else was said on stderr."""
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=300)
    *said, last = done.stderr.splitlines()
    status, heavy = json.loads(last)
    return status, heavy, "\n".join(said)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("theirs").mkdir()
    Path("theirs/thesis.tex").write_text("chapter 1")


ANSWERED = (
    "",
    "--help",
    "--version",
    *(f"{name} --help" for name in ("examine", "identify", "calibrate", "study", "theory", "train", "convert", "list")),
    "checkpoints --help",
    *(f"{name} --help" for name in ("study run", "study list", "study report", "theory check", "theory export")),
    *(
        f"list {what} --json"
        for what in ("models", "tasks", "algorithms", "regressors", "instruments", "specs", "studies")
    ),
    "list models",
    "study list",
    "study list --json",
)


@pytest.mark.parametrize("words", ANSWERED)
def test_what_needs_nothing_that_is_heavy_loads_nothing_of_it(words: str) -> None:
    assert loaded(SCRIPT, *words.split()) == (0, [], "")


REFUSED = {
    "exmine two-layer": "invalid choice: 'exmine'",
    "examine": "the following arguments are required: model",
    "examine two-layer --nonsense": "unrecognized arguments: --nonsense",
    "examine two-layer --seed -1": "must be a whole number of 0 or more",
    "identify two-layer --threads 0": "--threads must be at least 1",
    "list models --threads 20000": "--threads must be at least 1",
    "list everything": "invalid choice: 'everything'",
    "calibrate --profile quick": "invalid choice: 'quick'",
    "calibrate --parts mixed,nope": "must be names out of mixed, exact",
    "examine two-layre": "Did you mean 'two-layer'",
    "identify construction:gradient-decent": "Did you mean 'gradient-descent'",
    "identify gguf:m.gguf": "there is no file 'm.gguf'",
    "identify two-layer --design": "as in --compare cg,pcg",
    "identify two-layer --compare cg": "must name two candidates",
    "examine two-layer --out theirs": "holds other files",
    "calibrate --out theirs": "holds other files",
    "study run depth-loss --out theirs": "holds other files",
    "train two-layer --out theirs": "holds other files",
    "checkpoints two-layre": "Did you mean 'two-layer'",
    "checkpoints two-layer --steps 1,x": "steps must be whole numbers",
    "convert model.pt --out theirs": "holds other files",
    "theory export --to smt theirs": "holds other files",
    "study run deep-loss": "Did you mean 'depth-loss'",
    "study run depth-loss --networks theirs/thesis.tex": "--networks must be a directory",
    "study run depth-loss --model smollm2": "--model must be left out for the study depth-loss",
    "study run regressors --model two-layre": "Did you mean 'two-layer'",
    "study report nowhere": "DIR must be a directory",
    "theory check Z99": "statement must be one of",
    "theory check --lean nowhere": "--lean must be a folder",
    "train two-layre": "Did you mean 'two-layer'",
    "train two-layer --seeds 1,x": "seeds must be whole numbers",
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_is_refused_by_its_arguments_is_refused_at_once(words: str) -> None:
    status, heavy, said = loaded(SCRIPT, *words.split())
    assert (status, heavy) == (2, [])
    assert REFUSED[words] in said
    assert len(said.splitlines()) <= 2


def test_what_computes_does_load_it() -> None:
    status, heavy, _ = loaded(SCRIPT, "identify", "construction:gradient-descent?nonsense=1")
    assert status == 2
    assert {"torch", "mesascope.types"} <= set(heavy)


def test_the_package_is_imported_without_what_its_names_need() -> None:
    script = (
        f"import json, sys, mesascope\nprint(json.dumps([0, sorted({HEAVY} & sys.modules.keys())]), file=sys.stderr)"
    )
    assert loaded(script) == (0, [], "")


def test_the_index_says_what_the_rooms_say() -> None:
    remedy = "run `python -m mesascope.commands.reindex`"
    assert index.FILE.read_text("utf-8") == reindex.text(), remedy


def test_panels_are_called_what_calibration_calls_them() -> None:
    assert [index.panel_name(seed) for seed in range(9)] == [panel_name(seed) for seed in range(9)]
