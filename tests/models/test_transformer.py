"""The transformer: what sees what, what is computed, and that a glance changes nothing."""

import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mesascope.models.architecture import positions as count_positions
from mesascope.models.transformer import Transformer, TransformerConfig, count_parameters
from mesascope.tasks import LinearRegression
from mesascope.types import Prompts, Site

TINY = TransformerConfig(dim=3, examples=4, layers=2, width=16, heads=2, feedforward=24)
CONFIGS = {
    "default": {},
    "everywhere": {"answers": "everywhere"},
    "one layer": {"layers": 1},
    "pairs": {"tokens": "pairs"},
    "prefix": {"mask": "prefix"},
    "prefix pairs": {"mask": "prefix", "tokens": "pairs"},
    "full": {"mask": "full"},
    "full pairs": {"mask": "full", "tokens": "pairs", "activation": "relu", "final_norm": True},
    "linear": {"attention": "linear", "norm": False},
    "linear full": {"attention": "linear", "mask": "full", "norm": False, "tokens": "pairs", "feedforward": 0},
    "attention only": {"feedforward": 0},
    "no norm": {"norm": False, "final_norm": False},
    "no positions": {"positions": False},
    "one head": {"heads": 1},
    "sink": {"sink": True},
    "sink full pairs": {"sink": True, "mask": "full", "tokens": "pairs"},
    "sink prefix": {"sink": True, "mask": "prefix"},
    "sink linear everywhere": {"sink": True, "attention": "linear", "norm": False, "answers": "everywhere"},
    "layer scale": {"layer_scale": True, "norm": False},
    "head dims": {"head_dims": ((0,), (1, 2))},
    "head dims full pairs": {"head_dims": ((0,), (1, 2)), "mask": "full", "tokens": "pairs"},
    "all at once": {"sink": True, "layer_scale": True, "head_dims": ((0, 1), (2,)), "layers": 1, "feedforward": 0},
}


@pytest.mark.parametrize("name", CONFIGS)
def test_weights_are_counted_without_making_them(name: str) -> None:
    config = dataclasses.replace(TINY, **CONFIGS[name])
    assert count_parameters(config) == sum(p.numel() for p in Transformer(config).parameters())


CLOSE = {"rtol": 1e-12, "atol": 1e-12}


def build(name: str, seed: int = 0) -> Transformer:
    model = Transformer(dataclasses.replace(TINY, **CONFIGS[name]), seed=seed).double()
    with torch.no_grad():  # weights that are far from symmetric: biases, positions and norms must matter
        for i, parameter in enumerate(model.parameters()):
            parameter += 0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(i))
    return model


def draw(queries: int, batch: int = 5) -> Prompts:
    return LinearRegression(dim=3, examples=4, queries=queries).sample(batch, seed=1)


def run(model: Transformer, p: Prompts, **options: object) -> Tensor:
    return model(p.xs, p.ys, p.queries, **options).detach()


def record(model: Transformer, p: Prompts, **options: object) -> tuple[Tensor, dict[Site, Tensor]]:
    seen: dict[Site, Tensor] = {}

    def touch(site: Site, value: Tensor) -> Tensor:
        assert site not in seen
        seen[site] = value.detach()
        return value

    return run(model, p, touch=touch, **options), seen


@pytest.fixture(params=CONFIGS)
def model(request: pytest.FixtureRequest) -> Transformer:
    return build(request.param)


def test_several_queries_in_one_pass_equal_each_alone(model: Transformer) -> None:
    p = draw(20)
    together = run(model, p)
    alone = [
        run(model, dataclasses.replace(p, queries=p.queries[:, [i]], targets=p.targets[:, [i]])) for i in range(20)
    ]
    assert together.shape == (5, 20)
    torch.testing.assert_close(together, torch.cat(alone, 1), **CLOSE)
    assert float(together.std(1).min()) > 1e-3  # they do differ


