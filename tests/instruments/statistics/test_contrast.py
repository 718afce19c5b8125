"""Differences of measurements, with those of their controls."""

import dataclasses

import pytest

from mesascope.instruments.statistics.contrast import difference
from mesascope.types import Control, Measurement

A = Measurement(
    instrument="ruler",
    quantity="length",
    value=5.0,
    interval=(2.0, 9.0),
    n=10,
    unit="m",
    coordinates={"of": "a", "at": "noon"},
    controls=(
        Control(kind="positive", name="a metre", value=1.0, interval=(0.9, 1.1)),
        Control(kind="negative", name="a point", value=0.0),
        Control(kind="negative", name="only here", value=7.0),
    ),
)
B = dataclasses.replace(
    A, value=3.0, interval=(-1.0, 7.0), n=8, coordinates={"of": "b", "at": "noon"}, controls=A.controls[:2]
)


def test_values_and_controls_are_subtracted_and_half_widths_added_in_quadrature():
    found = difference(A, B)
    assert (found.value, found.n, found.unit) == (2.0, 8, "m")
    assert found.interval == (2 - 5.0, 2 + (16 + 16) ** 0.5)  # hypot(3, 4) below, hypot(4, 4) above
    assert found.coordinates == {"at": "noon"}
    assert [(c.name, c.value) for c in found.controls] == [("a metre", 0.0), ("a point", 0.0)]
    assert found.controls[0].interval == pytest.approx((-(0.02**0.5), 0.02**0.5))
    assert found.controls[1].interval is None


def test_it_can_be_told_where_it_stands():
    assert difference(A, B, sort="late").coordinates == {"sort": "late"}
    assert difference(dataclasses.replace(A, interval=None), B).interval is None


def test_units_must_agree():
    with pytest.raises(ValueError, match=r"a and b must have the same unit; got 'm' and '1'"):
        difference(A, dataclasses.replace(B, unit="1"))
