"""The silent-failure check on subjects whose answer is known: few runs, on seeds that were not used to make the rule."""

import dataclasses

import pytest

from mesascope.calibration.silent import FALSE_ALARM, POWER, SUBJECTS, half_the_order, silent_calibration
from mesascope.instruments.behaving.silent_settings import near_one_example
from mesascope.instruments.statistics.ordering import rank_correlation
from mesascope.tasks import LinearRegression

SMALL = tuple(known for known in SUBJECTS if known.task.dim == 5)


def test_few_runs_raise_no_false_alarm_and_find_every_planted_failure():
    found = silent_calibration(seed=9000, runs=2, n=64, subjects=SMALL)
    assert [m.coordinates["subject"] for m in found] == [known.name for known in SMALL]
    for m in found:
        assert m.quantity in (POWER, FALSE_ALARM)
        assert m.value == (m.quantity == POWER)
        assert m.n == 2
        assert m.interval is not None
        assert m.interval[1] - m.interval[0] > 0.5  # two runs say little
        assert [control.value for control in m.controls] == [1.0, 0.0]


def test_half_the_order_is_at_the_limit_of_the_rule():
    prompts = near_one_example(dataclasses.replace(LinearRegression(), queries=16).sample(4000, seed=0))
    correlation = rank_correlation(half_the_order().trace(prompts).predictions, prompts.targets)
    assert float(correlation.mean()) == pytest.approx(0.5, abs=0.02)
