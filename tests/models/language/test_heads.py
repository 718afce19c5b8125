"""Heads left out of a language model: against the model's own code, and against models whose heads are known to matter."""

from types import SimpleNamespace

import pytest
import torch

from mesascope.instruments import NotApplicable
from mesascope.instruments.asking.sequences import fitting_blocks
from mesascope.instruments.intervening import head_ablation as ablating
from mesascope.instruments.intervening.head_ablation import AGAIN, CHOSEN, COUNT, OF_HEAD, chosen, head_ablation
from mesascope.instruments.intervening.interventions import replace_head
from mesascope.models.constructions import gradient_descent
from mesascope.models.language.heads import surprisal_without
from mesascope.models.language.passes import run
from mesascope.models.language.sequences import sequence_tokens, symbol_tokens
from mesascope.tasks import Alternation, DigitRegression, LinearRegression, RepeatedBlocks
from mesascope.types import Measurement, Site

TASK = DigitRegression(examples=4)
BLOCKS = RepeatedBlocks(length=5, vocabulary=50)


def of(found: tuple[Measurement, ...], quantity: str, **where: int) -> Measurement:
    (m,) = (m for m in found if m.quantity == quantity and dict(m.coordinates) == where)
    return m


def value(m: Measurement, control: str) -> float:
    return next(c.value for c in m.controls if c.name == control)


def test_many_sets_of_heads_in_one_pass_are_each_of_them_alone(tiny: SimpleNamespace, kind: str) -> None:
    subject = tiny.subject(kind, tokenizer=tiny.tokenizer(digits_apart=True, begin=1))
    s = BLOCKS.sample(3, seed=0)
    sets = torch.zeros(3, len(subject.network.blocks), 4, dtype=torch.bool)
    sets[1, 0, 2] = sets[2, 0, 1] = sets[2, 2, 3] = True
    known, unknown = surprisal_without(subject, s, sets, batch=9)
    few = surprisal_without(subject, s, sets, batch=1)
    torch.testing.assert_close(known, few[0], rtol=1e-5, atol=1e-5)
    words = symbol_tokens(subject, 50)
    for which, heads in enumerate(((), ((0, 2),), ((0, 1), (2, 3)))):
        edits = [replace_head(Site(layer=i, kind="z"), h, torch.zeros(())) for i, h in heads]
        hidden = run(subject.network, sequence_tokens(subject, s), interventions=edits).hidden
        with torch.no_grad():
            logits = subject.network.unembedding(hidden)
        cap = getattr(subject.network.config, "final_logit_softcapping", None)
        logits = logits if cap is None else cap * (logits / cap).tanh()
        logs = logits[:, 1:].log_softmax(-1).double()
        for at, targets, got in ((s.at, s.targets, known), (s.control_at, s.control_targets, unknown)):
            expected = -logs[:, at].gather(2, words[targets][..., None])[..., 0]
            torch.testing.assert_close(got[which], expected, rtol=1e-4, atol=1e-4)
    assert float((known[1] - known[0]).abs().max()) > 1e-3


def test_without_any_head_nothing_but_the_present_symbol_matters(tiny: SimpleNamespace) -> None:
    subject = tiny.subject("llama")  # whose positions matter to attention only
    every = torch.ones(1, 3, 4, dtype=torch.bool)
    known, unknown = surprisal_without(subject, BLOCKS.sample(3, seed=0), torch.cat([every, ~every]))
    torch.testing.assert_close(known[0], unknown[0], rtol=1e-5, atol=1e-5)
    assert float((known[1] - unknown[1]).abs().max()) > 1e-2


def test_the_one_head_that_adds_something_is_found(tiny: SimpleNamespace) -> None:
    subject = tiny.subject("llama")
    width = subject.network.config.hidden_size // 4
    with torch.no_grad():
        for layer, block in enumerate(subject.network.blocks):
            weight = block.self_attn.o_proj.weight  # type: ignore[union-attr]
            mine = weight[:, width : 2 * width].clone()
            weight.zero_()
            if layer == 1:
                weight[:, width : 2 * width] = mine
    found = head_ablation(subject, TASK, n=8, sequences=BLOCKS)
    costs = {tuple(m.coordinates.values()): m for m in found if m.quantity == OF_HEAD.name}
    assert all(abs(m.value) < 1e-5 for place, m in costs.items() if place != (1, 1))
    only = costs[1, 1]
    assert abs(only.value) > 1e-3
    assert only.value == pytest.approx(value(only, ablating.EVERYTHING), abs=1e-5)
    assert of(found, ablating.OF_LAYER.name, layer=1).value == pytest.approx(only.value, abs=1e-5)
    later = of(
        found, ablating.LATER.name
    )  # of three layers, the last half is the last one and the first half the first
    assert later.value == pytest.approx(0, abs=1e-5)
    if only.value > 0:  # a random model may do better without it
        assert of(found, CHOSEN.name).value == pytest.approx(
            value(of(found, CHOSEN.name), ablating.EVERYTHING), abs=1e-5
        )


