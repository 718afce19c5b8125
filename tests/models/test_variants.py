"""The variants of the transformer: members of a batch, gradients against differences, the subject's protocol, attention sinks."""

import dataclasses
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from mesascope.instruments.asking.tokens import layout
from mesascope.instruments.attending.sinks import SINK, sinks
from mesascope.models import Transformer, TransformerConfig, TransformerSubject
from mesascope.models.architecture import positions
from mesascope.tasks import LinearRegression
from mesascope.testing import check_subject
from mesascope.types import Prompts, Site

TINY = TransformerConfig(dim=3, examples=4, layers=2, width=8, heads=2, feedforward=8)
VARIANTS: dict[str, dict[str, object]] = {
    "default": {},
    "no norm": {"norm": False},
    "attention only": {"feedforward": 0},
    "sink": {"sink": True},
    "sink full pairs": {"sink": True, "mask": "full", "tokens": "pairs"},
    "layer scale": {"layer_scale": True, "norm": False},
    "head dims": {"head_dims": ((0,), (1, 2))},
    "head dims pairs": {"head_dims": ((0,), (1, 2)), "tokens": "pairs"},
    "dropout": {"dropout": 0.25},
    "all at once": {
        "sink": True,
        "layer_scale": True,
        "norm": False,
        "head_dims": ((0,), (1, 2)),
        "dropout": 0.25,
        "answers": "everywhere",
    },
}
BOUND = 5.6e-8
"""The largest relative error of source C's numerical gradient check (section 9.5.1)."""


def config(name: str) -> TransformerConfig:
    return dataclasses.replace(TINY, **VARIANTS[name])  # type: ignore[arg-type]


def build(name: str, seed: int = 0) -> Transformer:
    model = Transformer(config(name), seed=seed).double()
    with torch.no_grad():  # scales, norms and biases that are all different
        for i, parameter in enumerate(model.parameters()):
            parameter += 0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(100 * seed + i))
    return model


def draw(queries: int = 2) -> Prompts:
    return LinearRegression(dim=3, examples=4, queries=queries).sample(5, seed=1)


def kept(model: Transformer, queries: int = 2, seed: int = 0) -> Tensor | None:
    c = model.config
    if not c.dropout:
        return None
    size = (c.layers, 5, 2, positions(c, 4, queries), c.width)
    return torch.rand(size, generator=torch.Generator().manual_seed(seed)) >= c.dropout


def loss(model: Transformer, state: dict[str, Tensor], p: Prompts, dropped: Tensor | None) -> Tensor:
    answers = functional_call(model, state, (p.xs, p.ys, p.queries), {"kept": dropped})
    return (answers - p.targets).square().mean()


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", VARIANTS)
def test_members_of_a_batch_equal_each_alone(name: str) -> None:
    members, p = [build(name, seed) for seed in range(3)], draw()
    if members[0].head_mask is not None:  # members that differ in what their heads read
        members[1].head_mask.copy_(members[1].head_mask.flip(0))
        members[2].head_mask.fill_(1.0)
    buffers = {n: torch.stack([dict(m.named_buffers())[n] for m in members]) for n, _ in members[0].named_buffers()}
    weights = {n: torch.stack([m.get_parameter(n) for m in members]) for n, _ in members[0].named_parameters()}
    masks = [kept(m, seed=i) for i, m in enumerate(members)]
    dropped = None if masks[0] is None else torch.stack([m for m in masks if m is not None])

    prompts = tuple(each.expand(3, *each.shape) for each in (p.xs, p.ys, p.queries))
    answers = functional_call(members[0], {**weights, **buffers}, prompts, {"kept": dropped})
    losses = (answers - p.targets).square().mean((-2, -1))
    slopes = torch.autograd.grad(losses.sum(), list(weights.values()))
    together = dict(zip(weights, slopes, strict=True))
    for i, member in enumerate(members):
        value = (member(p.xs, p.ys, p.queries, kept=masks[i]) - p.targets).square().mean()
        alone = torch.autograd.grad(value, list(member.parameters()))
        for (parameter, _), expected in zip(member.named_parameters(), alone, strict=True):
            torch.testing.assert_close(together[parameter][i], expected, rtol=1e-6, atol=1e-9)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", VARIANTS)
