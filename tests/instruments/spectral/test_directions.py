"""Directions: gains and shares of the error of subjects whose filter is known, and of one that is not linear."""

import dataclasses
import functools

import pytest
import torch

from mesascope.algorithms import GradientDescent, LeastSquares, run
from mesascope.instruments.asking.applicability import NotApplicable
from mesascope.instruments.spectral import directions
from mesascope.models.constructions import gradient_descent
from mesascope.report.figures import draw
from mesascope.tasks import Diagonal, Gaussian, LinearRegression
from mesascope.testing import check_instrument

# The sampled XᵀX/n is the covariance itself, so that a direction has one eigenvalue in all prompts.
TASK = LinearRegression(
    dim=3, examples=10, inputs=Gaussian(covariance=Diagonal(condition=16.0, scale="largest"), exact=True)
)
VALUES = (1.0, 0.25, 0.0625)
STEP, STEPS = 0.5, 3
RESOLVED = [1 - (1 - STEP * value) ** STEPS for value in VALUES]
SIZE = {"n": 40, "queries": 12}


@pytest.fixture(scope="module")
def found(plant):
    return directions.directions(plant(GradientDescent(step_size=STEP), steps=(1, STEPS)), TASK, **SIZE)


def test_the_gain_of_gradient_descent_is_its_filter(found, look):
    value, control = look
    for rank, (eigenvalue, resolved) in enumerate(zip(VALUES, RESOLVED, strict=True), 1):
        m = value(found, "gain", direction=rank)
        assert m.coordinates["eigenvalue"] == pytest.approx(eigenvalue)
        assert m.value == pytest.approx(resolved, abs=1e-9)
        assert m.interval == pytest.approx((resolved, resolved), abs=1e-9)
        assert control(m, "least squares") == pytest.approx(1, abs=1e-9)
        assert control(m, directions.MOMENT) == pytest.approx(eigenvalue, abs=1e-9)
        assert abs(control(m, "another prompt's channels")) < 0.4
    form = value(found, directions.FORM)
    assert form.value == pytest.approx(1, abs=1e-9)
    assert control(form, "another prompt's channels") < 0.3


def test_the_error_lies_where_the_filter_falls_short(found, look):
    value, control = look
    prompts = dataclasses.replace(TASK, queries=SIZE["queries"]).sample(SIZE["n"], seed=0, stream=directions.NAME)
    left = prompts.weights * (1 - torch.tensor(RESOLVED, dtype=torch.float64))
    energy = left.square().mean(0) * torch.tensor(VALUES)
    for rank, expected in enumerate((energy / energy.sum()).tolist(), 1):
        m = value(found, "share of squared error", direction=rank)
        assert m.value == pytest.approx(expected, abs=0.06)
        assert m.interval[0] < m.value < m.interval[1]
    rest = value(found, "share of squared error", direction=directions.REST)
    assert rest.value == pytest.approx(0, abs=1e-9)
    assert control(rest, directions.MOMENT) == pytest.approx(0, abs=1e-9)
    shares = [m.value for m in found if m.quantity == "share of squared error"]
    assert sum(shares) == pytest.approx(1)


def test_an_error_that_is_not_linear_in_the_query_is_said_to_be_so(plant_path, look):
    def even(prompts):
        right = run(LeastSquares(), prompts).predictions[1]
        return (right + 0.3 * prompts.queries.norm(dim=-1))[None]

    value, _ = look
    found = directions.directions(plant_path(path_of=even, layers=1), TASK, n=200, queries=64)
    assert value(found, "share of squared error", direction=directions.REST).value == pytest.approx(1, abs=0.1)
    assert value(found, "gain", direction=1).value == pytest.approx(1, abs=0.1)


def test_what_it_overshoots_it_gains_more_than_one(plant, look):
    value, _ = look
    found = directions.directions(plant(GradientDescent(step_size=1.5), steps=(1,)), TASK, **SIZE)
    assert value(found, "gain", direction=1).value == pytest.approx(1.5, abs=1e-9)


def test_a_subject_that_answers_nothing_is_described_by_no_gain(plant_path, look):
    value, _ = look
    silent = plant_path(path_of=lambda prompts: torch.zeros_like(prompts.targets)[None], layers=1)
    found = directions.directions(silent, TASK, **SIZE)
    assert value(found, directions.FORM).value == 0
    assert value(found, "gain", direction=2).value == 0
    shares = [value(found, "share of squared error", direction=rank).value for rank in (1, 2, 3)]
    assert shares[0] > shares[1] > shares[2]  # what is asked for, weighted by how much of it there is


def test_it_is_an_instrument(task):
    check_instrument(functools.partial(directions.directions, n=8, queries=6), gradient_descent(layers=2), task)


def test_the_figure_can_be_drawn(found):
    assert draw(directions.figure(found))["data"]["values"]


def test_it_asks_for_enough_examples_and_queries(bare):
    with pytest.raises(NotApplicable, match="every direction must be shown"):
        directions.directions(bare, dataclasses.replace(TASK, examples=2))
    with pytest.raises(ValueError, match="queries must be at least"):
        directions.directions(bare, TASK, queries=5)
