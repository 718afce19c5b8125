"""Preconditioned Richardson iteration against closed forms, in float64."""

import numpy as np
import pytest
import torch
from scipy.special import softmax

from mesascope.algorithms import (
    RBF,
    Exponential,
    KernelRidge,
    Linear,
    PreconditionedRichardson,
    Ridge,
    run,
)
from mesascope.testing import check_algorithm

KERNELS = {"rbf": RBF(bandwidth=1.3), "exponential": Exponential(temperature=4.0), "linear": Linear()}


def arrays(prompts, kernel, i):
    xs, queries = prompts.xs[i : i + 1], prompts.queries[i : i + 1]
    return kernel(xs, xs)[0].numpy(), kernel(queries, xs)[0].numpy(), prompts.ys[i].numpy()


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_it_conforms(kernel):
    check_algorithm(PreconditionedRichardson(kernel=kernel, ridge=0.5))


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_every_iterate_is_the_closed_form_of_a_stationary_method(make, kernel):
    """α_k = (I − (I − ηP⁻¹A)ᵏ) A⁻¹y with A = K + λI and P = D + λI."""
    prompts, ridge, eta = make(), 0.4, 0.8
    found = run(PreconditionedRichardson(kernel=kernel, ridge=0.1, step_size=eta), prompts, 7, ridge=0.3).predictions
    for i in range(len(prompts)):
        gram, across, ys = arrays(prompts, kernel, i)
        system = gram + ridge * np.eye(len(gram))
        left = np.eye(len(gram)) - eta * system / (np.abs(gram).sum(1) + ridge)[:, None]
        for step in range(8):
            dual = (np.eye(len(gram)) - np.linalg.matrix_power(left, step)) @ np.linalg.solve(system, ys)
            np.testing.assert_allclose(found[step, i].numpy(), across @ dual, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_it_converges_to_kernel_ridge_at_the_rate_of_its_spectrum(make, kernel):
    prompts, ridge = make(), 0.5
    found = run(PreconditionedRichardson(kernel=kernel, ridge=ridge), prompts, 4000).predictions
    limit = run(KernelRidge(kernel=kernel, ridge=ridge), prompts).predictions[1]
    torch.testing.assert_close(found[-1], limit, rtol=1e-6, atol=1e-6)
    gram, _, _ = arrays(prompts, kernel, 0)
    scale = np.abs(gram).sum(1) + ridge
    values = np.linalg.eigvals((gram + ridge * np.eye(len(gram))) / scale[:, None]).real
    assert values.min() > 0 and values.max() <= 1 + 1e-12  # hence any step below 2 converges
    late = (found[200:260:20, 0] - limit[0]).norm(dim=-1)
    rates = (late[1:] / late[:-1]) ** (1 / 20)
    np.testing.assert_allclose(rates.numpy(), 1 - values.min(), rtol=2e-2)


def test_with_the_linear_kernel_the_limit_is_ridge_regression(make):
    prompts = make()
    found = run(PreconditionedRichardson(kernel=Linear(), ridge=1.0), prompts, 3000).predictions[-1]
    torch.testing.assert_close(found, run(Ridge(ridge=1.0), prompts).predictions[1], rtol=1e-8, atol=1e-8)


def test_one_step_is_softmax_heads_and_token_wise_arithmetic(make):
    """D⁻¹K is the softmax of the attention scores; λ, the labels and the row sums enter token by token."""
    prompts, ridge, temperature = make(), 0.3, 4.0
    algorithm = PreconditionedRichardson(kernel=Exponential(temperature=temperature), ridge=ridge)
    found = run(algorithm, prompts, 3).predictions
    for i in range(len(prompts)):
        x, y, q = (t[i].numpy() for t in (prompts.xs, prompts.ys, prompts.queries))
        scores, dual = x @ x.T / temperature, np.zeros(len(y))
        sums = np.exp(scores).sum(1)
        for _ in range(3):
            attended = softmax(scores, axis=1) @ dual
            dual = dual + (y - ridge * dual - sums * attended) / (sums + ridge)
        asked = q @ x.T / temperature
        answer = np.exp(asked).sum(1) * (softmax(asked, axis=1) @ dual)
        np.testing.assert_allclose(found[-1, i].numpy(), answer, rtol=1e-9, atol=1e-9)


def test_an_input_of_zero_says_nothing(make):
    prompts = make()
    prompts.xs[:, 0] = 0
    found = run(PreconditionedRichardson(kernel=Linear(), ridge=0.0), prompts, 5).predictions
    assert found.isfinite().all()


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), float("nan")])
def test_bad_arguments(value):
    with pytest.raises(ValueError, match="step_size must be a finite number above 0; got"):
        PreconditionedRichardson(step_size=value)
    with pytest.raises(ValueError, match="ridge must be finite and at least 0; got"):
        PreconditionedRichardson(ridge=value if value else -1.0)
