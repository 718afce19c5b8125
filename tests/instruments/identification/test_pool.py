"""Who has learnt a pool of weights by heart is told from who solves any regression."""

import pytest
import torch

from mesascope.algorithms import GradientDescent, PoolPosterior, Ridge, run
from mesascope.instruments.identification import identify
from mesascope.instruments.identification.families import POOL, chosen
from mesascope.instruments.identification.prompts import discriminating
from mesascope.models.scripted import Scripted
from mesascope.tasks import LinearRegression, PooledRegression
from mesascope.types import Domain, Verdict

NOISE = 0.5
CLOSED = [POOL, "ridge", "least-squares", "gradient-descent"]
SMALL, LARGE = (PooledRegression(noise=NOISE, pool=pool) for pool in (16, 4096))
RIDGE = Ridge(ridge=NOISE**2 / LinearRegression().weight_variance)


def asked(task: PooledRegression, algorithm, **options) -> Verdict:
    """The verdict on a subject of one layer that answers so."""
    subject = Scripted(name="planted", layers=1, script=lambda p: run(algorithm, p).predictions[1:])
    return identify(subject, task, algorithms=CLOSED, **{"prompts": 100} | options)


def posterior(task: PooledRegression, noise: float = NOISE) -> PoolPosterior:
    return PoolPosterior(pool=task.vectors, noise=noise)


def test_the_posterior_over_a_small_pool_is_named_on_both_distributions():
    verdict = asked(SMALL, posterior(SMALL))
    for found in (verdict.training, verdict.discriminating):
        assert found is not None
        assert (found.function.label, found.function.algorithms) == ("identified", (POOL,))
        row = next(row for row in found.function.scores if row.kept)
        assert row.coefficients["noise"] == pytest.approx(NOISE, rel=1e-3)


def test_ridge_regression_on_a_small_pool_is_not():
    verdict = asked(SMALL, RIDGE)
    for found in (verdict.training, verdict.discriminating):
        assert found is not None
        assert (found.function.label, found.function.algorithms) == ("identified", ("ridge",))


@pytest.mark.parametrize(("algorithm", "name"), [(posterior(LARGE), POOL), (RIDGE, "ridge")], ids=["pool", "ridge"])
def test_a_large_pool_looks_like_ridge_regression_and_no_wrong_name_is_given(algorithm, name):
    """With 4096 vectors in five dimensions both leave little of each other: on training prompts the set may hold both."""
    verdict = asked(LARGE, algorithm)
    assert verdict.discriminating is not None
    for found in (verdict.training, verdict.discriminating):
        assert name in found.function.algorithms
    other = {POOL: "ridge", "ridge": POOL}[name]
    agreement = verdict.training.function.agreement[name][other]
    small = asked(SMALL, posterior(SMALL)).training.function.agreement[POOL]["ridge"]
    assert agreement > 0.98 > small


def test_with_few_exact_examples_the_pool_is_still_named():
    """Exact labels and fewer examples than dimensions: the pool determines w, and least squares does not."""
    task = PooledRegression(dim=6, examples=3, pool=16)
    verdict = asked(task, posterior(task, noise=1e-2))
    assert (verdict.training.function.label, verdict.training.function.algorithms) == ("identified", (POOL,))


def test_gradient_descent_keeps_its_name_on_a_pooled_task(plant):
    verdict = identify(plant(GradientDescent(step_size=0.2)), SMALL, algorithms=CLOSED, prompts=60)
    assert verdict.algorithms == ("gradient-descent",)


def test_the_pool_s_vectors_break_additivity_and_rotations():
    assert posterior(SMALL).implies == {"permutation"}
    broken = {m.coordinates["invariance"]: m.value for m in asked(SMALL, posterior(SMALL), prompts=30).invariances}
    assert broken["rotation"] > 0.05


def test_the_candidate_is_offered_only_where_there_is_a_pool():
    assert POOL not in {f.name for f in chosen(None)}
    assert chosen(None, 0.0, SMALL.vectors)[-1].name == POOL
    for names in ([POOL], [POOL, "ridge"]):
        with pytest.raises(ValueError, match="only for a task whose weights come from a pool"):
            chosen(names)
    with pytest.raises(ValueError, match="only for a task whose weights come from a pool"):
        identify(Scripted(name="x", layers=1, script=lambda p: p.targets[None]), LinearRegression(), algorithms=[POOL])


def test_discriminating_prompts_have_weights_from_the_prior_in_the_pool_s_dimension():
    found = discriminating(SMALL, Domain())
    assert found is not None and type(found.task) is LinearRegression
    assert found.task.dim == SMALL.dim
    assert "not from the pool" in found.words
    weights = found.task.sample(50, seed=0).weights
    assert weights is not None and float(torch.cdist(weights, SMALL.vectors).min()) > 1e-3
