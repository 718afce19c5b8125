"""Krylov forms of hand-built networks whose polynomial is known."""

import pytest
import torch

from mesascope.instruments.spectral import krylov
from mesascope.models.constructions import conjugate_gradient, gradient_descent
from mesascope.report.figures import draw
from mesascope.tasks import LinearRegression
from mesascope.testing import check_instrument

SIZE = {"fit": 96, "score": 96, "queries": 12}


@pytest.fixture(scope="module")
def task():
    return LinearRegression(dim=5, examples=12)


def by_form(subject, task, look, **options):
    value, _ = look
    found = krylov.krylov(subject, task, **SIZE, **options)
    return lambda form, scope=krylov.FIXED, answers=krylov.ANSWERS: value(
        found, krylov.R2.name, form=form, coefficients=scope, answers=answers
    )


def test_two_steps_of_gradient_descent_are_of_degree_one(task, look):
    _, control = look
    at = by_form(gradient_descent(layers=2, step_size=0.3), task, look)
    assert at("degree 0").value < 0.995
    for scope in (krylov.FIXED, krylov.OWN):
        assert at("degree 1", scope).value == pytest.approx(1, abs=1e-9)
    assert at(krylov.FILTER).value > 0.999
    assert at(krylov.LINEAR, krylov.OWN).value == pytest.approx(1, abs=1e-9)
    for form in ("degree 0", "degree 1", "degree 2", "degree 3"):
        assert control(at(form), "an algorithm of this form") == pytest.approx(1, abs=1e-6)
        assert control(at(form), "another prompt's terms") < 0.1


def test_conjugate_gradient_takes_its_coefficients_from_the_prompt(task, look):
    at = by_form(conjugate_gradient(iterations=2), task, look)
    assert at("degree 1", krylov.OWN).value == pytest.approx(1, abs=1e-9)
    assert at("degree 1").value < 0.98
    assert at("degree 3").value < 0.999


def test_the_readout_of_an_inner_layer_has_its_own_degree(task, look):
    subject = gradient_descent(layers=2, step_size=0.3)
    at = by_form(subject, task, look, sites=subject.path[:1])
    assert at("degree 0", answers=str(subject.path[0])).value == pytest.approx(1, abs=1e-9)


def test_the_terms_are_what_they_say(task):
    p = task.sample(3, seed=1)
    gram = p.xs.mT @ p.xs / p.examples
    third = p.queries @ (gram @ gram @ p.xs.mT @ p.ys[..., None] / p.examples)
    torch.testing.assert_close(krylov.krylov_terms(p, 3)[..., 2:], third)


def test_it_keeps_an_instruments_promises(tiny):
    task = LinearRegression(dim=3, examples=10)
    check_instrument(
        lambda subject, task, seed=0: krylov.krylov(subject, task, seed=seed, fit=24, score=24, queries=8), tiny, task
    )
    assert draw(krylov.figure(krylov.krylov(tiny, task, fit=24, score=24, queries=8)))["data"]["values"]


def test_too_few_queries_are_refused(tiny, task):
    with pytest.raises(ValueError, match="queries must be at least twice the coefficients"):
        krylov.krylov(tiny, task, queries=6)
