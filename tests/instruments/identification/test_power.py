"""How many prompts it takes: known orders of separation, and what cannot be told apart."""

import math

import pytest

from mesascope.instruments.identification import power
from mesascope.instruments.identification.families import ITERATIVE
from mesascope.instruments.identification.power import POWER, prompts_needed, usual
from mesascope.instruments.identification.prompts import CONDITIONS
from mesascope.models.constructions import gradient_descent
from mesascope.tasks import LinearRegression

TASK = LinearRegression(dim=4, examples=12)


def needed(first: str, second: str, **options) -> dict[float, float]:
    return {float(m.coordinates["condition"]): m.value for m in prompts_needed(first, second, TASK, **options)}


def test_what_coincides_at_condition_one_cannot_be_told_apart_there():
    by_condition = needed("cg", "pcg", conditions=(1.0, 30.0))
    assert by_condition[1.0] == math.inf
    assert 2 <= by_condition[30.0] < 60


def test_more_noise_needs_more_prompts():
    quiet, loud = (needed("cg", "pcg", noise=noise, conditions=(3.0,))[3.0] for noise in (0.01, 0.3))
    assert quiet < loud


def test_a_candidate_is_not_separated_from_itself():
    (found,) = prompts_needed("newton-schulz", "cg", TASK, conditions=(30.0,))
    assert found.controls[0].value == pytest.approx(0, abs=1e-9)
    assert found.coordinates["separation"] > 0.01


def test_the_number_is_enough():
    """Resampled experiments of that size: the normal approximation may promise too little, not much too much."""
    for found in prompts_needed("cg", "pcg", TASK, noise=0.2, conditions=(3.0, 30.0)):
        assert POWER - 0.03 < found.controls[1].value <= 1


def test_any_iteration_can_be_compared():
    for family in ITERATIVE:
        family.algorithm(usual(family))


@pytest.mark.parametrize(
    ("pair", "options", "words"),
    [
        (("cg", "cg"), {}, "two different candidates"),
        (("cg", "conjugate-gradiant"), {}, "Did you mean"),
        (("cg", "ridge"), {}, "has no steps"),
        (("cg", "pcg"), {"noise": 1.0}, r"in \[0, 1\)"),
    ],
)
def test_what_cannot_be_compared(pair, options, words):
    with pytest.raises(ValueError, match=words):
        needed(*pair, **options)


def test_a_pair_at_several_levels_of_noise():
    found = power.INSTRUMENT.measure(gradient_descent(), TASK, noises=(0.05, 0.5))
    conditions = (1.0, *CONDITIONS)
    assert [(m.coordinates["noise"], m.coordinates["condition"]) for m in found] == [
        (noise, condition) for noise in (0.05, 0.5) for condition in conditions
    ]
    quiet, loud = found[: len(conditions)], found[len(conditions) :]
    assert all(a.value <= b.value for a, b in zip(quiet, loud, strict=True))
    assert {m.quantity for m in found} == set(power.INSTRUMENT.quantities)
    assert set(found[0].coordinates) == set(power.INSTRUMENT.coordinates)
