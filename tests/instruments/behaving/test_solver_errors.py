"""Errors beside solvers: a network that runs conjugate gradient has its error, and a readout fitted on few prompts its own."""

import dataclasses
import functools
from typing import Any

import pytest

from mesascope.instruments.asking.applicability import NotApplicable
from mesascope.instruments.behaving import solver_errors as se
from mesascope.instruments.reading.iterates import Solver
from mesascope.models.constructions.primal_conjugate_gradient import primal_conjugate_gradient
from mesascope.tasks import Diagonal, Gaussian, LinearRegression
from mesascope.testing import check_instrument

TASK = LinearRegression(
    dim=4, examples=12, noise=0.1, weights="standard", inputs=Gaussian(covariance=Diagonal(condition=100.0))
)
SOLVERS = tuple(
    Solver(method=m, space=s) for m in ("conjugate gradient", "gradient descent") for s in ("feature", "data")
)


@pytest.fixture(scope="module")
def found():
    network = primal_conjugate_gradient(iterations=4)  # one layer to start: the solvers take five steps, and need four
    return se.solver_errors(network, TASK, n=64, fit=128, solvers=SOLVERS[:3], fits=(24,))


def value(found, quantity, answers, over=None) -> Any:
    return next(
        m
        for m in found
        if m.quantity == quantity.name and m.coordinates["answers"] == answers and m.coordinates.get("over") == over
    )


def test_a_network_that_runs_conjugate_gradient_has_its_error(found) -> None:
    cg, data, gd = (s.name for s in SOLVERS[:3])
    assert value(found, se.OVER, se.OWN, cg).value == pytest.approx(1, abs=1e-6)
    assert value(found, se.MSE, se.OWN).value == pytest.approx(value(found, se.MSE, cg).value, rel=1e-6)
    assert value(found, se.OVER, se.OWN, gd).interval[1] < 0.5
    for name in (cg, data, gd):
        assert value(found, se.MSE, name).value >= value(found, se.MSE, se.BAYES).value * 0.99
    assert all(c.value == pytest.approx(1) for c in value(found, se.OVER, se.OWN, gd).controls if c.kind == "positive")
    known = {c.name: c.value for c in value(found, se.MSE, gd).controls}
    assert known["answering zero"] > known[se.BAYES]


def test_a_readout_is_judged_by_how_many_prompts_it_was_fitted_on() -> None:
    network, few, many = primal_conjugate_gradient(iterations=3), 30, 3000
    found = se.solver_errors(network, TASK, n=512, fit=64, solvers=(), fits=(few, many))
    own = value(found, se.MSE, se.OWN).value
    assert value(found, se.MSE, se.plain(many)).value == pytest.approx(own, rel=0.15)
    assert value(found, se.OVER, se.plain(few), se.plain(many)).interval[0] > 1.3  # 25 channels, 30 prompts


def test_single_precision_is_that_of_the_data_space(found) -> None:
    names = {m.coordinates["answers"] for m in found}
    assert {n for n in names if str(n).endswith("single precision")} == {se.single(SOLVERS[1])}


def test_it_keeps_its_promises(tiny, task) -> None:
    check_instrument(functools.partial(se.solver_errors, n=12, fit=12, fits=(8,)), tiny, task)


@pytest.mark.usefixtures("unchecked")
def test_bad_arguments(tiny, task) -> None:
    with pytest.raises(ValueError, match="fits must be a whole number of at least 1; got 0"):
        se.solver_errors(tiny, task, fits=(0,))

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Nameless:
        dim: int = 3
        examples: int = 10
        queries: int = 1

    with pytest.raises(NotApplicable, match="need a linear task with a prior of its weights; got Nameless"):
        se.solver_errors(tiny, Nameless())  # type: ignore[arg-type]
