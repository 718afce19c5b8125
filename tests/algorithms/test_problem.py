import dataclasses

import pytest
import torch

from mesascope.algorithms import Problem
from mesascope.algorithms.preconditioner import preconditioned_bounds


def test_the_system_is_a_mean_and_the_ridge_a_sum(make):
    prompts = make()
    problem = Problem.of(prompts, ridge=3.0)
    xs, ys = prompts.xs[1].numpy(), prompts.ys[1].numpy()
    torch.testing.assert_close(problem.gram[1] * 12, torch.tensor(xs.T @ xs) + 3 * torch.eye(4, dtype=torch.float64))
    torch.testing.assert_close(problem.moment[1] * 12, torch.tensor(xs.T @ ys))
    torch.testing.assert_close(problem.kernel[1], torch.tensor(xs @ xs.T))
    vector = torch.randn(6, 4, dtype=torch.float64)
    torch.testing.assert_close(problem.apply(vector), (problem.gram @ vector[..., None])[..., 0])


def test_the_spectrum_ascends_and_belongs_to_the_system(make):
    problem = Problem.of(make())
    assert (problem.spectrum.diff(dim=-1) > 0).all()
    torch.testing.assert_close(problem.spectrum.sum(-1), problem.gram.diagonal(dim1=-2, dim2=-1).sum(-1))
    torch.testing.assert_close(problem.spectrum.prod(-1), torch.linalg.det(problem.gram))


def test_bounds_leave_out_directions_that_no_example_reaches(make):
    problem = Problem.of(make(examples=3, dim=5))
    low, high = problem.bounds
    values = torch.linalg.eigvalsh(problem.kernel / 3)
    torch.testing.assert_close(low[:, 0], values[:, 0])
    torch.testing.assert_close(high[:, 0], values[:, -1])


@pytest.mark.parametrize("ridge", [0.0, 0.7])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bounds_are_those_of_the_rank_and_not_of_the_number_of_examples(make, dtype, ridge):
    full = make(examples=3, dim=5, noise=0.0)
    repeated = dataclasses.replace(full, xs=full.xs[:, [0, 1, 2] * 4], ys=full.ys[:, [0, 1, 2] * 4])
    flat = make(dim=5, noise=0.0)
    flat.xs[..., 3:] = flat.xs[..., :2] - flat.xs[..., 1:3]
    for scale in (1e-4, 1.0, 1e4):
        for p in (full, repeated, flat):
            p = dataclasses.replace(p, xs=scale * p.xs)
            ridged = ridge * scale**2
            values = torch.linalg.svdvals(p.xs)[:, :3].square() / p.examples + ridged / p.examples
            for bounds in (
                Problem.of(p.to(dtype=dtype), ridged).bounds,
                preconditioned_bounds(torch.eye(5), Problem.of(p.to(dtype=dtype), ridged)),
            ):
                torch.testing.assert_close(bounds[0][:, 0].double(), values[:, -1], rtol=1e-2, atol=0)
                torch.testing.assert_close(bounds[1][:, 0].double(), values[:, 0], rtol=1e-5, atol=0)


def test_a_system_out_of_range_has_no_eigenvalues(make):
    p = make()
    p.xs[1] *= 1e200
    problem = Problem.of(p)
    assert problem.spectrum.isnan().any(-1).tolist() == [False, True, False, False, False, False]
    assert problem.bounds[0].isnan().flatten().tolist() == [False, True, False, False, False, False]


def test_a_slice_is_the_problem_of_the_sliced_prompts(make):
    prompts = make()
    part, expected = Problem.of(prompts, 0.5)[2:4], Problem.of(prompts[2:4], 0.5)
    for name in ("xs", "ys", "queries", "gram", "moment"):
        torch.testing.assert_close(getattr(part, name), getattr(expected, name))
    assert (part.ridge, part.examples, len(part)) == (0.5, 12, 2)


@pytest.mark.parametrize("ridge", [-1.0, float("nan"), float("inf")])
def test_a_ridge_must_make_sense(make, ridge):
    with pytest.raises(ValueError, match="ridge must be finite and at least 0; got"):
        Problem.of(make(), ridge)


def test_a_prompt_must_show_something(make):
    prompts = make()
    empty = dataclasses.replace(prompts, xs=prompts.xs[:, :0], ys=prompts.ys[:, :0])
    with pytest.raises(ValueError, match="prompts must show at least 1 example; got 0"):
        Problem.of(empty)


@pytest.mark.parametrize("entry", [2.0, float("nan")])
def test_a_system_must_be_symmetric_and_finite(entry):
    gram = torch.eye(2, dtype=torch.float64)[None].clone()
    gram[0, 0, 1] = entry
    with pytest.raises(ValueError, match="gram must be symmetric and finite"):
        Problem.from_gram(gram, torch.ones(1, 2, dtype=torch.float64))


def test_a_system_alone_has_no_examples(diagonal):
    with pytest.raises(ValueError, match="problem must hold its examples"):
        _ = diagonal(torch.ones(1, 2), torch.ones(1, 2)).kernel
