"""Newton's method for logistic and Poisson regression, against scikit-learn and its own optimality conditions."""

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from sklearn.linear_model import LogisticRegression, PoissonRegressor

from mesascope.algorithms import (
    Algorithm,
    GLMGradientDescent,
    GLMHeavyBall,
    GLMNewton,
    GLMNewtonCG,
    GLMPenalisedLikelihood,
    LeastSquares,
    Problem,
    run,
)
from mesascope.algorithms.glm import GlmFamily, check_labels, linearised, mean, variance
from mesascope.algorithms.glm_penalised import objective
from mesascope.tasks import GeneralisedLinearRegression
from mesascope.testing import check_algorithm
from mesascope.types import Prompts, Status

FAMILIES: tuple[GlmFamily, ...] = ("logistic", "poisson")
PROBIT: dict[str, Any] = {"family": "probit"}
families = pytest.mark.parametrize("family", FAMILIES)


def draw(family: GlmFamily, *, examples: int = 40, n: int = 16) -> Prompts:
    task = GeneralisedLinearRegression(
        dim=4, examples=examples, queries=3, family=family, strength=1.0 if family == "logistic" else 0.5
    )
    return task.sample(n, seed=0)


@pytest.mark.usefixtures("unchecked")  # the suite asks for LinearRegression
@families
@pytest.mark.parametrize("ridge", [0.0, 1.0])
@pytest.mark.parametrize(
    "make",
    [
        GLMNewton,
        lambda **o: GLMNewton(inner=2, **o),
        lambda **o: GLMNewton(inner=4, **o),
        lambda **o: GLMNewtonCG(inner=2, **o),
        GLMGradientDescent,
        GLMHeavyBall,
        GLMPenalisedLikelihood,
    ],
    ids=["irls", "newton-2", "newton-4", "newton-cg", "gradient-descent", "heavy-ball", "penalised"],
)
def test_it_is_an_algorithm(family: GlmFamily, ridge: float, make: Callable[..., Algorithm]) -> None:
    task: Any = GeneralisedLinearRegression(dim=4, examples=30, queries=3, family=family, strength=0.5)
    check_algorithm(make(family=family, ridge=ridge), task)


@families
@pytest.mark.parametrize("ridge", [0.1, 5.0])
def test_it_ends_where_scikit_learn_does(family: GlmFamily, ridge: float) -> None:
    p = draw(family)
    found = run(GLMNewton(family=family), p, steps=15, ridge=ridge)
    closed = run(GLMPenalisedLikelihood(family=family, ridge=ridge), p)
    assert found.weights is not None
    torch.testing.assert_close(closed.predictions[1], found.predictions[-1], rtol=1e-10, atol=1e-10)
    assert closed.status.tolist() == [Status.OK] * len(p)
    options = {"fit_intercept": False, "tol": 1e-14, "max_iter": 500, "solver": "newton-cholesky"}
    for i in range(len(p)):
        if family == "logistic":  # ½w·w + C Σ loss
            peer = LogisticRegression(C=1 / ridge, **options)
        else:  # mean half deviance + ½ alpha w·w
            peer = PoissonRegressor(alpha=ridge / p.examples, **options)
        theirs = torch.from_numpy(peer.fit(p.xs[i].numpy(), p.ys[i].numpy()).coef_.ravel())
        torch.testing.assert_close(found.weights[-1, i], theirs, rtol=1e-10, atol=1e-10)
        assert float((found.weights[1, i] - theirs).abs().max()) > 1e-5
    predictions = torch.einsum("bqd,bd->bq", p.queries, found.weights[-1])
    torch.testing.assert_close(found.predictions[-1], predictions)


@families
def test_without_a_ridge_every_method_ends_at_the_maximum_of_the_likelihood(family: GlmFamily) -> None:
    p = draw(family)
    maximum = run(GLMPenalisedLikelihood(family=family, ridge=0.0), p).predictions[1]
    descent = GLMGradientDescent(family=family, step_size=0.3)
    for algorithm, steps in ((GLMNewton(family=family), 12), (descent, 3000)):
        torch.testing.assert_close(run(algorithm, p, steps=steps).predictions[-1], maximum, rtol=1e-6, atol=1e-6)


@families
def test_gradient_descent_follows_the_gradient_of_the_objective(family: GlmFamily) -> None:
    p, model = draw(family), GLMGradientDescent(family=family, step_size=0.2, ridge=2.0)
    problem = Problem.of(p)
    path = run(model, p, steps=3).weights
    assert path is not None
    for before, after in itertools.pairwise(path):
        at = before.clone().requires_grad_()
        (slope,) = torch.autograd.grad(objective(model, problem, at).sum(), at)
        torch.testing.assert_close(after, before - 0.2 * slope, rtol=1e-12, atol=1e-12)


