"""The silent-failure check on subjects whose answer is known: few runs, on seeds that were not used to make the rule."""

import dataclasses

import pytest

from mesascope.calibration.silent import FALSE_ALARM, POWER, SUBJECTS, half_the_order, silent_calibration
from mesascope.instruments.behaving.silent_failure import PLANTED
from mesascope.instruments.behaving.silent_settings import near_one_example
from mesascope.instruments.statistics.ordering import rank_correlation
from mesascope.tasks import LinearRegression

FINE = tuple(known for known in SUBJECTS if known.name.startswith(("ridge", "query-only-4")))
SOFTMAX = tuple(known for known in SUBJECTS if known.fails)


def test_few_runs_raise_no_false_alarm_and_find_every_planted_failure():
    found = silent_calibration(seed=9000, runs=2, n=64, subjects=FINE)
    names = [m.coordinates["subject"] for m in found]
    assert names == [FINE[0].name, *PLANTED, FINE[1].name]
    assert [m.quantity for m in found] == [FALSE_ALARM, *[POWER] * 3, FALSE_ALARM]
    for m in found:
        assert m.value == (m.quantity == POWER)
        assert m.n == 2
        assert m.interval is not None
        assert m.interval[1] - m.interval[0] > 0.5  # two runs say little
        assert [control.value for control in m.controls] == [1.0, 0.0]


def test_softmax_attention_is_found():
    found = silent_calibration(seed=9000, runs=1, n=48, subjects=SOFTMAX)
    assert [m.value for m in found] == [1.0] * len(found)
    assert {m.quantity for m in found} == {POWER}


def test_half_the_order_is_at_the_limit_of_the_rule():
    prompts = near_one_example(dataclasses.replace(LinearRegression(), queries=16).sample(4000, seed=0))
    correlation = rank_correlation(half_the_order().trace(prompts).predictions, prompts.targets)
    assert float(correlation.mean()) == pytest.approx(0.5, abs=0.02)