@pytest.mark.parametrize("queries", [1, 2, 9])  # one and two pass through the last layer's weights, nine do not
def test_looking_changes_nothing_and_the_short_cuts_equal_the_whole_last_layer(
    model: Transformer, queries: int
) -> None:
    p = draw(queries)
    plain = run(model, p)
    for whole in (True, False):
        seen, _ = record(model, p, whole_last_layer=whole)
        torch.testing.assert_close(plain, seen, **CLOSE)


def test_short_cuts_have_the_same_gradients(model: Transformer) -> None:
    p = draw(1)

    def gradients(**options: object) -> list[Tensor]:
        model.zero_grad()
        (model(p.xs, p.ys, p.queries, **options) - p.targets).square().sum().backward()
        return [g.grad.clone() for g in model.parameters() if g.grad is not None]

    for fast, whole in zip(gradients(), gradients(touch=lambda site, value: value), strict=True):
        torch.testing.assert_close(fast, whole, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("queries", [1, 3])
def test_every_site_fires_once_with_its_documented_shape(model: Transformer, queries: int) -> None:
    config, p = model.config, draw(queries)
    _, seen = record(model, p)
    copies = queries if config.mask == "full" else 1
    positions = config.sink + copies * 4 * config.tokens_per_example + queries
    assert count_positions(config, 4, queries) == positions
    stream = (5, positions, config.width)
    kinds = {
        "resid_pre": stream,
        "pattern": (5, config.heads, positions, positions),
        "z": (5, positions, config.heads, config.width // config.heads),
        "attn_out": stream,
        "resid_mid": stream,
        "resid_post": stream,
    } | ({"mlp_out": stream} if config.feedforward else {})
    expected = {Site(layer=i, kind=k): shape for i in range(config.layers) for k, shape in kinds.items()}
    assert {site: tuple(value.shape) for site, value in seen.items()} == {Site(kind="embed"): stream} | expected


def test_what_the_sites_show_is_what_was_computed(model: Transformer) -> None:
    p = draw(3)
    answers, seen = record(model, p)
    last = model.config.layers - 1
    for layer in range(model.config.layers):
        at: dict[str, Tensor] = {s.kind: v for s, v in seen.items() if s.layer == layer}
        torch.testing.assert_close(at["resid_mid"], at["resid_pre"] + at["attn_out"], **CLOSE)
        torch.testing.assert_close(at["resid_post"], at["resid_mid"] + at.get("mlp_out", 0.0), **CLOSE)
        if model.config.attention == "softmax":
            torch.testing.assert_close(at["pattern"].sum(-1), torch.ones_like(at["pattern"][..., 0]), **CLOSE)
        block = model.blocks[layer]
        scale = 1.0 if block.scale is None else block.scale
        torch.testing.assert_close(scale * block.attention.out(at["z"].flatten(-2)), at["attn_out"], **CLOSE)
    torch.testing.assert_close(model.read(seen[Site(layer=last, kind="resid_post")][:, -3:]), answers, **CLOSE)


def test_the_last_positions_are_the_queries(model: Transformer) -> None:
    p = draw(3)
    moved = dataclasses.replace(p, queries=torch.cat([p.queries[:, :2], p.queries[:, 2:] + 1], 1))
    _, before = record(model, p)
    _, after = record(model, moved)
    difference = (before[Site(kind="embed")] - after[Site(kind="embed")]).abs().amax((0, 2))
    assert difference.nonzero().flatten().tolist() == [len(difference) - 1]


def test_an_edit_reaches_the_answer(model: Transformer) -> None:
    p = draw(2)
    for site in record(model, p)[1]:
        edited = run(model, p, touch=lambda s, v, site=site: v * 1.5 if s == site else v)
        assert float((edited - run(model, p)).abs().max()) > 1e-9, site


@pytest.mark.parametrize(
    "name",
    ["default", "everywhere", "no positions", "attention only", "sink linear everywhere", "head dims", "all at once"],
)
def test_answers_everywhere_equal_those_on_prefixes(name: str) -> None:
    model, p = build(name), draw(2)
    everywhere = run(model, p, everywhere=True)
    assert everywhere.shape == (5, 4 + 2)
    torch.testing.assert_close(everywhere[:, 4:], run(model, p), **CLOSE)
    for i in range(1, 4):
        prefix = model(p.xs[:, :i], p.ys[:, :i], p.xs[:, i : i + 1]).detach()
        torch.testing.assert_close(everywhere[:, i : i + 1], prefix, **CLOSE)


@pytest.mark.parametrize("name", ["default", "pairs", "linear", "no positions", "sink", "head dims"])
def test_under_a_causal_mask_nothing_earlier_moves(name: str) -> None:
    model, p = build(name), draw(2)
    later = torch.arange(4)[:, None] >= 2
    moved = dataclasses.replace(p, xs=p.xs + later, ys=p.ys + later[:, 0])
    _, before = record(model, p)
    _, after = record(model, moved)
    first = model.config.sink + 2 * model.config.tokens_per_example
    for site in before:
        if site.kind == "pattern":
            assert torch.equal(before[site][:, :, :first], after[site][:, :, :first])
        else:
            assert torch.equal(before[site][:, :first], after[site][:, :first])
    assert float((run(model, p) - run(model, moved)).abs().min()) > 0


def test_with_answers_everywhere_a_label_is_unseen_where_it_is_asked_for() -> None:
    model, p = build("everywhere"), draw(1)
    moved = dataclasses.replace(p, ys=p.ys + torch.tensor([0.0, 1.0, 0.0, 0.0]))
    before, after = (run(model, q, everywhere=True) for q in (p, moved))
    assert torch.equal(before[:, :2], after[:, :2])
    assert float((before[:, 2:] - after[:, 2:]).abs().min()) > 0


def test_the_masks() -> None:
    def with_mask(mask: str) -> list[list[int]]:
        config = dataclasses.replace(TINY, mask=mask, tokens="pairs", examples=2)
        p = LinearRegression(dim=3, examples=2, queries=2).sample(1, seed=0)
        _, seen = record(Transformer(config).double(), p)
        return (seen[Site(layer=0, kind="pattern")][0, 0] != 0).int().tolist()

    assert with_mask("causal") == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 0, 1]]
    assert with_mask("prefix") == [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0]]
    first, second = [1, 1, 0, 0, 1, 0], [0, 0, 1, 1, 0, 1]  # a context for each query
    assert with_mask("full") == [first, first, second, second, first, second]


