"""Attention of a subject with one head on the token before and one that looks everywhere equally."""

import dataclasses
import math

import pytest
import torch

from mesascope.instruments.asking.applicability import NotApplicable
from mesascope.instruments.asking.tokens import layout
from mesascope.instruments.attending import attention
from mesascope.instruments.attending.uniform_attention import flatten
from mesascope.types import Site, Trace

SITE = "blocks.0.attn.hook_pattern"
SIZE = {"n": 16, "queries": 3}
CONTEXT = 20  # positions


@pytest.fixture(scope="module")
def found(planted, task):
    return attention.attention(planted, task, **SIZE)


@pytest.mark.parametrize("rows", ["query", "label", "input"])
def test_one_head_looks_at_the_token_before(found, look, rows):
    value, _ = look
    at = {"site": SITE, "head": 0, "rows": rows}
    assert value(found, "entropy share", **at).value == 0
    assert value(found, "share on the previous token", **at).value == 1
    first = value(found, "share on the first token", **at).value
    assert first == pytest.approx(0.1 if rows == "label" else 0)  # y₁ alone has x₁ before it


@pytest.mark.parametrize("rows", ["query", "label", "input"])
def test_the_other_looks_everywhere_equally(found, look, rows):
    value, _ = look
    at = {"site": SITE, "head": 1, "rows": rows}
    seen = {"query": [CONTEXT + 1] * 3, "label": range(2, CONTEXT + 1, 2), "input": range(3, CONTEXT, 2)}[rows]
    chance = sum(1 / n for n in seen) / len(seen)
    assert value(found, "entropy share", **at).value == pytest.approx(1)
    assert value(found, "share on the previous token", **at).value == pytest.approx(chance)
    assert value(found, "share on the first token", **at).value == pytest.approx(chance)


def test_labels_are_counted_at_the_query(found, look):
    value, _ = look
    at = {"site": SITE, "rows": "query"}
    assert value(found, "share on labels", head=0, **at).value == 1
    assert value(found, "entropy share over labels", head=0, **at).value == 0
    assert value(found, "share on labels", head=1, **at).value == pytest.approx(10 / 21)
    assert value(found, "entropy share over labels", head=1, **at).value == pytest.approx(1)


def test_the_controls_come_out_as_they_must(found):
    for m in found:
        if m.quantity == attention.UNIFORM.name:
            assert {c.name: c.value for c in m.controls}["replaced by itself"] == 1
            continue
        positive = [c for c in m.controls if c.kind == "positive"]
        assert [c.value for c in positive] == pytest.approx([1.0])
        assert "untrained network" in {c.name for c in m.controls}


def test_uniform_attention_has_the_factor_it_must(found, look):
    """The answer is 0.9 times the weight on the last token times the truth: 0.1² of error becomes (1 − 0.9/21)²."""
    value, control = look
    at = {"site": SITE, "over": "all visible tokens"}
    factor = ((1 - 0.9 / 21) / 0.1) ** 2
    for head in (0, "all"):
        m = value(found, attention.UNIFORM.name, head=head, **at)
        assert m.value == pytest.approx(factor)
        assert control(m, "uniform in all layers") == pytest.approx(factor)
    assert value(found, attention.UNIFORM.name, head=1, **at).value == 1
    labels = value(found, attention.UNIFORM.name, head="all", site=SITE, over="visible labels")
    assert labels.value == pytest.approx(((1 - 0.9 / 10) / 0.1) ** 2)


def test_entropy_against_the_formula(tiny, task):
    prompts = dataclasses.replace(task, queries=2).sample(3, seed=0)
    sites = attention.softmax_sites(tiny, prompts)
    visible = attention.seen(tiny, prompts, sites)
    places = layout(tiny, prompts)
    groups = attention.row_groups(places)
    assert [len(groups[k]) for k in ("query", "label", "input")] == [2, 10, 9]
    pattern = tiny.trace(prompts, capture=sites)[sites[1]]
    found = attention._statistics(pattern, visible, places)["label", attention.ENTROPY]
    expected = 0.0
    for row in range(1, CONTEXT, 2):
        p = pattern[2, 1, row, : row + 1].double()
        expected += float(-(p * p.log()).sum() / math.log(row + 1)) / 10
    assert found.shape == (3, 2)
    assert float(found[2, 1]) == pytest.approx(expected)


def test_visible_positions_are_those_of_the_mask(make_transformer, task):
    for mask, tokens in (("causal", "interleaved"), ("prefix", "pairs")):
        subject = make_transformer(mask=mask, tokens=tokens)
        prompts = dataclasses.replace(task, queries=2).sample(4, seed=0)
        visible = attention.seen(subject, prompts, attention.softmax_sites(subject, prompts))
        assert torch.equal(visible, subject.model._layout(10, 2, False, torch.device("cpu"))[0])


@pytest.mark.parametrize("tokens", ["interleaved", "pairs"])
@pytest.mark.parametrize("mask", ["causal", "prefix", "full"])
def test_several_queries_are_each_counted_as_if_asked_alone(make_transformer, task, mask, tokens):
    subject = make_transformer(mask=mask, tokens=tokens)
    prompts = dataclasses.replace(task, queries=4).sample(3, seed=0)
    sites = attention.softmax_sites(subject, prompts)

    def statistics(p):
        return attention._collect(subject, [p], sites, attention.seen(subject, p, sites), layout(subject, p))

    together = statistics(prompts)
    alone = [
        statistics(dataclasses.replace(prompts, queries=prompts.queries[:, [i]], targets=prompts.targets[:, [i]]))
        for i in range(4)
    ]
    rows = {"query", "label", "input"} if tokens == "interleaved" else {"query", "context"}
    assert {name for _, name, _ in together} == rows
    for key, value in together.items():
        expected = torch.stack([one[key] for one in alone]).mean(0)
        torch.testing.assert_close(value, expected, atol=1e-5, rtol=1e-4)
    first = float(together[sites[0], "query", attention.FIRST].mean())
    assert first == pytest.approx(1 / (11 if tokens == "pairs" else 21), rel=0.3)  # untrained: about uniform


