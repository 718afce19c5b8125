import dataclasses

import pytest
import torch

from mesascope.algorithms import (
    ChebyshevIteration,
    ConjugateGradient,
    GradientDescent,
    HeavyBall,
    Nesterov,
    NewtonSchulz,
    PreconditionedGradientDescent,
    Problem,
    normalised_error,
    run,
    tuned,
)
from mesascope.tasks import LinearRegression


def error(algorithm, prompts, steps):
    return float(normalised_error(run(algorithm, prompts, steps).predictions[-1], prompts))


def test_the_normalised_error_is_one_for_zero_on_average(make):
    prompts = make(batch=3)
    by_hand = (
        sum(float(((prompts.targets[i] - 2) ** 2).mean() / prompts.weights[i].square().sum()) for i in range(3)) / 3
    )
    assert float(normalised_error(torch.full((3, 5), 2.0, dtype=torch.float64), prompts)) == pytest.approx(by_hand)
    assert normalised_error(torch.zeros(7, 3, 5, dtype=torch.float64), prompts).shape == (7,)


def test_one_step_of_descent_has_a_best_step_size_in_closed_form(make):
    prompts = make(batch=30)
    direction = torch.einsum("bqd,bd->bq", prompts.queries, Problem.of(prompts).moment)
    weight = 1 / prompts.target_variance[:, None]
    best = float((direction * prompts.targets * weight).sum() / (direction.square() * weight).sum())
    found = tuned(GradientDescent(), prompts, 1)
    assert found.step_size == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize(
    "algorithm",
    [GradientDescent(), HeavyBall(), Nesterov(), ChebyshevIteration(), NewtonSchulz(), NewtonSchulz(start="identity"),
     PreconditionedGradientDescent(), GradientDescent(step_size=1e-3)],
    ids=lambda a: a.name,
)  # fmt: skip
def test_no_nearby_coefficient_is_better(make, unchecked, algorithm):
    prompts = make(batch=10)
    found = tuned(algorithm, prompts, 3)
    assert type(found) is type(algorithm)
    least = error(found, prompts, 3)
    for name in ("step_size", "momentum", "scale"):
        if hasattr(found, name):
            for factor in (0.97, 1.03):
                moved = dataclasses.replace(found, **{name: getattr(found, name) * factor})
                assert error(moved, prompts, 3) > least
    if isinstance(found, ChebyshevIteration):
        low, high = found.bounds
        for bounds in ((low * 1.05, high), (low * 0.95, high), (low, high * 1.05), (low, high * 0.95)):
            assert error(ChebyshevIteration(bounds=bounds), prompts, 3) > least


def test_tuned_momentum_is_better_than_tuned_descent(make, unchecked):
    prompts = make(batch=10)
    descent = error(tuned(GradientDescent(), prompts, 3), prompts, 3)
    for algorithm in (HeavyBall(), ChebyshevIteration()):
        assert error(tuned(algorithm, prompts, 3), prompts, 3) < descent


def test_the_ridge_is_passed_on(make, unchecked):
    prompts = make(batch=10)
    smoother, plain = tuned(GradientDescent(), prompts, 2, ridge=20.0), tuned(GradientDescent(), prompts, 2)
    at = float(normalised_error(run(smoother, prompts, 2, ridge=20.0).predictions[-1], prompts))
    assert at < float(normalised_error(run(plain, prompts, 2, ridge=20.0).predictions[-1], prompts)) * (1 - 1e-3)


def test_where_any_step_hurts_the_best_is_next_to_none(make, unchecked):
    prompts = make(batch=10, noise=0.0)
    away = dataclasses.replace(prompts, ys=-prompts.ys)
    assert error(tuned(GradientDescent(), away, 1), away, 1) == pytest.approx(
        error(GradientDescent(step_size=1e-9), away, 1), rel=1e-3
    )


def test_coefficients_that_diverge_are_passed_over(make, unchecked):
    prompts = make(batch=2)
    found = tuned(GradientDescent(), prompts, 700)  # at twice the largest stable step this overflows
    assert error(found, prompts, 700) < 0.1


@pytest.mark.parametrize("seed", range(4))
def test_more_momentum_is_better_for_two_steps_and_stays_below_one(seed):
    prompts = LinearRegression().sample(64, seed=seed)
    found = tuned(Nesterov(), prompts, 2)
    assert isinstance(found.momentum, float)
    assert 0.99 < found.momentum < 1


def test_arguments_are_checked(make):
    with pytest.raises(ValueError, match="algorithm must have a coefficient to tune .* conjugate-gradient has none"):
        tuned(ConjugateGradient(), make(), 3)
    with pytest.raises(ValueError, match="steps must be at least 1 to tune on; got 0"):
        tuned(GradientDescent(), make(), 0)
