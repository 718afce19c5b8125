"""Linear regression with weights from a finite pool."""

import dataclasses
import json

import pytest
import torch

from mesascope.records.codec import from_json, to_json
from mesascope.tasks import Diagonal, Gaussian, LinearRegression, PooledRegression, Toeplitz
from mesascope.testing import check_task
from mesascope.training import TrainingSpec
from mesascope.types import PooledTask, is_prescribable

POOLED = PooledRegression(dim=3, examples=5, queries=2, pool=8)


@pytest.mark.parametrize(
    "task",
    [
        POOLED,
        PooledRegression(dim=4, examples=6, pool=2, pool_seed=7, noise=0.5, weights="standard"),
        PooledRegression(pool=300, inputs=Gaussian(covariance=Diagonal(condition=(1.0, 9.0), rotate=True))),
        PooledRegression(dim=2, pool=4096, query_inputs=Gaussian(covariance=Toeplitz())),
    ],
    ids=str,
)
def test_conformance(task):
    check_task(task)


def test_every_prompt_has_a_vector_of_the_pool_and_all_are_equally_likely():
    weights = POOLED.sample(4000, seed=3).weights
    assert weights is not None
    same = (weights[:, None] == POOLED.vectors).all(-1)
    assert (same.sum(-1) == 1).all()
    counts = same.sum(0).double()
    assert float((counts - 500).square().sum() / 500) < 24  # χ² with 7 degrees of freedom, p = 0.001


def test_the_pool_depends_on_its_size_seed_and_dimension_alone():
    other = dataclasses.replace(
        POOLED, examples=9, queries=1, noise=0.3, inputs=Gaussian(covariance=Diagonal(condition=4.0))
    )
    assert torch.equal(other.vectors, POOLED.vectors)
    assert not torch.equal(dataclasses.replace(POOLED, pool_seed=1).vectors[0], POOLED.vectors[0])
    for changes in ({"pool": 9}, {"dim": 4}):
        assert dataclasses.replace(POOLED, **changes).vectors.shape == (changes.get("pool", 8), changes.get("dim", 3))
    standard = dataclasses.replace(POOLED, weights="standard")
    torch.testing.assert_close(standard.vectors, POOLED.vectors * 3**0.5)


def test_it_has_the_variance_of_its_prior():
    vectors = PooledRegression(dim=5, pool=20_000).vectors
    assert float(vectors.square().mean()) == pytest.approx(0.2, rel=0.02)


def test_inputs_and_noise_are_those_of_the_task_without_a_pool():
    pooled, plain = dataclasses.replace(POOLED, noise=0.3), dataclasses.replace(POOLED, noise=0.3).unpooled
    assert type(plain) is LinearRegression
    a, b = pooled.sample(40, seed=1), plain.sample(40, seed=1)
    assert torch.equal(a.xs, b.xs) and torch.equal(a.queries, b.queries)
    assert a.weights is not None and b.weights is not None
    noise = [p.ys - (p.xs @ p.weights[..., None])[..., 0] for p in (a, b)]
    torch.testing.assert_close(*noise, rtol=0, atol=1e-12)
    assert not torch.equal(a.weights, b.weights)


def test_it_keeps_the_protocols_and_a_training_spec_holds_it():
    assert isinstance(POOLED, PooledTask) and is_prescribable(POOLED)
    assert not isinstance(LinearRegression(), PooledTask)
    spec = TrainingSpec(name="pooled", task=PooledRegression(pool=16))
    again = from_json(TrainingSpec, json.loads(json.dumps(to_json(spec))), ours=True)
    assert again == spec and isinstance(again.task, PooledRegression)
    assert from_json(LinearRegression, {"type": "PooledRegression", "pool": 16}) == PooledRegression(pool=16)


def test_its_fields_are_checked(unchecked):
    with pytest.raises(ValueError, match="pool must be .*2"):
        PooledRegression(pool=1)
    with pytest.raises(ValueError, match="pool_seed must be"):
        PooledRegression(pool_seed=-1)
    with pytest.raises(ValueError, match="noise must be"):
        PooledRegression(noise=-1.0)


def test_a_pool_that_does_not_fit_into_memory_is_refused_before_it_is_made():
    with pytest.raises(ValueError, match="a pool of 10000000000000 vectors"):
        PooledRegression(pool=10**13).sample(1, seed=0)
    TrainingSpec(name="large pool", task=PooledRegression(pool=10**13))  # a description costs nothing
