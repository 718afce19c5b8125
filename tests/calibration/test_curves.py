"""Power curves: more prompts tell more, noise hides."""

import importlib

import pytest

from mesascope.calibration.curves import PAIRS, figure, power_curves
from mesascope.report.figures import draw
from mesascope.types import Measurement

NOISES, COUNTS, REPETITIONS = (0.0, 0.2), (10, 100), 20


@pytest.fixture(scope="module")
def found() -> tuple[Measurement, ...]:
    with pytest.MonkeyPatch.context() as patch:
        curves = importlib.import_module("mesascope.calibration.curves")
        for name, value in {"POOL": 1000, "NOISES": NOISES, "COUNTS": COUNTS}.items():
            patch.setattr(curves, name, value)
        return power_curves(seed=0, repetitions=REPETITIONS)


def values(found: tuple[Measurement, ...], pair: tuple[str, str]) -> dict[tuple[float, int], float]:
    return {
        (m.coordinates["noise"], m.coordinates["prompts"]): m.value
        for m in found
        if (m.coordinates["subject"], m.coordinates["against"]) == pair
    }


@pytest.mark.parametrize("pair", PAIRS, ids=" against ".join)
def test_power_rises_with_prompts_and_falls_with_noise(found, pair):
    power = values(found, pair)
    assert set(power) == {(noise, count) for noise in NOISES for count in COUNTS}
    for noise in NOISES:
        assert power[noise, 10] <= power[noise, 100]
    for count in COUNTS:
        assert power[0.2, count] <= power[0.0, count]
    assert power[0.2, 10] < power[0.0, 100]


def test_what_differs_much_is_told_apart_and_what_hardly_differs_is_not(found):
    assert values(found, PAIRS[0])[0.0, 10] == 1.0
    assert values(found, PAIRS[2])[0.2, 10] == 0.0  # Nesterov against heavy ball


def test_controls_stand_beside_every_number(found):
    for m in found:
        lost, dropped = m.controls
        assert (lost.kind, dropped.kind) == ("negative", "positive")
        assert lost.value <= 0.15  # by construction one in twenty at most; three of twenty are within chance
        assert dropped.value >= m.value  # whoever is told from all is told from zero
        assert m.interval is not None and m.interval[0] <= m.value <= m.interval[1]
        assert m.n == REPETITIONS
        # These pairs differ on few prompts only, and nothing else is looked at.
        few = m.coordinates["against"] in ("heavy-ball", "newton-schulz:identity")
        if m.coordinates["prompts"] == 100 and not few:
            assert dropped.value > 0.9


def test_the_figure_has_a_row_a_number_and_can_be_drawn(found):
    picture = figure(found)
    assert len(picture.rows) == len(found) == len(PAIRS) * len(NOISES) * len(COUNTS)
    assert [row["power"] for row in picture.rows] == [m.value for m in found]
    assert {row["pair"] for row in picture.rows} == {
        "cg against pcg",
        "cg against data-space-conjugate-gradient",
        "nesterov against heavy-ball",
        "gd against newton-schulz:identity",
    }
    assert draw(picture)["usermeta"]["hidden"] == 0


def test_the_figure_takes_power_alone(found):
    other = Measurement(instrument="coverage", quantity="share", value=0.5, interval=None, n=1)
    assert figure((other,)).rows == ()
    assert len(figure((*found, other)).rows) == len(found)
