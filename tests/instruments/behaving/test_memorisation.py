"""Memorisation: a learner that has the weights, one that looks answers up, and what counts as shown."""

import dataclasses
import functools

import pytest
import torch

from mesascope.algorithms import LeastSquares
from mesascope.instruments.asking.applicability import NotApplicable
from mesascope.instruments.behaving import memorisation
from mesascope.instruments.behaving.memorisation import KNOWN, LOOK_UP, NOVEL, QUERIES, looked_up, shown
from mesascope.models.constructions import gradient_descent
from mesascope.report.figures import draw
from mesascope.tasks import LinearRegression, Rademacher
from mesascope.testing import check_instrument

TASK = LinearRegression(dim=4, examples=6, inputs=Rademacher())
ERROR = "relative squared error"


@pytest.fixture(scope="module")
def table(plant_path):
    """A subject that looks answers up."""
    return memorisation.memorisation(plant_path(path_of=lambda p: looked_up(p)[None], layers=1), TASK, n=64)


def test_a_look_up_knows_what_was_shown_and_nothing_else(table, look):
    value, _ = look
    for kind in ("shown", "shown, sign flipped", KNOWN):
        assert value(table, ERROR, queries=kind).value == pytest.approx(0, abs=1e-12)
    assert value(table, ERROR, queries=NOVEL).value > 0.3
    assert value(table, ERROR, queries="scaled by 1.1").value > 0.3 * 27 / 64
    assert value(table, ERROR, queries="one coordinate halved").value > 0.05
    assert value(table, ERROR, queries="midway between two shown").value > 0.2


def test_a_learner_that_has_the_weights_answers_all_alike(plant, look):
    value, _ = look
    task = dataclasses.replace(TASK, examples=16)
    found = memorisation.memorisation(plant(LeastSquares(), steps=(1,)), task, n=64)
    for kind in (*QUERIES, KNOWN, NOVEL):
        assert value(found, ERROR, queries=kind).value < 0.05  # a few designs have no full rank


def test_the_controls_are_measured_alike(table, look):
    value, control = look
    for kind in QUERIES:
        m = value(table, ERROR, queries=kind)
        assert control(m, LOOK_UP) == m.value
        assert control(m, "ridge's answers to another prompt") > 0.7
        assert control(m, "least squares") < 0.5  # six examples in four dimensions: not all of full rank
    shares = [value(table, ERROR, queries=kind).coordinates["share of queries"] for kind in (KNOWN, NOVEL)]
    assert sum(shares) == pytest.approx(1)
    assert shares[1] == pytest.approx((1 - 1 / 8) ** 6, abs=0.06)


def test_inputs_off_a_grid_are_never_shown_twice(plant, task):
    found = memorisation.memorisation(plant(LeastSquares(), steps=(1,)), task, n=8)
    assert not {m.coordinates["queries"] for m in found} & {KNOWN, NOVEL}


def test_queries_are_what_they_say():
    prompts = dataclasses.replace(TASK, queries=5).sample(32, seed=0)
    asked = {k: change(prompts, torch.Generator().manual_seed(0)) for k, change in QUERIES.items()}
    assert shown(dataclasses.replace(prompts, queries=asked["shown"])).all()
    assert shown(dataclasses.replace(prompts, queries=asked["shown, sign flipped"])).all()
    assert not shown(dataclasses.replace(prompts, queries=asked["scaled by 1.1"])).any()
    assert ((asked["one coordinate halved"].abs() == 0.5).sum(-1) == 1).all()
    middle = asked["midway between two shown"]
    assert middle.abs().unique().tolist() == [0, 1]
    seen = shown(dataclasses.replace(prompts, queries=prompts.queries))
    expected = [
        [any(torch.equal(x, q) or torch.equal(x, -q) for x in xs) for q in qs]
        for xs, qs in zip(prompts.xs, prompts.queries, strict=True)
    ]
    assert seen.tolist() == expected


def test_it_is_an_instrument(task):
    check_instrument(functools.partial(memorisation.memorisation, n=8, queries=2), gradient_descent(layers=2), task)


def test_the_figure_can_be_drawn(table):
    assert draw(memorisation.figure(table))["data"]["values"]


def test_it_needs_two_examples(bare):
    with pytest.raises(NotApplicable, match="examples must be at least 2"):
        memorisation.memorisation(bare, dataclasses.replace(TASK, examples=1))
