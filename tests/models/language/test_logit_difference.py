"""Logit differences of two regressors' numbers, and patching: on models in which one part alone writes, and beside nulls."""

import dataclasses
from types import SimpleNamespace

import pytest
import torch

import mesascope as ms
from mesascope.instruments.asking.applicability import NotApplicable
from mesascope.instruments.asking.number_pairs import TARGET, number_pairs
from mesascope.instruments.intervening import number_patching as patching
from mesascope.instruments.intervening.number_patching import number_patching
from mesascope.instruments.reading import logit_difference as instrument
from mesascope.instruments.reading.logit_difference import late, logit_difference
from mesascope.instruments.reading.number_votes import votes
from mesascope.instruments.statistics.scores import partners
from mesascope.models.language import LanguageSubject, published_template, with_template
from mesascope.tasks import DATASETS, DigitRegression

TASK = DigitRegression(examples=5)
PAIR = ("knn-1-distance", "mean")
WIDE = dataclasses.replace(DATASETS["linear-1-of-1"], examples=4)


@pytest.fixture
def tiny_subject(tiny: SimpleNamespace) -> LanguageSubject:
    return tiny.subject("gpt2", None, tiny.tokenizer(digits_apart=True))


@torch.no_grad()
def only(subject: LanguageSubject, *, layer: int, head: int) -> None:
    """Leave nothing in the model that writes but one head."""
    width = subject.network.config.hidden_size // subject.network.heads
    for i, block in enumerate(subject.network.blocks):
        block.mlp.c_proj.weight.zero_()
        kept = 20 * block.attn.c_proj.weight[head * width : (head + 1) * width].clone()
        block.attn.c_proj.weight.zero_()
        if i == layer:
            block.attn.c_proj.weight[head * width : (head + 1) * width] = kept
        for each in (block.mlp.c_proj, block.attn.c_proj):
            each.bias.zero_()


def found(measurements, quantity, **where):
    return [
        m
        for m in measurements
        if m.quantity == getattr(quantity, "name", quantity) and where.items() <= m.coordinates.items()
    ]


def test_pairs_are_those_of_each_prompt(tiny_subject: LanguageSubject) -> None:
    prompts = TASK.sample(12, seed=0)
    pair, target = number_pairs(tiny_subject, prompts, [PAIR, (TARGET, "mean")])
    for i, (near, mean) in enumerate(pair.numbers):
        nearest = (prompts.xs[i, :, 0] - prompts.queries[i, 0, 0]).abs().argmin()
        assert float(near) == float(prompts.ys[i, nearest]) or (prompts.xs[i, :, 0]).unique().numel() < 5
        assert mean == f"{prompts.ys[i].mean():.0f}"
        assert target.numbers[i] == (f"{prompts.targets[i, 0]:.0f}", mean)
    assert pair.compared.tolist() == [a != b for a, b in pair.numbers]
    assert len({numbers for numbers in pair.numbers}) > 3  # other ones in other prompts


@pytest.mark.usefixtures("unchecked")
def test_pairs_that_never_differ_and_several_queries_are_refused(tiny_subject: LanguageSubject) -> None:
    with pytest.raises(NotApplicable, match="target and target have no prompt with two numbers"):
        number_pairs(tiny_subject, TASK.sample(4, seed=0), [(TARGET, TARGET)])
    with pytest.raises(ValueError, match="prompts must have one query each to be compared; got 2"):
        number_pairs(tiny_subject, DigitRegression(examples=5, queries=2).sample(4, seed=0), [PAIR])
    with pytest.raises(ValueError, match="name must be that of a regressor"):
        logit_difference(tiny_subject, TASK, n=4, pairs=[("nobody", "mean")])


