"""Copying: a head that copies, one that turns what it copies, and one that looks everywhere equally."""

import pytest
import torch

from mesascope.instruments.asking.applicability import NotApplicable
from mesascope.instruments.attending import copying
from mesascope.models.constructions import gradient_descent
from mesascope.models.subject import TransformerSubject
from mesascope.models.transformer import Transformer, TransformerConfig
from mesascope.report.figures import draw

DIM, EXAMPLES = 3, 10
SIZE = {"n": 64}
SIZE_OF_HEAD = 24  # room for a channel a position
COPIES, TURNS, SPREADS = range(3)
MULTIPLE, LINEAR = copying.MULTIPLE.name, copying.LINEAR.name
ON_OWN, ON_OTHERS = copying.ON_OWN.name, copying.ON_OTHERS.name


@pytest.fixture(scope="module")
def subject() -> TransformerSubject:
    """Channels: the input (3), then the position, one-hot. Two heads look at the token before, one everywhere."""
    width = 3 * SIZE_OF_HEAD
    config = TransformerConfig(
        dim=DIM, examples=EXAMPLES, layers=1, width=width, heads=3, feedforward=0, norm=False
    )  # fmt: skip
    model = Transformer(config)
    state = {name: torch.zeros_like(value) for name, value in model.state_dict().items()}
    positions = torch.arange(2 * EXAMPLES + 1)
    state["embed.weight"][:DIM] = torch.eye(DIM)
    state["position"][positions, DIM + positions] = 1.0
    qkv, out = state["blocks.0.attention.qkv.weight"], state["blocks.0.attention.out.weight"]
    for head in (COPIES, TURNS):
        row = head * SIZE_OF_HEAD
        qkv[row + positions[:-1], DIM + positions[1:]] = 1000.0  # asks for the one before
        qkv[width + row + positions, DIM + positions] = 1.0
    for head in (COPIES, TURNS, SPREADS):
        row = head * SIZE_OF_HEAD
        qkv[2 * width + row : 2 * width + row + DIM, :DIM] = torch.eye(DIM)
        out[:DIM, row : row + DIM] = 0.5 * torch.eye(DIM).roll(int(head == TURNS), 0)
    model.load_state_dict(state)
    return TransformerSubject(name="copies", model=model)


@pytest.fixture(scope="module")
def found(subject, task):
    return copying.copying(subject, task, **SIZE)


@pytest.mark.parametrize(
    ("head", "multiple", "linear", "aligned"), [(COPIES, 1, 1, 1), (TURNS, 0, 1, 0)], ids=["copies", "turns"]
)
def test_a_copy_is_a_multiple_and_a_turned_copy_is_a_linear_map(found, look, head, multiple, linear, aligned):
    value, _ = look
    assert value(found, MULTIPLE, head=head).value == pytest.approx(multiple, abs=0.01)
    assert value(found, LINEAR, head=head).value == pytest.approx(linear, abs=1e-6)
    assert value(found, copying.ALIGNED, head=head).value == pytest.approx(aligned, abs=1e-6)
    assert value(found, copying.INSIDE, head=head).value == pytest.approx(1, abs=1e-6)
    assert value(found, ON_OWN, head=head).value == pytest.approx(1, abs=1e-6)
    assert value(found, ON_OTHERS, head=head).value == pytest.approx(0, abs=1e-6)


def test_who_looks_everywhere_copies_little_of_the_own_input(found, look):
    value, control = look
    own, others = (value(found, name, head=SPREADS) for name in (ON_OWN, ON_OTHERS))
    places = range(2, EXAMPLES + 1)
    assert own.value == pytest.approx(sum(1 / (2 * k) for k in places) / len(places), abs=1e-6)
    assert others.value == pytest.approx(sum(1 - 1 / k for k in places) / len(places), abs=1e-6)
    for m in (own, others):
        assert control(m, "uniform") == pytest.approx(m.value, abs=1e-6)
    assert 0.1 < value(found, LINEAR, head=SPREADS).value < 0.7
    assert value(found, copying.ALIGNED, head=SPREADS).value > 0.9  # what there is of it is a copy


def test_the_sum_of_the_heads_is_what_attention_adds(found, look):
    value, _ = look
    together = value(found, copying.ALIGNED, head="all").value
    assert 0.5 < together < 0.95  # a copy and a turned one: tr(1 + P)/√(3·‖1 + P‖²) = √½, and a little of the third
    assert value(found, LINEAR, head="all").value > 0.8


def test_the_controls_come_out_as_they_must(found, look):
    _, control = look
    for m in found:
        kinds = {c.kind for c in m.controls}
        assert kinds == {"positive", "negative"}
        assert "untrained network" in {c.name for c in m.controls}
        if m.quantity.startswith("attention"):
            continue
        assert control(m, copying.WRITTEN) == pytest.approx(1, abs=1e-9)
        if m.quantity in (MULTIPLE, LINEAR):
            assert abs(control(m, copying.NEXT)) < 0.05
        if m.quantity == MULTIPLE:
            assert control(m, copying.TURNED) < 0.3
        assert (m.quantity == LINEAR) != (copying.TURNED in {c.name for c in m.controls})


def test_the_size_of_a_batch_changes_nothing(tiny, task):
    whole, split = (copying.copying(tiny, task, n=20, batch=b) for b in (64, 7))
    for a, b in zip(whole, split, strict=True):
        assert a.value == pytest.approx(b.value, rel=1e-3, abs=1e-5)


def test_it_changes_nothing_and_has_one_number_a_place(tiny, task):
    prompts = task.sample(4, seed=9)
    before = tiny.trace(prompts).predictions
    found = copying.copying(tiny, task, n=12, layer=1)
    assert torch.equal(before, tiny.trace(prompts).predictions)
    assert len({(m.quantity, m.coordinates["head"]) for m in found}) == len(found) == 4 * 3 + 2 * 2
    assert {m.coordinates["site"] for m in found} == {"blocks.1.hook_attn_out", "blocks.1.attn.hook_pattern"}


def test_it_needs_tokens_apart(task, bare):
    with pytest.raises(NotApplicable, match="no separate tokens"):
        copying.copying(gradient_descent(layers=1), task, n=4)
    with pytest.raises(NotApplicable, match="does not show blocks.0"):
        copying.copying(bare, task)


def test_the_figure_can_be_drawn(found):
    made = copying.figure(found)
    assert {row["head"] for row in made.rows} == {"0", "1", "2", "all"}
    assert draw(made)["data"]["values"]
