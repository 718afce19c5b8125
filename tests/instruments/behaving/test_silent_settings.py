"""The settings of the silent-failure check: what they change, what they leave, and what a domain allows."""

import dataclasses

import pytest
import torch

from mesascope.instruments.behaving.silent_settings import (
    SHARE,
    SMALL,
    Setting,
    mixed_sizes,
    near_one_example,
    planted_failures,
    settings,
)
from mesascope.instruments.behaving.stress import RIDGE
from mesascope.tasks import LinearRegression
from mesascope.types import Domain

TASK = LinearRegression(dim=4, examples=12, queries=8)


def test_queries_near_one_example_are_distributed_as_before_and_resemble_each_other():
    prompts = TASK.sample(2000, seed=0)
    near = near_one_example(prompts)
    assert float(near.queries.var()) == pytest.approx(1, abs=0.05)
    own = (near.queries - (1 - SHARE) ** 0.5 * prompts.xs[:, :1]).var()
    assert float(own) == pytest.approx(SHARE, rel=0.05)
    assert prompts.weights is not None
    assert torch.allclose(near.targets, (near.queries @ prompts.weights[..., None])[..., 0])
    pooled, within = near.targets.var(), near.targets.var(-1).mean()
    assert float(within / pooled) == pytest.approx(SHARE, rel=0.15)
    assert torch.equal(near.xs, prompts.xs)


def test_sizes_are_mixed_among_prompts_and_noted_as_strata():
    prompts = TASK.sample(8, seed=0)
    mixed = mixed_sizes(prompts)
    ratio = mixed.targets[:, 0] / prompts.targets[:, 0]
    assert ratio.tolist() == pytest.approx([1, SMALL, SMALL, SMALL] * 2)
    assert torch.allclose(mixed.ys / prompts.ys, ratio[:, None].expand_as(prompts.ys))
    assert torch.allclose(mixed.target_variance / prompts.target_variance, ratio.square())
    assert mixed.strata is not None
    assert mixed.strata.tolist() == [0, 1, 1, 1] * 2
    setting = Setting(name="mixed", source=TASK, mixed=True)
    assert setting.failing(prompts).tolist() == [False, True, True, True] * 2


def test_only_what_the_domain_allows_is_asked():
    free = {s.name for s in settings(TASK, Domain())}
    fixed = {s.name for s in settings(TASK, Domain(dims=(4,), examples=(12,)))}
    assert free - fixed == {"half the examples", "half the examples, near one example"}
    for setting in settings(TASK, Domain()):
        prompts = setting.sample(4, seed=0, stream="x")
        assert (prompts.dim, prompts.queries.shape[1]) == (4, 8)
        assert prompts.examples == (6 if "half" in setting.name else 12)


def test_one_dimension_has_no_condition_number():
    assert not [s for s in settings(LinearRegression(dim=1, examples=4, queries=8), Domain()) if "κ" in s.name]


def test_ridge_has_the_penalty_that_noise_asks_for():
    named = {s.name: s for s in settings(TASK, Domain())}
    prompts = TASK.sample(64, seed=0)
    assert named["training"].ridge(prompts) == pytest.approx(RIDGE)
    assert named["label noise 0.5"].ridge(prompts) == pytest.approx(
        0.25 * 4
    )  # of labels of variance 1, w of variance 1/4
    noisy = dataclasses.replace(TASK, noise=0.2)
    assert Setting(name="plain", source=noisy).ridge(prompts) == pytest.approx(0.04 / noisy.weight_variance)
    assert Setting(name="plain", source=TASK).ridge(prompts) == pytest.approx(RIDGE, rel=0.1)


def test_planted_failures_know_the_level_and_not_the_order():
    prompts = near_one_example(TASK.sample(400, seed=0))
    shrunk, wrong, copied = planted_failures(prompts)
    mean, spread = prompts.targets.mean(-1), prompts.targets.std(-1)
    for answers, share in ((shrunk, 0.1), (wrong, 1.0)):
        assert torch.allclose(answers.mean(-1), mean)
        assert torch.allclose(answers.std(-1), share * spread)
    assert torch.allclose(wrong[:, 0], prompts.targets[:, -1])
    assert float((copied == prompts.ys[:, :1]).double().mean()) > 0.8


@pytest.mark.usefixtures("unchecked")
def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match=r"condition must be .* 1"):
        settings(TASK, Domain(), condition=0.5)
    with pytest.raises(ValueError, match="must have latent weights"):
        near_one_example(dataclasses.replace(TASK.sample(2, seed=0), weights=None))
