"""Gradient flow: the matrix exponential of SciPy, steps that compose, and its two limits."""

import numpy as np
import pytest
import scipy.linalg
import torch

from mesascope.algorithms import GradientDescent, GradientFlow, Problem, run
from mesascope.instruments.spectral.channels import response
from mesascope.testing import check_algorithm


def test_conformance():
    check_algorithm(GradientFlow)


def test_it_is_the_matrix_exponential(make):
    prompts = make(noise=1.0)
    problem, path = Problem.of(prompts), run(GradientFlow(time=0.7), prompts, 5).weights.numpy()
    for i in range(6):
        s, b = problem.gram[i].numpy(), problem.moment[i].numpy()
        for k in range(6):
            expected = (np.eye(4) - scipy.linalg.expm(-0.7 * k * s)) @ np.linalg.solve(s, b)
            np.testing.assert_allclose(path[k, i], expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("examples", [12, 2])
def test_several_steps_are_one_of_their_whole_time(make, examples):
    prompts = make(examples=examples)
    path, whole = run(GradientFlow(time=0.3), prompts, 8).weights, run(GradientFlow(time=1.2), prompts, 2).weights
    torch.testing.assert_close(path[::4], whole, rtol=1e-12, atol=1e-14)


def test_gradient_descent_with_small_steps_tends_to_it_at_first_order(make):
    prompts = make(noise=1.0)
    flow = run(GradientFlow(time=0.8), prompts, 1).weights[-1]
    gaps = [
        float((run(GradientDescent(step_size=0.8 / m), prompts, m).weights[-1] - flow).abs().max()) for m in (200, 400)
    ]
    assert gaps[0] / gaps[1] == pytest.approx(2, rel=0.02)
    assert gaps[1] < 1e-2


def test_after_a_long_time_it_is_least_squares_of_least_norm(make):
    prompts = make(examples=3)
    expected = (torch.linalg.pinv(prompts.xs) @ prompts.ys[..., None])[..., 0]
    torch.testing.assert_close(run(GradientFlow(time=1e6), prompts, 1).weights[-1], expected, rtol=1e-8, atol=1e-9)


def test_each_prompt_may_have_its_own_time(make):
    prompts, times = make(batch=2), torch.tensor([[0.2], [3.0]], dtype=torch.float64)
    found = run(GradientFlow(time=times), prompts, 3).weights
    for i, time in enumerate(times[:, 0].tolist()):
        alone = run(GradientFlow(time=time), prompts[i : i + 1], 3).weights
        torch.testing.assert_close(found[:, i], alone[:, 0], rtol=1e-12, atol=1e-14)


def test_its_filter():
    at = torch.tensor([0.0, 0.1, 1.0, 30.0], dtype=torch.float64)
    found = response(GradientFlow(time=0.5), at, 4)
    for k in range(5):
        torch.testing.assert_close(found[k], 1 - torch.exp(-0.5 * k * at), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("time", [0.0, -1.0, float("inf"), float("nan")])
def test_arguments_are_checked(time, unchecked):
    with pytest.raises(ValueError, match="time must be a finite number above 0; got"):
        GradientFlow(time=time)
