"""The silent-failure check on subjects whose answer is known: few runs, on seeds that were not used to make the rule."""

import dataclasses

import pytest

from mesascope.calibration.silent import (
    ALL,
    FALSE_ALARM,
    POWER,
    SUBJECTS,
    checked,
    figure,
    half_the_order,
    sentence,
    totals,
)
from mesascope.instruments.behaving.silent_failure import PLANTED
from mesascope.instruments.behaving.silent_settings import near_one_example
from mesascope.instruments.statistics.ordering import rank_correlation
from mesascope.tasks import LinearRegression
from mesascope.types import Measurement

RIDGE, NETWORK = (known for known in SUBJECTS if known.name.startswith(("ridge", "query-only-4")))
SOFTMAX = [known for known in SUBJECTS if known.fails]


@pytest.fixture(scope="module")
def fine() -> list[Measurement]:
    """Two runs of two subjects that fail nowhere, and of the failures that are planted beside the first."""
    return [m for known in (RIDGE, NETWORK) for m in checked(known.name, seed=9000, runs=2, n=64)]


def test_few_runs_raise_no_false_alarm_and_find_every_planted_failure(fine):
    assert [m.coordinates["subject"] for m in fine] == [RIDGE.name, *PLANTED, NETWORK.name]
    assert [m.quantity for m in fine] == [FALSE_ALARM, *[POWER] * 3, FALSE_ALARM]
    for m in fine:
        assert m.value == (m.quantity == POWER)
        assert m.n == 2
        assert m.interval is not None
        assert m.interval[1] - m.interval[0] > 0.5  # two runs say little
        assert [control.value for control in m.controls] == [1.0, 0.0]


@pytest.mark.parametrize("known", SOFTMAX, ids=lambda known: known.name)
def test_softmax_attention_is_found(known):
    (found,) = checked(known.name, seed=9000, runs=1, n=48)
    assert (found.value, found.quantity) == (1.0, POWER)


def test_runs_are_counted_over_all_subjects(fine):
    found = totals(fine)
    by = {m.quantity: m for m in found if m.coordinates["subject"] == ALL}
    assert {quantity: (m.value, m.n) for quantity, m in by.items()} == {FALSE_ALARM: (0.0, 4), POWER: (1.0, 6)}
    assert [m.quantity for m in found] == [FALSE_ALARM] * 3 + [POWER] * 4
    assert {m.coordinates["subject"]: m for m in found if m.coordinates["subject"] != ALL} == {
        m.coordinates["subject"]: m for m in fine
    }
    assert figure(found).rows[2] == {
        "subject": ALL,
        "what is counted": "false alarms",
        "runs": "0 of 4",
        "95 % interval": "0.0% to 60.2%",
    }
    assert sentence(found) == (
        "Silent failure: a false alarm in 0 of 4 runs of subjects that have none; found in 6 of 6 runs of subjects that do."
    )


def test_half_the_order_is_at_the_limit_of_the_rule():
    prompts = near_one_example(dataclasses.replace(LinearRegression(), queries=16).sample(4000, seed=0))
    correlation = rank_correlation(half_the_order().trace(prompts).predictions, prompts.targets)
    assert float(correlation.mean()) == pytest.approx(0.5, abs=0.02)
