"""Learners that are members of a family, and one that is not, matched with it."""

import dataclasses

import pytest
import torch

from mesascope.algorithms import RBF, BayesOptimal, NadarayaWatson, Ridge, run
from mesascope.instruments.asking.applicability import NotApplicable
from mesascope.instruments.behaving import matching
from mesascope.instruments.behaving.matching.bench import best_values
from mesascope.models.constructions import ridge_gradient_descent
from mesascope.report.figures import draw

SMALL = (matching.RIDGE, matching.SMOOTHERS[0])
NW = matching.SMOOTHERS[0].name


@pytest.fixture(scope="module")
def ridge(plant, task):
    """A subject that answers as ridge regression at a λ that is on no grid."""
    return matching.matching(plant(Ridge(ridge=0.6), steps=(1,)), task, families=SMALL, n=64, queries=2)


def test_a_member_is_found_again(ridge, look):
    value, _ = look
    best = value(ridge, matching.BEST, family="ridge")
    assert best.value == pytest.approx(0.6, rel=0.02)
    assert best.interval[0] <= best.value <= best.interval[1]
    assert value(ridge, matching.AT_BEST.name, family="ridge").value == pytest.approx(1, abs=1e-4)


def test_so_is_a_smoother_and_then_ridge_is_behind(plant, task, look):
    value, control = look
    smoother = plant(NadarayaWatson(kernel=RBF(bandwidth=1.3)), steps=(1,))
    found = matching.matching(smoother, task, families=SMALL, n=64, queries=2)
    assert value(found, matching.BEST, family=NW).value == pytest.approx(1.3, rel=0.02)
    lead = value(found, matching.LEAD.name, family=NW)
    assert lead.value > 0.01
    assert control(lead, "ridge at λ 0.237") < -0.1


def test_a_construction_that_descends_to_ridge(task, look):
    value, _ = look
    network = ridge_gradient_descent(layers=40, ridge=2.0)
    best = value(matching.matching(network, task, families=SMALL[:1], n=64, queries=2), matching.BEST)
    assert best.value == pytest.approx(2.0, rel=0.05)


def test_the_controls_come_out_as_they_must(ridge, look):
    value, control = look
    for m in ridge:
        assert {"positive", "negative"} <= {c.kind for c in m.controls}
        if m.quantity == matching.CURVE.name:
            assert control(m, "this member itself, in single precision") == pytest.approx(1, abs=1e-6)
            assert control(m, matching.OTHERS) < 0.3
    assert control(value(ridge, matching.BEST, family="ridge"), "ridge at λ 0.237") == pytest.approx(0.237, rel=0.02)
    assert control(value(ridge, matching.AT_BEST.name, family=NW), f"{NW} at bandwidth 0.874") > 0.999
    lead = value(ridge, matching.LEAD.name, family=NW)
    assert lead.value < 0
    assert control(lead, f"{NW} at bandwidth 0.874") > 0.01


def test_an_untrained_network_matches_nothing(tiny, task, look):
    value, control = look
    at_best = value(matching.matching(tiny, task, families=SMALL[:1], n=64, queries=2), matching.AT_BEST.name)
    assert control(at_best, matching.UNTRAINED) < 0.3
    assert at_best.value < 0.3  # it is untrained itself


def noisy(task):
    """Tasks by the λ that Bayes' rule would use on them."""
    noises = (0.0, 0.2, 0.5, 1.0)
    return {sd**2 / task.weight_variance: dataclasses.replace(task, noise=sd) for sd in noises}


def test_a_fixed_member_stays(plant, task, look):
    value, control = look
    found = matching.tracking(plant(Ridge(ridge=0.05), steps=(1,)), noisy(task), n=64, queries=2)
    measured = value(found, matching.SLOPE)
    assert measured.value == pytest.approx(0, abs=0.02)
    assert control(measured, matching.FOLLOWS) == pytest.approx(1, abs=0.02)
    assert control(measured, matching.STAYS) == pytest.approx(0, abs=0.02)
    assert len({m.coordinates["predicted"] for m in found if m.quantity == matching.BEST}) == 4


def test_one_that_knows_the_noise_follows(task):
    """Its answers on each task, put together: what tracking itself measures as its positive control, and by hand here."""
    for predicted, each in noisy(task).items():
        if predicted:
            bayes = BayesOptimal(prior_variance=task.weight_variance, noise=each.noise)
            found = matching.matching(bayes, each, families=SMALL[:1], n=64, queries=2)
            [best] = [m for m in found if m.quantity == matching.BEST]
            assert best.value == pytest.approx(predicted, rel=0.02)


def test_the_bottom_is_located_between_values_and_kept_on_the_grid():
    values = (0.1, 1.0, 10.0, 100.0)
    logs = torch.tensor(values, dtype=torch.float64).log()
    parabola = (logs - torch.tensor([0.7, 9.0, -9.0], dtype=torch.float64)[:, None]).square()
    flat = torch.zeros(1, 4, dtype=torch.float64)
    expected = torch.tensor([2.013752707, 100.0, 0.1, 0.1], dtype=torch.float64)
    torch.testing.assert_close(best_values(torch.cat([parabola, flat]), values), expected)


def test_the_same_seed_gives_the_same_numbers(ridge, plant, task):
    again = matching.matching(plant(Ridge(ridge=0.6), steps=(1,)), task, families=SMALL, n=64, queries=2)
    assert repr(again) == repr(ridge)


def test_the_figure_can_be_drawn(ridge):
    drawn = matching.figure(ridge)
    assert {row["family"] for row in drawn.rows} == {"ridge", NW}
    assert {row["answers"] for row in drawn.rows} == {"subject", matching.OTHERS}
    assert draw(drawn)["data"]["values"]


def test_one_that_answers_nothing_cannot_be_matched(bare, task):
    with pytest.raises(NotApplicable, match="zero throughout"):
        matching.matching(bare, task, families=SMALL[:1], n=64, queries=2)


def test_bad_arguments(task, bare):
    with pytest.raises(ValueError, match="at least 3, positive and ascending"):
        matching.Learners(name="x", parameter="x", member=lambda v: Ridge(ridge=v), values=(1.0, 0.5, 2.0))
    with pytest.raises(ValueError, match="at least 2 with a predicted value above 0; got 1"):
        matching.tracking(bare, {0.0: task, 1.0: task})


def test_every_member_of_the_shipped_families_answers(task):
    p = task.sample(3, seed=0)
    for family in matching.FAMILIES:
        for v in (family.values[0], family.between, family.values[-1]):
            assert run(family.member(v), p).predictions[1].isfinite().all()