def test_without_positions_any_number_of_examples_will_do() -> None:
    p = LinearRegression(dim=3, examples=9).sample(2, seed=0)
    assert run(build("no positions"), p).shape == (2, 1)


def test_linear_attention_is_the_formula() -> None:
    model, p = build("linear"), draw(1)
    _, seen = record(model, p)
    block = model.blocks[0].attention
    q, k, v = block.qkv(seen[Site(layer=0, kind="resid_pre")]).unflatten(-1, (3, 2, 8)).unbind(2)
    scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(8)
    open_ = torch.ones(9, 9).tril()
    torch.testing.assert_close(
        seen[Site(layer=0, kind="pattern")], (scores * open_ / open_.sum(-1, keepdim=True)).detach(), **CLOSE
    )
    z = torch.einsum("bhqk,bkhd->bqhd", seen[Site(layer=0, kind="pattern")], v).detach()
    torch.testing.assert_close(seen[Site(layer=0, kind="z")], z, **CLOSE)


def test_attention_is_pytorchs() -> None:
    model, p = build("default"), draw(1)
    _, seen = record(model, p)
    attention = model.blocks[0].attention
    normed = model.blocks[0].norm_attention(seen[Site(layer=0, kind="resid_pre")])
    q, k, v = attention.qkv(normed).unflatten(-1, (3, 2, 8)).permute(2, 0, 3, 1, 4)
    z = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)
    torch.testing.assert_close(seen[Site(layer=0, kind="z")], z.detach(), **CLOSE)


