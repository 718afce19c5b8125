"""The loop: that it learns, what it writes, what it computes."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mesascope.models.transformer import Transformer, TransformerConfig
from mesascope.records import checkpoint as checkpoints
from mesascope.records.codec import from_json
from mesascope.records.store import read_sealed
from mesascope.tasks import Diagonal, Gaussian, LinearRegression
from mesascope.training import SPECS, TrainingSpec, dense, evaluate, loop, query_only, regression, train, train_many
from mesascope.training.batches import Batch, batches, mean_squared_error
from mesascope.training.schedules import beta, rate
from mesascope.training.size import check_fits

Metrics = Callable[[Path], list[dict[str, Any]]]


def test_it_leaves_the_plateau(tmp_path: Path, metrics: Metrics) -> None:
    model = TransformerConfig(dim=1, examples=8, layers=2, width=32, heads=2, feedforward=64, answers="everywhere")
    spec = TrainingSpec(
        name="learns", task=LinearRegression(dim=1, examples=8), model=model, supervision="everywhere", steps=300,
        batch=64, learning_rate=3e-3, optimiser="adamw", seed=1,
    )  # fmt: skip
    out = train(spec, tmp_path / "run", progress=False)
    error = json.loads((out / "model.json").read_text())["extra"]["query_mse"]
    assert error < 0.5  # the zero predictor has 1
    untrained = evaluate(Transformer(model, seed=1), spec.task, seed=1)
    assert untrained > 0.95
    lines = metrics(out)
    assert lines[-1]["loss"] < 0.6 * lines[0]["loss"]
    trained = Transformer(model)
    trained.load_state_dict(checkpoints.read(out / "model").weights)
    assert evaluate(trained, spec.task, seed=1) == pytest.approx(error, rel=1e-5)


def test_what_a_run_leaves(tiny: TrainingSpec, uninterrupted: Path, metrics: Metrics) -> None:
    names = {"mesascope.json", "spec.json", "metrics.jsonl", "checkpoints", "model.json", "model.safetensors"}
    assert {p.name for p in uninterrupted.iterdir()} == names
    assert from_json(TrainingSpec, read_sealed(uninterrupted / "spec.json"), ours=True) == tiny
    lines = metrics(uninterrupted)
    assert [line["step"] for line in lines] == [7, 14, 21, 28, 35, 42, 49, 56, 60]
    assert all(0 < line["learning_rate"] <= tiny.learning_rate and 0 < line["loss"] < 10 for line in lines)
    folder = uninterrupted / "checkpoints"
    assert checkpoints.steps(folder) == [1, 2, 4, 8, 11, 16, 22, 32, 33, 44, 55, 60]
    held = {s: checkpoints.read(checkpoints.stem(folder, s)) for s in checkpoints.steps(folder)}
    assert [s for s, c in held.items() if any(k.startswith("optimiser") for k in c.tensors)] == [55, 60]
    final = checkpoints.read(uninterrupted / "model")
    assert final.step == 60
    assert final.extra["provenance"]["versions"]["torch"]
    for name, value in final.weights.items():
        assert torch.equal(value, held[60].weights[name])


def test_a_line_of_metrics_is_the_mean_over_its_steps(
    tiny: TrainingSpec, uninterrupted: Path, metrics: Metrics
) -> None:
    model = Transformer(tiny.model, seed=tiny.seed)
    losses = []
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-2, total_steps=61, pct_start=0.1)
    for step in range(14):  # the recipe, written out
        p = tiny.task.sample(32, seed=0, stream="train", start=32 * step, dtype=torch.float32)
        loss = (model(p.xs, p.ys, p.queries) - p.targets).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        losses.append(float(loss.detach()))
    first, second = metrics(uninterrupted)[:2]
    assert first["loss"] == pytest.approx(sum(losses[:7]) / 7, rel=1e-4)
    assert second["loss"] == pytest.approx(sum(losses[7:]) / 7, rel=1e-4)
    assert second["learning_rate"] == pytest.approx(schedule.get_last_lr()[0], rel=1e-12)


def test_the_rate_is_that_of_this_process(tiny: TrainingSpec, tmp_path: Path) -> None:
    run = loop.Run(tiny, tmp_path, "cpu")
    run.step, run.timed_from, run.losses = 14, 12, [torch.ones(())] * 7  # five of these losses come from a checkpoint
    run.clock -= 2.0
    run.log()
    line = json.loads((tmp_path / "metrics.jsonl").read_text())
    assert line["steps_per_second"] == pytest.approx(1.0, rel=0.1)


def test_resuming_a_finished_run_touches_nothing(tiny: TrainingSpec, tmp_path: Path) -> None:
    out = train(tiny, tmp_path / "run", progress=False)

    def stamps() -> dict[Path, int]:
        return {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file() and p.name != "spec.json"}

    before = stamps()
    assert train(tiny, out, resume=True, progress=False) == out
    assert stamps() == before


def test_resume_of_nothing_starts(tiny: TrainingSpec, tmp_path: Path) -> None:
    short = replace(tiny, steps=3)
    assert (train(short, tmp_path / "run", resume=True, progress=False) / "model.json").exists()


@pytest.mark.parametrize("steps", [1, 2, 9])  # with 9, torch's OneCycle divides by zero
@pytest.mark.parametrize("schedule", ["onecycle", "cosine", "constant"])
def test_short_runs(tiny: TrainingSpec, tmp_path: Path, steps: int, schedule: str, metrics: Metrics) -> None:
    out = train(replace(tiny, steps=steps, schedule=schedule), tmp_path / "run", progress=False)  # type: ignore[arg-type]
    assert metrics(out)[-1]["step"] == steps


def test_a_cosine_schedule_rises_linearly_and_falls_to_nothing(tiny: TrainingSpec) -> None:
    spec = replace(tiny, steps=100, warmup=0.1, schedule="cosine", learning_rate=0.5, optimiser="adamw")
    rates = [rate(spec, step) for step in range(101)]
    assert rates[:10] == pytest.approx([0.05 * i for i in range(1, 11)])
    assert rates[10:] == pytest.approx([0.25 * (1 + math.cos(math.pi * i / 90)) for i in range(91)], abs=1e-12)
    assert beta(spec, 3) == spec.betas[0]


@pytest.mark.parametrize(("steps", "warmup"), [(1, 0.1), (9, 0.1), (19, 0.05), (100, 0.1), (60, 0.5)])
def test_one_cycle_is_torchs(tiny: TrainingSpec, steps: int, warmup: float) -> None:
    spec = replace(tiny, steps=steps, warmup=warmup)
    optimiser = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])
    off = 1e-8 if warmup * (steps + 1) == 1 else 0.0  # there, torch divides by zero
    fraction = warmup + off / 10
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, spec.learning_rate, total_steps=steps + 1, pct_start=fraction
    )
    for step in range(steps):
        group = optimiser.param_groups[0]
        assert (rate(spec, step), beta(spec, step)) == pytest.approx((group["lr"], group["betas"][0]), rel=off, abs=0)
        optimiser.step()
        theirs.step()


def test_batches_do_not_depend_on_where_one_starts(tiny: TrainingSpec) -> None:
    spec = replace(tiny, steps=150)  # several draws ahead
    whole = list(batches(spec, 0, "cpu"))
    assert len(whole) == 150
    late = list(batches(spec, 67, "cpu"))
    for a, b in zip(whole[67:], late, strict=True):
        assert all(x is y is None or torch.equal(x, y) for x, y in zip(a, b, strict=True))
    direct = spec.task.sample(32, seed=0, stream="train", start=32 * 100, dtype=torch.float32)
    assert all(
        torch.equal(getattr(direct, name), getattr(whole[100], name)) for name in Batch._fields if name != "kept"
    )
    assert whole[0].xs.shape == (32, 3, 2)


@pytest.mark.parametrize("supervision", ["query", "everywhere"])
def test_the_loss_agrees_with_a_loop_over_prompts(supervision: str) -> None:
    config = TransformerConfig(dim=2, examples=3, width=8, heads=2, feedforward=8, answers="everywhere")
    model = Transformer(config).double()
    p = LinearRegression(dim=2, examples=3, queries=2, noise=0.5).sample(6, seed=0)
    squares = []
    for i in range(6):
        if supervision == "everywhere":
            for j in range(3):
                answer = model(p.xs[i : i + 1, :j], p.ys[i : i + 1, :j], p.xs[i : i + 1, j : j + 1])
                squares.append((answer - p.ys[i, j]).square())
        for q in range(2):
            answer = model(p.xs[i : i + 1], p.ys[i : i + 1], p.queries[i : i + 1, q : q + 1])
            squares.append((answer - p.targets[i, q]).square())
    expected = torch.cat(squares).mean()
    found = mean_squared_error(model, p, supervision)  # type: ignore[arg-type]
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


def test_evaluation_is_a_plain_mean_on_prompts_that_training_never_saw(monkeypatch: pytest.MonkeyPatch) -> None:
    task = LinearRegression(dim=2, examples=3, inputs=Gaussian(covariance=Diagonal(condition=4.0)))
    model = Transformer(TransformerConfig(dim=2, examples=3, width=8, heads=2, feedforward=8))
    monkeypatch.setattr(regression, "EVALUATION_PROMPTS", 3000)  # not a multiple of its batches
    found = evaluate(model, task, seed=7)
    p = task.sample(3000, seed=7, stream="evaluation", dtype=torch.float32)
    expected = (model(p.xs, p.ys, p.queries) - p.targets).square().mean().detach()
    assert found == pytest.approx(float(expected), rel=1e-5)
    seen = task.sample(3000, seed=7, stream="train", dtype=torch.float32)
    assert not (p.xs[:, None, 0] == seen.xs[None, :, 0]).all(-1).any()


def test_evaluation_leaves_training_alone(tiny: TrainingSpec, tmp_path: Path, uninterrupted: Path) -> None:
    run = loop.Run(tiny, tmp_path, "cpu")
    (tmp_path / "checkpoints").mkdir()
    for batch in batches(tiny, 0, "cpu"):
        if run.step % 10 == 0:
            evaluate(run.model, tiny.task, seed=tiny.seed)
        run.update(batch)
    final = checkpoints.read(uninterrupted / "model").weights
    assert all(torch.equal(v, final[k]) for k, v in run.model.state_dict().items())


def test_clipping_bounds_the_step(tiny: TrainingSpec, tmp_path: Path) -> None:
    norms = []
    for clip in (None, 1e-3):
        run = loop.Run(replace(tiny, clip=clip), tmp_path, "cpu")
        run.update(next(batches(tiny, 0, "cpu")))
        norms.append(float(torch.stack([p.grad.norm() for p in run.model.parameters() if p.grad is not None]).norm()))
    assert norms[0] > 0.01
    assert norms[1] == pytest.approx(1e-3, rel=1e-3)


def test_many_seeds_from_one_call(tiny: TrainingSpec, tmp_path: Path) -> None:
    short = replace(tiny, steps=5)
    runs = train_many(short, [3, 1], tmp_path / "runs", progress=False)
    assert [r.name for r in runs] == ["seed-3", "seed-1"]
    alone = train(replace(short, seed=1), tmp_path / "alone", progress=False)
    assert (runs[1] / "model.safetensors").read_bytes() == (alone / "model.safetensors").read_bytes()
    assert (runs[0] / "model.safetensors").read_bytes() != (alone / "model.safetensors").read_bytes()
    stamp = (runs[0] / "model.safetensors").stat().st_mtime_ns
    more = train_many(short, [3, 1, 2], tmp_path / "runs", resume=True, progress=False)
    assert [r.name for r in more] == ["seed-3", "seed-1", "seed-2"]
    assert (runs[0] / "model.safetensors").stat().st_mtime_ns == stamp


@pytest.mark.parametrize("seeds", [[], [1, 1], [0, -1]])
def test_unusable_seeds_are_refused_before_anything_is_written(
    tiny: TrainingSpec, tmp_path: Path, seeds: list[int]
) -> None:
    with pytest.raises(ValueError, match=r"seeds? must be"):
        train_many(tiny, seeds, tmp_path / "runs", progress=False)
    assert not (tmp_path / "runs").exists()


def test_the_progress_bar_tells_the_loss(
    tiny: TrainingSpec, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(replace(tiny, steps=3), tmp_path / "run")
    said = capsys.readouterr()
    assert said.out == ""  # stdout belongs to results
    assert "3/3" in said.err
    assert "loss" in said.err


BAD: tuple[tuple[dict[str, Any], str], ...] = (
    ({"steps": 0}, r"steps must be a whole number of at least 1; got 0\. Pass 1"),
    ({"batch": 0}, r"batch must be a whole number of at least 1; got 0"),
    ({"checkpoint_every": -5}, r"checkpoint_every must be a whole number of at least 1; got -5"),
    ({"log_every": 0.5}, r"log_every must be a whole number of at least 1; got 0\.5"),
    ({"steps": 10**9}, r"steps must be at most 100,000,000; got 1,000,000,000\. No run would end"),
    ({"seed": -1}, r"seed must be a whole number of at least 0; got -1"),
    ({"learning_rate": 0.0}, r"learning_rate must lie between 0 and 10; got 0\.0\. .*0\.0003"),
    ({"learning_rate": float("nan")}, r"learning_rate must lie .*got nan"),
    ({"warmup": 1.0}, r"warmup must be a share .*got 1\.0\. .*0\.1"),
    ({"weight_decay": -0.1}, r"weight_decay must be 0 or more.*got -0\.1"),
    ({"betas": (0.9,)}, r"betas must be two numbers .*got \(0\.9,\)"),
    ({"betas": (0.9, 1.0)}, r"betas must be two numbers"),
    ({"clip": 0.0}, r"clip must be a positive norm, or None; got 0\.0"),
    ({"clip": float("inf")}, r"clip must be a positive norm, or None; got inf"),
    ({"clip": float("nan")}, r"clip must be a positive norm, or None; got nan"),
    ({"weight_decay": 2147483647}, r"weight_decay must be .* below 1/learning_rate, .* got 2147483647"),
    ({"weight_decay": 10.0, "learning_rate": 0.1}, r"weight_decay must be .* got 10\.0"),
    ({"weight_decay": float("inf")}, r"weight_decay must be .* got inf"),
    ({"model": TransformerConfig(layers=100_000)}, r"model\.layers must be at most 1,000; got 100,000\. A single step"),
    ({"name": "\ud800"}, r"name must be a text of at most 200 characters that can be written; got '\\ud800'"),
    ({"name": "x" * 201}, r"name must be a text of at most 200 characters .*got 'xxx"),
    ({"optimiser": "sgd"}, r"optimiser must be one of 'adam', 'adamw', 'muon'; got 'sgd'"),
    ({"schedule": "linear"}, r"schedule must be one of .*got 'linear'"),
    ({"supervision": "everywhere"}, r"supervision='everywhere' needs a model with answers='everywhere'; got 'query'"),
    ({"task": LinearRegression(dim=6)}, r"task\.dim must equal model\.dim; got 6 and 5\. Give both the same"),
    ({"task": LinearRegression(examples=21)}, r"task\.examples must be at most model\.examples.*got 21 and 20"),
)  # fmt: skip


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("options", "message"), BAD, ids=str)
def test_a_bad_spec_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainingSpec(**{"name": "x", **options})


LARGE: dict[str, tuple[dict[str, Any], str]] = {
    "layers": ({"model": TransformerConfig(layers=1000, width=1024)}, r"training layers=1000 of width=1024"),
    "width": ({"model": TransformerConfig(width=10**17, heads=1)}, r"of width=10{17} and .* needs about .* GiB"),
    "feedforward": ({"model": TransformerConfig(feedforward=10**17)}, r"feedforward=10{17} on batch=256"),
    "positions": ({"model": TransformerConfig(examples=10**17)}, r"with positions for examples=10{17} needs"),
    "batch": ({"batch": 10**9}, r"on batch=1000000000 with .* Take fewer layers, a smaller width, a smaller batch"),
    "dimension": (
        {"task": LinearRegression(dim=4000), "model": TransformerConfig(dim=4000), "batch": 4},
        r"drawing 2048 prompts of dim=4000, examples=20 and queries=1 needs about",
    ),
}


@pytest.mark.parametrize("case", LARGE)
def test_what_this_machine_cannot_hold_is_refused_before_anything_is_made(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mesascope.machine.memory.memory", lambda: 16 * 2**30)
    options, message = LARGE[case]
    spec = TrainingSpec(**{"name": "x", **options})
    for begin in (lambda: train(spec, tmp_path / "run"), lambda: train_many(spec, (1, 2), tmp_path / "runs")):
        with pytest.raises(ValueError, match=message):
            begin()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", SPECS)
def test_the_named_specs_fit_a_small_machine(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesascope.machine.memory.memory", lambda: 2 * 2**30)
    check_fits(SPECS[name])


def test_the_named_specs() -> None:
    assert all(SPECS[name].name == name for name in SPECS)
    source_b = query_only(2)
    assert (source_b.optimiser, source_b.learning_rate, source_b.warmup, source_b.batch) == ("adam", 3e-4, 0.1, 256)
    assert (source_b.steps, source_b.schedule, source_b.supervision) == (200_000, "onecycle", "query")
    assert dense("x", layers=2, steps=5).model.answers == "everywhere"


@pytest.mark.parametrize("layers", [1, 2, 3, 4, 6])
def test_the_laptops_recipe_asks_at_the_query_only_as_the_published_one_does(layers: int) -> None:
    spec = SPECS[f"query-only-{layers}-layers-laptop"]
    published = query_only(layers)
    assert (spec.model, spec.supervision, spec.seed) == (published.model, published.supervision, published.seed)
    assert replace(spec.task, queries=1) == published.task