def test_flat_attention_under_a_full_mask_goes_to_the_own_contexts_labels(make_transformer, task, look):
    value, control = look
    found = attention.attention(make_transformer(mask="full"), task, n=4, queries=3)
    assert {m.coordinates["rows"] for m in found if "rows" in m.coordinates} == {"query", "label", "input"}
    assert {m.coordinates["over"] for m in found if "over" in m.coordinates} == {"all visible tokens", "visible labels"}
    on_labels = value(found, "share on labels", rows="query", head=0, site=SITE)
    assert control(on_labels, "all on labels") == 1
    assert control(on_labels, "uniform") == pytest.approx(10 / 21)
    first = value(found, "share on the first token", rows="label", head=0, site=SITE)
    assert control(first, "uniform") == pytest.approx(1 / 21)


def test_contexts_that_are_neither_shared_nor_the_querys_own_are_refused(planted, task):
    class Odd:
        name, sites, path, domain = "odd", (Site(layer=0, kind="pattern"),), (), planted.domain
        readout = staticmethod(planted.readout)

        def trace(self, prompts, *, capture=(), interventions=()):
            queries = prompts.queries.shape[1]
            size = 21 if queries == 1 else 25
            return Trace(predictions=prompts.targets, activations={capture[0]: torch.zeros(1, 1, size, size)})

    prompts = dataclasses.replace(task, queries=3).sample(1, seed=0)
    with pytest.raises(NotApplicable, match="odd has 20 tokens of context for one query and 22 for 3"):
        layout(Odd(), prompts)


def test_pairs_of_tokens_make_one_group(make_transformer, task):
    found = attention.attention(make_transformer(tokens="pairs"), task, n=4, queries=2)
    assert {m.coordinates["rows"] for m in found if "rows" in m.coordinates} == {"query", "context"}
    assert "share on labels" not in {m.quantity for m in found}
    assert {m.coordinates["over"] for m in found if "over" in m.coordinates} == {"all visible tokens"}


def test_replacing_patterns_by_themselves_changes_no_bit_of_a_transformer(tiny, task, look):
    _, control = look
    found = [m for m in attention.attention(tiny, task, n=4, queries=2) if m.quantity == attention.UNIFORM.name]
    assert len(found) == 2 * (2 + 2)
    assert all(control(m, "replaced by itself") == 1 for m in found)


def test_the_size_of_a_batch_changes_nothing(tiny, task):
    whole, split = (attention.attention(tiny, task, n=20, queries=2, batch=b) for b in (64, 7))
    for a, b in zip(whole, split, strict=True):
        assert a.value == pytest.approx(b.value, rel=1e-4, abs=1e-6)


def test_linear_attention_has_no_distribution_to_speak_of(make_transformer, task):
    subject = make_transformer(attention="linear")
    for instrument in (attention.attention, attention.maps):
        with pytest.raises(NotApplicable, match="rows don't sum to 1"):
            instrument(subject, task)


def test_it_needs_patterns(bare, task):
    with pytest.raises(NotApplicable, match="bare shows no attention pattern"):
        attention.attention(bare, task)


def test_figures(found, planted, task):
    statistics = attention.figure(found)
    assert {row["head"] for row in statistics.rows} == {"0.0", "0.1"}
    assert attention.UNIFORM.name not in {row["statistic"] for row in statistics.rows}
    maps = attention.maps(planted, task, n=4)
    look = {(row["view"], row["head"], row["token"]): row["attention"] for row in maps.rows}
    assert look["from the query", "0.0", "y10"] == 1
    assert look["from the query", "0.1", "xq"] == pytest.approx(1 / 21)
    assert look["to the token before", "0.0", "y3"] == 1
    assert look["to the token before", "0.1", "y3"] == pytest.approx(1 / 6)
    assert {row["view"] for row in maps.rows} >= {"untrained: from the query"}


def test_maps_without_an_untrained_version_and_with_pairs(make_transformer, task):
    subject = make_transformer(tokens="pairs")

    class Fixed:
        name, domain, sites, path = "fixed", subject.domain, subject.sites, subject.path
        trace, readout = staticmethod(subject.trace), staticmethod(subject.readout)

    maps = attention.maps(Fixed(), task, n=4)
    assert {row["view"] for row in maps.rows} == {"from the query", "to the token before"}
    assert [row["token"] for row in maps.rows][:11] == [*map(str, range(1, 11)), "xq"]


def test_flattening_leaves_rows_without_a_choice_and_other_heads(planted, task):
    prompts = task.sample(2, seed=0)
    site = planted.sites[1]
    pattern = planted.trace(prompts, capture=[site])[site]
    chosen = torch.zeros(21, 21, dtype=torch.bool)
    chosen[5:, [1, 3]] = True
    out = flatten(site, chosen, head=1).edit(pattern)
    assert torch.equal(out[:, 0], pattern[:, 0])
    assert torch.equal(out[:, 1, :5], pattern[:, 1, :5])
    assert torch.equal(out[:, 1, 5:, 1], torch.full_like(out[:, 1, 5:, 1], 0.5))
    assert torch.equal(out[:, 1].sum(-1), torch.ones_like(out[:, 1, :, 0]))
