"""Runs that train together: each must be what it would be alone, on disk too."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import mesascope as ms
from mesascope.models.transformer import TransformerConfig
from mesascope.records import checkpoint as checkpoints
from mesascope.tasks import Gaussian, LinearRegression
from mesascope.training import Curriculum, Diverged, Interrupted, TrainingSpec, many, train, train_many, train_together
from mesascope.training.alike import check_alike, grouped
from mesascope.training.regularisers import Regularisers
from mesascope.training.run import Run

Metrics = Callable[[Path], list[dict[str, Any]]]
BRIEF = TrainingSpec(
    name="brief",
    task=LinearRegression(dim=3, examples=5, noise=0.1),
    model=TransformerConfig(dim=3, examples=5, layers=2, width=16, heads=2, feedforward=16),
    steps=100,
    batch=16,
    checkpoint_every=30,
    log_every=1,
    learning_rate=3e-3,
    clip=1.0,
)


def seeds(spec: TrainingSpec, *numbers: int) -> list[TrainingSpec]:
    return [replace(spec, seed=n) for n in numbers]


MIXED = [
    BRIEF,
    replace(BRIEF, seed=1, learning_rate=1e-3, schedule="constant", clip=None),
    replace(BRIEF, seed=2, schedule="cosine", weight_decay=0.01, betas=(0.8, 0.99)),
    replace(BRIEF, seed=3, task=replace(BRIEF.task, noise=0.5, inputs=Gaussian())),
]
VARIANT = replace(BRIEF, model=replace(BRIEF.model, sink=True, layer_scale=True, dropout=0.1))


@pytest.mark.parametrize(
    "specs",
    [
        MIXED,
        [replace(spec, optimiser="adamw") for spec in MIXED],
        [replace(spec, optimiser="muon") for spec in MIXED],
        seeds(
            replace(BRIEF, model=replace(BRIEF.model, tokens="pairs", feedforward=0, norm=False, positions=False)), 4, 5
        ),
        seeds(replace(BRIEF, model=replace(BRIEF.model, answers="everywhere"), supervision="everywhere"), 6, 7),
        [
            replace(VARIANT, regularisers=Regularisers(orthogonality=0.1)),
            replace(VARIANT, seed=1),
            replace(VARIANT, seed=2, regularisers=Regularisers(orthogonality=0.01, diversity=0.5)),
        ],
        [
            replace(BRIEF, model=replace(BRIEF.model, head_dims=dims), seed=i)
            for i, dims in enumerate([((0, 1), (2,)), ((0, 1, 2), (0, 1, 2))])
        ],
    ],
    ids=["adam", "adamw", "muon", "attention-only", "everywhere", "variants", "masks"],
)
def test_members_are_what_they_would_be_alone(specs: list[TrainingSpec], tmp_path: Path, metrics: Metrics) -> None:
    runs = {tmp_path / f"together-{i}": replace(spec, steps=40) for i, spec in enumerate(specs)}
    assert len(grouped(runs)) == 1
    assert train_together(runs, progress=False) == {}
    loosely = 1e-3 if specs[0].optimiser == "muon" else 0.0  # its bfloat16 turns a last bit into a third decimal
    for i, (where, spec) in enumerate(runs.items()):
        alone = train(spec, tmp_path / f"alone-{i}", progress=False)
        mine, theirs = metrics(where), metrics(alone)
        for a, b in zip(mine, theirs, strict=True):
            assert a["loss"] == pytest.approx(b["loss"], rel=loosely, abs=1e-6)
            assert (a["step"], a["learning_rate"]) == (b["step"], b["learning_rate"])
        weights = [checkpoints.read(run / "model").weights for run in (where, alone)]
        for name, value in weights[0].items():
            other = weights[1][name]
            if name.endswith("qkv.bias"):  # of keys: their gradient is rounding, and Adam takes full steps along it
                value, other = (torch.cat([v.chunk(3)[0], v.chunk(3)[2]]) for v in (value, other))
            assert torch.allclose(value, other, rtol=0, atol=5 * loosely or 5e-6), name
        assert sorted(p.name for p in where.rglob("*")) == sorted(p.name for p in alone.rglob("*"))


def test_a_member_is_a_model_like_any(tmp_path: Path) -> None:
    runs = train_many(BRIEF, [3, 1], tmp_path / "runs", together=True, progress=False)
    assert [run.name for run in runs] == ["seed-3", "seed-1"]
    subject = ms.load(str(runs[1]))
    prompts = BRIEF.task.sample(4, seed=0)
    assert subject.trace(prompts).predictions.shape == (4, 1)
    alone = ms.load(str(train(replace(BRIEF, seed=1), tmp_path / "alone", progress=False)))
    assert torch.allclose(subject.trace(prompts).predictions, alone.trace(prompts).predictions, atol=1e-5)
    with pytest.raises(ValueError, match="out must be new"):
        train_many(BRIEF, [3, 1], tmp_path / "runs", together=True, progress=False)


def contents(run: Path) -> dict[str, bytes]:
    """All tensors that a run wrote, by file."""
    return {str(path.relative_to(run)): path.read_bytes() for path in run.rglob("*.safetensors")}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("members") / "runs"
    train_many(replace(BRIEF, optimiser="muon"), [1, 2, 3], out, together=True, progress=False)
    return out


@pytest.mark.parametrize("at", [1, 37, 64])
def test_stopped_and_resumed_ends_with_the_same_bits(
    undisturbed: Path, at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metrics: Metrics
) -> None:
    out, spec = tmp_path / "runs", replace(BRIEF, optimiser="muon")
    real, stops = many.Members.update, []

    def update(self: many.Members, batch: Any) -> None:
        real(self, batch)
        if self.runs[0].step == at and not stops:
            stops.append(at)
            raise KeyboardInterrupt

    monkeypatch.setattr(many.Members, "update", update)
    with pytest.raises(KeyboardInterrupt):
        train_many(spec, [1, 2, 3], out, together=True, progress=False)
    train_many(spec, [1, 2, 3], out, together=True, resume=True, progress=False)
    for run in ("seed-1", "seed-2", "seed-3"):
        assert contents(out / run) == contents(undisturbed / run)
        assert metrics(out / run) == metrics(undisturbed / run)


def test_killed_while_members_were_saved(undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, spec, real = tmp_path / "runs", replace(BRIEF, optimiser="muon"), Run.save

    def save(self: Run) -> None:
        if self.step == 60 and self.directory.name == "seed-2":
            raise OSError("disk full")
        real(self)

    monkeypatch.setattr(Run, "save", save)
    with pytest.raises(OSError, match="disk full"):
        train_many(spec, [1, 2, 3], out, together=True, progress=False)
    monkeypatch.undo()
    assert max(checkpoints.resumable(out / "seed-1" / "checkpoints")) == 60
    assert max(checkpoints.resumable(out / "seed-2" / "checkpoints")) == 32
    train_many(spec, [1, 2, 3], out, together=True, resume=True, progress=False)
    for run in ("seed-1", "seed-2", "seed-3"):
        assert contents(out / run) == contents(undisturbed / run)


def test_a_stop_saves_every_member(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = many.Members.update

    def update(self: many.Members, batch: Any) -> None:
        real(self, batch)
        if self.runs[0].step == 17:
            import signal

            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(many.Members, "update", update)
    with pytest.raises((Interrupted, KeyboardInterrupt)):
        train_many(BRIEF, [1, 2], tmp_path / "runs", together=True, progress=False)
    for seed in (1, 2):
        held = checkpoints.resumable(tmp_path / "runs" / f"seed-{seed}" / "checkpoints")
        assert max(held) == 17
        taken = [float(value) for name, value in held[17].tensors.items() if name.endswith(".step")]
        assert taken == [17.0] * len(taken) and taken  # what a run that goes on alone begins with


def test_one_that_diverges_stops_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metrics: Metrics) -> None:
    real = many.Members.update

    def update(self: many.Members, batch: Any) -> None:
        batch = dict(batch)
        hit = [i for i, run in enumerate(self.runs) if run.spec.seed == 2 and run.step == 40]
        if hit:
            batch["ys"] = batch["ys"].clone()
            batch["ys"][hit[0]] = math.nan
        real(self, batch)

    monkeypatch.setattr(many.Members, "update", update)
    runs = {tmp_path / str(seed): replace(BRIEF, seed=seed) for seed in (1, 2, 3)}
    lost = train_together(runs, progress=False)
    assert list(lost) == [tmp_path / "2"]
    assert "not finite at step 41" in str(lost[tmp_path / "2"])
    assert "step 32" in str(lost[tmp_path / "2"])
    assert not (tmp_path / "2" / "model.json").exists()
    assert checkpoints.latest(tmp_path / "2" / "checkpoints").step == 32  # type: ignore[union-attr]
    monkeypatch.undo()
    for seed in (1, 3):
        alone = train(runs[tmp_path / str(seed)], tmp_path / f"alone-{seed}", progress=False)
        assert metrics(tmp_path / str(seed))[-1]["loss"] == pytest.approx(metrics(alone)[-1]["loss"], abs=1e-6)
    monkeypatch.setattr(many.Members, "update", update)
    with pytest.raises(Diverged, match="seed-2: the loss was not finite"):
        train_many(BRIEF, [1, 2], tmp_path / "many", together=True, progress=False)
    assert (tmp_path / "many" / "seed-1" / "model.json").exists()


def test_what_can_not_be_batched_is_apart(tmp_path: Path) -> None:
    wide = replace(BRIEF, model=replace(BRIEF.model, width=32))
    climbing = replace(BRIEF, curriculum=Curriculum())
    runs = {tmp_path / str(i): s for i, s in enumerate([BRIEF, wide, climbing, replace(BRIEF, seed=9), climbing])}
    assert [[int(where.name) for where in group] for group in grouped(runs)] == [[0, 3], [1], [2], [4]]
    with pytest.raises(ValueError, match=r"model\.width is 32 and not 16"):
        check_alike([BRIEF, wide])
    with pytest.raises(ValueError, match="curriculum=None"):
        train_many(climbing, [1, 2], tmp_path / "runs", together=True)
    assert not (tmp_path / "runs").exists()


def test_a_group_that_needs_too_much_memory_is_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    real = many._train
    monkeypatch.setattr(many, "_train", lambda specs, *rest: sizes.append(len(specs)) or real(specs, *rest))
    monkeypatch.setattr(many, "device_memory", lambda device: int(2.5 * many.needed(BRIEF) / many.SHARE))
    assert train_together({tmp_path / str(s): replace(BRIEF, seed=s, steps=2) for s in range(5)}, progress=False) == {}
    assert sizes == [2, 2, 1]
