"""Ablation of a subject with one head that does it all, one that does nothing of use, and an idle MLP."""

import dataclasses

import pytest
import torch

from mesascope.instruments.asking.applicability import NotApplicable
from mesascope.instruments.intervening import ablation

Z, ATTN, MLP = "blocks.0.attn.hook_z", "blocks.0.hook_attn_out", "blocks.0.hook_mlp_out"
SIZE = {"n": 48, "queries": 3}


@pytest.fixture(scope="module")
def found(planted, task):
    return ablation.ablations(planted, task, **SIZE)


@pytest.mark.parametrize(("site", "head"), [(Z, 0), (ATTN, None)])
def test_without_what_it_needs_the_error_is_a_hundredfold(found, look, site, head):
    """Answers fall one tenth short; without the head they are zero: (1/0.1)² times the error."""
    value, _ = look
    at = {"site": site, "head": head}
    m = value(found, "MSE factor", **at, method="zero")
    assert m.value == pytest.approx(100, rel=1e-9)
    assert m.n == SIZE["n"]
    difference = value(found, "MSE difference", **at, method="zero")
    mse = value(found, "normalised error", **at, method="zero")
    assert difference.value > 0
    assert mse.value == pytest.approx(1, abs=0.3)
    assert value(found, "MSE factor", **at, method="mean").value == pytest.approx(100, rel=0.3)
    assert value(found, "MSE factor", **at, method="resample").value > 120


@pytest.mark.parametrize(("site", "head"), [(Z, 1), (MLP, None)])
@pytest.mark.parametrize("method", ["zero", "mean", "resample"])
def test_without_what_is_of_no_use_nothing_changes(found, look, site, head, method):
    value, _ = look
    assert value(found, "MSE factor", site=site, head=head, method=method).value == 1
    assert value(found, "MSE difference", site=site, head=head, method=method).value == 0


def test_the_controls_come_out_exactly(found, look):
    _, control = look
    for m in found:
        known = {"MSE factor": (1, 100), "MSE difference": (0, None)}.get(m.quantity)
        if known is None:
            continue
        nothing, everything = known
        assert control(m, ablation.NOTHING) == nothing
        assert control(m, ablation.SAME) == nothing
        if everything is not None:
            assert control(m, ablation.EVERYTHING) == pytest.approx(everything, rel=1e-9)


def test_the_mean_is_by_position_and_over_other_prompts(tiny, task):
    prompts = task.sample(6, seed=1)
    sites = ablation._sites(tiny)
    means = ablation._means(tiny, [prompts[:4], prompts[4:]], sites)
    trace = tiny.trace(prompts, capture=sites)
    for site in sites:
        torch.testing.assert_close(means[site].float(), trace[site].mean(0), rtol=1e-4, atol=1e-6)


def test_all_queries_share_their_mean(planted, task):
    prompts = dataclasses.replace(task, queries=3).sample(6, seed=1)
    means = ablation._means(planted, [prompts], ablation._sites(planted))
    for mean in means.values():
        assert torch.equal(mean[-1], mean[-2])
        assert torch.equal(mean[-1], mean[-3])


def test_controls_change_no_bit_of_a_transformer(tiny, task, look):
    _, control = look
    for m in ablation.ablations(tiny, task, n=8, queries=2, methods=("zero",)):
        if m.quantity == "MSE factor":
            assert control(m, ablation.NOTHING) == control(m, ablation.SAME) == 1


def test_every_part_by_every_method(tiny, task):
    found = ablation.ablations(tiny, task, n=8, queries=2)
    parts = {(m.coordinates["site"], m.coordinates["head"], m.coordinates["method"]) for m in found}
    assert len(parts) == (2 * 2 + 2 * 2) * 3  # two layers of two heads and two sub-layers
    assert len(found) == 3 * len(parts)


def test_the_size_of_a_batch_changes_nothing(tiny, task):
    whole, split = (ablation.ablations(tiny, task, n=20, queries=2, batch=b) for b in (64, 7))
    for a, b in zip(whole, split, strict=True):
        assert a.value == pytest.approx(b.value, rel=1e-4, abs=1e-6)


def test_an_unknown_method_is_refused(tiny, task, unchecked):
    with pytest.raises(ValueError, match="methods must be among zero, mean, resample; got 'median'"):
        ablation.ablations(tiny, task, methods=("median",))


def test_it_needs_something_to_take_out(bare, task):
    with pytest.raises(NotApplicable, match="bare shows neither heads"):
        ablation.ablations(bare, task)


def test_the_figure_names_the_parts(found):
    parts = {row["part"] for row in ablation.figure(found).rows}
    assert parts == {"layer 0 head 0", "layer 0 head 1", "layer 0 attn_out", "layer 0 mlp_out"}
