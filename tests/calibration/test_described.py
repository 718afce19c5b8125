"""Descriptions of planted subjects: found, counted, and told."""

import dataclasses

import pytest

from mesascope.calibration.described import BOUNDS, Described, described, figure, measurements, sentence
from mesascope.records.codec import from_json, to_json
from mesascope.types import RungKind


def test_the_same_subject_is_drawn_again_and_described_alike():
    first, second = (described(5, 2, prompts=60) for _ in range(2))
    assert first == second
    assert from_json(Described, to_json(first), ours=True) == first


@pytest.mark.parametrize("index", [0, 2, 4, 8, 12, 16, 20, 24, 28])
def test_every_class_is_drawn_and_found(index):
    found = described(7, index, prompts=240)
    assert found.rung == found.truth
    assert found.noise == 0
    assert all(found.inside().values())


def test_every_second_subject_has_noise_and_is_found():
    found = described(7, 7, prompts=240)
    assert (found.truth, found.rung, found.noise) == ("function", "function", 0.03)
    assert found.named
    assert all(found.inside().values())


def made(rung, *, truth: RungKind | None = "filter", noise=0.0, inside=(), case="filter"):
    bounds = {f"c{i}": (0.9, 1.1 + i) if held else (5.0, 6.0) for i, held in enumerate(inside)}
    return Described(
        case=case,
        truth=truth,
        rung=rung,
        coefficients=dict.fromkeys(bounds, 1.0),
        named="",
        intervals=bounds,
        noise=noise,
    )


def test_shares_are_counted_by_noise_and_kind_of_interval():
    found = [made("filter"), made("function"), made(None, truth=None, case="bent"), made("filter", noise=0.03)]
    found += [made("function", truth="function", case="ridge", inside=(True, True, False, True))]
    found += [made("function", truth="function", case="ridge", inside=(True, False), noise=0.03)]
    found += [made("function", truth="function", case="spectral cut-off", inside=(True,), noise=0.03)]
    by = {(m.quantity, m.coordinates["noise"]): m for m in measurements(found)}
    classes, exact = by["class found", 0.0], by[BOUNDS["tolerance"], 0.0]
    assert (classes.value, classes.n) == (0.75, 4)
    assert classes.controls[0].value == pytest.approx((2 / 4) ** 2 + 2 * (1 / 4) ** 2)
    assert (exact.value, exact.n) == (0.75, 4)
    assert exact.controls[0].value == 0.75  # all coefficients are 1 here
    noisy, sets = by[BOUNDS["interval"], 0.03], by[BOUNDS["set"], 0.03]
    assert (noisy.value, noisy.n) == (0.5, 2)
    assert (sets.value, sets.n) == (1.0, 1)
    assert sets.controls[0].degenerate
    assert by[BOUNDS["set"], 0.0].n == 0
    assert by["class found", 0.03].value == 1.0
    assert len(by) == 6  # no intervals over prompts without noise, and no tolerance with it
    rows = {row["subject"]: row for row in figure(found).rows}
    assert rows["filter"]["subjects"] == 3
    assert rows["filter"]["class found"] == 2
    assert rows["filter"]["taken for"] == "function"
    assert rows["ridge"]["coefficients inside"] == "4 of 6"
    told = sentence(measurements(found))
    assert "75.0% of 4 subjects (class found, noise 0.0)" in told
    assert "50.0% of 2 coefficients (coefficients inside their 95 % intervals, noise 0.03)" in told
    assert "nan" not in told


def test_intervals_seldom_hold_another_subjects_coefficient():
    """The negative control is low where coefficients differ, and intervals are right."""
    found = [
        dataclasses.replace(
            made("function", truth="function", case="ridge"),
            coefficients={"penalty": value},
            intervals={"penalty": (0.9 * value, 1.1 * value)},
        )
        for value in (0.1, 1.0, 10.0)
    ]
    coefficients = next(m for m in measurements(found) if m.quantity == BOUNDS["tolerance"])
    assert coefficients.value == 1.0
    assert coefficients.controls[0].value == 0.0
