"""The instrument `curvature` on language models: prompts written with numbers of one digit and of two."""

from functools import partial

import pytest

from mesascope.instruments.reading.curvature import DESCENT, SPEARMAN, curvature
from mesascope.instruments.reading.refinement import FRESH, OTHERS
from mesascope.models.language import Numbers, Template
from mesascope.tasks import DigitRegression
from mesascope.testing import check_instrument

WIDE = DigitRegression(spreads=(1, 2, 4, 10))


def test_it_keeps_the_promises_of_an_instrument(tiny):
    check_instrument(partial(curvature, n=24, queries=2), tiny.subject(), DigitRegression())


def test_numbers_of_two_digits_need_another_template(tiny):
    with pytest.raises(ValueError, match="xs must lie between 0 and 9"):
        curvature(tiny.subject(), WIDE, n=24, queries=1)
    found = curvature(tiny.subject(), WIDE, n=24, queries=1, template=Template(inputs=Numbers(highest=99.0)))
    ranked = [m for m in found if m.quantity == SPEARMAN]
    assert len(ranked) == 2
    assert all({OTHERS, DESCENT, FRESH} <= {c.name for c in m.controls} for m in ranked)
