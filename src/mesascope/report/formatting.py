"""Numbers for readers: three significant digits, or as many decimals as the interval supports."""

import math
import re
from collections.abc import Sequence

MISSING = "–"
MOST = 6
"""Decimals."""
LABELS = {"identified": "Identified", "indistinguishable": "Indistinguishable", "none": "None of the candidates"}
"""The labels of verdicts, as headings."""
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: object) -> str:
    """One value as text. Text is unchanged; a missing value or NaN is a dash."""
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        # Group digits only from five on: years, steps and widths of four digits are easier to read without gaps.
        return (f"{value:,}".replace(",", "\u202f") if abs(value) >= 10_000 else str(value)).replace("-", "−")
    if not isinstance(value, float):
        return str(value)
    if math.isnan(value):
        return MISSING
    if value == 0 or math.isinf(value):
        return "0" if value == 0 else "∞" if value > 0 else "−∞"
    if not 1e-3 <= abs(value) < 1e5:
        return _scientific(value)
    if value.is_integer() and abs(value) >= 10:
        return f"{value:.0f}".replace("-", "−")
    return _fixed(value, max(0, 2 - _exponent(value)))


def measured(value: float | None, interval: Sequence[float] | None, apart: Sequence[float] = ()) -> str:
    """A value and its interval, with decimals for two digits of the interval's width: ``0.931 [0.912, 0.950]``.

    Args:
        value, interval: see above.
        apart: numbers that they are compared with. There are more decimals where the usual ones would show no difference.
    """
    low, high = (None, None) if interval is None else interval
    if interval is None or value is None or not all(math.isfinite(float(v)) for v in (value, *interval)):
        return number(value) if interval is None else f"{number(value)} [{number(low)}, {number(high)}]"
    width = abs(float(interval[1]) - float(interval[0]))
    printed = _together([float(value), *map(float, interval)], width, apart)
    return f"{printed[0]} [{printed[1]}, {printed[2]}]"


def one_line(text: str) -> str:
    """Text for a picture, where a line break would break an expression, and a control character the whole picture."""
    return re.sub(r"[\x00-\x20\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]+", " ", text).strip()


def column(values: Sequence[object]) -> list[str]:
    """The numbers of one table column, with equal numbers of decimals if their magnitudes allow it."""
    floats = [abs(v) for v in values if isinstance(v, float) and math.isfinite(v) and v]
    if not floats or not all(1e-3 <= v < 1e5 for v in floats) or all(v.is_integer() for v in floats):
        return [number(v) for v in values]
    decimals = max(0, 2 - _exponent(max(floats)), 1 - _exponent(min(floats)))
    if decimals > 4 - _exponent(max(floats)):
        return [number(v) for v in values]
    return [_fixed(v, decimals) if isinstance(v, float) and math.isfinite(v) else number(v) for v in values]


def _together(values: list[float], width: float, apart: Sequence[float]) -> list[str]:
    largest = max(abs(v) for v in values)
    if largest == 0:
        return ["0"] * len(values)
    if not 1e-3 <= largest < 1e5:
        return [_scientific(v) for v in values]
    usual = min(max(1 - _exponent(width) if width else 2 - _exponent(largest), 0), MOST)
    telling = (
        places
        for places in range(usual, MOST + 1)
        if not any(round(v, places) == bound != v for v in values for bound in apart)
    )
    decimals = next(telling, usual)
    return [_fixed(v, decimals) for v in values]


def _exponent(value: float) -> int:
    return math.floor(math.log10(abs(value)))


def _fixed(value: float, decimals: int) -> str:
    text = f"{value:.{decimals}f}"
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", "−")


def _scientific(value: float) -> str:
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}×10{str(int(exponent)).translate(_SUPERSCRIPT)}".replace("-", "−")
