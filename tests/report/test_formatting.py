import math

import pytest

from mesascope.report.formatting import column, measured, number, one_line
from mesascope.report.studies import told
from mesascope.types import Evidence, Measurement


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        (None, "–"),
        (math.nan, "–"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
        (True, "yes"),
        (False, "no"),
        (0.0, "0"),
        (-0.0, "0"),
        (7, "7"),
        (-7, "−7"),
        (12345, "12\u202f345"),
        (0.12345, "0.123"),
        (-1.2345, "−1.23"),
        (0.9, "0.900"),
        (100.0, "100"),
        (1234.5, "1234"),
        (0.00012345, "1.2×10⁻⁴"),
        (-3.1e-12, "−3.1×10⁻¹²"),
        (2.5e7, "2.5×10⁷"),
        ("text", "text"),
    ],
)
def test_a_number_keeps_three_significant_digits(value: object, printed: str) -> None:
    assert number(value) == printed


@pytest.mark.parametrize(
    ("value", "interval", "printed"),
    [
        (0.93124, (0.9123, 0.9498), "0.931 [0.912, 0.950]"),
        (0.98, (0.9799, 0.9801), "0.98000 [0.97990, 0.98010]"),
        (12.7, (10.71, 15.14), "12.7 [10.7, 15.1]"),
        (512.0, (430.0, 610.0), "512 [430, 610]"),
        (-0.0004, (-0.01, 0.004), "0.000 [−0.010, 0.004]"),
        (3e-7, (1e-7, 4e-7), "3.0×10⁻⁷ [1.0×10⁻⁷, 4.0×10⁻⁷]"),
        (0.5, None, "0.500"),
        (0.0, (0.0, 0.0), "0 [0, 0]"),
        (1.0, (1.0, 1.0), "1.00 [1.00, 1.00]"),
        (0.5, (math.nan, math.inf), "0.500 [–, ∞]"),
        (math.nan, (0.1, 0.2), "– [0.100, 0.200]"),
        (None, None, "–"),
    ],
)
def test_a_value_has_the_decimals_that_its_interval_can_bear(
    value: float | None, interval: tuple[float, float] | None, printed: str
) -> None:
    assert measured(value, interval) == printed


@pytest.mark.parametrize(
    ("value", "interval", "apart", "printed"),
    [
        (0.2385, (0.1396, 0.3374), (0.14, 0.46), "0.2385 [0.1396, 0.3374]"),
        (0.2385, (0.14, 0.3374), (0.14, 0.46), "0.24 [0.14, 0.34]"),
        (0.55, (0.33, 0.9049), (0.9,), "0.550 [0.330, 0.905]"),
        (0.55, (0.33, 0.9), (), "0.55 [0.33, 0.90]"),
        (-0.2, (-0.4, 1e-9), (0.0,), "−0.20 [−0.40, 0.00]"),
    ],
)
def test_what_differs_from_a_bound_does_not_read_as_the_bound(
    value: float, interval: tuple[float, float], apart: tuple[float, ...], printed: str
) -> None:
    assert measured(value, interval, apart) == printed


@pytest.mark.parametrize(
    ("rule", "ours"),
    [
        ("from 0.14 to 0.46", "0.2385 [0.1396, 0.3374]"),
        ("at least 0.1", "0.24 [0.14, 0.34]"),
        ("at most 1e-05", "0.24 [0.14, 0.34]"),
    ],
)
def test_a_study_compares_with_the_bounds_of_its_rule(rule: str, ours: str) -> None:
    m = Measurement(
        instrument="i",
        quantity="q",
        value=0.2385,
        interval=(0.1396, 0.3374),
        n=9,
        unit="1",
        coordinates={},
        controls=(),
    )
    assert told(Evidence(rule=rule, measurement=m, holds=None))[1] == ours


@pytest.mark.parametrize(
    ("values", "printed"),
    [
        ([0.93, 0.041, 0.0], ["0.930", "0.041", "0.000"]),
        ([0.0012, 0.111], ["0.0012", "0.1110"]),
        ([1.0, 100.0, 1000.0], ["1.00", "100", "1000"]),
        ([0.5, 3e-9], ["0.500", "3.0×10⁻⁹"]),
        ([0.5, None, math.nan, 3], ["0.500", "–", "–", "3"]),
        ([0.002, 900.0], ["0.00200", "900"]),
        (["a", 1], ["a", "1"]),
        ([], []),
    ],
)
def test_a_column_shares_its_decimals_where_magnitudes_allow(values: list[object], printed: list[str]) -> None:
    assert column(values) == printed


def test_text_for_a_picture_has_one_line_and_no_control_characters() -> None:
    assert one_line(" a\nb\r\n\x00c\u2028d\ud800 ") == "a b c d"
