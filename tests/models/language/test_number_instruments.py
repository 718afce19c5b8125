"""What the four instruments about the making of a number promise, as all instruments do."""

import math
from functools import partial
from types import SimpleNamespace

import pytest

from mesascope.instruments.attending.number_attention import number_attention
from mesascope.instruments.intervening.number_mlp import number_mlp
from mesascope.instruments.intervening.number_patching import number_patching
from mesascope.instruments.reading.logit_difference import logit_difference
from mesascope.tasks import DigitRegression
from mesascope.testing.comparison import altered, state

TASK = DigitRegression(examples=5)
PAIR = ("knn-1-distance", "mean")
MEASURES = {
    "logit difference": partial(logit_difference, n=6, pairs=[PAIR], split=True),
    "number patching": partial(number_patching, n=12, pair=PAIR),
    "number attention": partial(number_attention, n=4),
    "number mlp": partial(number_mlp, n=4),
}


@pytest.mark.parametrize("name", MEASURES)
def test_numbers_are_sound_repeat_and_leave_the_model_as_it_is(tiny: SimpleNamespace, name: str) -> None:
    subject = tiny.subject("gpt2", None, tiny.tokenizer(digits_apart=True))
    before = state(subject)
    found, again = (MEASURES[name](subject, TASK, seed=1) for _ in range(2))
    assert repr(found) == repr(again) != repr(MEASURES[name](subject, TASK, seed=2))
    assert not altered(before, state(subject))
    assert all(
        not module._forward_hooks and not module._forward_pre_hooks for module in subject.network.model.modules()
    )
    assert len({(m.quantity, *sorted(map(str, m.coordinates.items()))) for m in found}) == len(found)
    for m in found:
        assert m.instrument == name and m.controls and m.n >= 1 and math.isfinite(m.value), m
        for value, interval in ((m.value, m.interval), *((c.value, c.interval) for c in m.controls)):
            assert not math.isnan(value)
            assert interval is None or interval[0] - 1e-9 <= value <= interval[1] + 1e-9, m
