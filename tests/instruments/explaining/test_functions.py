"""Named filters against the algorithms themselves, and their coefficients found again."""

import math

import pytest
import torch

from mesascope.algorithms import (
    ChebyshevIteration,
    ConjugateGradient,
    GDPlusPlus,
    GradientDescent,
    HeavyBall,
    Nesterov,
    NewtonSchulz,
    Ridge,
    run,
)
from mesascope.instruments.explaining.filters import Quadratic, at_eigenvalues, best_filter, grid_of, powers
from mesascope.instruments.explaining.fitting import fit_function
from mesascope.instruments.explaining.functions import FAMILIES
from mesascope.instruments.explaining.planted import filtering, gradient_flow, random_polynomial
from mesascope.instruments.identification.prompts import standard
from mesascope.instruments.spectral.channels import SpectralChannels, response
from mesascope.instruments.statistics import bootstrap

BY_NAME = {family.name: family for family in FAMILIES}
AT = torch.linspace(0.01, 1.9, 30, dtype=torch.float64)


@pytest.fixture(scope="module")
def prompts():
    return standard().task.sample(90, seed=3)


@pytest.fixture(scope="module")
def draws(prompts):
    return bootstrap.weights(len(prompts), seed=0, strata=prompts.strata, repeats=100)


def error_of(answers, prompts):
    return Quadratic.of(SpectralChannels.of(prompts), answers, prompts.target_variance)


@pytest.mark.parametrize(
    ("name", "algorithm", "values"),
    [
        ("gradient descent", GradientDescent(step_size=0.3), [0.3]),
        ("heavy ball", HeavyBall(step_size=0.3, momentum=0.4), [0.3, 0.4]),
        ("Nesterov", Nesterov(step_size=0.3, momentum=0.4), [0.3, 0.4]),
        ("Chebyshev", ChebyshevIteration(bounds=(0.1, 1.5)), [0.1, 1.4]),
        ("Newton–Schulz", NewtonSchulz(start="identity", scale=0.3), [0.3]),
        ("GD++", GDPlusPlus(step_size=0.3, curvature=0.1), [0.3, 0.1]),
        ("Newton–Schulz from XᵀX", NewtonSchulz(scale=0.2), [0.2]),
    ],
)
def test_a_named_filter_is_what_the_algorithm_computes(name, algorithm, values):
    steps = 5
    numbers = [torch.tensor(value, dtype=torch.float64) for value in values]
    found = BY_NAME[name].gains(AT, steps, *numbers)
    torch.testing.assert_close(found, response(algorithm, AT, steps)[-1], rtol=1e-9, atol=1e-10)


def test_damped_gradient_descent_is_gradient_descent_towards_ridge_regression():
    size, penalty = (torch.tensor(value, dtype=torch.float64) for value in (0.3, 0.2))
    weight = torch.zeros_like(AT)
    for _ in range(4):
        weight = weight + size * (AT - (AT + penalty) * weight)
    torch.testing.assert_close(BY_NAME["damped gradient descent"].gains(AT, 4, size, penalty), weight)


def test_the_error_of_a_filter_is_that_of_its_answers(prompts):
    answers = run(Ridge(ridge=0.2), prompts).predictions[-1]
    quadratic = error_of(answers, prompts)
    gains = 1 - torch.exp(-2 * quadratic.eigenvalues)
    wanted = (answers - gradient_flow(2.0)(prompts)).square().mean(-1) / prompts.target_variance
    torch.testing.assert_close(quadratic.errors(gains), wanted.clamp(max=4), rtol=1e-8, atol=1e-12)


def test_prompts_with_answers_that_are_not_finite_count_for_nothing(prompts):
    answers = gradient_flow(2.0)(prompts)
    broken = answers.clone()
    broken[::9] = float("nan")
    kept = fit_function(
        BY_NAME["gradient flow"], error_of(broken, prompts), 4.0, torch.ones(2, 90, dtype=torch.float64)
    )
    assert kept.values[0] == pytest.approx(2.0, rel=1e-4)


