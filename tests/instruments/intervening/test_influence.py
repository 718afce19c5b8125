"""On whose labels answers depend: all for a method that learns, one for a subject that reads one example."""

import pytest

from mesascope.instruments.intervening.influence import COUNT, SHARE, figure, influence
from mesascope.models.constructions import gradient_descent
from mesascope.tasks import LinearRegression

TASK = LinearRegression(dim=3, examples=8)


def test_gradient_descent_uses_every_example(look):
    value, control = look
    found = influence(gradient_descent(layers=2), TASK, n=400)
    count = value(found, COUNT.name)
    assert 7.5 < count.value <= 8 + 1e-9
    assert control(count, "least squares") == pytest.approx(8, abs=0.5)
    assert control(count, "the first example alone") == pytest.approx(1)
    shares = [value(found, SHARE, example=k + 1) for k in range(8)]
    assert sum(m.value for m in shares) == pytest.approx(1)
    assert all(m.value == pytest.approx(1 / 8, abs=0.05) for m in shares)
    assert [control(m, "the first example alone") for m in shares] == [1, *[0] * 7]
    rows = figure(found).rows
    assert {row["whose"] for row in rows} == {"subject", "least squares", "the first example alone"}
    assert len(rows) == 3 * 8


def test_a_subject_that_reads_one_example_counts_one(look, monkeypatch):
    value, _ = look
    from mesascope.instruments.behaving.errors import from_one_example
    from mesascope.instruments.intervening import influence as instrument

    monkeypatch.setattr(instrument, "answers", lambda _, p: from_one_example(p))
    found = influence(gradient_descent(layers=1), TASK, n=50)
    assert value(found, COUNT.name).value == pytest.approx(1)
    assert value(found, SHARE, example=1).value == 1
    assert value(found, SHARE, example=2).value == 0