@families
def test_momentum_adds_a_part_of_the_last_step(family: GlmFamily) -> None:
    p = draw(family)
    plain = GLMGradientDescent(family=family, step_size=0.2)
    still = run(GLMHeavyBall(family=family, step_size=0.2, momentum=0.0), p, steps=4).predictions
    torch.testing.assert_close(still, run(plain, p, steps=4).predictions, rtol=1e-12, atol=1e-12)
    path = run(GLMHeavyBall(family=family, step_size=0.2, momentum=0.6), p, steps=4).weights
    assert path is not None
    for last, here, ahead in zip(path, path[1:], path[2:], strict=False):
        expected = here + 0.6 * (here - last) + 0.2 * plain.descent(Problem.of(p), here)
        torch.testing.assert_close(ahead, expected, rtol=1e-12, atol=1e-12)


@families
def test_the_first_newton_step_is_least_squares_on_linearised_labels(family: GlmFamily) -> None:
    p = draw(family)
    plain = run(LeastSquares(), dataclasses.replace(p, ys=linearised(family, p.ys)))
    torch.testing.assert_close(run(GLMNewton(family=family), p).predictions[1], plain.predictions[1])


@families
@pytest.mark.parametrize("inner", [1, 2, 3])
def test_every_step_of_conjugate_gradients_is_between_two_newton_steps(family: GlmFamily, inner: int) -> None:
    p = draw(family)
    fine = run(GLMNewtonCG(family=family, inner=inner, ridge=0.5), p, steps=3 * inner).predictions
    coarse = run(GLMNewton(family=family, inner=inner, ridge=0.5), p, steps=3).predictions
    torch.testing.assert_close(fine[::inner], coarse, rtol=1e-12, atol=1e-12)
    for taken in range(1, inner):
        shorter = run(GLMNewton(family=family, inner=taken, ridge=0.5), p, steps=1).predictions
        torch.testing.assert_close(fine[taken], shorter[1], rtol=1e-12, atol=1e-12)


@families
@pytest.mark.parametrize("kind", [GLMNewton, GLMNewtonCG, GLMGradientDescent, GLMPenalisedLikelihood])
def test_every_prompt_can_have_a_ridge_of_its_own(family: GlmFamily, kind: Callable[..., Algorithm]) -> None:
    p = draw(family, n=4)
    ridges = torch.tensor([0.1, 0.5, 2.0, 8.0], dtype=torch.float64)
    together = run(kind(family=family, ridge=ridges[:, None]), p, steps=4).predictions
    for i, ridge in enumerate(ridges.tolist()):
        alone = run(kind(family=family, ridge=ridge), p[i : i + 1], steps=4).predictions
        torch.testing.assert_close(together[:, i], alone[:, 0], rtol=1e-12, atol=1e-12)


@families
def test_with_all_inner_steps_it_is_newtons_method(family: GlmFamily) -> None:
    p, ridge = draw(family), 0.5
    weights = run(GLMNewton(family=family, inner=4), p, steps=3, ridge=ridge).weights
    assert weights is not None
    w = torch.zeros_like(weights[0])
    for step in range(1, 4):
        predictor = (p.xs @ w[..., None])[..., 0].requires_grad_()
        mu = mean(family, predictor)
        (slope,) = torch.autograd.grad(mu.sum(), predictor)
        torch.testing.assert_close(variance(family, predictor.detach()), slope)
        system = p.xs.mT @ (slope[..., None] * p.xs) + ridge * torch.eye(4)
        gradient = (p.xs.mT @ (mu.detach() - p.ys)[..., None])[..., 0] + ridge * w
        w = w - torch.linalg.solve(system, gradient)
        torch.testing.assert_close(weights[step], w, rtol=1e-9, atol=1e-9)
    fewer = run(GLMNewton(family=family, inner=2), p, steps=3, ridge=ridge).weights
    assert fewer is not None
    assert float((fewer[1] - weights[1]).abs().max()) > 1e-3


@families
def test_truncated_steps_get_there_too_and_newtons_converge_quadratically(family: GlmFamily) -> None:
    p = draw(family)

    def errors(inner: int) -> list[float]:
        path = run(GLMNewton(family=family, inner=inner), p, steps=20, ridge=1.0).weights
        assert path is not None
        return (path - path[-1]).abs().amax((1, 2)).tolist()

    full, single = errors(4), errors(1)
    assert single[5] < 0.2 * single[0]
    assert 1e-9 < full[2] < 0.2
    for before, after in itertools.pairwise(full[2:6]):
        assert after < max(20 * before**2, 1e-14)
    assert single[5] > 1e3 * full[5]


