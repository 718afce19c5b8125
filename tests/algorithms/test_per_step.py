"""Coefficients that are given per step: the loops that they stand for, the methods that they contain, and what is refused."""

import math

import pytest
import torch

from mesascope.algorithms import ChebyshevIteration, GDPlusPlus, GradientDescent, HeavyBall, Problem, run
from mesascope.instruments.spectral.channels import response
from mesascope.testing import check_algorithm

SIZES, MOMENTA, CURVATURES = (0.3, -0.05, 0.0, 0.2), (0.9, 0.5, -0.2, 1.1), (0.1, 0.0, 0.05)
MEMBERS = {
    "gradient descent": GradientDescent(step_size=SIZES),
    "heavy ball": HeavyBall(step_size=SIZES, momentum=MOMENTA),
    "heavy ball with one step size": HeavyBall(step_size=0.2, momentum=MOMENTA),
    "GD++": GDPlusPlus(step_size=SIZES, curvature=CURVATURES),
    "GD++ with one curvature": GDPlusPlus(step_size=SIZES, curvature=0.1),
}
each = pytest.mark.parametrize("member", MEMBERS.values(), ids=MEMBERS)


@each
def test_it_is_an_algorithm(member):
    check_algorithm(member)


def test_every_step_has_its_own_coefficients_and_the_last_is_repeated(make):
    prompts = make()
    problem = Problem.of(prompts)
    path = run(HeavyBall(step_size=SIZES, momentum=MOMENTA), prompts, 6).weights
    now, before = torch.zeros_like(problem.moment), torch.zeros_like(problem.moment)
    for k in range(6):
        size, momentum = SIZES[min(k, 3)], MOMENTA[min(k, 3)]
        now, before = now - size * (problem.apply(now) - problem.moment) + momentum * (now - before), now
        torch.testing.assert_close(path[k + 1], now, rtol=1e-12, atol=1e-12)


def test_without_momentum_or_curvature_they_are_gradient_descent(make):
    prompts = make()
    expected = run(GradientDescent(step_size=SIZES), prompts, 5).predictions
    for other in (HeavyBall(step_size=SIZES, momentum=0.0), GDPlusPlus(step_size=SIZES, curvature=(0.0,))):
        torch.testing.assert_close(run(other, prompts, 5).predictions, expected, rtol=1e-12, atol=1e-12)
    near = run(HeavyBall(step_size=SIZES, momentum=(0.9, 0.05)), prompts, 5).predictions
    assert (near[1] - expected[1]).abs().max() < 1e-12  # the first momentum has no effect
    assert (near[2:] - expected[2:]).abs().max() > 1e-3


def test_gd_plus_plus_moves_the_inputs_by_each_steps_curvature(diagonal):
    """On a diagonal problem, T after two steps is (1 − γ₁λ)(1 − γ₂λ(1 − γ₁λ)²)."""
    at = torch.tensor([[0.3, 1.0, 2.0]], dtype=torch.float64)
    path = run(GDPlusPlus(step_size=SIZES, curvature=CURVATURES), diagonal(at, torch.ones_like(at)), 3).weights
    first = 1 - CURVATURES[0] * at
    transform = first * (1 - CURVATURES[1] * at * first**2)
    expected = path[2] + SIZES[2] * transform**2 * at * (1 - path[2])
    torch.testing.assert_close(path[3], expected, rtol=1e-12, atol=1e-12)


def test_chebyshevs_iteration_is_heavy_ball_with_its_coefficients(make):
    prompts = make()
    chebyshev = ChebyshevIteration(bounds=(0.1, 4.0))
    schedule = chebyshev.schedule(Problem.of(prompts))
    steps = [schedule(k) for k in range(5)]
    same = HeavyBall(step_size=tuple(s.step_size for s in steps), momentum=tuple(s.momentum for s in steps))
    expected = run(chebyshev, prompts, 5).predictions
    torch.testing.assert_close(run(same, prompts, 5).predictions, expected, rtol=1e-10, atol=1e-10)


@each
def test_its_filter_is_what_it_does_to_each_eigenvalue(member, diagonal):
    at = torch.linspace(0.05, 3.0, 7, dtype=torch.float64)[None]
    expected = run(member, diagonal(at, torch.ones_like(at)), 6).weights[:, 0]
    torch.testing.assert_close(response(member, at[0], 6), expected, rtol=1e-12, atol=1e-12)


def test_each_step_may_have_one_number_per_prompt(make):
    prompts = make()
    sizes = torch.linspace(0.1, 0.3, 6, dtype=torch.float64)[:, None]
    together = run(GradientDescent(step_size=(sizes, 0.1)), prompts, 3).predictions
    for i in range(6):
        alone = run(GradientDescent(step_size=(float(sizes[i]), 0.1)), prompts[i : i + 1], 3).predictions[:, 0]
        torch.testing.assert_close(together[:, i], alone, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("values", [(), (0.1, math.nan), (math.inf,)])
@pytest.mark.parametrize(
    ("member", "name"),
    [
        (GradientDescent, "step_size"),
        (HeavyBall, "step_size"),
        (HeavyBall, "momentum"),
        (GDPlusPlus, "step_size"),
        (GDPlusPlus, "curvature"),
    ],
)
def test_none_and_what_is_not_finite_are_refused(member, name, values):
    with pytest.raises(ValueError, match=f"{name} given per step must be a tuple of one finite number or more; got"):
        member(**{name: values})
