"""A silent failure is said in a sentence, on the page too: the first in full, then the names of the others."""

import pytest

from mesascope.report import page, silent_failures
from mesascope.types import Control, Measurement


def flag(setting: str, value: float) -> Measurement:
    return Measurement(
        instrument="silent failure",
        quantity="silent failure",
        value=value,
        interval=None,
        n=64,
        coordinates={"setting": setting, "in words": f"{setting}: the order is <lost>."},
        controls=(Control(kind="negative", name="least squares", value=0.0),),
    )


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        ((), []),
        (("a",), ["Silent failure. a: the order is <lost>."]),
        (("a", "c"), ["Silent failure. a: the order is <lost>.", "Silent failure in another setting: c."]),
        (
            ("a", "b", "c"),
            ["Silent failure. a: the order is <lost>.", "Silent failure in 2 other settings: b; c."],
        ),
    ],
)
def test_it_is_said_in_sentences(make_record, raised, said):
    record = make_record(measurements=tuple(flag(name, float(name in raised)) for name in "abc"))
    assert silent_failures(record) == said
    assert ('<p class="warning">Silent failure. a: the order is &lt;lost&gt;.' in page(record)) == bool(raised)


def test_other_measurements_say_nothing(make_record):
    assert silent_failures(make_record()) == []
