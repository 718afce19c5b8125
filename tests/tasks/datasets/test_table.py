"""A table of one's own."""

import dataclasses

import numpy as np
import pytest
import torch

from mesascope.regressors import regressor
from mesascope.tasks import TableRegression
from mesascope.testing import check_task
from mesascope.types import LimitedTask

ROWS = np.random.default_rng(0).normal(size=(40, 3)).round(2)
LABELS = (ROWS @ [1.0, -2.0, 0.5]).round(3)
TABLE = TableRegression(inputs=tuple(map(tuple, ROWS.tolist())), labels=tuple(LABELS.tolist()), examples=25, queries=4)


def test_conformance():
    check_task(TABLE)
    assert isinstance(TABLE, LimitedTask)
    assert TABLE.most_queries == 15


def test_every_prompt_is_another_split_into_rows_of_the_table():
    prompts = TABLE.sample(50, seed=1)
    rows = {tuple(row): label for row, label in zip(ROWS.tolist(), LABELS.tolist(), strict=True)}
    for xs, ys, queries, targets in zip(prompts.xs, prompts.ys, prompts.queries, prompts.targets, strict=True):
        together = [tuple(row) for row in torch.cat([xs, queries]).tolist()]
        assert len(set(together)) == 29
        assert [rows[row] for row in together] == torch.cat([ys, targets]).tolist()
    assert len({tuple(ys.tolist()) for ys in prompts.ys}) == 50


def test_a_regressor_learns_it():
    prompts = TABLE.sample(20, seed=1)
    assert float((regressor("linear-regression").predict(prompts) - prompts.targets).abs().max()) < 2e-3


CHANGES = {
    "a missing input": (
        {"inputs": ((float("nan"), 0.0, 0.0), *TABLE.inputs[1:])},
        "inputs must be finite; row 0 holds nan",
    ),
    "a missing label": ({"labels": (*TABLE.labels[:-1], float("inf"))}, "labels must be finite; row 39 holds inf"),
    "a short row": ({"inputs": (*TABLE.inputs[:-1], (1.0,))}, "rows of one length, 1 or more; row 39 has 1 numbers"),
    "no inputs": ({"inputs": ((),) * 40}, "rows of one length, 1 or more; row 0 has 0 numbers"),
    "a label too few": ({"labels": TABLE.labels[1:]}, "one row for each label; got 40 rows and 39 labels"),
    "too many examples": (
        {"examples": 39, "queries": 1},
        "labels must be at least 41 for examples=39 and queries=1; got 40",
    ),
    "too many queries": ({"queries": 16}, "labels must be at least 41 for examples=25 and queries=16"),
    "one label": ({"labels": (2.0,) * 40}, "labels must differ; all are 2.0"),
    "no examples": ({"examples": 0}, "examples must be a whole number of at least 1"),
    "no queries": ({"queries": 0}, "queries must be a whole number of at least 1"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_what_is_refused(case):
    changes, message = CHANGES[case]
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TABLE, **changes)


def test_prompts_that_cannot_be_scored_or_held_are_refused():
    rare = dataclasses.replace(TABLE, labels=(*((0.0,) * 39), 1.0))
    with pytest.raises(ValueError, match="target_variance must be positive"):
        rare.sample(20, seed=0)
    with pytest.raises(ValueError, match="needs about .* of memory"):
        TABLE.sample(2**50, seed=0)
