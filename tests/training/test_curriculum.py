"""The curriculum: what a stage trains on, when the next one begins, and that a stopped run keeps its place."""

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from mesascope.models.transformer import TransformerConfig
from mesascope.records import checkpoint as checkpoints
from mesascope.records.codec import from_json, to_json
from mesascope.tasks import LinearRegression
from mesascope.training import Curriculum, Interrupted, TrainingSpec, loop, train
from mesascope.training.batches import Batch, batches, zero_error
from mesascope.training.curriculum import Course, restrict
from mesascope.training.regression import Regression

Metrics = Callable[[Path], list[dict[str, Any]]]
ALTERED = 14
"""The step before which a course's state is altered."""


def course_of(run: loop.Run) -> Course:
    assert isinstance(run.objective, Regression)
    return run.objective.course


def stages(spec: TrainingSpec, where: Path, **altered: Any) -> tuple[list[int], loop.Run]:
    """The steps after which a dimension joined, and the run that took them; in it parts of the course's state are altered."""
    run, joined = loop.Run(spec, where, "cpu"), []
    for batch in batches(spec, 0, "cpu"):
        if run.step == ALTERED:
            course_of(run).restore({**course_of(run).state(), **altered})
        before = course_of(run).active
        run.update(batch)
        joined += [run.step] * (course_of(run).active - before)
    return joined, run


@pytest.fixture
def joined(climbed: Path, metrics: Metrics) -> list[int]:
    """The same of the undisturbed run, as its metrics have it."""
    active = [line["active_dims"] for line in metrics(climbed)]
    return [step for step, (before, after) in enumerate(pairwise([1, *active]), start=1) if after > before]


# ------------------------------------------------------------------------------------------- a stage


@pytest.mark.parametrize("active", [1, 2, 3, 4])
def test_a_stage_is_the_task_in_fewer_dimensions(active: int) -> None:
    task = LinearRegression(dim=4, examples=3, queries=2, noise=0.5)
    p = task.sample(20_000, seed=0)
    kept = torch.ones(1, 1, 2, 1, 1, dtype=torch.bool)
    whole = Batch(xs=p.xs, ys=p.ys, queries=p.queries, targets=p.targets, weights=p.weights, kept=kept)
    batch = restrict(whole, active)
    assert batch.kept is kept, "dropout goes on under a curriculum"
    for values, before in ((batch.xs, whole.xs), (batch.queries, whole.queries)):
        assert torch.equal(values[..., :active], before[..., :active])
        assert (values[..., active:] == 0).all()
    w = batch.weights[..., None]
    torch.testing.assert_close(batch.targets, (batch.queries @ w).squeeze(-1), rtol=1e-12, atol=1e-12)
    noise, before = (b.ys - (b.xs @ b.weights[..., None]).squeeze(-1) for b in (batch, whole))
    torch.testing.assert_close(noise, before, rtol=0, atol=1e-12)
    assert batch.targets.square().mean() == pytest.approx(1.0, abs=0.05)  # as with all dimensions
    assert zero_error(batch, "query") == pytest.approx(float(batch.targets.square().mean()), rel=1e-12)
    everything = torch.cat([batch.ys, batch.targets], 1).square().mean()
    assert zero_error(batch, "everywhere") == pytest.approx(float(everything), rel=1e-12)


def test_the_last_stage_is_the_task_itself(climbing: TrainingSpec) -> None:
    course = Course(climbing, "cpu")
    batch = next(batches(climbing, 0, "cpu"))
    assert course.restrict(batch) is not batch
    course.active = 3
    assert course.restrict(batch) is batch


# ------------------------------------------------------------------------------------------- the next one


def test_a_dimension_joins_when_a_windows_mean_is_low_enough_and_not_before(climbing: TrainingSpec) -> None:
    course = Course(replace(climbing, curriculum=Curriculum(below=0.5, window=3)), "cpu")

    def note(*shares: float) -> int:
        for share in shares:  # the scale of the labels has no say
            course.record(torch.tensor(7 * share), torch.tensor(7.0))
        return course.active

    assert note(0.1, 0.1) == 1  # low, but no whole window yet
    assert note(1.4) == 1  # the mean is 0.533
    assert note(0.5, 0.5, 0.5) == 1  # below means below
    assert note(0.1, 0.1, 1.2) == 2
    assert note(0.1, 0.1) == 2  # a window begins anew with the stage
    assert note(0.1) == 3
    assert note(*[0.0] * 12) == 3  # there is no fourth
    assert course.state() == {"active": 3, "taken": 0, "errors": []}


def test_patience_ends_a_stage_at_the_end_of_a_window(climbing: TrainingSpec) -> None:
    spec = replace(climbing, curriculum=Curriculum(window=3, patience=7))
    course, active = Course(spec, "cpu"), []
    for _ in range(20):
        course.record(torch.tensor(1.0), torch.tensor(1.0))  # learns nothing
        active.append(course.active)
    assert active == [1] * 8 + [2] * 9 + [3] * 3


def test_learning_advances_it(tmp_path: Path) -> None:
    spec = TrainingSpec(
        name="learns",
        task=LinearRegression(dim=2, examples=8),
        model=TransformerConfig(dim=2, examples=8, width=32, heads=2, feedforward=64, answers="everywhere"),
        supervision="everywhere", steps=400, batch=64, learning_rate=1e-2, optimiser="adamw", seed=1,
        curriculum=Curriculum(below=0.6, window=20),
    )  # fmt: skip
    run = loop.Run(spec, tmp_path, "cpu")
    for batch in batches(spec, 0, "cpu"):
        run.update(batch)
        if course_of(run).complete:
            break
    assert course_of(run).complete
    assert run.step % 20 == 0
    losses = torch.stack(run.losses)
    assert losses[:20].mean() > 0.6
    assert losses[-20:].mean() < 0.65
    frozen, _ = stages(replace(spec, steps=40, learning_rate=1e-9), tmp_path)  # who does not learn stays
    assert frozen == []


