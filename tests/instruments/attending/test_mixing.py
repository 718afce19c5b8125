"""Mixing: streams that depend on their own example alone, and streams that depend on all."""

import pytest
import torch

from mesascope.instruments.asking.applicability import NotApplicable
from mesascope.instruments.attending import mixing
from mesascope.models.constructions import gradient_descent
from mesascope.report.figures import draw

PRE, OUT, MID = (f"blocks.0.hook_{kind}" for kind in ("resid_pre", "attn_out", "resid_mid"))
SIZE = {"n": 48}
EXACT = {"n": 2048}
"""Prompts enough for a share to be within 0.08 of what it is over all prompts: four standard deviations of the widest."""


def share(look, found, site, what):
    return look[0](found, "share of the variance", site=site, exchanged=what).value


def test_before_the_first_attention_an_example_is_its_own(task, look):
    """Its token is (x, y): three of four numbers are the input's, and nothing is anybody else's."""
    found = mixing.mixing(gradient_descent(layers=1), task, **EXACT)
    assert share(look, found, PRE, "other examples") == 0
    both = share(look, found, PRE, "own input") + share(look, found, PRE, "own label")
    assert both == pytest.approx(1, abs=1e-12)  # they do not interact
    assert share(look, found, PRE, "own input") == pytest.approx(3 / 4, abs=0.08)


def test_a_gradient_step_mixes_all_examples(task, look):
    """It writes −η/n times |xₖ|²yₖ + ⟨xₖ, v⟩, where v = Σ xᵢyᵢ over the others, and Gaussian moments say what that depends on."""
    d, others = task.dim, task.examples - 1
    own, theirs, both = (
        (d + 2) * (d + 4),
        others * (others + d + 1),
        (d + 2) * others,
    )  # E of the squares and the product
    whole = 2 * (own + theirs + 2 * both)
    input_alone = own - d * (d + 2) + 2 * theirs + 4 * others
    label_alone = own + d * (d + 2)
    found = mixing.mixing(gradient_descent(layers=1), task, **EXACT)
    assert share(look, found, OUT, "other examples") == pytest.approx(2 * theirs / whole, abs=0.08)
    assert share(look, found, OUT, "own input") == pytest.approx(input_alone / whole, abs=0.08)
    assert share(look, found, OUT, "own label") == pytest.approx(label_alone / whole, abs=0.08)
    assert share(look, found, MID, "other examples") > 0.01


def test_at_the_first_example_under_a_causal_mask_there_are_no_others(tiny, task, look):
    found = mixing.mixing(tiny, task, **SIZE, examples=(1,))
    for m in found:
        if m.coordinates["exchanged"] == "other examples":
            assert m.value == 0
    last = mixing.mixing(tiny, task, **SIZE, examples=(task.examples,))
    assert share(look, last, OUT, "other examples") > 0.1
    assert share(look, last, PRE, "own label") == pytest.approx(1)  # a label has a token of its own
    assert share(look, last, PRE, "own input") == 0


def test_the_controls_come_out_exactly(tiny, task, look):
    for m in mixing.mixing(tiny, task, **SIZE):
        assert look[1](m, mixing.EVERYTHING) == 1
        assert look[1](m, mixing.NOTHING) == 0
        assert 0 <= look[1](m, "untrained network") < 2
        assert m.n == SIZE["n"]


def test_what_is_exchanged(task):
    p, d = task.sample(3, seed=0), task.sample(3, seed=1)
    one = mixing.exchanged(p, d, 4, mixing.OTHERS)
    assert torch.equal(one.xs[:, 3], p.xs[:, 3])
    assert torch.equal(one.ys[:, 3], p.ys[:, 3])
    assert torch.equal(one.xs[:, :3], d.xs[:, :3])
    assert torch.equal(one.ys[:, 4:], d.ys[:, 4:])
    only = mixing.exchanged(p, d, 4, mixing.INPUT)
    assert torch.equal(only.ys, p.ys)
    assert torch.equal(only.xs[:, 3], d.xs[:, 3])
    assert torch.equal(only.xs[:, 4:], p.xs[:, 4:])
    assert torch.equal(mixing.exchanged(p, d, 4, mixing.EVERYTHING).xs, d.xs)


def test_the_size_of_a_batch_changes_nothing(tiny, task):
    whole, split = (mixing.mixing(tiny, task, n=20, batch=b) for b in (64, 7))
    for a, b in zip(whole, split, strict=True):
        assert a.value == pytest.approx(b.value, rel=1e-4, abs=1e-6)


def test_it_needs_a_residual_stream(bare, task):
    with pytest.raises(NotApplicable, match="residual-stream"):
        mixing.mixing(bare, task)


def test_the_figure_can_be_drawn(tiny, task):
    made = mixing.figure(mixing.mixing(tiny, task, n=8))
    assert {row["of"] for row in made.rows} == {"subject", "untrained network"}
    assert draw(made)["data"]["values"]
