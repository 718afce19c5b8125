"""Every self-check passes on every family, and fails on the fault that it is for."""

import copy
import dataclasses
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mesascope.models.language import FAMILIES, Network
from mesascope.models.language.checks import CHECKS, check_network, draw, overwritten, rows_of_attention
from mesascope.models.language.families import family_named
from mesascope.models.language.passes import run
from mesascope.models.language.tokens import Tokens, plain
from mesascope.types import Site


def test_every_family_passes_all_self_checks(tiny: SimpleNamespace, kind: str) -> None:
    network = tiny.network(kind)
    check_network(network, kind)
    assert overwritten(network) == frozenset()
    assert (Site(layer=0, kind="resid_mid") in network.sites) == (kind != "gpt-neox")


def test_every_row_of_the_table_is_tested(tiny: SimpleNamespace) -> None:
    assert {name for family in FAMILIES for name in family.model_types} == {
        c().model_type for c in tiny.MODELS.values()
    }


# ------------------------------------------------------------------------------------------- planted faults


def row(network: Network, **changes: str) -> Network:
    return dataclasses.replace(network, family=dataclasses.replace(network.family, **changes))


def wrong_hook(network: Network) -> Network:
    return row(network, attention_added="mlp.gate_proj")


def attention_before_its_norm(network: Network) -> Network:
    return row(network, attention_added="self_attn")


def middle_after_its_norm(network: Network) -> Network:
    return row(network, middle="mlp")


class Copied(nn.Module):
    """Reads a copy of the stream, so that an edit of what it reads does not reach the stream."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.reader = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.reader(x.clone())


def an_edit_that_stays_aside(network: Network) -> Network:
    for block in network.blocks:
        block.post_attention_layernorm = Copied(block.post_attention_layernorm)  # type: ignore[arg-type]
    return row(network, middle="post_attention_layernorm.reader")


class Twice(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(self.inner(x))


def a_double_norm(network: Network) -> Network:
    network.model.model.twice = Twice(network.model.model.norm)  # type: ignore[union-attr, arg-type]
    return row(network, norm="model.twice")


class Unmasked(nn.Module):
    """Attention that sees later positions too."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner, self.o_proj = inner, inner.o_proj

    def forward(self, **given: Any) -> Any:
        return self.inner(**{**given, "attention_mask": torch.zeros_like(given["attention_mask"])})


def weights_on_later_positions(network: Network) -> Network:
    for block in network.blocks:
        block.self_attn = Unmasked(block.self_attn)
    return network


