"""GD++: against a loop by hand, the network that runs it, and the filter that it is on diagonal problems."""

import math

import numpy as np
import pytest
import torch

from mesascope.algorithms import GDPlusPlus, GradientDescent, Problem, run
from mesascope.instruments.spectral.channels import response
from mesascope.models.constructions import gd_plus_plus

SIZE, CURVATURE = 0.3, 0.12


@pytest.mark.parametrize(("examples", "dim"), [(12, 4), (3, 6)])
def test_it_moves_the_inputs_and_descends_on_them(make, examples, dim):
    """As the paper has it: tokens (x, y − f), the examples' and the query's, and nothing of T or w."""
    prompts = make(examples=examples, dim=dim)
    found = run(GDPlusPlus(step_size=SIZE, curvature=CURVATURE), prompts, 6).predictions.numpy()
    for i in range(6):
        x, left, asked = prompts.xs[i].numpy(), prompts.ys[i].numpy(), prompts.queries[i].numpy()
        answer = np.zeros(5)
        for k in range(7):
            np.testing.assert_allclose(found[k, i], answer, rtol=1e-12, atol=1e-12)
            answer = answer + SIZE * asked @ x.T @ left / examples
            moved, left = x - CURVATURE * x @ x.T @ x / examples, left - SIZE * x @ x.T @ left / examples
            asked, x = asked - CURVATURE * asked @ x.T @ x / examples, moved


def test_every_step_is_a_layer_of_the_network(make):
    prompts = make()
    network = gd_plus_plus(layers=6, step_size=SIZE, curvature=CURVATURE)
    activations = network.trace(prompts, capture=network.path).activations
    answers = [network.readout(activations[site][:, prompts.examples :], site) for site in network.path]
    expected = run(GDPlusPlus(step_size=SIZE, curvature=CURVATURE), prompts, 6).predictions[1:]
    torch.testing.assert_close(torch.stack(answers), expected, rtol=1e-12, atol=1e-12)
    other = run(GDPlusPlus(step_size=SIZE, curvature=1.1 * CURVATURE), prompts, 6).predictions[1:]
    assert (torch.stack(answers) - other).abs().max() > 1e-3


def test_without_curvature_it_is_gradient_descent(make):
    prompts = make()
    plain = run(GradientDescent(step_size=SIZE), prompts, 6)
    path = run(GDPlusPlus(step_size=SIZE, curvature=0.0), prompts, 6)
    torch.testing.assert_close(path.predictions, plain.predictions, rtol=1e-13, atol=1e-13)
    curved = run(GDPlusPlus(step_size=SIZE, curvature=CURVATURE), prompts, 6)
    torch.testing.assert_close(curved.predictions[:2], plain.predictions[:2], rtol=1e-13, atol=1e-13)  # T₀ = I
    assert (curved.predictions[2] - plain.predictions[2]).abs().max() > 1e-2


def test_each_prompt_may_have_its_own_coefficients(make):
    prompts = make()
    sizes = torch.linspace(0.1, 0.3, 6, dtype=torch.float64)[:, None]
    curvatures = torch.linspace(0.15, 0.0, 6, dtype=torch.float64)[:, None]
    together = run(GDPlusPlus(step_size=sizes, curvature=curvatures), prompts, 4).predictions
    for i in range(6):
        alone = GDPlusPlus(step_size=float(sizes[i]), curvature=float(curvatures[i]))
        expected = run(alone, prompts[i : i + 1], 4).predictions[:, 0]
        torch.testing.assert_close(together[:, i], expected, rtol=1e-12, atol=1e-12)


def test_on_diagonal_problems_it_is_its_response_in_every_coordinate(diagonal):
    eigenvalues = torch.logspace(-2, 0.6, 7, dtype=torch.float64).repeat(3, 1) * torch.tensor([[0.3], [1.0], [1.5]])
    algorithm = GDPlusPlus(step_size=SIZE, curvature=CURVATURE)
    solution = torch.linspace(-2, 3, 21, dtype=torch.float64).reshape(3, 7)
    weights = run(algorithm, diagonal(eigenvalues, solution), 5).weights
    expected = response(algorithm, eigenvalues, 5) * solution
    torch.testing.assert_close(weights, expected, rtol=1e-12, atol=1e-12)


def test_the_response_takes_a_coefficient_an_eigenvalue():
    at = torch.tensor([0.1, 1.0, 3.0], dtype=torch.float64)
    sizes, curvatures = torch.tensor([[0.1], [0.2], [0.3]]).double(), torch.tensor([[0.2], [0.1], [0.05]]).double()
    found = response(GDPlusPlus(step_size=sizes, curvature=curvatures), at, 4)
    for i in range(3):
        alone = GDPlusPlus(step_size=float(sizes[i]), curvature=float(curvatures[i]))
        problem = Problem.from_gram(at[i : i + 1, None, None], at[i : i + 1, None])
        weights = run(alone, problem, 4).weights
        assert weights is not None
        torch.testing.assert_close(found[:, i], weights[:, 0, 0], rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("value", [0.0, -0.1, math.inf, math.nan])
def test_a_step_size_is_a_finite_number_above_0(value):
    with pytest.raises(ValueError, match=f"step_size must be a finite number above 0; got {value!r}. Pass less than 2"):
        GDPlusPlus(step_size=value)
    with pytest.raises(ValueError, match="step_size must be a finite number above 0; got tensor"):
        GDPlusPlus(step_size=torch.tensor([[0.1], [value]]))


@pytest.mark.parametrize("value", [-0.1, math.inf, math.nan])
def test_a_curvature_is_a_finite_number_of_0_or_more(value):
    with pytest.raises(ValueError, match=f"curvature must be a finite number of 0 or more; got {value!r}. 0 is"):
        GDPlusPlus(curvature=value)
    with pytest.raises(ValueError, match="curvature must be a finite number of 0 or more; got tensor"):
        GDPlusPlus(curvature=torch.tensor([[0.1], [value]]))
