"""Examples: references against their formulas, a learner that rescales Xᵀy, one that is ridge, and repetition."""

import dataclasses
import functools

import pytest
import torch

from mesascope.algorithms import GradientDescent, Ridge, run
from mesascope.instruments.behaving import examples
from mesascope.models.constructions import gradient_descent
from mesascope.report.figures import draw
from mesascope.tasks import LinearRegression
from mesascope.testing import check_instrument

TASK = LinearRegression(dim=3, examples=12)
COUNTS = (3, 12)


@pytest.fixture(scope="module")
def ridged(plant):
    return examples.by_examples(plant(Ridge(ridge=0.01), steps=(1,)), TASK, counts=COUNTS, n=200)


@pytest.mark.parametrize("count", COUNTS)
def test_ridge_is_at_no_distance_from_itself(ridged, look, count):
    value, control = look
    assert value(ridged, "distance to ridge's answers", examples=count).value == 0
    error = value(ridged, "normalised error", examples=count)
    assert error.value == control(error, "ridge")
    assert control(error, "least squares") < 1e-9
    assert error.coordinates["examples per dimension"] == count / 3


@pytest.mark.parametrize("count", COUNTS)
def test_the_best_multiple_leaves_what_the_formula_says(look, plant, count):
    value, control = look
    found = examples.by_examples(plant(GradientDescent(step_size=0.5), steps=(1,)), TASK, counts=(count,), n=2000)
    error = value(found, "normalised error", examples=count)
    assert control(error, examples.MULTIPLE) == pytest.approx((3 + 1) / (count + 3 + 1), rel=0.1)
    assert value(found, "error over that of the best multiple of Xᵀy", examples=count).value >= 1
    assert control(value(found, "distance to the best multiple of Xᵀy", examples=count), examples.MULTIPLE) == 0


def test_repetition_changes_nothing_for_a_learner_of_the_moments(plant):
    subject = plant(GradientDescent(step_size=0.3), steps=(3,))
    once = examples.by_examples(subject, TASK, counts=(4,), n=20)
    often = examples.by_examples(subject, TASK, counts=(4,), n=20, repeat_to=12)
    assert [m.value for m in once] == pytest.approx([m.value for m in often])
    assert {m.coordinates["shown"] for m in often} == {"repeated to 12"}


def test_what_is_repeated_comes_in_order():
    prompts = dataclasses.replace(TASK, examples=5).sample(2, seed=0)
    shown = examples.repeated(prompts, 12)
    assert shown.examples == 12
    assert torch.equal(shown.xs[:, 5:10], prompts.xs)
    assert torch.equal(shown.ys[:, 10:], prompts.ys[:, :2])
    same = run(GradientDescent(step_size=0.3), examples.repeated(prompts, 10), 4).predictions
    torch.testing.assert_close(same, run(GradientDescent(step_size=0.3), prompts, 4).predictions)


def test_it_is_an_instrument(task):
    instrument = functools.partial(examples.by_examples, counts=(4, 10), n=8, queries=2)
    check_instrument(instrument, gradient_descent(layers=2), task)


def test_the_figure_can_be_drawn(ridged):
    assert draw(examples.figure(ridged))["data"]["values"]


def test_examples_are_repeated_not_left_out(bare):
    with pytest.raises(ValueError, match="counts must be at most repeat_to=8"):
        examples.by_examples(bare, TASK, counts=(4, 12), repeat_to=8)
