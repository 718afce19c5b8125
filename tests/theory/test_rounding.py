"""Numbers with a size: the size is that of what was added up, also where little is left of it."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mesascope.theory.rounding import Rounded

HALVES = st.integers(-9, 9).map(lambda n: Fraction(n, 2))


def test_what_cancels_keeps_the_size_of_its_terms() -> None:
    x = torch.tensor([[3.0, 1.0], [1.0, 2.0]], dtype=torch.float64)
    y = torch.tensor([[1.0, -3.0], [1.0, 1.0]], dtype=torch.float64)
    total = Rounded.total(x * y)
    assert total.value.tolist() == [0, 3]
    assert total.size.tolist() == [6, 3]
    quotient = (total[1] - 2) / 4
    assert (quotient.value, quotient.size) == (0.25, 1.25)
    assert (1 / Rounded(Fraction(2), Fraction(6))).size == Fraction(3, 2)  # six halves of its rounding, relative to ½


@given(a=HALVES, b=HALVES, c=HALVES, n=st.integers(0, 4))
def test_the_value_is_that_of_the_plain_numbers_and_never_above_the_size(
    a: Fraction, b: Fraction, c: Fraction, n: int
) -> None:
    known = Rounded.of(b)
    for plain, sized in (
        (a + b, a + known),
        (a - b, a - known),
        (b - a, known - a),
        (a * b, a * known),
        (abs(a - b) ** n, abs(a - known) ** n),
        (-(a + b - a), -(a + known - a)),
        *(((b / c, known / c), (c / (c * c), c / (Rounded.of(c) * c))) if c else ()),
    ):
        assert sized.value == plain
        assert sized.size >= abs(plain)
        assert Rounded.of(sized) is sized


@pytest.mark.parametrize(
    "numbers", [torch.tensor([1.0, 2.0]), np.array([Fraction(1), Fraction(2)])], ids=["floats", "fractions"]
)
def test_arrays_on_the_left_leave_the_arithmetic_to_it(numbers: object) -> None:
    known = Rounded.of(numbers)
    for result in (numbers + known, numbers - known, numbers * known, numbers / known):  # type: ignore[operator]
        assert isinstance(result, Rounded)
        assert len(result.value) == 2
