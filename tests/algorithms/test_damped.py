"""Damped iterations: agreement with a problem that has the ridge itself, their limit, and their arguments."""

import pytest
import torch

from mesascope.algorithms import (
    ConjugateGradient,
    DampedConjugateGradient,
    DampedGradientDescent,
    GradientDescent,
    Problem,
    Ridge,
    run,
)
from mesascope.instruments.spectral.channels import response
from mesascope.testing import check_algorithm

PENALTY, EXAMPLES = 0.4, 12
PAIRS = [
    (DampedGradientDescent(step_size=0.2, penalty=PENALTY), GradientDescent(step_size=0.2)),
    (DampedGradientDescent(penalty=PENALTY), GradientDescent()),
    (DampedConjugateGradient(penalty=PENALTY), ConjugateGradient()),
]
each = pytest.mark.parametrize(("damped", "plain"), PAIRS, ids=lambda a: a.name)


@pytest.mark.parametrize("kind", [DampedGradientDescent, DampedConjugateGradient])
def test_conformance(kind):
    check_algorithm(kind)


@each
@pytest.mark.parametrize("own", [0.0, 3.0])
def test_it_is_the_iteration_on_the_problem_with_the_ridge_added(make, damped, plain, own):
    prompts = make(noise=1.0)
    expected = run(plain, prompts, 6, ridge=own + EXAMPLES * PENALTY)
    found = run(damped, prompts, 6, ridge=own)
    torch.testing.assert_close(found.weights, expected.weights, rtol=1e-12, atol=1e-14)
    assert torch.equal(found.status, expected.status)


@each
def test_without_a_penalty_it_is_the_iteration_itself(make, damped, plain):
    bare = type(damped)(**{"penalty": 0.0} | ({"step_size": damped.step_size} if hasattr(damped, "step_size") else {}))
    torch.testing.assert_close(run(bare, make(), 4).weights, run(plain, make(), 4).weights, rtol=1e-12, atol=1e-14)


@each
def test_it_ends_at_the_ridge_solution(make, damped, plain):
    prompts = make(noise=1.0)
    expected = run(Ridge(ridge=EXAMPLES * PENALTY), prompts).weights[1]
    torch.testing.assert_close(run(damped, prompts, 400).weights[-1], expected, rtol=1e-9, atol=1e-12)


def test_each_prompt_may_have_its_own_penalty(make):
    prompts = make(batch=3)
    penalties = torch.tensor([[0.0], [0.3], [2.0]], dtype=torch.float64)
    found = run(DampedConjugateGradient(penalty=penalties), prompts, 3).weights
    for i, penalty in enumerate(penalties[:, 0].tolist()):
        alone = run(DampedConjugateGradient(penalty=penalty), prompts[i : i + 1], 3).weights
        torch.testing.assert_close(found[:, i], alone[:, 0], rtol=1e-12, atol=1e-14)


def test_the_problem_that_is_given_stays_as_it_is(make):
    problem = Problem.of(make())
    before = problem.gram.clone()
    run(DampedGradientDescent(), problem, 3)
    assert torch.equal(problem.gram, before)


def test_its_filter_is_the_share_of_the_ridge_solution_times_that_of_the_shifted_eigenvalue():
    at = torch.tensor([0.0, 0.1, 1.0, 3.0], dtype=torch.float64)
    found = response(DampedGradientDescent(step_size=0.2, penalty=PENALTY), at, 5)
    for k in range(6):
        expected = at / (at + PENALTY) * (1 - (1 - 0.2 * (at + PENALTY)) ** k)
        torch.testing.assert_close(found[k], expected, rtol=1e-12, atol=1e-15)
    assert (response(DampedGradientDescent(step_size=0.2, penalty=0.0), at, 5)[:, 0] == 0).all()


@pytest.mark.parametrize("penalty", [-1.0, float("nan"), float("inf")])
def test_arguments_are_checked(penalty, unchecked):
    for kind in (DampedGradientDescent, DampedConjugateGradient):
        with pytest.raises(ValueError, match="penalty must be finite and at least 0; got"):
            kind(penalty=penalty)
    with pytest.raises(ValueError, match="step_size"):
        DampedGradientDescent(step_size=-1.0)