def test_gradients_are_those_of_central_differences(
    name: str, record_property: Callable[[str, object], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Along random directions, one per parameter, with the error of fourth order; relative to the largest slope."""
    model, p = build(name), draw()
    state, dropped = {n: w.detach() for n, w in model.state_dict().items()}, kept(model)
    weights = dict(model.named_parameters())
    gradients = torch.autograd.grad(
        (model(p.xs, p.ys, p.queries, kept=dropped) - p.targets).square().mean(), [*weights.values()]
    )
    worst = 0.0
    for number, (parameter, gradient) in enumerate(zip(weights, gradients, strict=True)):
        for repeat in range(3):
            rng = torch.Generator().manual_seed(10 * number + repeat)
            direction = torch.randn(gradient.shape, generator=rng, dtype=torch.float64)
            direction /= direction.norm()

            def at(step: float, parameter: str = parameter, direction: Tensor = direction) -> float:
                moved = {**state, parameter: state[parameter] + step * direction}
                return float(loss(model, moved, p, dropped))

            h = 1e-3
            numerical = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
            exact = float((gradient * direction).sum())
            worst = max(worst, abs(numerical - exact) / max(abs(exact), abs(numerical), float(gradient.norm()), 1e-4))
    record_property("largest relative error", worst)
    with capsys.disabled():
        print(f"\n{name}: largest relative error of a gradient {worst:.1e}")
    assert worst <= BOUND


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_keeps_the_subject_protocol(name: str) -> None:
    check_subject(TransformerSubject(name=name, model=build(name)))


def test_the_sink_is_the_first_position_and_no_examples() -> None:
    p = draw()
    for name in ("sink", "sink full pairs"):
        subject = TransformerSubject(name=name, model=build(name))
        places = layout(subject, p)
        pattern = subject.trace(p, capture=[Site(layer=0, kind="pattern")])[Site(layer=0, kind="pattern")]
        assert places.positions == pattern.shape[-1]
        assert int(places.inputs.min()) == 1
        assert places.context[:, 0].tolist() == [0, 0]
        assert bool((pattern[..., 0] > 0).all())  # every position sees it
        assert bool((pattern[:, :, 0, 1:] == 0).all())  # and it sees only itself


def test_sinks_are_the_mass_on_the_sink_token() -> None:
    task = LinearRegression(dim=3, examples=4)
    subject = TransformerSubject(name="sink", model=build("sink"))
    with torch.no_grad():
        for block in subject.model.blocks:
            block.attention.qkv.weight[:8] = 0  # queries of zero: every visible position gets the same attention
            block.attention.qkv.bias[:8] = 0
    found = [m for m in sinks(subject, task, n=8) if m.quantity == SINK.name]
    assert [m.coordinates["layer"] for m in found] == [0, 1]
    even = sum(1 / seen for seen in range(2, 11)) / 9  # rows from the second of 10 positions on: sink, 4 pairs, query
    assert all(m.value == pytest.approx(even, rel=1e-6) for m in found)


def test_masked_keys_do_not_read_hidden_dimensions() -> None:
    """Under a mask of one dimension, scores do not move with a key's other dimensions; those of labels are seen."""
    model, p = build("head dims"), draw(1)
    site = Site(layer=0, kind="pattern")
    subject = TransformerSubject(name="masked", model=model)

    def last_row(q: Prompts) -> Tensor:
        return subject.trace(q, capture=[site])[site][:, :, -1, :8]

    def moved(dimension: int) -> Tensor:
        xs = p.xs.clone()
        xs[:, 1, dimension] += 1.0
        before, after = last_row(p).log(), last_row(dataclasses.replace(p, xs=xs)).log()
        return ((after - after[..., :1]) - (before - before[..., :1])).abs().amax((0, 2))

    assert float(moved(1)[0]) < 1e-12 < 1e-6 < float(moved(1)[1])
    assert float(moved(0)[1]) < 1e-12 < 1e-6 < float(moved(0)[0])
    ys = p.ys.clone()
    ys[:, 1] += 1.0
    change = last_row(dataclasses.replace(p, ys=ys)) - last_row(p)
    assert float(change.abs().amax((0, 2)).min()) > 1e-6  # both heads see labels


def test_a_head_that_reads_everything_is_a_head_without_a_mask() -> None:
    p, free = draw(), build("default")
    model = Transformer(dataclasses.replace(TINY, head_dims=((0, 1, 2), (2, 1, 0)))).double()
    model.load_state_dict({**free.state_dict(), "head_mask": model.head_mask})
    torch.testing.assert_close(model(p.xs, p.ys, p.queries), free(p.xs, p.ys, p.queries), rtol=1e-12, atol=1e-12)


def test_dropout_keeps_all_numbers_when_none_are_named() -> None:
    p, model = draw(), build("dropout")
    plain, some = (model(p.xs, p.ys, p.queries, kept=own).detach() for own in (None, kept(model)))
    every = torch.ones(2, 5, 2, 10, 8, dtype=torch.bool)
    assert float((plain - some).abs().max()) > 1e-3
    torch.testing.assert_close(build("default")(p.xs, p.ys, p.queries).detach(), plain, rtol=0, atol=0)
    scaled = model(p.xs, p.ys, p.queries, kept=every).detach()
    assert float((plain - scaled).abs().max()) > 1e-3  # what is kept is divided by 1 − dropout
    with pytest.raises(
        ValueError, match=r"kept needs a model with dropout; got one with dropout=0\.0\. Pass kept=None"
    ):
        build("default")(p.xs, p.ys, p.queries, kept=every)


BAD: tuple[tuple[dict[str, object], str], ...] = (
    ({"head_dims": ((0,),)}, r"head_dims must have one entry for each of the heads=2; got 1\. Give"),
    ({"head_dims": ((0,), ())}, r"head_dims must give .* leaves head 1 nothing\. Give the head at least one"),
    ({"head_dims": ((0,), (3,))}, r"head_dims must hold .* from 0 to 2; got 3 for head 1\. Count"),
    ({"head_dims": ((0,), (1, 1))}, r"head_dims must name a dimension once per head; got .*1, 1.* for head 1"),
    ({"dropout": 1.0}, r"dropout must be a share from 0 to below 1; got 1\.0\. A value that works: 0\.1"),
    ({"dropout": math.nan}, r"dropout must be a share .*got nan"),
)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("options", "message"), BAD, ids=str)
def test_a_bad_variant_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TINY, **options)  # type: ignore[arg-type]
