"""Affine maps with single-digit labels."""

from collections import Counter

import pytest
import torch

from mesascope.records.codec import from_json, to_json
from mesascope.tasks import DigitRegression
from mesascope.testing import check_task

TASKS = [
    DigitRegression(),
    DigitRegression(examples=3, queries=4, steepest=3, new_only=False),
    DigitRegression(spreads=(1, 3, 10), queries=2),
]


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_conformance(task: DigitRegression) -> None:
    check_task(task)
    assert from_json(DigitRegression, to_json(task)) == task


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_labels_are_digits_of_one_affine_map(task: DigitRegression) -> None:
    p = task.sample(48, seed=3)
    xs = torch.cat([p.xs, p.queries], 1)[..., 0]
    ys = torch.cat([p.ys, p.targets], 1)
    assert float(ys.min()) >= 0 and float(ys.max()) <= 9 and torch.equal(ys, ys.round())
    assert float(xs.min()) >= 0 and float(xs.max()) <= (99 if task.spreads else 9) and torch.equal(xs, xs.round())
    for x, y in zip(xs, ys, strict=True):
        if len(x.unique()) > 1:
            left = torch.stack([x, torch.ones_like(x)], 1)
            solved = torch.linalg.lstsq(left, y[:, None]).solution
            torch.testing.assert_close(left @ solved, y[:, None], rtol=1e-9, atol=1e-9)
            assert abs(float(solved[0])) > 0.05  # a is not 0


def test_new_queries_are_not_among_the_examples_and_the_others_are() -> None:
    p = DigitRegression(queries=3, new_only=False).sample(60, seed=0)
    among = (p.queries == p.xs.mT).any(-1)
    assert p.stratum_names == ("new query", "query among the examples")
    assert p.strata is not None and p.strata.bincount().tolist() == [30, 30]
    assert not bool(among[p.strata == 0].any()) and bool(among[p.strata == 1].all())


def test_slopes_take_turns() -> None:
    p = DigitRegression(examples=64, steepest=3).sample(24, seed=1)
    xs, ys = p.xs[..., 0], p.ys
    slopes = ((xs - xs.mean(1, keepdim=True)) * ys).sum(1) / (xs - xs.mean(1, keepdim=True)).square().sum(1)
    assert sorted(slopes.round().tolist()) == sorted([float(a) for a in (1, 2, 3, -1, -2, -3)] * 4)


def test_wide_inputs_have_a_wide_range_of_sums_of_squares() -> None:
    squares = DigitRegression(spreads=(1, 10)).sample(40, seed=0).xs.square().sum((1, 2))
    narrow, wide = squares[0::2], squares[1::2]
    assert float(wide.mean() / narrow.mean()) > 10


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"examples": 0}, r"examples must be a whole number of at least 1; got 0"),
        ({"queries": 0}, r"queries must be a whole number of at least 1; got 0"),
        ({"examples": 1, "new_only": False}, r"examples must be at least 2 where queries are among them; got 1"),
        ({"steepest": 4}, r"steepest must be at most 3; got 4"),
        ({"spreads": (0,)}, r"spreads must be whole numbers from 1 to 10; got 0"),
        ({"spreads": (11,)}, r"spreads must be whole numbers from 1 to 10; got 11"),
    ],
)
def test_impossible_sizes_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DigitRegression(**change)  # type: ignore[arg-type]


@pytest.mark.usefixtures("unchecked")
def test_impossible_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="n must be a whole number of at least 1; got 0"):
        DigitRegression().sample(0, seed=0)
    with pytest.raises(ValueError, match="start must leave room for n prompts"):
        DigitRegression().sample(1, seed=0, start=2**62)
    with pytest.raises(ValueError, match="drawing .* needs about"):
        DigitRegression().sample(10**12, seed=0)


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_a_prompt_depends_on_its_number_alone(task: DigitRegression) -> None:
    whole, part = task.sample(200, seed=5), task.sample(30, seed=5, start=130)
    for name in ("xs", "ys", "queries", "targets", "target_variance", "strata"):
        assert torch.equal(getattr(part, name), getattr(whole, name)[130:160])
    assert not torch.equal(task.sample(30, seed=6).xs, whole.xs[:30])


def test_all_maps_and_all_inputs_come_up_alike() -> None:
    """Each slope has as many intercepts as leave four inputs or more, and each input of a map is asked for and shown."""
    p = DigitRegression(steepest=1, examples=8).sample(4000, seed=0)
    rising = torch.arange(4000) % 2 == 0
    intercepts = Counter((p.ys - p.xs[..., 0])[rising, 0].tolist())
    assert set(intercepts) == set(range(-6, 7))
    assert max(abs(n - 2000 / 13) for n in intercepts.values()) < 5 * (2000 / 13) ** 0.5
    whole = rising & (p.ys[:, 0] == p.xs[:, 0, 0])  # y = x: ten inputs
    assert set(p.queries[whole].flatten().tolist()) == set(range(10))
    assert set(p.xs[whole].flatten().tolist()) == set(range(10))
