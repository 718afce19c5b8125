"""Streaming: a causal construction whose k-th token holds its own prefix's Xᵀy, and one whose tokens hold the whole's."""

import dataclasses

import pytest
import torch

from mesascope.instruments.asking.applicability import NotApplicable
from mesascope.instruments.reading import streaming
from mesascope.models.constructions import Construction
from mesascope.models.constructions.primal_gradient_descent import primal_gradient_descent
from mesascope.report.figures import draw

PRE, MID = "blocks.0.hook_resid_pre", "blocks.0.hook_resid_mid"
SIZE = {"fit": 1024, "score": 512, "examples": (1, 2, 6)}
MOMENT, WEIGHTS = "Xₖᵀyₖ/k", "wₖ"


def one_step(causal: bool) -> Construction:
    """After its one layer token k holds a multiple of Xᵀy: that of the first k examples, or of all."""
    made = primal_gradient_descent(layers=1)
    return dataclasses.replace(made, build=lambda dim: dataclasses.replace(made.build(dim), causal=causal))


@pytest.fixture(scope="module")
def running(task):
    return streaming.streaming(one_step(causal=True), task, **SIZE)


@pytest.fixture(scope="module")
def knowing(task):
    return streaming.streaming(one_step(causal=False), task, **SIZE)


def test_a_running_sum_is_found_where_it_is(running, look):
    value, control = look
    for k in SIZE["examples"]:
        held = value(running, "cosine", site=MID, target=MOMENT, example=k)
        assert held.value == pytest.approx(1, abs=1e-9)
        assert held.n == SIZE["score"]
        before = value(running, "cosine", site=PRE, target=MOMENT, example=k)
        assert abs(before.value) < 0.25  # x and y are there, their product is not
    for k in (2, 6):
        above = value(running, streaming.ABOVE.name, site=MID, target=MOMENT, example=k)
        assert above.value == pytest.approx(1 - control(held_at(running, look, k), streaming.OWN), abs=1e-9)
        assert above.interval[0] > 0.1
        assert control(above, streaming.OWN) == 0


def held_at(found, look, k):
    return look[0](found, "cosine", site=MID, target=MOMENT, example=k)


def test_the_own_example_says_all_of_the_first_prefix_and_less_and_less(running, look):
    _, control = look
    own = [control(held_at(running, look, k), streaming.OWN) for k in SIZE["examples"]]
    assert own[0] == pytest.approx(1, abs=1e-6)
    assert own[0] > own[1] > own[2] > 0.2


def test_what_all_tokens_hold_alike_is_the_whole_context_s(knowing, look):
    _, control = look
    for k in SIZE["examples"]:
        held = held_at(knowing, look, k)
        assert control(held, streaming.WHOLE) == pytest.approx(1, abs=1e-9)
        assert held.value < 0.95


def test_the_moment_is_not_the_weights(running, look):
    value, control = look
    m = value(running, "cosine", site=MID, target=WEIGHTS, example=6)
    assert 0.5 < m.value < 0.98
    assert control(m, streaming.MOMENT) == pytest.approx(m.value, abs=0.02)
    assert streaming.MOMENT not in {c.name for c in held_at(running, look, 6).controls}


def test_the_controls_come_out_as_they_must(running, look):
    _, control = look
    for m in running:
        if m.quantity == "cosine":
            assert control(m, "target written in") > 0.999
            assert abs(control(m, "another prompt's target")) < 0.3
        assert {"positive", "negative"} <= {c.kind for c in m.controls}
        assert "untrained network" in {c.name for c in m.controls}


def test_targets_are_of_the_prefix(task):
    p = task.sample(4, seed=0)
    X, y = p.xs[1, :2], p.ys[1, :2]
    shortest = streaming.least_squares(streaming.prefix(p, 2))[1]
    torch.testing.assert_close(X.double() @ shortest, y.double())
    torch.testing.assert_close(X.double().pinverse() @ X.double() @ shortest, shortest)  # nothing outside their span
    torch.testing.assert_close(streaming.least_squares(p), p.weights.double(), rtol=1e-4, atol=1e-5)


def test_two_tokens_an_example_are_read_at_the_label(planted, task, look):
    """The memory of the planted subject holds w at every token."""
    value, _ = look
    found = streaming.streaming(planted, task, fit=128, score=48, examples=(4,))
    assert value(found, "cosine", site=MID, target=WEIGHTS, example=4).value == pytest.approx(1, abs=1e-9)
    assert abs(value(found, "cosine", site=PRE, target=WEIGHTS, example=4).value) < 0.3


def test_it_needs_a_residual_stream(bare, task):
    with pytest.raises(NotApplicable, match="residual-stream"):
        streaming.streaming(bare, task)


def test_the_figure_runs_along_the_context_with_the_subject_first(running):
    made = streaming.figure(running)
    assert made.rows[0]["probe of"] == "subject"
    assert {row["example"] for row in made.rows} == set(SIZE["examples"])
    assert draw(made)["data"]["values"]
