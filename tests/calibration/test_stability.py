"""What rounding leaves of conjugate gradient: by form, precision and condition number."""

import pytest

from mesascope.calibration.stability import QUANTITIES, stability
from mesascope.report.figures import draw
from mesascope.types import Figure, Measurement

CONDITIONS = (1.0, 1e4, 1e8)
EPSILON = {"float64": 2.2e-16, "float32": 1.2e-7}
both = pytest.mark.parametrize("precision", EPSILON)


@pytest.fixture(scope="module")
def found() -> tuple[tuple[Measurement, ...], Figure]:
    return stability(conditions=CONDITIONS, iterations=40, prompts=16)


def by_condition(
    found: tuple[tuple[Measurement, ...], Figure], form: str, precision: str, quantity: str
) -> list[float]:
    rows = [
        m
        for m in found[0]
        if (m.coordinates["form"], m.coordinates["precision"], m.quantity) == (form, precision, quantity)
    ]
    assert [m.coordinates["condition"] for m in rows] == list(CONDITIONS)
    assert all(m.interval and 0 < m.interval[0] <= m.value <= m.interval[1] for m in rows)
    return [m.value for m in rows]


@both
@pytest.mark.parametrize("form", ["reference", "dual", "pipelined", "primal"])
def test_where_it_is_easy_only_rounding_is_left(found, form, precision):
    for quantity in QUANTITIES:
        assert by_condition(found, form, precision, quantity)[0] < 20 * EPSILON[precision]


@both
def test_the_dual_form_keeps_all_digits_and_the_algorithm_itself_loses_some(found, precision):
    for quantity in QUANTITIES:
        dual = by_condition(found, "dual", precision, quantity)
        reference = by_condition(found, "reference", precision, quantity)
        assert max(dual) < 30 * EPSILON[precision]
        assert reference[0] < reference[1] < reference[2]
        assert 30 * dual[2] < reference[2] < 1e5 * EPSILON[precision]


@both
def test_the_pipelined_form_loses_most(found, precision):
    for quantity in QUANTITIES:
        pipelined = by_condition(found, "pipelined", precision, quantity)
        reference = by_condition(found, "reference", precision, quantity)
        assert pipelined[1] > 100 * reference[1]
        assert pipelined[1] < 1e-9 if precision == "float64" else pipelined[1] < 0.1


@both
def test_the_primal_form_is_the_algorithm(found, precision):
    for quantity in QUANTITIES:
        primal = by_condition(found, "primal", precision, quantity)
        reference = by_condition(found, "reference", precision, quantity)
        assert all(0.05 < a / b < 20 for a, b in zip(primal, reference, strict=True))


def test_the_controls_stand_beside_every_number(found):
    for m in found[0]:
        itself, easy, zero = m.controls
        assert (itself.kind, easy.kind, zero.kind) == ("positive", "positive", "negative")
        assert (itself.name, easy.name, zero.name) == ("the algorithm itself", "κ = 1", "answering zero")
        assert zero.value == pytest.approx(1)
        assert easy.value < 20 * EPSILON[str(m.coordinates["precision"])]
        assert itself.value < 0.01
        if m.coordinates["form"] == "reference":
            assert itself.value == m.value


def test_the_figure_can_be_drawn(found):
    assert draw(found[1])["usermeta"]["hidden"] == 0
    assert len(found[1].rows) == 4 * 2 * len(CONDITIONS)


def test_the_seed_is_the_measurement():
    small = [stability(seed, conditions=(1.0, 10.0), iterations=2, prompts=2)[0] for seed in (1, 1, 2)]
    assert small[0] == small[1]
    assert small[0] != small[2]
