"""The signature: the plane by a singular value decomposition, no shift and a planted one, and the correlation by SciPy."""

import functools

import pytest
import torch
from scipy.stats import spearmanr

from mesascope.instruments.asking.collect import at_queries
from mesascope.instruments.behaving import signature as s
from mesascope.instruments.behaving.stress import RATIO, StressTest
from mesascope.models.constructions.primal_gradient_descent import primal_gradient_descent
from mesascope.tasks import Diagonal, Gaussian, LinearRegression
from mesascope.testing import check_instrument
from mesascope.types import Site, adjusted


def wide(*, rotate: bool = False) -> LinearRegression:
    """The answer and the first input are the strongest directions, each far from the next."""
    inputs = Gaussian(covariance=Diagonal(condition=20.0, scale="smallest", rotate=rotate))
    return LinearRegression(dim=4, examples=12, noise=0.1, weights="standard", inputs=inputs)


TASK, ROTATED = wide(), wide(rotate=True)
TABLE = (
    StressTest(name="training", task=TASK),
    StressTest(name="rotated", task=ROTATED),
    *(StressTest(name=f"inputs times {f:g}", task=TASK, size=f * f) for f in (0.5, 2.0, 4.0)),
)
NETWORK = primal_gradient_descent(layers=3, step_size=0.05)
LAST = Site(layer=2, kind="resid_post")


@pytest.fixture(scope="module")
def found():
    return s.signature(NETWORK, TASK, table=TABLE, n=48, queries=4)


def at(found, quantity, setting):
    return next(m for m in found if m.quantity == quantity and m.coordinates.get("setting") == setting)


def test_agreement_is_that_of_the_singular_vectors(found) -> None:
    def plane(prompts):
        return torch.linalg.svd(at_queries(NETWORK, prompts, [LAST])[1][LAST].double().flatten(0, 1)).Vh[:2]

    training = adjusted(TASK, queries=4).sample(192, seed=0, stream=f"{s.NAME}/training")
    ours = plane(training)
    for row in (TABLE[0], TABLE[2]):
        cosines = torch.linalg.svdvals(ours @ plane(row.sample(48, seed=0, stream=s.NAME)).T)
        assert at(found, s.AGREEMENT, row.name).value == pytest.approx(float(cosines.square().mean()), abs=1e-6)


def test_no_shift_agrees_and_a_planted_one_does_not(found) -> None:
    m = at(found, s.AGREEMENT, "training")
    known = {c.name: c for c in m.controls}
    assert m.value > 0.9 and known[s.AGAIN].value > 0.9 and known[s.AGAIN].kind == "negative"
    assert known[s.TURNED].value < 0.4 and known[s.TURNED].kind == "positive"
    assert at(found, s.AGREEMENT, "rotated").value < m.value - 0.1  # the strongest inputs lie elsewhere


def test_the_error_is_that_over_ridge(found) -> None:
    training, longer = (at(found, RATIO.name, name).value for name in ("training", "inputs times 4"))
    assert longer > 100 * training
    assert all(c.value == pytest.approx(1) for c in at(found, RATIO.name, "training").controls if c.name == "ridge")


def test_the_rank_correlation_is_over_the_settings(found) -> None:
    (m,) = [m for m in found if m.quantity == s.WARNS]
    names = [row.name for row in TABLE]
    agreements, errors = ([at(found, q, name).value for name in names] for q in (s.AGREEMENT, RATIO.name))
    assert m.value == pytest.approx(spearmanr(agreements, errors)[0])
    assert m.n == len(TABLE) and m.interval[0] <= m.value <= m.interval[1]
    known = {c.name: c.value for c in m.controls}
    assert known[s.ITSELF] == pytest.approx(-1)
    assert set(known) == {s.ITSELF, s.INPUTS, s.UNTRAINED}


def test_it_keeps_its_promises(tiny, task) -> None:
    table = tuple(StressTest(name=f"labels times {f:g}", task=task, label_scale=f) for f in (1.0, 2.0, 4.0))
    check_instrument(functools.partial(s.signature, table=table, n=8, queries=2), tiny, task)


@pytest.mark.usefixtures("unchecked")
def test_too_few_settings(tiny, task) -> None:
    with pytest.raises(ValueError, match="the length of table must be a whole number of at least 3; got 2"):
        s.signature(tiny, task, table=TABLE[:2])
