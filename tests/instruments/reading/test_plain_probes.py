"""Plain probes: the source's cosine by hand, a network that holds its iterates, and one that runs the algorithm and does not."""

import functools

import pytest
import torch

from mesascope.instruments.asking.collect import at_queries
from mesascope.instruments.reading import plain_probes as pp
from mesascope.instruments.reading.iterates import Solver
from mesascope.models.constructions import data_space_conjugate_gradient
from mesascope.models.constructions.primal_conjugate_gradient import primal_conjugate_gradient
from mesascope.tasks import LinearRegression
from mesascope.testing import check_instrument
from mesascope.types import Site

TASK = LinearRegression(dim=3, examples=8, noise=0.1)
FEATURE = Solver(method="conjugate gradient")
DATA = Solver(method="conjugate gradient", space="data", ridge=0.1)


def values(found, quantity, **at):
    return [m for m in found if m.quantity == quantity.name and all(m.coordinates[k] == v for k, v in at.items())]


def test_a_network_that_stores_its_weights_holds_them_from_their_layer_on() -> None:
    network = primal_conjugate_gradient(iterations=3)  # its first layer starts, so step k is there after layer k + 1
    found = pp.plain_probes(network, TASK, problems=300, solvers=(FEATURE,), form="weights", everywhere=(1, 2, 3))
    for step in (1, 2, 3):
        for layer in (1, 2, 3, 4):
            (m,) = values(found, pp.COSINE, layer=layer, step=step)
            assert (m.value > 0.9999) == (layer == step + 1), (layer, step, m.value)
    (m,) = values(found, pp.COSINE, layer=3, step=2)
    known = {c.name: c.value for c in m.controls}
    assert known[pp.WRITTEN] > 0.999
    assert all(abs(known[name]) < 0.3 for name in (pp.NOISE, pp.OTHERS, pp.UNTRAINED))


def test_a_network_that_runs_the_algorithm_need_not_hold_its_iterates_at_the_query() -> None:
    network = data_space_conjugate_gradient(iterations=2, ridge=0.1)
    found = pp.plain_probes(network, TASK, problems=300, solvers=(DATA,))
    for m in values(found, pp.COSINE):
        assert abs(m.value) < 0.35  # the untrained network has as much
    first = values(found, pp.COSINE, layer=4, step=1)[0]
    assert next(c.value for c in first.controls if c.name == pp.RAW) > 0.7  # which needs no network


def test_the_cosine_is_that_of_the_whole_test_set() -> None:
    network = primal_conjugate_gradient(iterations=1)
    found = pp.plain_probes(network, TASK, problems=50, solvers=(DATA,), seed=3)
    prompts = TASK.sample(50, seed=3, stream=pp.NAME)
    site = Site(layer=1, kind="resid_post")
    rows, target = at_queries(network, prompts, [site])[1][site][:, 0].double(), DATA.dual(prompts, 2)[2]
    fitted = rows[:40]
    weights = torch.linalg.inv(fitted.T @ fitted + 1e-3 * torch.eye(rows.shape[1]).double()) @ fitted.T @ target[:40]
    guess = rows[40:] @ weights
    expected = torch.cosine_similarity(guess.flatten(), target[40:].flatten(), dim=0)
    (m,) = values(found, pp.COSINE, layer=2, step=2)
    assert m.value == pytest.approx(float(expected), abs=1e-6)
    assert m.n == 10
    (mean,) = values(found, pp.MEAN)
    assert mean.value == pytest.approx((values(found, pp.COSINE, layer=1, step=1)[0].value + m.value) / 2, abs=1e-9)


def test_solvers_are_compared_on_the_same_problems() -> None:
    network = primal_conjugate_gradient(iterations=2)
    descent = Solver(method="gradient descent")
    found = pp.plain_probes(network, TASK, problems=200, solvers=(FEATURE, descent, FEATURE), form="weights")
    means = [m.value for m in values(found, pp.MEAN)]
    differences = values(found, pp.LESS_FIRST)
    assert [m.value for m in differences] == pytest.approx([mean - means[0] for mean in means[1:]], abs=1e-9)
    assert differences[1].interval == pytest.approx((0, 0), abs=1e-9)  # a solver less itself does not vary


def test_it_keeps_its_promises(tiny, task) -> None:
    check_instrument(functools.partial(pp.plain_probes, problems=20), tiny, task)
    assert pp.figure(pp.plain_probes(tiny, task, problems=20)).rows


@pytest.mark.usefixtures("unchecked")
def test_too_few_problems(tiny, task) -> None:
    with pytest.raises(ValueError, match="problems must be a whole number of at least 10; got 4"):
        pp.plain_probes(tiny, task, problems=4)
