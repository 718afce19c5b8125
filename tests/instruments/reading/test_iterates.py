"""The iterates of both solvers on both systems, against textbook loops in NumPy, and what they say of each other."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from mesascope.instruments.reading.iterates import Iterate, Solver
from mesascope.tasks import Diagonal, Gaussian, LinearRegression

LAMBDA = 0.1
TASK = LinearRegression(dim=3, examples=8, queries=2, noise=0.1, inputs=Gaussian(covariance=Diagonal(condition=5.0)))
PROMPTS = TASK.sample(6, seed=0)
GD, CG = "gradient descent", "conjugate gradient"


def textbook(method, matrix, right, steps):
    """Every iterate on one system, as in a textbook."""
    x, r = np.zeros_like(right), right.copy()
    p, found = r.copy(), [x]
    values = np.linalg.eigvalsh(matrix)
    for _ in range(steps):
        if method == GD:
            x = x + 2 / (values[0] + values[-1]) * (right - matrix @ x)
        else:
            a = (r @ r) / (p @ matrix @ p)
            x, after = x + a * p, r - a * matrix @ p
            p, r = after + (after @ after) / (r @ r) * p, after
        found.append(x)
    return np.stack(found)


@pytest.mark.parametrize("method", [GD, CG])
def test_iterates_are_the_textbooks(method) -> None:
    for i in range(len(PROMPTS)):
        x, y = PROMPTS.xs[i].numpy(), PROMPTS.ys[i].numpy()
        feature = textbook(method, x.T @ x + LAMBDA * np.eye(3), x.T @ y, 3)
        data = textbook(method, x @ x.T + LAMBDA * np.eye(8), y, 3)
        one = PROMPTS[i : i + 1]
        assert Solver(method=method, ridge=LAMBDA).weights(one, 3)[:, 0].numpy() == pytest.approx(feature, rel=1e-9)
        dual = Solver(method=method, space="data", ridge=LAMBDA)
        assert dual.dual(one, 3)[:, 0].numpy() == pytest.approx(data, rel=1e-9)
        assert dual.weights(one, 3)[:, 0].numpy() == pytest.approx(data @ x, rel=1e-9)


@pytest.mark.parametrize("space", ["feature", "data"])
def test_all_end_at_ridge_regression(space) -> None:
    gram = PROMPTS.xs.mT @ PROMPTS.xs + LAMBDA * torch.eye(3, dtype=torch.float64)
    exact = torch.linalg.solve(gram, (PROMPTS.xs.mT @ PROMPTS.ys[..., None]))[..., 0]
    assert torch.allclose(Solver(method=CG, space=space, ridge=LAMBDA).weights(PROMPTS, 9)[-1], exact, rtol=1e-6)
    assert torch.allclose(Solver(method=GD, space=space, ridge=LAMBDA).weights(PROMPTS, 3000)[-1], exact, rtol=1e-6)


def test_gradient_descent_takes_one_path_in_both_spaces_at_one_step_size() -> None:
    feature, data = (
        Solver(method=GD, space=s, ridge=LAMBDA, step_size="largest").weights(PROMPTS, 7) for s in ("feature", "data")
    )
    assert torch.allclose(feature, data, rtol=1e-9)
    optimal = [Solver(method=GD, space=s, ridge=LAMBDA).weights(PROMPTS, 7) for s in ("feature", "data")]
    assert not torch.allclose(*optimal, rtol=1e-2)  # the smallest eigenvalue of XXᵀ + λI is λ


def test_weights_do_not_depend_on_the_order_of_the_examples_and_dual_iterates_do() -> None:
    order = torch.tensor([3, 1, 0, 2, 7, 6, 5, 4])
    other = dataclasses.replace(PROMPTS, xs=PROMPTS.xs[:, order], ys=PROMPTS.ys[:, order])
    dual = Solver(method=CG, space="data", ridge=LAMBDA)
    for form in ("weights", "answer"):
        target = Iterate(solver=dual, step=2, form=form)
        assert torch.allclose(target(PROMPTS), target(other))
    alpha = Iterate(solver=dual, step=2, form="dual")
    assert torch.allclose(alpha(PROMPTS)[:, order], alpha(other))


@pytest.mark.parametrize(("form", "space"), [("weights", "feature"), ("dual", "data"), ("answer", "feature")])
def test_matched_targets_have_length_one(form: Any, space: Any) -> None:
    solver = Solver(method=GD, space=space, ridge=LAMBDA)
    plain, matched = (Iterate(solver=solver, step=2, form=form, matched=m)(PROMPTS) for m in (False, True))
    assert torch.allclose(matched.flatten(1).norm(dim=-1), torch.ones(6, dtype=torch.float64))
    assert torch.allclose(torch.cosine_similarity(plain.flatten(1), matched.flatten(1)), torch.ones(()).double())


def test_a_target_of_nothing_stays_nothing() -> None:
    nothing = dataclasses.replace(PROMPTS[:1], ys=torch.zeros_like(PROMPTS.ys[:1]))  # a slice shares its memory
    assert torch.equal(
        Iterate(solver=Solver(method=CG), step=1, matched=True)(nothing), torch.zeros(1, 3, dtype=torch.float64)
    )


@pytest.mark.usefixtures("unchecked")
def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="method must be one of .*; got 'newton'"):
        Solver(method="newton")  # type: ignore[arg-type]
    with pytest.raises(
        ValueError, match="form must be 'weights' or 'answer' for a solver in feature space; got 'dual'"
    ):
        Iterate(solver=Solver(method=GD), step=1, form="dual")
    with pytest.raises(ValueError, match="space must be 'data' for α; got 'feature'"):
        Solver(method=GD).dual(PROMPTS, 1)
    with pytest.raises(ValueError, match="step must be a whole number of at least 1; got 0"):
        Iterate(solver=Solver(method=GD), step=0)
    with pytest.raises(ValueError, match="ridge"):
        Solver(method=GD, ridge=-1.0)
