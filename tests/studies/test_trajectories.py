"""Features of curves over training, on planted curves whose features are known."""

import dataclasses
import math
from collections.abc import Sequence
from itertools import pairwise

import pytest

from mesascope.studies.language_models import trajectories as t
from mesascope.studies.rules import where
from mesascope.types import Control, Measurement

STEPS = [round(2 ** (i / 4)) for i in range(8, 65)]
NULL = "nobody's"


def along(share: float) -> float:
    return STEPS[0] * (STEPS[-1] / STEPS[0]) ** share


def broken_line(step: int, knots: Sequence[tuple[float, float]]) -> float:
    at = math.log(step / STEPS[0]) / math.log(STEPS[-1] / STEPS[0])
    for (left, low), (right, high) in pairwise(knots):
        if left <= at <= right:
            return low + (at - left) / (right - left) * (high - low)
    raise AssertionError(step)


def curve(knots: Sequence[tuple[float, float]], half: float = 0.01, null: float = 0.0) -> list[Measurement]:
    return [
        Measurement(
            instrument="ruler",
            quantity="height",
            value=(v := broken_line(step, knots)),
            interval=(v - half, v + half),
            n=100,
            coordinates={"network": "a", "step": step},
            controls=(Control(kind="negative", name=NULL, value=null, interval=(null - half, null + half)),),
        )
        for step in STEPS
    ]


SHAPE = [(0, 0.0), (0.3, 0.0), (0.5, -0.8), (0.8, 1.6), (1, 1.2)]
KNOWN = [
    (t.PEAK, 1.6, 0.05),
    (t.PEAK_STEP, along(0.8), 0.2 * along(0.8)),
    (t.FINAL, 1.2, 1e-9),
    (t.DECAY, 0.25, 0.03),
    (t.VALLEY, -0.8, 0.08),
    (t.VALLEY_STEP, along(0.5), 0.2 * along(0.5)),
    (t.CROSSING, along(0.6), 0.05 * along(0.6)),
    (t.HALF, along(0.7), 0.05 * along(0.7)),
    (t.HALF_RISE, along(0.7), 0.05 * along(0.7)),
]


@pytest.mark.parametrize(("feature", "expected", "within"), KNOWN, ids=lambda value: getattr(value, "name", None))
def test_features_of_a_known_curve(feature: t.Feature, expected: float, within: float) -> None:
    (found,) = t.feature(where("height", network="a"), feature, NULL).among(curve(SHAPE))
    assert found.value == pytest.approx(expected, abs=within)
    low, high = found.interval or (0, 0)
    assert low <= high and low - within <= expected <= high + within
    assert found.coordinates == {"network": "a"} and found.n == 100
    (planted,) = (c for c in found.controls if c.kind == "positive")
    truth = float(planted.name.removeprefix("planted at "))
    assert planted.value == pytest.approx(truth, rel=0.3, abs=0.08)


def test_the_controls_curve_is_read_in_the_same_way() -> None:
    (peak,) = t.read(curve(SHAPE, null=0.3), t.PEAK, NULL)
    assert {c.name: c.value for c in peak.controls if c.kind == "negative"} == {NULL: pytest.approx(0.3)}


def test_what_a_curve_does_not_have_is_not_said() -> None:
    rising = [(0, 0.1), (1, 1.0)]
    assert t.read(curve(rising), t.CROSSING, NULL) == []  # it began above 0
    assert t.read(curve([(0, -0.1), (1, -1.0)]), t.HALF, NULL) == []  # its peak is below 0
    assert t.read(curve([(0, -0.1), (1, -1.0)]), t.CROSSING, NULL) == []
    assert t.read(curve(rising)[:2], t.PEAK, NULL) == []
    (valley,) = t.read(curve([(0, 0.2), (0.5, 1.0), (1, -1.0)]), t.VALLEY, NULL)
    assert valley.value == pytest.approx(0.2)  # what comes after the peak is no valley


def test_the_crossing_is_the_last_one() -> None:
    twice = [(0, -1.0), (0.3, 1.0), (0.5, -1.0), (1, 1.0)]
    (found,) = t.read(curve(twice), t.CROSSING, NULL)
    assert found.value == pytest.approx(along(0.75), rel=0.05)


def test_a_decay_stands_beside_what_noise_alone_gives() -> None:
    def noise(half: float) -> tuple[float, Control]:
        (found,) = t.read(curve([(0, 0.0), (0.5, 1.0), (1, 1.0)], half=half), t.DECAY, NULL)
        return found.value, next(c for c in found.controls if "noise" in c.name)

    quiet, loud = noise(0.01), noise(0.5)
    assert quiet[0] == pytest.approx(0, abs=1e-9) and abs(quiet[1].value) < 0.05
    assert loud[1].value > 0.2  # the largest of so many noisy values is far above the last one


def test_an_interval_holds_its_value_however_noisy_the_curve() -> None:
    for feature in (t.PEAK, t.VALLEY, t.DECAY, t.FINAL):
        (found,) = t.read(curve(SHAPE, half=0.8), feature, NULL)
        low, high = found.interval or (0, 0)
        assert low < found.value < high, feature.name
    (peak,) = t.read(curve(SHAPE, half=0.8), t.PEAK, NULL)
    assert peak.interval == pytest.approx((peak.value - 0.8, peak.value + 0.8), abs=0.1)  # that of the value itself


def test_the_plateau_ends_where_the_intervals_part() -> None:
    (found,) = t.plateau(where("height"), NULL).among(curve(SHAPE))
    assert along(0.28) < found.value < along(0.36)
    (other,) = t.flat(curve(SHAPE, null=0.0, half=3.0), NULL)
    assert other.value == STEPS[-1]  # never apart
    assert t.flat(curve(SHAPE, null=-1.0), NULL) == []  # never together
    assert found.controls[0].value == pytest.approx(along(0.25), rel=0.3)


def test_curves_that_go_together() -> None:
    a, b, back = (
        curve(knots, half=1e-6) for knots in ([(0, 0.0), (1, 1.0)], [(0, 3.0), (1, 9.0)], [(0, 1.0), (1, 0.0)])
    )
    (same,) = t.correlated("together", a, b)
    assert same.value == pytest.approx(1) and same.n == len(STEPS)
    (opposite,) = t.correlated("together", a, back)
    assert opposite.value == pytest.approx(-1)
    null = same.controls[1]
    assert null.value == pytest.approx(0, abs=0.02) and null.interval is not None
    assert null.interval[0] == pytest.approx(-2 / len(STEPS) ** 0.5, rel=0.3)
    assert t.correlated("together", a[:3], b) == []


def test_half_of_the_rise_counts_from_the_first_value() -> None:
    (found,) = t.read(curve([(0, 1.0), (0.5, 1.0), (1, 3.0)]), t.HALF_RISE, NULL)
    assert found.value == pytest.approx(along(0.75), rel=0.05)
    assert t.read(curve([(0, 1.0), (1, -1.0)], half=0), t.HALF_RISE, NULL) == []


def test_a_quantity_where_another_peaks_and_at_the_end() -> None:
    other = [
        dataclasses.replace(m, quantity="width", value=float(step)) for m, step in zip(curve(SHAPE), STEPS, strict=True)
    ]
    height, width = where("height", network="a"), where("width", network="a")
    (found,) = t.at_peak(width, height).among([*curve(SHAPE), *other])
    assert found.value == pytest.approx(along(0.8), rel=0.1)
    (last,) = t.at_end(width).among(other)
    assert last.value == STEPS[-1]
    assert t.at_peak(width, height).among([]) == t.at_end(width).among([]) == ()
