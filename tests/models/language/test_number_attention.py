"""Attention to numbers and feed-forward networks at numbers: on models that do something known, and against plain passes."""

from types import SimpleNamespace

import pytest
import torch

import mesascope as ms
from mesascope.instruments.asking.applicability import NotApplicable
from mesascope.instruments.attending import number_attention as attention
from mesascope.instruments.attending.number_attention import induction_scores, number_attention
from mesascope.instruments.intervening import number_mlp as feedforward
from mesascope.instruments.intervening.number_mlp import number_mlp
from mesascope.instruments.statistics import bootstrap
from mesascope.models.language import LanguageSubject
from mesascope.models.language.writing import encode, texts
from mesascope.tasks import DigitRegression

EXAMPLES = 5
TASK = DigitRegression(examples=EXAMPLES)


@pytest.fixture
def subject(tiny: SimpleNamespace) -> LanguageSubject:
    return tiny.subject("gpt2", None, tiny.tokenizer(digits_apart=True))


def named(measurements, quantity, **where):
    name = getattr(quantity, "name", quantity)
    return [m for m in measurements if m.quantity == name and where.items() <= m.coordinates.items()]


def control(measurement, name: str) -> float:
    return next(c.value for c in measurement.controls if c.name == name)


def digits_at(subject: LanguageSubject, prompts, positions) -> list[str]:
    ids = encode(subject.writing, prompts).ids[0, positions]
    return [subject.writing.tokenizer.decode([token]) for token in ids.tolist()]


# ------------------------------------------------------------------------------------------ attention


def test_it_is_what_the_patterns_hold_at_the_numbers(subject: LanguageSubject) -> None:
    found = number_attention(subject, TASK, n=4)
    prompts = TASK.sample(4, seed=0, stream=attention.NAME)
    layout = subject.layout(EXAMPLES, 1)
    shown = [f"{y:.0f}" for y in prompts.ys[0].tolist()]
    assert digits_at(subject, prompts, layout.labels[0].flatten()) == shown
    sites = [site for site in subject.sites if site.kind == "pattern"]
    trace = subject.trace(prompts, capture=sites)
    for site in sites:
        rows = trace[site][:, :, -1].double()
        for quantity, at in ((attention.FEATURES, layout.inputs), (attention.OUTPUTS, layout.labels)):
            expected = rows[..., at[0].flatten()].sum(-1).mean(0)
            values = [m.value for m in named(found, quantity, layer=site.layer)]
            assert values == pytest.approx(expected.tolist(), abs=1e-6)


def test_an_ideal_induction_head_looks_where_the_present_token_was_followed(subject: LanguageSubject) -> None:
    """A prompt ends with a space. Spaces were followed by each input, by each "Output", and by each label but the asked one."""
    found = number_attention(subject, TASK, n=2)
    share = EXAMPLES / (3 * EXAMPLES + 2)
    for quantity in attention.KINDS:
        assert control(named(found, quantity)[0], attention.IDEAL) == pytest.approx(share)


@torch.no_grad()
def test_a_model_that_attends_evenly_is_found_to(subject: LanguageSubject) -> None:
    width = subject.network.config.hidden_size
    for block in subject.network.blocks:
        block.attn.c_attn.weight[:, :width].zero_()
        block.attn.c_attn.bias[:width].zero_()
    found = number_attention(subject, TASK, n=2)
    for quantity in (*attention.KINDS, attention.INDUCTION):
        for m in named(found, quantity):
            assert m.value == pytest.approx(control(m, attention.EVEN), abs=1e-6)
    scores, by_chance = induction_scores(subject, seed=0)
    assert scores.flatten().tolist() == pytest.approx([by_chance] * scores.numel(), abs=1e-6)


def test_an_induction_head_is_found_in_a_model_that_repeats_blocks() -> None:
    subject = ms.load("ladder-small")
    scores, by_chance = induction_scores(subject, seed=0)
    assert float(scores.mean(0).max()) > 0.9 > 10 * by_chance
    assert float(scores.mean(0)[0].max()) < 0.1  # the first layer cannot know what followed


def test_heads_that_look_as_they_induce_are_told_from_those_that_do_not() -> None:
    scores = torch.rand(5, 8, generator=torch.Generator().manual_seed(0)).double()
    draws = bootstrap.weights(6, seed=0)
    same, reverse = (
        {m.quantity: m for m in attention._compared(looks.expand(6, 5, 8), scores, draws, 0)}
        for looks in (scores, -scores)
    )
    assert same[attention.OVERLAP].value == pytest.approx(1) and same[attention.COMMON].value == 1
    assert reverse[attention.OVERLAP].value == pytest.approx(-1) and reverse[attention.COMMON].value == 0
    null = control(same[attention.OVERLAP], attention.ANY)
    assert 0.2 < null < 0.45  # 40 heads: about 1.96/√39
    assert control(same[attention.COMMON], attention.CHANCE) == 2 / 40


# ------------------------------------------------------------------------------------------ feed-forward networks


