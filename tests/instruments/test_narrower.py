"""Instruments that ask for more than a subject and a task; what studies find with them is in their own tests."""

import dataclasses

import pytest

from mesascope.algorithms import GradientDescent, Ridge
from mesascope.instruments import NotApplicable
from mesascope.instruments.behaving import gaussian_inputs, matching, memorisation, size
from mesascope.instruments.catalogue import BY_NAME, INSTRUMENTS, NARROWER
from mesascope.models.constructions import gradient_descent
from mesascope.models.scripted import followed
from mesascope.tasks import LinearRegression, Rademacher

TASK = LinearRegression()


def test_a_size_is_the_number_of_parameters(tiny, task) -> None:
    (found,) = size.size(tiny, task, beside={"itself": tiny})
    assert found.value == sum(p.numel() for p in tiny.model.parameters()) / 1e6 > 0
    assert (found.controls[0].name, found.controls[0].value) == ("itself", found.value)
    with pytest.raises(NotApplicable, match="has no PyTorch module whose parameters could be counted"):
        size.size(followed("scripted", GradientDescent(step_size=0.5), (1, 2)), task, beside={})


def test_what_only_rescales_is_no_worse_on_gaussian_inputs() -> None:
    task = dataclasses.replace(TASK, inputs=Rademacher())
    (found,) = gaussian_inputs.on_gaussian_inputs(gradient_descent(layers=4), task, n=64)
    assert 0.5 < found.value < 2  # gradient descent leaves the same share of either
    assert {c.name: c.kind for c in found.controls} == {memorisation.LOOK_UP: "positive", "ridge": "negative"}


def test_bayes_rule_in_the_sum_convention() -> None:
    assert matching.bayes_ridge(TASK, 0.5) == pytest.approx(0.25 * TASK.dim)
    found = matching.over_noises(Ridge(ridge=1.0), TASK, noises=(0.1, 1.0), n=32)
    slope = next(m for m in found if m.quantity == matching.SLOPE)
    assert abs(slope.value) < 0.05  # one λ, whatever the noise
    assert {m.coordinates["predicted"] for m in found if m is not slope} == {
        matching.bayes_ridge(TASK, noise) for noise in (0.1, 1.0)
    }


def test_names_are_unique_and_quantities_are_said() -> None:
    assert len(BY_NAME) == len(INSTRUMENTS) + len(NARROWER)
    assert all(each.quantities and each.question.endswith("?") for each in NARROWER)
