"""Spectral channels: what they sum to, and responses against closed forms."""

import pytest
import torch

from mesascope.algorithms import (
    ChebyshevIteration,
    ConjugateGradient,
    GDPlusPlus,
    GradientDescent,
    HeavyBall,
    LeastSquares,
    Nesterov,
    NewtonSchulz,
    Problem,
    run,
)
from mesascope.instruments.spectral.channels import SpectralChannels, features, hats, knots, response
from mesascope.tasks import Diagonal, Gaussian, LinearRegression

SHAPES = [(3, 9), (5, 5), (6, 3)]
each_shape = pytest.mark.parametrize(("dim", "examples"), SHAPES)


def sample(dim: int, examples: int):
    inputs = Gaussian(covariance=Diagonal(condition=20.0, rotate=True))
    return LinearRegression(dim=dim, examples=examples, queries=4, noise=0.1, inputs=inputs).sample(12, seed=0)


@each_shape
def test_the_shares_sum_to_the_least_squares_prediction(dim, examples):
    prompts = sample(dim, examples)
    channels = SpectralChannels.of(prompts)
    expected = run(LeastSquares(), prompts).predictions[1]
    assert torch.allclose(channels.shares.sum(-1), expected, atol=1e-8)


@each_shape
def test_the_null_space_is_left_out(dim, examples):
    channels = SpectralChannels.of(sample(dim, examples))
    seen = channels.eigenvalues > 0
    assert seen.sum(-1).tolist() == [min(dim, examples)] * 12
    assert (channels.shares * ~seen[:, None] == 0).all()
    assert channels.shares.isfinite().all()


@each_shape
def test_a_method_with_one_filter_for_all_is_its_response_on_the_channels(dim, examples):
    prompts = sample(dim, examples)
    channels = SpectralChannels.of(prompts)
    for algorithm in (GradientDescent(step_size=0.1), HeavyBall(step_size=0.1, momentum=0.5)):
        found = channels.predictions(response(algorithm, channels.eigenvalues, 4))
        assert torch.allclose(found, run(algorithm, prompts, 4).predictions, atol=1e-10)


AT = torch.tensor([[0.0, 0.02, 0.3], [1.0, 1.7, 2.5]], dtype=torch.float64)


def test_gradient_descent_resolves_one_minus_a_power():
    steps = torch.arange(7)[:, None, None]
    assert torch.allclose(response(GradientDescent(step_size=0.3), AT, 6), 1 - (1 - 0.3 * AT) ** steps, atol=1e-14)


def test_newton_from_the_identity_resolves_what_gradient_descent_does_in_doubling_steps():
    newton = response(NewtonSchulz(start="identity", scale=0.3), AT, 4)
    assert torch.allclose(newton[1:], response(GradientDescent(step_size=0.3), AT, 16)[[2, 4, 8, 16]], atol=1e-13)


def test_chebyshev_resolves_one_minus_its_polynomial():
    low, high = 0.5, 2.0

    def chebyshev(k: int, x: torch.Tensor) -> torch.Tensor:
        x = x.to(torch.complex128)
        return torch.cosh(k * torch.acosh(x)).real

    found = response(ChebyshevIteration(bounds=(low, high)), AT, 5)
    middle = torch.tensor((high + low) / (high - low), dtype=torch.float64)
    for k in range(6):
        expected = 1 - chebyshev(k, (high + low - 2 * AT) / (high - low)) / chebyshev(k, middle)
        assert torch.allclose(found[k], expected, atol=1e-10)


@pytest.mark.parametrize(
    "algorithm",
    [
        GradientDescent(step_size=0.2),
        HeavyBall(step_size=0.2, momentum=0.6),
        Nesterov(step_size=0.2, momentum=0.6),
        ChebyshevIteration(bounds=(0.1, 3.0)),
        NewtonSchulz(start="gram", scale=0.1),
        NewtonSchulz(start="identity", scale=0.2),
        GDPlusPlus(step_size=0.2, curvature=0.15),
        ConjugateGradient(),
    ],
    ids=lambda a: a.name,
)
def test_the_quick_way_is_the_driver_on_problems_of_one_dimension(algorithm):
    flat = AT.flatten()
    slow = run(algorithm, Problem.from_gram(flat[:, None, None], flat[:, None]), 5).weights
    assert torch.allclose(response(algorithm, AT, 5).flatten(1), slow[..., 0], atol=1e-13)


def test_the_hats_are_a_partition_of_unity_that_leaves_the_null_space_out():
    at = knots(0.02, 3.0, 10)
    assert at[[0, -1]].tolist() == pytest.approx([0.02, 3.0])
    assert torch.allclose(at[1:] / at[:-1], at[1] / at[0])
    eigenvalues = torch.tensor([[0.0, 1e-9, 0.02, 0.5, 3.0, 100.0]], dtype=torch.float64)
    found = hats(eigenvalues, at)
    assert torch.allclose(found.sum(-1), torch.tensor([[0.0, 1, 1, 1, 1, 1]], dtype=torch.float64))
    assert (found >= 0).all()
    assert ((found > 1e-12).sum(-1) <= 2).all()
    assert torch.allclose(hats(at[None], at)[0], torch.eye(10, dtype=torch.float64), atol=1e-12)


def test_interpolation_is_linear_in_log_eigenvalue():
    at = knots(0.1, 1.0, 2)
    middle = torch.tensor([[0.1**0.5]], dtype=torch.float64)
    assert hats(middle, at)[0, 0].tolist() == pytest.approx([0.5, 0.5])


def test_features_are_the_shares_gathered():
    channels = SpectralChannels.of(sample(5, 12))
    found = features(channels, knots(0.01, 5.0, 6))
    assert torch.allclose(found.sum(-1), channels.shares.sum(-1))