def test_separable_labels_need_a_ridge() -> None:
    p = draw("logistic", examples=6)
    p = dataclasses.replace(p, ys=(p.xs[..., 0] > 0).double())
    closed = run(GLMPenalisedLikelihood(ridge=0.0), p)
    assert closed.status.tolist() == [Status.BREAKDOWN] * len(p)
    assert bool(closed.predictions.isfinite().all())
    plain = run(GLMNewton(inner=4), p, steps=300)
    assert set(plain.status.tolist()) == {Status.OK, Status.BREAKDOWN}
    assert float(plain.predictions[100].abs().amax(1).min()) > 20  # and growing
    damped = run(GLMNewton(inner=4, ridge=0.5), p, steps=60)
    assert damped.weights is not None
    assert damped.status.tolist() == [Status.OK] * len(p)
    assert float((damped.weights[-1] - damped.weights[-2]).abs().max()) < 1e-12
    same = run(GLMNewton(inner=4, ridge=0.2), p, steps=60, ridge=0.3)
    torch.testing.assert_close(same.predictions, damped.predictions, rtol=1e-12, atol=1e-12)


def test_inputs_of_zero_are_solved_from_the_start() -> None:
    p = draw("poisson", n=3)
    xs = p.xs.clone()
    xs[1] = 0
    found = run(GLMNewton(family="poisson", inner=4), dataclasses.replace(p, xs=xs), steps=2)
    assert found.status.tolist()[1] == Status.SOLVED
    assert found.stopped_at.tolist()[1] == 0
    assert not found.predictions[:, 1].any()


@families
def test_inner_steps_beyond_the_rank_change_nothing(family: GlmFamily) -> None:
    """Three examples in four dimensions have a system of rank 3, which three inner steps solve."""
    p = draw(family, examples=3)
    enough = run(GLMNewton(family=family, inner=3), p, steps=3)
    for inner in (5, 12):
        more = run(GLMNewton(family=family, inner=inner), p, steps=3)
        assert torch.equal(more.status, enough.status)
        torch.testing.assert_close(more.predictions, enough.predictions, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("scale", [1e-15, 1e15])
def test_large_and_small_inputs_take_newtons_step_in_single_precision_too(scale: float) -> None:
    p = draw("logistic")
    expected = run(GLMNewton(inner=4), p, steps=1).predictions[-1]
    scaled = dataclasses.replace(p, xs=p.xs * scale, queries=p.queries * scale).to(dtype=torch.float32)
    found = run(GLMNewton(inner=4), scaled, steps=1)
    torch.testing.assert_close(found.predictions[-1].double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"family": "probit"}, r"family must be one of 'logistic', 'poisson'; got 'probit'"),
        ({"inner": 0}, r"inner must be a whole number of at least 1; got 0"),
        ({"ridge": -1.0}, r"ridge must be finite and at least 0; got -1\.0"),
    ],
)
def test_bad_configurations_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GLMNewton(**change)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GLMGradientDescent(step_size=0.0), r"step_size must be above 0 and finite; got 0\.0"),
        (lambda: GLMHeavyBall(momentum=1.0), r"momentum must be from 0 to below 1; got 1\.0"),
        (lambda: GLMNewtonCG(inner=0), r"inner must be a whole number of at least 1; got 0"),
        (lambda: GLMPenalisedLikelihood(ridge=-1.0), r"ridge must be finite and at least 0; got -1\.0"),
        (lambda: GLMPenalisedLikelihood(**PROBIT), r"family must be one of 'logistic', 'poisson'; got 'probit'"),
    ],
)
def test_so_are_those_of_the_other_methods(make: Callable[[], Algorithm], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("family", "ys", "message"),
    [
        ("logistic", [0.0, 2.0], r"labels of a logistic regression must be 0 or 1; got 2\. Code"),
        ("logistic", [-1.0, 1.0], r"must be 0 or 1; got -1"),
        ("poisson", [3.0, -1.0], r"labels of a poisson regression must be counts: 0, 1, 2, …; got -1\. Use"),
        ("poisson", [0.5], r"got 0\.5"),
        ("poisson", [float("nan")], r"got nan"),
    ],
)
def test_impossible_labels_are_refused(family: GlmFamily, ys: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_labels(family, torch.tensor(ys))


@families
def test_possible_labels_are_not(family: GlmFamily) -> None:
    check_labels(family, draw(family).ys)


def test_it_needs_the_examples() -> None:
    problem = Problem.from_gram(torch.eye(2, dtype=torch.float64)[None], torch.ones(1, 2, dtype=torch.float64))
    with pytest.raises(ValueError, match="problem must hold its examples"):
        run(GLMNewton(), problem)