def test_without_a_curriculum_nothing_is_held_back(tiny: TrainingSpec, uninterrupted: Path, metrics: Metrics) -> None:
    course = Course(tiny, "cpu")
    course.record(torch.tensor(0.0), torch.tensor(1.0))
    assert course.complete
    assert course.state() == {"active": 2, "taken": 0, "errors": []}
    assert all("active_dims" not in line for line in metrics(uninterrupted))


# ------------------------------------------------------------------------------------------- stopped


def test_metrics_and_checkpoints_carry_the_position(
    climbed: Path, climbing: TrainingSpec, joined: list[int], metrics: Metrics, tmp_path: Path
) -> None:
    assert (joined, len(joined)) == (stages(climbing, tmp_path)[0], 2)
    lines = metrics(climbed)
    assert [line["active_dims"] for line in lines] == [1 + sum(s <= line["step"] for s in joined) for line in lines]
    assert {line["active_dims"] for line in lines} == {1, 2, 3}
    last = checkpoints.read(checkpoints.stem(climbed / "checkpoints", climbing.steps))
    assert last.extra["course"] == {"active": 3, "taken": 0, "errors": []}


def test_stopped_around_its_advances_it_resumes_to_the_same_bits(
    climbed: Path,
    climbing: TrainingSpec,
    joined: list[int],
    metrics: Metrics,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "run"
    real = loop.Run.update
    stops = [joined[0] - 2, joined[0] - 1, joined[0], joined[0] + 1, joined[1] - 1, joined[1]]

    def update(self: loop.Run, batch: Batch) -> None:
        real(self, batch)
        if self.step in stops:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(loop.Run, "update", update)
    for step in stops:  # in the middle of a window, and with one just read
        with pytest.raises(Interrupted) as stopped:
            train(climbing, out, resume=True, progress=False)
        assert stopped.value.step == step
    train(climbing, out, resume=True, progress=False)
    for name in ("model.safetensors", f"checkpoints/step-{climbing.steps:08d}.safetensors"):
        assert (out / name).read_bytes() == (climbed / name).read_bytes(), name
    assert metrics(out) == metrics(climbed)


@pytest.mark.parametrize(
    ("forgotten", "last"), [({"active": 1}, 36), ({"taken": 0}, 28), ({"errors": []}, 26)], ids=str
)
def test_what_a_stopped_run_forgets_would_show(
    climbing: TrainingSpec, tmp_path: Path, forgotten: dict[str, Any], last: int
) -> None:
    """Patience ends these stages, whatever is learnt: at their twelfth step, after three windows of four."""
    assert climbing.curriculum is not None
    spec = replace(climbing, curriculum=replace(climbing.curriculum, below=1e-6))
    (joined, whole), (late, run) = stages(spec, tmp_path), stages(spec, tmp_path, **forgotten)
    assert joined == [12, 24]  # so the state is altered in the second stage, in the middle of a window
    assert late[-1] == last
    final = whole.model.state_dict()
    assert not all(torch.equal(v, final[k]) for k, v in run.model.state_dict().items())


def test_what_is_noted_in_the_middle_of_a_window_is_taken_up_again(climbing: TrainingSpec) -> None:
    course, again = Course(climbing, "cpu"), Course(climbing, "cpu")
    for error in (0.9, 1.1, 1.05, 1.2, 0.1, 0.3):
        course.record(torch.tensor(error), torch.tensor(1.0))
    noted = json.loads(json.dumps(course.state()))
    again.restore(noted)
    assert again.state() == noted
    assert len(noted["errors"]) == 2
    for one in (course, again):  # with these two the window is low enough
        one.record(torch.tensor(1.7), torch.tensor(1.0))
        one.record(torch.tensor(1.7), torch.tensor(1.0))
    assert course.active == again.active == 2


# ------------------------------------------------------------------------------------------- the spec

BAD: tuple[tuple[dict[str, Any], str], ...] = (
    ({"start": 0}, r"start must be a whole number of at least 1; got 0"),
    ({"window": 0}, r"window must be a whole number of at least 1; got 0"),
    ({"patience": 0}, r"patience must be a whole number of at least 1; got 0"),
    ({"below": 0.0}, r"below must be a share .* between 0 and 1; got 0\.0\. A value that works: 0\.25"),
    ({"below": 1.0}, r"below must be .*got 1\.0"),
    ({"below": float("nan")}, r"below must be .*got nan"),
    ({"start": 6}, r"curriculum\.start must be at most task\.dim; got 6 and 5\. Pass fewer"),
)  # fmt: skip


@pytest.mark.parametrize(("options", "message"), BAD, ids=str)
def test_a_bad_curriculum_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainingSpec(name="x", curriculum=Curriculum(**options))


def test_it_goes_through_json_and_a_spec_from_before_it_has_none(climbing: TrainingSpec) -> None:
    data = json.loads(json.dumps(to_json(climbing)))
    assert from_json(TrainingSpec, data) == climbing
    assert data.pop("curriculum") == {"type": "Curriculum", "start": 1, "below": 0.999, "window": 4, "patience": 12}
    assert from_json(TrainingSpec, data) == replace(climbing, curriculum=None)
