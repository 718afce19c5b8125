"""Coverage: right intervals pass, and intervals that are too narrow are caught."""

import importlib

import pytest
import torch

from mesascope.types import Measurement

coverage = importlib.import_module("mesascope.calibration.coverage")
REPETITIONS = 100


@pytest.fixture
def measured(monkeypatch):
    def run(population: int = 6000, **options) -> tuple[Measurement, ...]:
        monkeypatch.setattr(coverage, "POPULATION", population)
        return coverage.coverage(**{"seed": 0, "repetitions": REPETITIONS, **options})

    return run


def holds(m: Measurement) -> bool:
    """Whether the nominal coverage lies within the interval of the one that was counted."""
    assert m.interval is not None
    return m.interval[0] <= 0.95 <= m.interval[1]


def test_intervals_hold_what_they_promise_on_every_subject(measured):
    found = measured()
    assert [m.coordinates["subject"] for m in found] == [subject.name for subject in coverage.SUBJECTS]
    for m in found:
        assert holds(m), m
        assert m.n == REPETITIONS
        assert 0.3 < m.coordinates["score"] < 0.9  # noise and mimicry leave something, and not everything
        (control,) = m.controls
        assert control.kind == "negative"
        assert control.value < 0.5 < m.value


def test_sentences_say_the_counts():
    held = Measurement(
        instrument="coverage", quantity="share", value=0.948, interval=None, n=500, coordinates={"subject": "noisy GD"}
    )
    told = coverage.sentences([held])
    assert told == ("95 % intervals of the score held it in 94.8% of 500 repetitions (noisy GD).",)


def test_intervals_of_half_the_width_are_caught(measured, monkeypatch):
    right = coverage._interval

    def halved(*arguments) -> tuple[float, float]:
        low, high = right(*arguments)
        middle, reach = (low + high) / 2, (high - low) / 4
        return middle - reach, middle + reach

    monkeypatch.setattr(coverage, "_interval", halved)
    found = measured()
    assert not any(holds(m) for m in found)
    assert all(0.5 < m.value < 0.9 for m in found)  # within one standard error lie two thirds


def test_draws_keep_the_strata_and_repeat_no_prompt():
    distribution = coverage.standard()
    runner = coverage.Runner(distribution.task.sample(90, seed=0))
    index = coverage._stratified(runner, 30, torch.Generator().manual_seed(0))
    assert len(index.unique()) == 30
    assert runner.prompts.strata[index].bincount().tolist() == [10, 10, 10]


def test_the_seed_is_the_measurement(measured):
    first, again, other = (measured(300, seed=seed, repetitions=5, prompts=30) for seed in (1, 1, 2))
    assert first == again
    assert first != other
