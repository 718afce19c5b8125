"""Conjugate residuals: the smallest residual over each Krylov space, MINRES of SciPy, and what happens when they end."""

import numpy as np
import pytest
import scipy.sparse.linalg
import torch

from mesascope.algorithms import ConjugateGradient, ConjugateResidual, Problem, run
from mesascope.testing import check_algorithm
from mesascope.types import Status


def test_conformance():
    check_algorithm(ConjugateResidual)


@pytest.mark.parametrize("dim", [2, 4, 7])
def test_every_iterate_has_the_smallest_residual_in_its_krylov_space(make, dim):
    prompts = make(noise=1.0, dim=dim, examples=15)
    problem, path = Problem.of(prompts), run(ConjugateResidual(), prompts, dim).weights.numpy()
    for i in range(6):
        s, b = problem.gram[i].numpy(), problem.moment[i].numpy()
        for k in range(1, dim + 1):
            basis = np.linalg.qr(np.stack([np.linalg.matrix_power(s, j) @ b for j in range(k)], 1))[0]
            expected = basis @ np.linalg.lstsq(s @ basis, b, rcond=None)[0]
            np.testing.assert_allclose(path[k, i], expected, rtol=1e-8, atol=1e-8)


def test_it_agrees_with_minres(make):
    problem = Problem.of(make(noise=1.0))
    path = run(ConjugateResidual(), problem, 3).weights.numpy()
    for i in range(6):
        found: list[np.ndarray] = []
        s, b = problem.gram[i].numpy(), problem.moment[i].numpy()
        scipy.sparse.linalg.minres(s, b, rtol=1e-14, maxiter=3, callback=lambda w, into=found: into.append(w.copy()))
        np.testing.assert_allclose(path[1:, i], found[:3], rtol=1e-8, atol=1e-10)


def test_it_is_not_conjugate_gradient_before_the_end_and_is_there(make):
    prompts = make(noise=1.0)
    residual, gradient = (run(a, prompts, 4).weights for a in (ConjugateResidual(), ConjugateGradient()))
    assert float((residual[2] - gradient[2]).abs().max()) > 1e-2
    torch.testing.assert_close(residual[4], gradient[4], rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(("examples", "dim"), [(12, 4), (3, 6), (1, 5)])
def test_far_beyond_convergence_it_keeps_its_answer(make, examples, dim):
    prompts = make(examples=examples, dim=dim, noise=1.0)
    path = run(ConjugateResidual(), prompts, 300)
    assert (path.status != Status.DIVERGED).all()
    expected = (torch.linalg.pinv(prompts.xs) @ prompts.ys[..., None])[..., 0]
    torch.testing.assert_close(path.weights[-1], expected, rtol=1e-6, atol=1e-8)
