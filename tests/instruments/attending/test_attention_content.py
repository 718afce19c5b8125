"""What attention is about, on attention made of a known feature."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from mesascope.instruments.asking.applicability import NotApplicable
from mesascope.instruments.attending import attention_content as content
from mesascope.instruments.attending.example_features import example_features
from mesascope.models.constructions import gradient_descent
from mesascope.models.taps import Taps
from mesascope.report.figures import draw
from mesascope.testing import check_instrument
from mesascope.types import Domain, Intervention, Prompts, Site, Trace

SIZE: dict[str, Any] = {"fit": 48, "score": 48, "queries": 3}
PATTERN = Site(layer=0, kind="pattern")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Attending:
    """One layer, tokens x₁ y₁ … x_q. Head 0 attends to labels for exp⟨x,x_q⟩, and to inputs equally; head 1 everywhere
    equally. The answer is the mean label under head 0. Untrained, head 0 is like head 1."""

    strength: float = 1.0
    name: str = "attending"
    domain: Domain = dataclasses.field(default_factory=Domain)
    sites: tuple[Site, ...] = (PATTERN,)
    path: tuple[Site, ...] = ()

    def trace(
        self, prompts: Prompts, *, capture: Sequence[Site] = (), interventions: Sequence[Intervention] = ()
    ) -> Trace:
        taps = Taps(self.sites, capture, interventions)
        context, queries = 2 * prompts.examples, prompts.queries.shape[1]
        scores = torch.zeros(len(prompts), 2, context + queries, context + queries, dtype=torch.float64)
        scores[:, 0, context:, 1:context:2] = self.strength * prompts.queries @ prompts.xs.mT
        pattern = taps(PATTERN, scores.softmax(-1))
        shares = pattern[:, 0, context:, 1:context:2]
        answers = (shares / shares.sum(-1, keepdim=True) @ prompts.ys[..., None])[..., 0]
        taps.finish()
        return Trace(predictions=answers, activations=taps.activations)

    def readout(self, activation: Tensor, site: Site) -> Tensor:
        return activation[..., 0]

    def reinitialised(self, seed: int) -> "Attending":
        return dataclasses.replace(self, strength=0.0)


@pytest.fixture(scope="module")
def found(task):
    return content.attention_content(Attending(), task, **SIZE)


def test_the_feature_is_found_and_no_other(found, look):
    value, control = look
    at = {"tokens": "label", "head": 0}
    right = value(found, content.R2.name, features="⟨x,x_q⟩", **at)
    assert right.value == pytest.approx(1, abs=1e-9)
    assert control(right, content.PLANTED) == pytest.approx(1, abs=1e-6)
    assert control(right, content.OTHERS) < 0.1
    assert value(found, content.R2.name, features=content.ALL, **at).value == pytest.approx(1, abs=1e-6)
    assert value(found, content.R2.name, features=content.few(2), **at).value == pytest.approx(1, abs=1e-6)
    for other in ("‖x‖²", "y", "y²", "position", "leverage"):
        assert value(found, content.R2.name, features=other, **at).value < 0.1
        assert value(found, content.LOST.name, features=other, **at).value == pytest.approx(0, abs=1e-6)
    lost = value(found, content.LOST.name, features="⟨x,x_q⟩", **at)
    # What other features know of this one they know of attention made of it.
    assert 0.3 < lost.value == pytest.approx(control(lost, content.PLANTED), abs=1e-3)


def test_a_head_that_is_uniform_has_nothing_to_explain(found, look):
    value, control = look
    for head, tokens in ((1, "label"), (0, "input")):
        spread = value(found, content.SPREAD.name, head=head, tokens=tokens)
        assert spread.value == pytest.approx(0, abs=1e-9)
        assert control(spread, "each example e times the one before") == pytest.approx((99 / 12) ** 0.5)
    assert value(found, content.SPREAD.name, head=0, tokens="label").value > 1
    assert {m.coordinates["head"] for m in found if m.quantity == content.R2.name} == {0}


def test_putting_the_feature_back_undoes_the_damage(found, look):
    value, control = look
    right = value(found, content.UNDONE.name, features="⟨x,x_q⟩")
    assert right.value == pytest.approx(1, abs=1e-6)
    assert control(right, content.ITSELF) == pytest.approx(1, abs=1e-9)
    assert control(right, content.OTHERS) < 0.3
    assert value(found, content.UNDONE.name, features="y²").value < 0.2
    flat, own = (value(found, content.MSE.name, features=name) for name in (content.FLAT, "the model's own"))
    uniform = value(found, content.MSE.name, features=content.UNIFORM)
    assert own.value < 0.5 * flat.value
    assert uniform.value == pytest.approx(flat.value)  # this answer does not depend on the labels' total share


def test_what_is_the_same_for_all_examples_is_taken_out(task):
    for values in example_features(task.sample(4, seed=1)).values():
        torch.testing.assert_close(values.sum(-2), torch.zeros_like(values.sum(-2)), atol=1e-9, rtol=0)


def test_the_residual_is_that_of_the_best_single_step(task):
    p = task.sample(3, seed=2)
    gradient = p.xs.mT @ p.ys[..., None]
    moved = (p.xs @ gradient)[..., 0]
    residual = p.ys - (moved * p.ys).sum(-1, keepdim=True) / moved.square().sum(-1, keepdim=True) * moved
    expected = residual - residual.mean(-1, keepdim=True)
    torch.testing.assert_close(example_features(p)["residual r"][:, 0, :, 0], expected)


def test_it_keeps_an_instruments_promises(task):
    def small(subject, task, seed=0):
        return content.attention_content(subject, task, seed=seed, fit=8, score=8, queries=2)

    check_instrument(small, Attending(), task)


def test_the_figures_can_be_drawn(found):
    for made in (content.figure(found), content.damage_figure(found)):
        assert draw(made)["data"]["values"]


def test_it_needs_a_distribution_over_examples(bare, task):
    with pytest.raises(NotApplicable, match="no attention pattern"):
        content.attention_content(bare, task, **SIZE)
    with pytest.raises(NotApplicable, match="no attention pattern"):
        content.attention_content(gradient_descent(layers=2), task, **SIZE)
    with pytest.raises(NotApplicable, match="no attention pattern at blocks.7"):
        content.attention_content(Attending(), task, site=Site(layer=7, kind="pattern"), **SIZE)


def test_linear_attention_is_no_distribution(make_transformer, task):
    with pytest.raises(NotApplicable, match="no distribution"):
        content.attention_content(make_transformer(attention="linear"), task, **SIZE)


def test_tokens_it_does_not_know_are_refused(task):
    class Spaced(Attending):
        """Three tokens an example."""

        def trace(self, prompts, *, capture=(), interventions=()):
            size = 3 * prompts.examples + prompts.queries.shape[1]
            even = torch.full((len(prompts), 2, size, size), 1 / size, dtype=torch.float64)
            return Trace(predictions=prompts.targets, activations=dict.fromkeys(capture, even))

    with pytest.raises(NotApplicable, match="has 30 tokens for 10 examples; an example must have one or two"):
        content.attention_content(Spaced(), task, **SIZE)


@pytest.mark.parametrize("queries", [1, 2])
@pytest.mark.parametrize("tokens", ["interleaved", "pairs"])
def test_each_query_has_a_context_of_its_own_under_a_full_mask(make_transformer, task, tokens, queries):
    """Two contexts of one token an example are not one of two."""
    subject = make_transformer(mask="full", tokens=tokens)
    prompts = dataclasses.replace(task, queries=queries).sample(6, seed=0)
    site, kinds = content._place(subject, prompts[:1], None)
    assert set(kinds) == ({"label", "input"} if tokens == "interleaved" else {"example"})
    logs = content._logs(subject, prompts, site, kinds)
    for i in range(queries):
        one = dataclasses.replace(prompts, queries=prompts.queries[:, [i]], targets=prompts.targets[:, [i]])
        alone = content._logs(subject, one, site, content._place(subject, one[:1], None)[1])
        for kind, values in alone.items():
            torch.testing.assert_close(logs[kind][:, :, [i]], values, atol=1e-5, rtol=1e-4)
    edit = content._put(site, kinds, logs, queries)
    before = subject.trace(prompts, capture=[site])
    after = subject.trace(prompts, capture=[site], interventions=[edit])
    torch.testing.assert_close(after[site], before[site], atol=1e-6, rtol=1e-4)