def test_numbers_that_cannot_be_written_are_no_ties(tiny_subject: LanguageSubject) -> None:
    prompts = DigitRegression(examples=5).sample(64, seed=0)
    (pair,) = number_pairs(tiny_subject, prompts, [("polynomial-2", "mean")])
    fitted = ms.regressors.regressor("polynomial-2").predict(prompts)[:, 0].round()
    outside = (fitted < 0) | (fitted > 9)
    assert bool(outside.any())
    assert not bool((pair.compared | pair.tied)[outside].any())
    assert bool((pair.compared | pair.tied)[~outside].all())


def test_the_null_is_the_same_numbers_after_another_prompt(tiny_subject: LanguageSubject) -> None:
    prompts = TASK.sample(6, seed=0)
    pairs = number_pairs(tiny_subject, prompts, [PAIR, ("last", "mean")])
    others = partners(prompts)
    _, null = votes(tiny_subject, prompts, pairs, others)
    for pair, after in zip(pairs, null, strict=True):
        again, _ = votes(tiny_subject, prompts[others], [pair], torch.arange(6))
        torch.testing.assert_close(after.stream, again[0].stream, atol=1e-4, rtol=0)
        torch.testing.assert_close(after.heads, again[0].heads, atol=1e-4, rtol=0)


def test_differences_from_another_prompt_are_paired(tiny_subject: LanguageSubject) -> None:
    measured = logit_difference(tiny_subject, TASK, n=12, pairs=[PAIR])
    prompts = TASK.sample(12, seed=0, stream=instrument.NAME)
    (pair,) = number_pairs(tiny_subject, prompts, [PAIR])
    (own,), (null,) = votes(tiny_subject, prompts, [pair], partners(prompts))
    for quantity, beyond in instrument.BEYOND.items():
        ((one,), (apart,)) = (found(measured, each, prompts=instrument.ALL) for each in (quantity, beyond))
        after = next(c.value for c in one.controls if c.name == instrument.OTHER)
        assert apart.value == pytest.approx(one.value - after, abs=1e-6)
    (apart,) = found(measured, instrument.BEYOND[instrument.TOTAL])
    each = own.stream[-1] - null.stream[-1]
    signs = next(c.value for c in apart.controls if c.name == instrument.SIGNS)
    assert signs == pytest.approx(1.96 * float(each.square().mean().sqrt()) / len(each) ** 0.5, rel=0.15)


def test_the_head_that_writes_is_found_and_nothing_else(tiny_subject: LanguageSubject) -> None:
    only(tiny_subject, layer=1, head=2)
    measured = logit_difference(tiny_subject, TASK, n=12, pairs=[PAIR])
    of_heads = {(m.coordinates["layer"], m.coordinates["head"]): m.value for m in found(measured, instrument.OF_HEAD)}
    assert abs(of_heads[1, 2]) > 1e-3
    assert all(abs(value) < 1e-9 for place, value in of_heads.items() if place != (1, 2))
    assert all(abs(m.value) < 1e-9 for m in found(measured, instrument.OF_MLP))
    (total,) = found(measured, instrument.TOTAL, prompts=instrument.ALL)
    (embedded,) = found(measured, instrument.BY_LAYER, layer=0)
    assert total.value - embedded.value == pytest.approx(of_heads[1, 2], abs=1e-4)


def test_patching_the_head_that_writes_takes_all_of_the_prompt_away(tiny_subject: LanguageSubject) -> None:
    only(tiny_subject, layer=1, head=2)
    measured = number_patching(tiny_subject, TASK, n=16, pair=PAIR, each=1)
    moved = {m.coordinates["part"]: m for m in found(measured, patching.MOVED)}
    assert "head 1.2" in moved
    (share,) = found(measured, patching.SHARE)
    controls = {c.name: c.value for c in share.controls}
    assert share.value == pytest.approx(1.0, abs=1e-3)
    assert controls[patching.RANDOM] == pytest.approx(0.0, abs=1e-3)
    assert controls[patching.ITSELF] == pytest.approx(0.0, abs=1e-3)