def test_kinds_of_places_are_what_they_say(subject: LanguageSubject) -> None:
    prompts = TASK.sample(3, seed=0)
    tokens = encode(subject.writing, prompts)
    places = feedforward._places(subject, tokens, EXAMPLES)
    counted = torch.stack(list(places.values())).sum(0)
    assert int(counted.max()) == 1  # no place is of two kinds
    at = {kind: digits_at(subject, prompts, mask[0].nonzero()[:, 0]) for kind, mask in places.items()}
    assert at["outputs"] == [f"{y:.0f}" for y in prompts.ys[0].tolist()]
    assert at["features"] == [f"{x:.0f}" for x in prompts.xs[0, :, 0].tolist()]
    assert not any(token.isdigit() for token in at[feedforward.WORDS])
    assert places[feedforward.ANSWER][0].nonzero().tolist() == [[tokens.ids.shape[1] - 1]]
    assert not bool(places[feedforward.WORDS][:, 0].any())  # the first position


def test_as_many_words_are_drawn_as_there_are_numbers() -> None:
    words = torch.zeros(2, 20, dtype=torch.bool)
    words[:, 5:15] = True
    numbers = torch.zeros_like(words)
    numbers[0, :4], numbers[1, :12] = True, True
    chosen = feedforward._as_many(words, numbers, 0, 0)
    assert chosen.sum(1).tolist() == [4, 10] and not bool((chosen & ~words).any())


def test_what_is_lost_is_that_of_a_plain_pass_with_means_in_place(subject: LanguageSubject) -> None:
    found = number_mlp(subject, TASK, n=4)
    prompts = TASK.sample(4, seed=0, stream=feedforward.NAME)
    answers = [f"{y:.0f}" for y in prompts.targets[:, 0].tolist()]
    others = answers[1:] + answers[:1]
    tokenizer, model = subject.writing.tokenizer, subject.network.model
    places = feedforward._places(subject, encode(subject.writing, prompts), EXAMPLES)["outputs"]
    earlier = subject.network.blocks[: -feedforward.last(len(subject.network.blocks))]

    def odds(row: int, replaced: bool) -> float:
        def edit(_module, _inputs, value):
            new = value.clone()
            at = places[row].nonzero()[:, 0]
            new[:, at] = value[:, at].mean(1, keepdim=True)
            return new

        handles = [block.mlp.register_forward_hook(edit) for block in earlier] if replaced else []
        scored = []
        for number in (answers[row], others[row]):
            ids = torch.tensor(tokenizer(f"{texts(subject.writing, prompts)[row][0]}{number}\n")["input_ids"])
            with torch.no_grad():
                logs = model(ids[None], use_cache=False).logits[0].double().log_softmax(-1)
            scored.append(sum(float(logs[i - 1, ids[i]]) for i in (-2, -1)))
        for handle in handles:
            handle.remove()
        return scored[0] - scored[1]

    kept = [row for row in range(4) if answers[row] != others[row]]
    assert kept
    expected = sum(odds(row, False) - odds(row, True) for row in kept) / len(kept)
    (m,) = named(found, feedforward.LOST, at="outputs", layers=feedforward.EARLIER)
    assert m.value == pytest.approx(expected, abs=1e-4) and abs(expected) > 1e-4
    (known,) = named(found, feedforward.KNOWN)
    assert known.value == pytest.approx(sum(odds(row, False) for row in kept) / len(kept), abs=1e-4)


@torch.no_grad()
def test_networks_that_add_nothing_are_needed_by_nothing(subject: LanguageSubject) -> None:
    for block in subject.network.blocks:
        block.mlp.c_proj.weight.zero_()
        block.mlp.c_proj.bias.zero_()
    found = number_mlp(subject, TASK, n=6)
    assert all(m.value == 0 for m in named(found, feedforward.SIZE))
    assert all(abs(m.value) < 1e-4 for m in named(found, feedforward.LOST))


# ------------------------------------------------------------------------------------------ both


@pytest.mark.parametrize("module", [attention, feedforward], ids=lambda module: module.NAME)
def test_controls_have_the_values_they_must_have(tiny: SimpleNamespace, kind: str, module) -> None:
    each = module.INSTRUMENT
    measured = each.measure(tiny.subject(kind, None, tiny.tokenizer(digits_apart=True)), TASK, n=4)
    assert {m.quantity for m in measured} == set(each.quantities)
    for expected in each.expected:
        values = [
            c.value
            for m in measured
            for c in m.controls
            if (m.quantity, c.name) == (expected.quantity, expected.control) and not c.degenerate
        ]
        windowed = (
            kind == "gemma3" and expected.quantity == attention.OVERLAP
        )  # its heads see too little to induce anything
        assert bool(values) != windowed and all(map(expected.holds, values)), (
            expected.quantity,
            expected.control,
            values,
        )
    assert each.figure(measured).rows


@pytest.mark.parametrize("module", [attention, feedforward], ids=lambda module: module.NAME)
def test_what_is_no_language_model_is_refused(module) -> None:
    with pytest.raises(NotApplicable, match="is no language model"):
        module.INSTRUMENT.measure(ms.load("two-layer"), ms.tasks.LinearRegression())


def test_answers_that_are_all_alike_are_refused(subject: LanguageSubject) -> None:
    with pytest.raises(NotApplicable, match="all prompts have the same answer"):
        number_mlp(subject, TASK, n=1)


def test_batches_do_not_matter(subject: LanguageSubject) -> None:
    for measure in (number_attention, number_mlp):
        one, many = (measure(subject, TASK, n=4, batch=batch) for batch in (4, 1))
        same = [(a.value, b.value) for a, b in zip(one, many, strict=True)]
        assert [a for a, _ in same] == pytest.approx([b for _, b in same], abs=1e-4)
        controls = [[c.value for m in found for c in m.controls] for found in (one, many)]
        assert controls[0] == pytest.approx(controls[1], abs=1e-4)
