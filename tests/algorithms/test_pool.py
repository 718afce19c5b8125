"""The posterior mean over a pool: Bayes' rule written out, its limits, large pools and exact labels."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from mesascope.algorithms import PoolPosterior, Ridge, run
from mesascope.tasks import LinearRegression
from mesascope.testing import check_algorithm


def vectors(count: int, dim: int = 4, seed: int = 1) -> torch.Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_conformance():
    check_algorithm(PoolPosterior(pool=vectors(6), noise=0.5), LinearRegression(dim=4, examples=12, noise=0.5))


@pytest.mark.parametrize("noise", [0.3, 2.0, 30.0])
def test_it_is_bayes_rule(make, noise):
    prompts, pool = make(noise=1.0), vectors(7)
    found = run(PoolPosterior(pool=pool, noise=noise), prompts).weights[1].numpy()
    for i in range(6):
        residuals = prompts.ys[i].numpy()[:, None] - prompts.xs[i].numpy() @ pool.numpy().T
        log = -np.square(residuals).sum(0) / (2 * noise**2)
        share = np.exp(log - log.max())
        np.testing.assert_allclose(found[i], share / share.sum() @ pool.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("noise", [1e-3, 1e-8, 1e-200])
def test_exact_labels_give_the_vector_that_made_them(make, noise):
    pool, prompts = vectors(500), make()
    weights = pool[torch.arange(6) * 7]
    exact = dataclasses.replace(prompts, ys=(prompts.xs @ weights[..., None])[..., 0])
    torch.testing.assert_close(run(PoolPosterior(pool=pool, noise=noise), exact).weights[1], weights)


def test_a_large_gaussian_pool_tends_to_ridge(make):
    prompts = make(batch=4, examples=3, noise=1.0)
    expected = run(Ridge(ridge=1.0), prompts).predictions[1]
    gaps = [
        float((run(PoolPosterior(pool=vectors(count), noise=1.0), prompts).predictions[1] - expected).square().mean())
        for count in (30, 30_000)
    ]
    assert gaps[1] < gaps[0] / 30
    assert math.sqrt(gaps[1]) < 0.1


def test_a_large_batch_is_computed_in_parts(make, monkeypatch):
    prompts, posterior = make(batch=50), PoolPosterior(pool=vectors(20), noise=1.0)
    whole = run(posterior, prompts).weights
    monkeypatch.setattr("mesascope.algorithms.pool.CHUNK_BYTES", 20 * 8 * 3)
    torch.testing.assert_close(run(posterior, prompts).weights, whole, rtol=1e-12, atol=1e-14)


def test_it_is_neither_linear_in_the_labels_nor_blind_to_rotations(make):
    """What it implies is the order of the examples alone; the others must be truly broken."""
    prompts, posterior = make(noise=1.0), PoolPosterior(pool=vectors(6), noise=1.0)
    base = run(posterior, prompts).predictions[1]
    doubled = run(posterior, dataclasses.replace(prompts, ys=2 * prompts.ys)).predictions[1]
    assert float((doubled - 2 * base).abs().max()) > 0.1
    turn = torch.linalg.qr(vectors(4)).Q
    turned = dataclasses.replace(prompts, xs=prompts.xs @ turn, queries=prompts.queries @ turn)
    assert float((run(posterior, turned).predictions[1] - base).abs().max()) > 0.1
    assert posterior.implies == {"permutation"}


def test_arguments_are_checked(make, unchecked):
    with pytest.raises(ValueError, match="pool must hold at least one vector"):
        PoolPosterior(pool=vectors(0))
    with pytest.raises(ValueError, match="only finite numbers"):
        PoolPosterior(pool=vectors(2) / 0.0)
    for noise in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="noise must be a finite number above 0"):
            PoolPosterior(pool=vectors(2), noise=noise)
    with pytest.raises(ValueError, match="prompts must have the pool's dimension, 4; got 3"):
        run(PoolPosterior(pool=vectors(2)), make(dim=3))
