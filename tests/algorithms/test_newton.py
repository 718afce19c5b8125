import numpy as np
import pytest
import torch

from mesascope.algorithms import GradientDescent, NewtonSchulz, Problem, run


@pytest.mark.parametrize("scale", [0.2, "norm"])
def test_from_the_identity_step_k_is_gradient_descent_at_step_two_to_the_k(make, scale):
    prompts = make(noise=1.0)
    newton = run(NewtonSchulz(start="identity", scale=scale), prompts, 6).weights
    for i in range(6):
        step_size = scale if scale != "norm" else 1 / float(Problem.of(prompts).spectrum[i, -1])
        descent = run(GradientDescent(step_size=step_size), prompts[i : i + 1], 64).weights
        for k in range(1, 7):
            torch.testing.assert_close(newton[k, i], descent[2**k, 0], rtol=1e-10, atol=1e-10)
    assert (newton[0] == 0).all()


@pytest.mark.parametrize("convention", ["mean", "sum"])
def test_from_the_gram_matrix_it_is_the_published_iteration(make, convention):
    prompts = make()
    path = run(NewtonSchulz(), prompts, 5).weights.numpy()
    for i in range(6):
        x, y = prompts.xs[i].numpy(), prompts.ys[i].numpy()
        n = 12 if convention == "mean" else 1
        s, b = x.T @ x / n, x.T @ y / n
        m = s.T / np.linalg.norm(s @ s.T, 2)
        for k in range(1, 6):
            m = m @ (2 * np.eye(4) - s @ m)
            np.testing.assert_allclose(path[k, i], m @ b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("start", ["gram", "identity"])
def test_it_ends_at_least_squares_and_stays_there(make, start):
    prompts = make()
    path = run(NewtonSchulz(start=start), prompts, 40).weights
    expected = torch.linalg.lstsq(prompts.xs, prompts.ys[..., None]).solution[..., 0]
    for k in (25, 40):
        torch.testing.assert_close(path[k], expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("start", ["gram", "identity"])
@pytest.mark.parametrize(
    ("scale", "norm"),
    [("norm", lambda s: np.linalg.norm(s, 2)), ("frobenius", np.linalg.norm), ("trace", np.trace)],
)
def test_every_rule_divides_the_start_by_a_norm_of_each_prompt(make, start, scale, norm):
    problem = Problem.of(make())
    path = run(NewtonSchulz(start=start, scale=scale), problem, 3).weights.numpy()
    for i in range(6):
        s, b = problem.gram[i].numpy(), problem.moment[i].numpy()
        m = s / norm(s) ** 2 if start == "gram" else np.eye(4) / norm(s)
        for k in range(1, 4):
            m = m @ (2 * np.eye(4) - s @ m)
            np.testing.assert_allclose(path[k, i], m @ b, rtol=1e-10, atol=1e-10)


def test_a_fixed_scale_multiplies_the_start(make):
    problem = Problem.of(make())
    path = run(NewtonSchulz(start="gram", scale=0.05), problem, 1).weights
    m = 0.05 * problem.gram
    expected = (2 * m - m @ problem.gram @ m) @ problem.moment[..., None]
    torch.testing.assert_close(path[1], expected[..., 0], rtol=1e-12, atol=1e-12)


def test_arguments_are_checked(unchecked):
    with pytest.raises(ValueError, match="start must be 'gram' or 'identity'; got 'zero'"):
        NewtonSchulz(start="zero")
    for scale in (0.0, float("inf"), "best"):
        with pytest.raises(
            ValueError, match="scale must be 'norm', 'frobenius', 'trace' or a finite number above 0; got"
        ):
            NewtonSchulz(scale=scale)
