import dataclasses

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.kernel_ridge import KernelRidge as ScikitKernelRidge
from sklearn.neighbors import KNeighborsRegressor

from mesascope.algorithms import (
    RBF,
    Exponential,
    KernelRidge,
    LastLabel,
    LeastSquares,
    Linear,
    MeanLabel,
    NadarayaWatson,
    NearestExample,
    Ridge,
    run,
)

KERNELS = {
    "linear": (Linear(), lambda a, b: a @ b.T),
    "rbf": (RBF(bandwidth=0.7), lambda a, b: np.exp(-cdist(a, b, "sqeuclidean") / (2 * 0.49))),
    "exponential": (Exponential(temperature=2.5), lambda a, b: np.exp(a @ b.T / 2.5)),
}


def answers(algorithm, prompts, **options):
    path = run(algorithm, prompts, 2, **options)
    assert path.weights is None and (path.predictions[1] == path.predictions[2]).all()
    return path.predictions[1]


def arrays(prompts, i):
    return prompts.xs[i].numpy(), prompts.ys[i].numpy(), prompts.queries[i].numpy()


@pytest.mark.parametrize("name", KERNELS)
def test_kernel_ridge_is_scikit_learns(make, name):
    prompts = make()
    kernel, function = KERNELS[name]
    predictions = answers(KernelRidge(kernel=kernel, ridge=0.3), prompts)
    for i in range(6):
        x, y, q = arrays(prompts, i)
        fitted = ScikitKernelRidge(alpha=0.3, kernel="precomputed").fit(function(x, x), y)
        np.testing.assert_allclose(predictions[i].numpy(), fitted.predict(function(q, x)), rtol=1e-9, atol=1e-9)


def test_the_linear_kernel_gives_ridge_and_without_ridge_least_squares(make):
    prompts = make()
    linear = answers(KernelRidge(kernel=Linear(), ridge=0.3), prompts)
    torch.testing.assert_close(linear, run(Ridge(ridge=0.3), prompts).predictions[1], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(linear, answers(KernelRidge(kernel=Linear(), ridge=0.1), prompts, ridge=0.2))
    plain = answers(KernelRidge(kernel=Linear(), ridge=0.0), prompts)
    torch.testing.assert_close(plain, run(LeastSquares(), prompts).predictions[1], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", ["rbf", "exponential"])
def test_nadaraya_watson_is_the_weighted_mean(make, name):
    prompts = make()
    kernel, function = KERNELS[name]
    predictions = answers(NadarayaWatson(kernel=kernel), prompts)
    for i in range(6):
        x, y, q = arrays(prompts, i)
        weights = function(q, x)
        np.testing.assert_allclose(predictions[i].numpy(), weights @ y / weights.sum(1), rtol=1e-10, atol=1e-10)


def test_nadaraya_watson_answers_where_every_kernel_value_underflows(make):
    prompts = make()
    far = answers(NadarayaWatson(kernel=RBF(bandwidth=1e-3)), prompts)
    torch.testing.assert_close(far, answers(NearestExample(), prompts), rtol=1e-12, atol=1e-12)


def test_nearest_example_is_scikit_learns(make):
    prompts = make()
    predictions = answers(NearestExample(), prompts)
    for i in range(6):
        x, y, q = arrays(prompts, i)
        np.testing.assert_allclose(predictions[i].numpy(), KNeighborsRegressor(1).fit(x, y).predict(q), rtol=0, atol=0)


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 0, 2]])
def test_of_equally_near_examples_the_smallest_label_is_copied_in_any_order(make, order):
    xs = torch.tensor([[1.0], [5.0], [9.0]], dtype=torch.float64)[order]
    ys = torch.tensor([7.0, 2.0, 4.0], dtype=torch.float64)[order]
    prompts = dataclasses.replace(
        make(batch=1, examples=3, dim=1),
        xs=xs[None],
        ys=ys[None],
        queries=torch.tensor([[[3.0], [7.0], [8.5]]], dtype=torch.float64),
        targets=torch.zeros(1, 3, dtype=torch.float64),
        weights=None,
    )
    assert answers(NearestExample(), prompts)[0].tolist() == [2.0, 2.0, 4.0]


def test_baselines_ignore_the_query(make):
    prompts = make()
    torch.testing.assert_close(answers(MeanLabel(), prompts), prompts.ys.mean(1, keepdim=True).expand(6, 5))
    torch.testing.assert_close(answers(LastLabel(), prompts), prompts.ys[:, -1:].expand(6, 5), rtol=0, atol=0)


@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), float("nan")])
def test_arguments_are_checked(value):
    with pytest.raises(ValueError, match="bandwidth must be finite and above 0; got"):
        RBF(bandwidth=value)
    with pytest.raises(ValueError, match="temperature must be finite and above 0; got"):
        Exponential(temperature=value)
    with pytest.raises(ValueError, match="ridge must be finite and at least 0; got"):
        KernelRidge(ridge=value if value else -1.0)
