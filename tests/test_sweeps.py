"""A grid of trainings and measures: trained, resumed, refused."""

import json
from pathlib import Path

import pytest

import mesascope as ms
from mesascope import sweeps
from mesascope.cli import main
from mesascope.instruments.behaving import errors
from mesascope.sweeps import cells, read_sweep, run_directory, sweep

SPEC = {
    "task": {"type": "LinearRegression", "dim": 2, "examples": 4},
    "model": {"dim": 2, "examples": 4, "layers": 1, "width": 8, "heads": 2, "feedforward": 8},
    "steps": 2,
    "batch": 4,
    "curriculum": None,
}
FILE = {"spec": SPEC, "grid": {"model.layers": [1, 2], "learning_rate": [0.001]}, "seeds": [0, 3], "profile": "smoke"}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unchecked: None) -> None:
    monkeypatch.chdir(tmp_path)


def write(**changes: object) -> Path:
    Path("grid.json").write_text(json.dumps(FILE | changes))
    return Path("grid.json")


def test_every_cell_is_trained_and_measured_and_stands_in_the_table(capsys):
    assert main(["sweep", str(write()), "--out", "out", "--threads", "1"]) == 0
    record = json.loads(Path("out/record.json").read_text())
    [table] = record["figures"]
    assert [(row["model.layers"], row["seed"]) for row in table["rows"]] == [(1, 0), (1, 3), (2, 0), (2, 3)]
    assert len({row["error: MSE"] for row in table["rows"]}) == 4
    for m in record["measurements"]:
        assert {"model.layers", "learning_rate", "seed"} <= m["coordinates"].keys()
        assert m["controls"]
    made = cells(read_sweep(Path("grid.json")))
    for spec, _ in made.values():
        trained = ms.load(str(run_directory(Path("out"), spec)))
        assert len(trained.path) == spec.model.layers
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("4 trainings: 2 of model.layers × 1 of learning_rate × 2 of seed.")
    assert said[1].split() == ["model.layers", "learning_rate", "seed", "error:", "MSE", "note"]
    assert len(said) == 1 + 5 + 2


def test_a_sweep_that_is_extended_trains_what_is_new():
    sweep(read_sweep(write()), "out")
    runs = {path.name: (path / "model.safetensors").stat().st_mtime_ns for path in Path("out/runs").iterdir()}
    found = sweep(read_sweep(write(seeds=[0, 3, 4])), "again")
    ms.save(found, "again")
    assert len(list(Path("again/runs").iterdir())) == 6
    from mesascope.records.journal import discard

    discard(Path("out"))
    sweep(read_sweep(write(seeds=[0, 3, 4])), "out")
    after = {path.name: (path / "model.safetensors").stat().st_mtime_ns for path in Path("out/runs").iterdir()}
    assert len(after) == 6
    assert runs.items() <= after.items()


def test_a_training_that_diverges_is_a_row_that_says_so(monkeypatch):
    import mesascope.sweeps as module

    real = module.train

    def train(spec, *given, **more):
        if spec.model.layers == 2:
            raise module.Diverged("the loss is not finite after step 1")
        return real(spec, *given, **more)

    monkeypatch.setattr(module, "train", train)
    found = sweep(read_sweep(write(seeds=[0])), "out")
    rows = found.figures[0].rows
    assert [row["note"] for row in rows] == [None, "its training diverged: the loss is not finite after step 1"]
    assert rows[1]["error: MSE"] is None
    assert "1 of them diverged: model.layers 2" in found.sentences[1]


def test_an_instrument_that_does_not_apply_is_said_in_the_row():
    spec = SPEC | {"task": SPEC["task"] | {"examples": 1}, "model": SPEC["model"] | {"examples": 1}}
    grid = {"model.layers": [1]}
    found = sweep(read_sweep(write(spec=spec, grid=grid, seeds=[0], measure=["error", "spectrum"])), "out")
    [row] = found.figures[0].rows
    assert row["error: MSE"] > 0
    assert row["spectrum: R² of a spectral form"] is None
    assert row["note"].startswith("spectrum does not apply: ")
    assert len(found.sentences) == 1  # it did not diverge


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"grids": {}}, "grid.json has an unknown field 'grids'. Did you mean 'grid'?"),
        ({"grid": {}}, "grid must be an object with at least one field"),
        ({"grid": {"model.layer": [1]}}, "it has no 'model.layer'. Did you mean 'model.layers'"),
        ({"grid": {"model.layers": []}}, "'model.layers' must have a list of at least one value; got []"),
        ({"grid": {"model.layers": [0]}}, "cell model.layers 0, seed 0: spec.model: layers must be"),
        ({"spec": {"stepps": 3}}, "stepps"),
        ({"seeds": [0, 0]}, "seeds must be a list of different whole numbers"),
        ({"measure": ["eror"]}, "got 'eror'. Did you mean 'error'"),
        (
            {"measure": ["size"]},
            "measure must name instruments; got 'size'.",
        ),  # asks for more than a subject and a task
        ({"profile": "quick"}, "profile must be one of smoke, laptop, full; got 'quick'"),
        ({"seeds": list(range(6000))}, "FILE asks for 12,000 cells, and 10,000 are many. If it is meant, add --yes."),
    ],
)
def test_what_cannot_be_swept_is_refused_in_a_line_and_nothing_is_written(changes, words, capsys):
    write(**changes)
    assert main(["sweep", "grid.json", "--out", "out"]) == 2
    err = capsys.readouterr().err
    assert words in err
    assert len(err.splitlines()) == 1
    assert {path.name for path in Path().iterdir()} == {"grid.json"}


def test_no_such_file_and_a_scheduler_that_does_not_answer(capsys, monkeypatch):
    assert main(["sweep", "none.json"]) == 2
    assert "FILE must be a JSON file that describes a sweep; 'none.json' is none" in capsys.readouterr().err
    pytest.importorskip("distributed")
    monkeypatch.setattr("mesascope.plans.cluster.PATIENCE", 1)
    assert main(["sweep", str(write()), "--out", "out", "--scheduler", "tcp://127.0.0.1:9"]) == 2
    assert "did not answer within 1 s" in capsys.readouterr().err
    assert not Path("out").exists()


def test_cells_that_are_alike_train_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    real = sweeps.train_together
    monkeypatch.setattr(sweeps, "train_together", lambda runs, **rest: sizes.append(len(runs)) or real(runs, **rest))
    spec = {"task": {"dim": 2, "examples": 3}, "steps": 3, "batch": 4, "name": "alike"}
    model = {"dim": 2, "examples": 3, "width": 8, "heads": 2, "feedforward": 8}
    grid = {"model.layers": (1, 2), "learning_rate": (1e-3, 1e-2)}
    what = sweeps.Sweep(spec={**spec, "model": model}, grid=grid, seeds=(0, 1), measure=("error",), profile="smoke")
    found = sweeps.sweep(what, tmp_path / "out")
    assert sizes == [4, 4]
    assert len(found.measurements) >= 8
    (row,) = [m for m in found.measurements if m.coordinates["seed"] == 1 and m.coordinates["model.layers"] == 1
              and m.coordinates["learning_rate"] == 1e-2]  # fmt: skip
    cell, _ = sweeps.cells(what)["model.layers 1, learning_rate 0.01, seed 1"]
    alone = ms.load(str(sweeps.train(cell, tmp_path / "alone", progress=False)))
    direct = errors.errors(alone, cell.task, seed=0, **errors.INSTRUMENT.sizes["smoke"])
    assert row.value == pytest.approx(direct[0].value, rel=1e-5)
