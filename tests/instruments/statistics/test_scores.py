"""Statistics from sums over prompts, and the pairing that controls rest on."""

import dataclasses

import pytest
import torch

from mesascope.instruments.asking.applicability import NotApplicable, latent_weights, residual_sites, untrained
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.scores import (
    Quantity,
    explained,
    measure,
    normalised_error,
    partners,
    r_squared,
    ratio,
    squared_error,
)
from mesascope.tasks import Diagonal, Gaussian, LinearRegression
from mesascope.types import Site


def test_errors_are_means_over_queries_of_each_prompt(task):
    p = dataclasses.replace(task, queries=4).sample(6, seed=0)
    expected = torch.stack([((p.targets[i] + 1) ** 2).mean() for i in range(6)])
    answers = -torch.ones_like(p.targets)
    torch.testing.assert_close(squared_error(answers, p), expected)
    torch.testing.assert_close(normalised_error(answers, p), expected / p.target_variance)


def test_a_partner_is_another_prompt_of_the_same_stratum():
    mixture = LinearRegression(dim=2, inputs=Gaussian(covariance=Diagonal(condition=(1.0, 10.0, 100.0))))
    p = mixture.sample(20, seed=0)
    other = partners(p)
    assert sorted(other.tolist()) == list(range(20))
    assert not (other == torch.arange(20)).any()
    assert torch.equal(p.strata[other], p.strata)


def test_a_lonely_prompt_is_its_own_partner(task):
    assert partners(task.sample(1, seed=0)).tolist() == [0]


def test_partners_without_strata(task):
    p = dataclasses.replace(task.sample(3, seed=0), strata=None)
    assert partners(p).tolist() == [1, 2, 0]


def test_statistics_of_means():
    means = torch.tensor([[1.0, 4.0, 20.0]], dtype=torch.float64)
    assert ratio(means).item() == 0.25
    assert explained(means).item() == 0.75
    assert r_squared(means).item() == 1 - 1 / (20 - 16)


def test_controls_get_the_same_statistic():
    draws = bootstrap.weights(50, seed=0)
    rng = torch.Generator().manual_seed(0)
    sums = torch.rand(50, generator=rng, dtype=torch.float64)
    m = measure(
        "test",
        Quantity(name="mean"),
        sums,
        draws,
        coordinates={"where": "here"},
        positive={"p": sums + 1},
        negative={"n": 0.5},
    )
    assert (m.instrument, m.quantity, m.n, m.coordinates) == ("test", "mean", 50, {"where": "here"})
    assert m.value == pytest.approx(float(sums.mean()))
    assert m.interval is not None
    assert m.interval[0] < m.value < m.interval[1]
    positive, negative = m.controls
    assert (positive.kind, positive.name, negative.kind, negative.name) == ("positive", "p", "negative", "n")
    assert positive.value == pytest.approx(m.value + 1)
    assert positive.interval == pytest.approx((m.interval[0] + 1, m.interval[1] + 1))
    assert (negative.value, negative.interval) == (0.5, None)


def test_a_control_may_rest_on_fewer_prompts():
    draws = bootstrap.weights(50, seed=0)
    sums = torch.arange(50, dtype=torch.float64)
    m = measure("test", Quantity(name="mean"), sums, draws, coordinates={}, negative={"few": sums[:10]})
    assert m.controls[0].value == 4.5


def test_what_is_not_finite_has_no_interval():
    draws = bootstrap.weights(4, seed=0)
    zero = torch.zeros(4, 2, dtype=torch.float64)
    m = measure("test", Quantity(name="ratio", combine=ratio), zero, draws, coordinates={})
    assert m.value != m.value
    assert m.interval is None


def test_residual_sites_in_order(planted, tiny, bare):
    assert [str(s) for s in residual_sites(planted)] == [
        "blocks.0.hook_resid_pre",
        "blocks.0.hook_resid_mid",
        "blocks.0.hook_resid_post",
    ]
    assert len(residual_sites(tiny)) == 5
    with pytest.raises(NotApplicable, match="bare has no residual-stream sites"):
        residual_sites(bare)


def test_the_embedding_stands_in_for_the_first_site(bare):
    class Short(type(bare)):
        sites = (Site(layer=0, kind="resid_post"), Site(kind="embed"), Site(layer=0, kind="resid_mid"))

    assert [s.kind for s in residual_sites(Short())] == ["embed", "resid_mid", "resid_post"]


def test_only_some_subjects_can_be_had_untrained(tiny, bare):
    fresh = untrained(tiny, seed=5)
    assert fresh is not None
    assert fresh.name == "tiny, untrained"
    assert untrained(bare, seed=5) is None


def test_prompts_without_latent_weights(task):
    p = task.sample(2, seed=0)
    assert latent_weights(p) is p.weights
    with pytest.raises(NotApplicable, match="no latent weights"):
        latent_weights(dataclasses.replace(p, weights=None))
