"""Identity over training: checkpoints are found, described in their order, and drawn."""

import dataclasses
import itertools

import pytest
import torch

import mesascope as ms
from mesascope.instruments import NotApplicable
from mesascope.instruments.explaining.over_training import (
    ERROR,
    FILTER,
    MOST,
    NEAREST,
    TIME,
    figure,
    over_training,
    spread,
)
from mesascope.models.constructions import gradient_descent
from mesascope.report.figures import draw
from mesascope.tasks import LinearRegression
from mesascope.training import TrainingSpec, train
from mesascope.types import history
from mesascope.zoo import checkpoints_of

SOME = ("gd", "cg", "heavy-ball")


@pytest.fixture(scope="module")
def followed():
    subject = ms.load("query-only-3-layers-laptop")
    kept = {step: subject.checkpoints[step] for step in (256,)}
    return over_training(dataclasses.replace(subject, checkpoints=kept), LinearRegression(), n=40, candidates=SOME)


def by_step(found, quantity):
    return {m.coordinates["step"]: m for m in found if m.quantity == quantity}


def test_a_network_becomes_itself(followed):
    """Time, filter and score grow, and the error falls, from the first checkpoint to the finished network."""
    for quantity, grows in ((TIME, True), (FILTER, True), (NEAREST, True), (ERROR.name, False)):
        first, last = by_step(followed, quantity).values()
        assert list(by_step(followed, quantity)) == [256, 6000]
        assert (last.value > first.value) is grows, quantity
    assert {m.coordinates["label"] for m in followed} == {"none"}


def test_known_subjects_stand_beside_it(followed):
    for m in followed:
        assert {"positive", "negative"} <= {c.kind for c in m.controls}
    time = by_step(followed, TIME)[6000]
    assert next(c.value for c in time.controls if c.name == "planted flow") == pytest.approx(4.0, rel=0.3)
    assert next(c.value for c in time.controls if c.name == "untrained network") < 0.05
    error = by_step(followed, ERROR.name)[6000]
    assert next(c.value for c in error.controls if c.name == "least squares") == pytest.approx(0, abs=1e-12)


def test_the_picture_says_label_class_and_time(followed):
    made = figure(followed)
    assert {row["what"] for row in made.rows} == {FILTER, NEAREST, ERROR.name}
    assert all({"label", "nearest", "class", "t"} <= row.keys() for row in made.rows)
    assert draw(made)["data"]["values"]


def test_what_has_no_checkpoints_is_left_out():
    for subject in (gradient_descent(layers=2), ms.load("four-layer")):
        with pytest.raises(NotApplicable, match=f"no checkpoints of the training of {subject.name}"):
            over_training(subject, LinearRegression(), n=24)


def test_checkpoints_of_what_ships_and_of_runs_are_known(tmp_path):
    shipped = history(ms.load("query-only-3-layers-laptop"))
    assert list(shipped) == [*checkpoints_of("query-only-3-layers-laptop"), 6000]
    spec = TrainingSpec(
        name="tiny",
        task=LinearRegression(dim=2, examples=4),
        model=ms.models.TransformerConfig(dim=2, examples=4, layers=1, width=8, heads=2, feedforward=8),
        steps=6,
        batch=4,
        curriculum=None,
        checkpoint_every=2,
    )
    run = train(spec, tmp_path / "run", progress=False)
    found = history(ms.load(str(run)))
    assert list(found)[-1] == 6
    assert 2 in found
    weights = [next(found[step]().model.parameters()) for step in (2, 6)]
    assert not torch.equal(*weights)
    assert list(history(ms.load("query-only-3-layers-laptop-step-256"))) == [256]
    assert not history(gradient_descent(layers=2))


def test_of_many_checkpoints_as_many_as_can_be_shown_are_taken():
    assert spread([1, 2, 3]) == [1, 2, 3]
    many = spread(range(10, 310, 10))
    assert len(many) == MOST
    assert (many[0], many[-1]) == (10, 300)
    assert max(b - a for a, b in itertools.pairwise(many)) <= 50