def test_losses_and_every_control(tiny: SimpleNamespace) -> None:
    subject = tiny.subject("gpt-neox")
    found = head_ablation(subject, TASK, n=6, sequences=BLOCKS)
    for expected in ablating.INSTRUMENT.expected:
        measured = [m for m in found if m.quantity == expected.quantity]
        assert measured, expected.quantity
        assert all(expected.holds(value(m, expected.control)) for m in measured), expected.quantity
    s = BLOCKS.sample(6, seed=0, stream=ablating.NAME)
    known, unknown = surprisal_without(subject, s, torch.zeros(1, 3, 4, dtype=torch.bool))
    assert of(found, ablating.LOSS.name).value == pytest.approx(float(known.mean()))
    assert of(found, ablating.EFFECT.name).value == pytest.approx(float(unknown.mean() - known.mean()))
    assert of(found, ablating.GAIN.name).value == pytest.approx(float(known[..., :2].mean() - known[..., 2:].mean()))
    assert {m.quantity for m in found} == set(ablating.INSTRUMENT.quantities)
    assert all(m.controls for m in found)
    assert ablating.figure(found).rows


def test_questions_can_begin_late(tiny: SimpleNamespace) -> None:
    subject, task = tiny.subject("llama"), Alternation(vocabulary=50, times=7)
    found = head_ablation(subject, TASK, n=4, sequences=task, shown=7, ablate=False)
    none = torch.zeros(1, 3, 4, dtype=torch.bool)
    known, _ = surprisal_without(subject, task.sample(4, seed=0, stream=ablating.NAME), none)
    assert of(found, ablating.SHORT.name).value == pytest.approx(float(known[..., 2:4].mean()))
    assert of(found, ablating.LONG.name).value == pytest.approx(float(known[..., 4:6].mean()))
    assert not any(m.quantity == OF_HEAD.name for m in found)
    with pytest.raises(ValueError, match=r"shown must be at most 13, .*; got 14\. Choose longer sequences"):
        head_ablation(subject, TASK, n=4, sequences=task, shown=14)


@pytest.mark.parametrize(("heads", "count"), [(144, 8), (270, 14), (4, 1)])
def test_the_rule_chooses_as_many_of_any_numbers(heads: int, count: int) -> None:
    """Source C finds 8 of 144."""
    for seed in range(5):
        rng = torch.Generator().manual_seed(seed)
        assert int(chosen(torch.rand(heads, generator=rng)).sum()) == count


def test_heads_that_always_matter_are_chosen_by_other_prompts_too(
    tiny: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of forty-eight heads cost one nat on every prompt, the others random amounts around nothing."""
    planted = torch.zeros(12, 4, dtype=torch.bool)
    planted[3, 1] = planted[8, 2] = True

    def costs(_subject: object, s: object, without: torch.Tensor, **_: object) -> tuple[torch.Tensor, torch.Tensor]:
        n = len(s)  # type: ignore[arg-type]
        lost = (without & planted).flatten(1).sum(1).double()[:, None, None].expand(-1, n, 4)
        noise = 0.1 * torch.rand(len(without), n, 4, generator=torch.Generator().manual_seed(n), dtype=torch.float64)
        return 1 + lost + noise * without.flatten(1).any(1)[:, None, None], torch.full(
            (len(without), n, 4), 5.0
        ).double()

    monkeypatch.setattr(ablating, "surprisal_without", costs)
    subject = tiny.subject("llama")
    each = 1 + torch.rand(48, 8, generator=torch.Generator().manual_seed(0)).double() * 0.1
    each = (each + planted.flatten()[:, None]).view(12, 4, 8)
    found = tuple(ablating._together(subject, BLOCKS.sample(8, seed=0), each, seed=0, draws=4, batch=64))
    assert of(found, CHOSEN.name).value == pytest.approx(2, abs=0.1)
    assert abs(value(of(found, CHOSEN.name), ablating.RANDOM)) < 0.2
    assert of(found, ablating.SHARE.name).value == pytest.approx(2 / 4, abs=0.05)
    assert of(found, COUNT).value == 3  # the two, and one of the others: the rule takes a twentieth in any case
    assert of(found, AGAIN).value >= 2 / 3
    assert value(of(found, AGAIN), ablating.CHANCE) == pytest.approx(3 / 48)


def test_only_language_models_read_sequences(tiny: SimpleNamespace) -> None:
    with pytest.raises(NotApplicable, match="is no language model, so it cannot read sequences of symbols"):
        head_ablation(gradient_descent(layers=2), LinearRegression())
    with pytest.raises(ValueError, match="n must be a whole number of at least 4; got 3"):
        head_ablation(tiny.subject("llama"), TASK, n=3)


def test_blocks_fit_the_model(tiny: SimpleNamespace) -> None:
    subject = tiny.subject("llama")
    assert fitting_blocks(subject, 24) == RepeatedBlocks(vocabulary=256, length=24)
    subject.network.config.max_position_embeddings = 21
    assert fitting_blocks(subject, 24).length == 10
