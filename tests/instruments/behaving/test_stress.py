"""Stress: on a subject that is ridge, on one that falls a tenth short, and the table itself."""

import dataclasses

import pytest
import torch
from scipy.stats import rankdata, spearmanr

from mesascope.algorithms import Ridge, run
from mesascope.instruments.asking.applicability import NotApplicable
from mesascope.instruments.behaving import stress
from mesascope.instruments.statistics.scores import correlation
from mesascope.tasks import Gaussian, Toeplitz
from mesascope.types import Trace

SIZE = {"n": 32, "queries": 3}


@pytest.fixture(scope="module")
def found(planted, task):
    return stress.stress(planted, task, **SIZE)


def test_a_subject_that_is_ridge(bare, task, look):
    value, _ = look

    class Ridged(type(bare)):
        def trace(self, prompts, **_):
            return Trace(predictions=run(Ridge(ridge=stress.RIDGE), prompts).predictions[1], activations={})

    found = stress.stress(Ridged(), task, **SIZE)
    for row in stress.distributions(task):
        at = {"distribution": row.name}
        if row.task.noise:
            continue  # there the reference has another λ
        assert value(found, "MSE over ridge's", **at).value == 1
        assert value(found, "excess of normalised error over ridge's", **at).value == 0
        assert value(found, "rank correlation with ridge", **at).value == pytest.approx(1)
        assert "untrained network" not in {c.name for c in value(found, "MSE", **at).controls}


def test_a_subject_that_falls_a_tenth_short(found, look, task):
    value, _ = look
    for row in stress.distributions(dataclasses.replace(task, queries=3)):
        if row.task.noise:
            continue
        prompts = row.sample(32, seed=0, stream=stress.NAME)
        at = {"distribution": row.name}
        assert value(found, "MSE", **at).value == pytest.approx(float((0.1 * prompts.targets).square().mean()))
        share = (0.1 * prompts.targets).square().mean(-1) / prompts.target_variance
        assert value(found, "normalised error", **at).value == pytest.approx(float(share.mean()))
        assert value(found, "rank correlation with ridge", **at).value > 0.99


def test_the_controls_come_out_as_they_must(found, look):
    _, control = look
    for m in found:
        if m.quantity == "MSE over ridge's":
            assert control(m, "ridge") == 1
            assert control(m, "ridge's answers to another prompt") > 2
            assert control(m, "untrained network") > 2
        if m.quantity == "rank correlation with ridge":
            assert control(m, "ridge") == pytest.approx(1)
            assert control(m, "least squares") > 0.95
            assert abs(control(m, "ridge's answers to another prompt")) < 0.5
        if m.quantity == "excess of normalised error over ridge's":
            assert control(m, "ridge") == 0


def test_rows_are_what_they_say(task):
    table = {row.name: row for row in stress.distributions(dataclasses.replace(task, queries=12))}
    plain = table["training"].sample(64, seed=0, stream="t")
    for name, factor in (("labels halved", 0.5), ("labels doubled", 2.0)):
        scaled = table[name].sample(64, seed=0, stream="t")
        assert torch.equal(scaled.xs, plain.xs)
        torch.testing.assert_close(scaled.ys, plain.ys * factor)
        torch.testing.assert_close(scaled.targets, plain.targets * factor)
        torch.testing.assert_close(scaled.weights, plain.weights * factor)
        torch.testing.assert_close(scaled.target_variance, plain.target_variance * factor**2)
    for name, factor in (("x halved", 0.5), ("x doubled", 2.0)):
        torch.testing.assert_close(table[name].sample(64, seed=0, stream="t").xs, plain.xs * factor)
    seen = table["queries from the context"].sample(64, seed=0, stream="t")
    assert torch.equal(seen.queries[:, :10], seen.xs)
    assert torch.equal(seen.queries[:, 10:], seen.xs[:, :2])
    torch.testing.assert_close(seen.targets[:, :10], seen.ys)
    torch.testing.assert_close(seen.target_variance, seen.ys.square().mean(-1))
    noisy = table["label noise 0.5"]
    assert noisy.ridge == pytest.approx(0.25 * task.dim)
    assert plain.targets.shape == (64, 12)
    assert all(row.ridge == stress.RIDGE for name, row in table.items() if name != "label noise 0.5")


def test_every_row_stays_in_the_domain(task):
    for row in stress.distributions(task):
        assert (row.task.dim, row.task.examples) == (task.dim, task.examples)


def test_an_isotropic_training_task_is_not_listed_twice(task):
    assert "identity" not in {row.name for row in stress.distributions(task)}
    other = dataclasses.replace(task, inputs=Gaussian(covariance=Toeplitz()))
    assert "identity" in {row.name for row in stress.distributions(other)}


def test_ranks_against_scipy():
    values = torch.tensor([[3.0, 1.0, 3.0], [2.0, 3.0, -1.0]])
    torch.testing.assert_close(stress.ranks(values).flatten(), torch.from_numpy(rankdata(values.flatten().numpy())))


def test_rank_correlation_against_scipy(task):
    prompts = dataclasses.replace(task, queries=4).sample(20, seed=0)
    rng = torch.Generator().manual_seed(0)
    a, b = (torch.randn(20, 4, generator=rng, dtype=torch.float64) for _ in range(2))
    found = correlation(stress._sums(stress.RANK, a + b, b, prompts).mean(0, keepdim=True))
    assert float(found) == pytest.approx(spearmanr((a + b).flatten(), b.flatten()).statistic)


def test_a_table_of_ones_own(planted, task):
    row = stress.StressTest(name="mine", task=dataclasses.replace(task, queries=2), label_scale=3.0)
    found = stress.stress(planted, task, n=8, table=(row,))
    assert {m.coordinates["distribution"] for m in found} == {"mine"}
    assert len(found) == 5


def test_seen_queries_need_latent_weights(task, monkeypatch):
    sample = type(task).sample
    monkeypatch.setattr(
        type(task), "sample", lambda self, n, **k: dataclasses.replace(sample(self, n, **k), weights=None)
    )
    row = stress.StressTest(name="seen", task=task, seen=True)
    with pytest.raises(NotApplicable, match="no latent weights"):
        row.sample(4, seed=0, stream="t")
    plain = stress.StressTest(name="scaled", task=task, label_scale=2.0)
    assert plain.sample(4, seed=0, stream="t").weights is None


def test_the_table_shows_ridge_beside_the_subject(found):
    row = stress.figure(found).rows[0]
    assert row["distribution"] == "training"
    assert row["MSE"] > row["ridge's MSE"] > 0
