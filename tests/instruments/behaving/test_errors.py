"""Errors that are known: zero for least squares, 1 − 1/d from one example, (d+1)/(n+d+1) after the best single step."""

import dataclasses

import pytest
import torch

from mesascope.instruments.behaving.errors import errors, from_one_example
from mesascope.models.constructions import gradient_descent
from mesascope.tasks import LinearRegression

TASK = LinearRegression(dim=5, examples=20)
STEP = gradient_descent(layers=1, step_size=20 / 26)


@pytest.fixture(scope="module")
def found():
    return errors(STEP, TASK, n=2000, rivals={"half the step": gradient_descent(layers=1, step_size=10 / 26)})


def test_one_step_has_the_error_of_the_theory(found):
    mse = found[0]
    assert mse.value == pytest.approx(6 / 26, rel=0.05)
    assert mse.interval[0] < 6 / 26 < mse.interval[1]
    assert mse.n == 2000


def test_controls_lie_where_they_must(found, look):
    _, control = look
    assert control(found[0], "least squares") < 1e-12
    assert control(found[0], "answering zero") == pytest.approx(1, abs=0.06)
    assert control(found[0], "one example alone") == pytest.approx(1 - 1 / 5, abs=0.05)
    assert control(found[0], "untrained network") > 0.9


def test_the_ratio_to_a_rival_is_paired(found, look):
    _, control = look
    ratio = found[1]
    # The error of step η on ½‖y − Xw‖²/n is 1 − 2η + η²(n+d+1)/n.
    half = 10 / 26
    assert ratio.value == pytest.approx((6 / 26) / (1 - 2 * half + half**2 * 26 / 20), rel=0.05)
    assert ratio.coordinates == {"over": "half the step"}
    assert control(ratio, "the other over itself") == 1
    assert control(ratio, "answering zero") > 1
    width = (ratio.interval[1] - ratio.interval[0]) / ratio.value
    assert width < (found[0].interval[1] - found[0].interval[0]) / found[0].value


def test_one_example_is_fitted_and_nothing_else_is_used():
    prompts = TASK.sample(8, seed=3)
    asked = dataclasses.replace(prompts, queries=prompts.xs[:, :1], targets=prompts.ys[:, :1])
    torch.testing.assert_close(from_one_example(asked), prompts.ys[:, :1])
    others = dataclasses.replace(prompts, ys=torch.cat([prompts.ys[:, :1], prompts.ys[:, 1:] + 1], 1))
    assert torch.equal(from_one_example(others), from_one_example(prompts))