@pytest.mark.parametrize("time", [0.3, 3.0, 40.0])
def test_the_time_of_gradient_flow_is_found(time, prompts, draws):
    found = fit_function(BY_NAME["gradient flow"], error_of(gradient_flow(time)(prompts), prompts), 4.0, draws)
    assert found.values[0] == pytest.approx(time, rel=1e-4)
    low, high = found.intervals[0]
    assert low < time < high
    assert high / low < 1.01


def test_steps_and_coefficients_are_found(prompts, draws):
    answers = run(GradientDescent(step_size=0.23), prompts, 6).predictions[-1]
    found = fit_function(BY_NAME["gradient descent"], error_of(answers, prompts), 4.5, draws)
    assert found.count == 6
    assert found.values == (pytest.approx(0.23, rel=1e-3),)
    assert found.coefficients["steps"] == 6
    answers = run(HeavyBall(step_size=0.2, momentum=0.45), prompts, 5).predictions[-1]
    found = fit_function(BY_NAME["heavy ball"], error_of(answers, prompts), 4.5, draws)
    assert found.count == 5
    assert found.values == (pytest.approx(0.2, rel=5e-3), pytest.approx(0.45, rel=5e-3))


def test_a_cut_off_is_found_with_an_interval(prompts, draws):
    answers = filtering(lambda at: (at >= 0.5).to(at.dtype))(prompts)
    found = fit_function(BY_NAME["spectral cut-off"], error_of(answers, prompts), 4.5, draws)
    assert found.error < 1e-9
    assert found.intervals[0][0] <= found.values[0] <= found.intervals[0][1]


def test_intervals_cover_what_noise_hides(prompts, draws):
    inside, rng = [], torch.Generator().manual_seed(0)
    clean = gradient_flow(5.0)(prompts)
    for _ in range(40):
        noise = (
            0.3 * prompts.target_variance.sqrt()[:, None] * torch.randn(clean.shape, generator=rng, dtype=torch.float64)
        )
        found = fit_function(BY_NAME["gradient flow"], error_of(clean + noise, prompts), 4.5, draws)
        ((low, high),) = found.intervals
        inside.append(low <= 5.0 <= high)
        assert high / low > 1.005
    assert sum(inside) / len(inside) >= 0.8


def test_the_best_filter_is_the_one_planted(prompts, draws):
    quadratic = error_of(gradient_flow(3.0)(prompts), prompts)
    at = grid_of(quadratic.eigenvalues)
    gains, points = best_filter(quadratic, at, draws)
    torch.testing.assert_close(gains, 1 - torch.exp(-3 * at), rtol=0, atol=5e-3)
    assert all(p.low <= p.gain <= p.high for p in points)
    assert [p.eigenvalue for p in points] == pytest.approx(at.tolist())
    again = at_eigenvalues(quadratic.eigenvalues, at, gains)
    assert float(quadratic.errors(again).mean()) < 1e-4


def test_a_polynomial_is_one_of_its_degree(prompts):
    quadratic = error_of(random_polynomial(1, 2, 1.0)(prompts), prompts)

    def left(degree):
        basis = powers(quadratic.eigenvalues, degree + 1, 4.0)
        return float(quadratic.errors(basis @ quadratic.solve(basis)[0]).mean())

    assert left(2) < 1e-9
    assert left(1) > 1e-3


def test_conjugate_gradient_is_no_filter(prompts, draws):
    quadratic = error_of(run(ConjugateGradient(), prompts, 2).predictions[-1], prompts)
    at = grid_of(quadratic.eigenvalues)
    gains, _ = best_filter(quadratic, at, draws)
    assert float(quadratic.errors(at_eigenvalues(quadratic.eigenvalues, at, gains)).mean()) > 1e-3


def test_knots_stand_at_few_eigenvalues_and_at_quantiles_of_many(prompts):
    values = SpectralChannels.of(prompts).eigenvalues
    few = grid_of(values)
    assert 20 <= len(few) <= 24  # eight directions at three condition numbers
    assert len(grid_of(torch.rand(500, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64))) <= 18
    assert grid_of(torch.ones(3, 1, dtype=torch.float64)).tolist() == [1.0, 2.0]
    assert math.isfinite(float(few.sum()))