def test_controls_have_the_values_they_must_have(tiny: SimpleNamespace, kind: str) -> None:
    subject = tiny.subject(kind, None, tiny.tokenizer(digits_apart=True))
    if kind == "gemma3":  # capped logits
        return
    measured = {
        instrument.INSTRUMENT: logit_difference(subject, TASK, n=8, pairs=[PAIR]),
        patching.INSTRUMENT: number_patching(subject, TASK, n=12, pair=PAIR, each=1),
    }
    for each, measurements in measured.items():
        assert {m.quantity for m in measurements} == set(each.quantities)
        for expected in each.expected:
            values = [
                c.value
                for m in measurements
                for c in m.controls
                if (m.quantity, c.name) == (expected.quantity, expected.control)
            ]
            assert values and all(map(expected.holds, values)), (expected.quantity, expected.control, values)
        assert each.figure is not None and each.figure(measurements).rows


def test_whole_numbers_that_begin_alike_are_told_apart(tiny: SimpleNamespace) -> None:
    """As published, every number begins with a space, so that comparing first tokens tells nothing apart."""
    subject = tiny.subject("llama", None, tiny.tokenizer(digits_apart=True))
    template = published_template(WIDE.sample(64, seed=0))
    measured = logit_difference(subject, WIDE, n=6, pairs=[PAIR], template=template)
    (begun,) = found(measured, instrument.BEGUN)
    assert begun.value == 1.0
    (total,) = found(measured, instrument.TOTAL)
    assert abs(total.value) > 1e-3
    prompts = WIDE.sample(6, seed=0, stream=instrument.NAME)
    (pair,) = number_pairs(with_template(subject, template), prompts, [PAIR])
    assert all(one.startswith(" ") for one, _ in pair.numbers)


def test_the_split_is_at_the_median_error_of_what_the_model_writes(
    tiny_subject: LanguageSubject, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = torch.tensor([0.0, 1.0, float("nan"), 9.0, 4.0, 3.0, 8.0, 7.0])
    prompts = TASK.sample(8, seed=0, stream=instrument.NAME)
    monkeypatch.setattr(instrument, "answers_of", lambda *_: written.double())
    measured = logit_difference(tiny_subject, TASK, n=8, pairs=[PAIR], split=True)
    errors = (written - prompts.targets[:, 0]).abs()
    (pair,) = number_pairs(tiny_subject, prompts, [PAIR])
    (own,), _ = votes(tiny_subject, prompts, [pair], partners(prompts))
    small = errors <= errors[~errors.isnan()].median()
    assert 0 < int(small.sum()) < 7  # of the seven that it answers with a number
    for words, chosen in ((instrument.SMALLER, small), (instrument.LARGER, errors > errors[small].max())):
        (total,) = found(measured, instrument.TOTAL, prompts=words)
        assert total.n == int(chosen[pair.compared].sum())
        assert total.value == pytest.approx(float(own.stream[-1][chosen[pair.compared]].mean()), abs=1e-6)


def test_what_the_model_itself_writes_is_ahead_of_every_other_digit(tiny: SimpleNamespace) -> None:
    """Where it writes one: of single digits, that with the highest logit."""
    subject = ms.load("ladder-small")
    measured = logit_difference(subject, DigitRegression(examples=7), n=12, pairs=[("model", "mean")])
    (odds,) = found(measured, instrument.ODDS)
    assert odds.interval is not None and odds.interval[0] > 0


def test_late_layers_are_as_large_a_share_as_the_published_ones() -> None:
    assert [late(layers) for layers in (1, 2, 12, 30, 32)] == [1, 1, 2, 5, 5]


def test_what_is_no_language_model_is_refused(tiny_subject: LanguageSubject) -> None:
    with pytest.raises(NotApplicable, match="is no language model"):
        logit_difference(ms.load("two-layer"), ms.tasks.LinearRegression())
    with pytest.raises(ValueError, match="n must be a whole number of at least 4"):
        number_patching(tiny_subject, TASK, n=2)
