"""Affine maps in digits: every prompt is one map, balanced, and a new query cannot be copied."""

from collections import Counter
from typing import Any

import pytest
import torch

from mesascope.tasks.digits import DigitRegression

TASKS: dict[str, dict[str, Any]] = {
    "narrow": {},
    "steep": {"steepest": 3, "examples": 11},
    "several queries": {"queries": 3, "new_only": False},
    "wide": {"spreads": (1, 3, 10), "new_only": False},
}


@pytest.mark.parametrize("options", TASKS.values(), ids=TASKS)
def test_every_prompt_is_one_map_between_whole_numbers(options: dict[str, Any]) -> None:
    task = DigitRegression(**options)
    p = task.sample(600, seed=3)
    xs = torch.cat([p.xs[..., 0], p.queries[..., 0]], 1)
    ys = torch.cat([p.ys, p.targets], 1)
    assert torch.equal(xs, xs.round())
    assert torch.equal(ys, ys.round())
    assert ys.min() >= 0
    assert ys.max() <= 9
    assert xs.max() <= (99 if task.spreads else 9)
    # y·Δx = y₀·Δx + Δy·(x − x₀) with the two points that lie furthest apart: exact in whole numbers.
    low, high = xs.argmin(1, keepdim=True), xs.argmax(1, keepdim=True)
    run, rise = (v.gather(1, high) - v.gather(1, low) for v in (xs, ys))
    assert torch.equal((ys - ys.gather(1, low)) * run, rise * (xs - xs.gather(1, low)))
    varied = run[:, 0] > 0
    slopes = Counter((rise / run)[varied, 0].abs().round(decimals=6).tolist())
    known = [round(1 / s, 6) for s in task.spreads] or list(range(1, task.steepest + 1))
    assert set(slopes) == set(known)
    assert max(slopes.values()) - min(slopes.values()) <= (~varied).sum() + 1  # each takes its turn
    shown = (p.queries == p.xs[..., 0][:, None]).any(-1)
    assert not shown[p.strata == 0].any()
    assert shown[p.strata == 1].all()
    assert (p.strata == 1).any() == (not task.new_only)


def test_a_prompt_depends_on_its_number_alone() -> None:
    task = DigitRegression(queries=2, new_only=False)
    whole, part = task.sample(200, seed=5), task.sample(30, seed=5, start=130)
    for name in ("xs", "ys", "queries", "targets", "target_variance", "strata"):
        assert torch.equal(getattr(part, name), getattr(whole, name)[130:160])
    assert not torch.equal(task.sample(30, seed=6).xs, whole.xs[:30])


def test_all_maps_come_up_alike() -> None:
    """Each slope has as many intercepts as leave four inputs or more, drawn uniformly."""
    p = DigitRegression(steepest=1, examples=40).sample(3000, seed=0)
    intercepts = Counter((p.ys - p.xs[..., 0])[::2, 0].tolist())  # every second map rises
    assert set(intercepts) == set(range(-6, 7))
    assert max(abs(n - 1500 / 13) for n in intercepts.values()) < 45


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"examples": 0}, "examples must be a whole number of at least 1; got 0"),
        ({"steepest": 4}, "steepest must be at most 3; got 4"),
        ({"spreads": (0,)}, "spreads must be whole numbers from 1 to 10; got 0"),
    ],
)
def test_bad_configurations_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DigitRegression(**change)