@settings(max_examples=20)
@given(name=st.sampled_from(sorted(CONFIGS)), split=st.integers(1, 4), seed=st.integers(0, 100))
def test_batching_equals_looping(name: str, split: int, seed: int) -> None:
    model, p = build(name, seed), draw(2)
    torch.testing.assert_close(run(model, p), torch.cat([run(model, p[:split]), run(model, p[split:])]), **CLOSE)


def count(config: TransformerConfig) -> int:
    return sum(parameter.numel() for parameter in Transformer(config).parameters())


def test_parameter_counts() -> None:
    assert count(TransformerConfig(layers=2)) == 271_105  # source B: about 0.27M
    assert count(TransformerConfig(layers=4)) == 536_065  # and 0.53M
    source_a = TransformerConfig(
        dim=10, examples=20, layers=12, width=256, heads=4, feedforward=1024, activation="relu", tokens="pairs",
        mask="full", final_norm=True,
    )  # fmt: skip
    assert count(source_a) == 9_486_337
    assert count(dataclasses.replace(source_a, final_norm=False)) == 9_486_337 - 2 * 256


def test_a_seed_fixes_the_weights_and_a_stream_a_parameter() -> None:
    one, same, other = (Transformer(TINY, seed=s).state_dict() for s in (0, 0, 1))
    deeper = Transformer(dataclasses.replace(TINY, layers=3), seed=0).state_dict()
    for name, value in one.items():
        assert torch.equal(value, same[name])
        assert torch.equal(value, deeper[name])
        assert "norm" in name or not torch.equal(value, other[name])


def test_initial_weights_are_pytorchs_distribution() -> None:
    model = Transformer(TransformerConfig())
    for name, value in model.state_dict().items():
        if "norm" in name:
            assert set(value.unique().tolist()) <= {0.0, 1.0}
        elif name == "position":
            assert float(value.std()) == pytest.approx(0.02, rel=0.05)
        elif name.endswith("weight"):
            bound = 1 / math.sqrt(value.shape[1])
            assert float(value.abs().max()) <= bound
            if value.numel() > 1000:
                assert float(value.std()) == pytest.approx(bound / math.sqrt(3), rel=0.05)


BAD: tuple[tuple[dict[str, object], str], ...] = (
    *(
        ({name: 0}, rf"{name} must be a whole number of at least 1; got 0\. Pass 1")
        for name in ("dim", "examples", "layers", "width", "heads")
    ),
    ({"width": 12.5}, r"width must be a whole number .*got 12\.5"),
    ({"feedforward": -1}, r"feedforward must .* at least 0; got -1\. Pass 0 for no MLP"),
    ({"width": 130}, r"width must be a multiple of heads; got width=130, heads=4\. Pass width=132"),
    ({"activation": "relo"}, r"activation must be one of .*'relo'\. Did you mean 'relu'"),
    ({"attention": "soft"}, r"attention must be one of 'softmax', 'linear'; got 'soft'"),
    ({"mask": "none"}, r"mask must be one of .*got 'none'"),
    ({"tokens": "pair"}, r"tokens must be one of .*Did you mean 'pairs'"),
    ({"answers": "all"}, r"answers must be one of .*got 'all'"),
    ({"answers": "everywhere", "tokens": "pairs"}, r"answers='everywhere' needs .*tokens='pairs'\. Pass"),
    ({"answers": "everywhere", "mask": "prefix"}, r"answers='everywhere' needs .*mask='prefix'"),
)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("options", "message"), BAD, ids=str)
def test_a_bad_configuration_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TransformerConfig(**options)  # type: ignore[arg-type]


def test_what_a_model_cannot_be_asked_is_refused() -> None:
    with pytest.raises(ValueError, match=r"everywhere=True needs .*got mask='causal', tokens='pairs'\. Ask"):
        run(build("pairs"), draw(1), everywhere=True)
    with pytest.raises(ValueError, match=r"xs must show at most the 4 examples .*got 5\. Show fewer"):
        run(build("default"), LinearRegression(dim=3, examples=5).sample(1, seed=0))
