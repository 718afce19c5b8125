"""What rounding leaves of conjugate gradient: by form, precision and condition number."""

import pytest

from mesascope.instruments.behaving.rounding import ERROR, ITSELF, RESIDUAL, rounding
from mesascope.models.constructions import conjugate_gradient
from mesascope.report.figures import draw
from mesascope.studies.bench import Bench
from mesascope.studies.constructions import rounding as study
from mesascope.studies.measure import works
from mesascope.studies.rules import known
from mesascope.types import Measurement

QUANTITIES = (ERROR, RESIDUAL)
CONDITIONS = study.CONDITIONS
EPSILON = {"float64": 2.2e-16, "float32": 1.2e-7}
both = pytest.mark.parametrize("precision", EPSILON)


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Bench:
    nowhere = tmp_path_factory.mktemp("study")
    return Bench(profile="smoke", seed=0, directory=nowhere, networks=nowhere)


@pytest.fixture(scope="module")
def found(bench) -> list[Measurement]:
    """All measures of the study."""
    done = (work.run(lambda words: None) for measure in study.STUDY.measures for work in works(measure, bench))
    return [m for measured in done for m in measured.measurements]


def by_condition(found: list[Measurement], form: str, precision: str, quantity: str) -> list[float]:
    """Values by condition number; the reference is a control of every form."""
    place = ("dual" if form == "reference" else form, precision, quantity)
    rows = [m for m in found if (m.coordinates["form"], m.coordinates["precision"], m.quantity) == place]
    rows = [known(m, ITSELF) for m in rows] if form == "reference" else rows
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
        assert reference[0] < reference[3] < reference[-1]
        assert 30 * dual[-1] < reference[-1] < 1e5 * EPSILON[precision]


@both
def test_the_pipelined_form_loses_most(found, precision):
    for quantity in QUANTITIES:
        pipelined = by_condition(found, "pipelined", precision, quantity)
        reference = by_condition(found, "reference", precision, quantity)
        assert pipelined[3] > 100 * reference[3]
        assert pipelined[3] < 1e-9 if precision == "float64" else pipelined[3] < 0.1


@both
def test_the_primal_form_is_the_algorithm(found, precision):
    for quantity in QUANTITIES:
        primal = by_condition(found, "primal", precision, quantity)
        reference = by_condition(found, "reference", precision, quantity)
        assert all(0.05 < a / b < 20 for a, b in zip(primal, reference, strict=True))


def test_the_controls_stand_beside_every_number(found):
    for m in found:
        itself, easy, zero = m.controls
        assert (itself.kind, easy.kind, zero.kind) == ("positive", "positive", "negative")
        assert (itself.name, easy.name, zero.name) == ("the algorithm itself", "κ = 1", "answering zero")
        assert zero.value == pytest.approx(1)
        assert easy.value < 20 * EPSILON[str(m.coordinates["precision"])]
        assert itself.value < 0.01


def test_the_figure_can_be_drawn(found, bench):
    (figure,) = study.STUDY.figures(found, bench)
    assert draw(figure)["usermeta"]["hidden"] == 0
    assert len(figure.rows) == 4 * 2 * len(CONDITIONS)


def test_the_seed_is_the_measurement():
    network, options = conjugate_gradient(iterations=2), {"n": 2, "conditions": (1.0, 10.0), "iterations": 2}
    small = [rounding(network, study.TASK, seed=seed, **options) for seed in (1, 1, 2)]
    assert small[0] == small[1]
    assert small[0] != small[2]