def a_dropped_head(network: Network) -> Network:
    def without_the_first(module: Any, inputs: tuple[Tensor], _: Tensor) -> Tensor:
        z = inputs[0].clone()
        z[..., : z.shape[-1] // 4] = 0
        return nn.functional.linear(z, module.weight, module.bias)

    for block in network.blocks:
        block.self_attn.o_proj.register_forward_hook(without_the_first)  # type: ignore[union-attr, operator]
    return network


class Shadowed(nn.Module):
    """Calls a module, and goes on with what another copy of it computed."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.shadow, self.own = inner, copy.deepcopy(inner)

    def forward(self, x: Tensor) -> Tensor:
        self.shadow(x)
        return self.own(x)


def an_edit_without_effect(network: Network) -> Network:
    for block in network.blocks:
        block.mlp = Shadowed(block.mlp)  # type: ignore[arg-type]
    return row(network, feedforward_added="mlp.shadow")


class Counting(nn.Module):
    """Rotary positions by the place in the batch instead of the place in the sequence."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor, position_ids: Tensor) -> Any:
        return self.inner(x, position_ids=torch.arange(x.shape[1]).expand_as(position_ids))


def positions_in_the_batch(network: Network) -> Network:
    network.model.model.rotary_emb = Counting(network.model.model.rotary_emb)  # type: ignore[union-attr, arg-type]
    return network


FAULTS: dict[str, tuple[str, Callable[[Network], Network], str]] = {
    "a wrong hook": ("llama", wrong_hook, r"shapes at every site failed: .*attn_out has the shape \(2, 10, 40\)"),
    "before the norm": (
        "olmo2",
        attention_before_its_norm,
        r"sums in the residual stream failed: resid_mid is not resid_pre \+ attn_out in layer 0",
    ),
    "after the norm": ("llama", middle_after_its_norm, "sums in the residual stream failed: resid_mid is not"),
    "aside": ("llama", an_edit_that_stays_aside, "sums in .*resid_post is not resid_mid .* with an edit there"),
    "double norm": ("llama", a_double_norm, "lens at the last layer failed: it differs from the logits by"),
    "no mask": ("llama", weights_on_later_positions, "rows of attention failed: .*weights on later positions"),
    "a dropped head": ("llama", a_dropped_head, "sum over heads failed: the heads of layer 0 do not sum to attn_out"),
    "no effect": ("llama", an_edit_without_effect, r"edits at every site failed: an edit at blocks\.\d\.hook_mlp_out"),
    "positions": ("llama", positions_in_the_batch, "a prompt alone and in a batch failed: the logits of a prompt of"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found_by_the_check_that_is_for_it(tiny: SimpleNamespace, name: str) -> None:
    kind, plant, message = FAULTS[name]
    with pytest.raises(ValueError, match=message) as caught:
        check_network(plant(tiny.network(kind)), "planted")
    assert "model 'planted' must compute what its row" in str(caught.value)
    assert "CONTRIBUTING" in str(caught.value)


def test_every_check_has_a_planted_fault() -> None:
    missed = [
        c.__name__ for c in CHECKS if not any(c.__name__.replace("_", " ")[:12] in m for _, _, m in FAULTS.values())
    ]
    assert not missed


def test_rows_that_do_not_sum_to_1_are_found(tiny: SimpleNamespace) -> None:
    drawn = draw(tiny.network("llama"))
    site = Site(layer=1, kind="pattern")
    halved = dataclasses.replace(drawn, at={**drawn.at, site: drawn.at[site] / 2})
    assert "do not sum to 1: they are off by 0.5" in rows_of_attention(halved)
    assert rows_of_attention(drawn) == ""


class Overwriting(nn.Module):
    """Remembers what it computed, so that it can be overwritten."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        out = self.inner(x)
        self.last = out
        return out


def test_what_the_model_overwrites_is_copied(tiny: SimpleNamespace) -> None:
    network = tiny.network("llama")
    at, site = plain(torch.arange(6)[None]), Site(layer=0, kind="mlp_out")
    expected = run(network, at, capture=[site]).activations[site].clone()
    block = network.blocks[0]
    block.mlp = Overwriting(block.mlp)  # type: ignore[arg-type]

    def overwrite(*_: Any) -> None:
        block.mlp.last.zero_()  # type: ignore[union-attr, operator]

    block.register_forward_hook(overwrite)
    with pytest.raises(
        RuntimeError, match=r"blocks\.0\.hook_mlp_out was overwritten by the model after it was captured"
    ):
        run(network, at, capture=[site])
    assert overwritten(network) == {"mlp_out"}
    careful = dataclasses.replace(network, copied=overwritten(network))
    torch.testing.assert_close(run(careful, at, capture=[site]).activations[site], expected)


def test_two_softmaxes_in_one_attention_are_refused(tiny: SimpleNamespace) -> None:
    network, site = tiny.network("llama"), Site(layer=1, kind="pattern")
    network.blocks[1].self_attn.o_proj.register_forward_hook(lambda _m, _i, out: out.softmax(-1))  # type: ignore[union-attr]
    with pytest.raises(RuntimeError, match=r"blocks\.1\.attn\.hook_pattern must be the only softmax in the attention"):
        run(network, plain(torch.arange(6)[None]), capture=[site])
    run(network, plain(torch.arange(6)[None]))  # nothing was left behind


def test_families_that_are_unknown_say_how_to_add_them() -> None:
    with pytest.raises(
        ValueError, match=r"family that mesascope knows .*got the model_type 'bloom'.*CONTRIBUTING says how"
    ):
        family_named("bloom", ["BloomForCausalLM"])
    with pytest.raises(ValueError, match=r"got the model_type 'qwen3'\. Did you mean 'qwen2'\?"):
        family_named("qwen3")
    with pytest.raises(ValueError, match="must be a causal language model, .* got a 'LlamaForSequenceClassification'"):
        family_named("llama", ["LlamaForSequenceClassification"])
    with pytest.raises(ValueError, match="must be a causal language model, .* got a 'BertModel'"):
        family_named("bert", ["BertModel"])


@pytest.mark.usefixtures("unchecked")
def test_what_a_model_cannot_take_is_refused(tiny: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    network = tiny.network("llama")
    with pytest.raises(
        ValueError, match=r"prompts must have at most 512 tokens, which is this model's context; got one of 513"
    ):
        run(network, plain(torch.zeros(1, 513, dtype=torch.long)))
    with pytest.raises(ValueError, match=r"site must be one of the subject's 22 sites; got blocks\.3\.hook_resid_post"):
        run(network, plain(torch.zeros(1, 5, dtype=torch.long)), capture=[Site(layer=3, kind="resid_post")])
    monkeypatch.setattr("mesascope.machine.memory.memory", lambda: 1000)
    with pytest.raises(
        ValueError, match=r"a pass over 1 prompts of 5 positions, with 0 sites needs about .* Pass fewer prompts"
    ):
        run(network, plain(torch.zeros(1, 5, dtype=torch.long)))


def test_a_code_that_counts_positions_takes_one_query_beyond_its_window(tiny: SimpleNamespace) -> None:
    network = tiny.network("gpt-neo")
    long = torch.arange(3, 250)[None].repeat(1, 3)[:, :520]
    with pytest.raises(ValueError, match="at most 512 tokens"):
        run(network, plain(long))
    two = Tokens(
        ids=torch.ones(1, 520, dtype=torch.long),
        real=torch.ones(1, 520, dtype=torch.bool),
        branch=torch.tensor([0] * 500 + [1] * 10 + [2] * 10),
        parents=(0, 0, 0),
    )
    with pytest.raises(
        ValueError, match=r"at most 512 positions, all queries together: .*got 520\. .*ask fewer queries"
    ):
        run(network, two)
