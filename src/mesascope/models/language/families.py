"""The families of language models that can be examined: one row each, which says where a family keeps its parts.

CONTRIBUTING says how to add a row. `mesascope.models.language.checks` tests every model against its row when it is loaded.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from mesascope.records.checks import nearest
from mesascope.records.shown import shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Where the models of one family keep their parts, as paths of module names in Hugging Face's code.

    Attributes:
        name: for messages.
        model_types: the values of ``model_type`` in the configurations of its models.
        blocks: from the model to the list of its blocks.
        norm: from the model to the norm before the unembedding.
        attention: from a block to the module inside which the attention pattern is computed.
        projection: from a block to the attention's output projection, which reads the outputs of all heads.
        attention_added: from a block to the module whose output is added to the stream after attention. If the family
            normalises the attention's output, this is that norm.
        middle: from a block to the module whose input is the stream between attention and feed-forward network.
        feedforward_added: from a block to the module whose output is added to the stream after the feed-forward network.
        parallel: the configuration's field which says that both read the same stream, so that there is no stream between them.
        typed_masks: whether the code takes one attention mask for each type of layer, because some layers see a window only.
        counts_positions: whether the code has masks of its own, for ``window_size`` positions as they stand in the batch.
    """

    name: str
    model_types: tuple[str, ...]
    blocks: str
    norm: str
    attention: str
    projection: str
    attention_added: str
    middle: str
    feedforward_added: str = "mlp"
    parallel: str | None = None
    typed_masks: bool = False
    counts_positions: bool = False


_GPT2 = Family(
    name="GPT-2",
    model_types=("gpt2",),
    blocks="transformer.h",
    norm="transformer.ln_f",
    attention="attn",
    projection="attn.c_proj",
    attention_added="attn",
    middle="ln_2",
)
_LLAMA = Family(
    name="Llama and SmolLM2",
    model_types=("llama",),
    blocks="model.layers",
    norm="model.norm",
    attention="self_attn",
    projection="self_attn.o_proj",
    attention_added="self_attn",
    middle="post_attention_layernorm",
)
_NORMED = replace(
    _LLAMA,
    attention_added="post_attention_layernorm",
    feedforward_added="post_feedforward_layernorm",
)
"""As Llama, but what attention and the feed-forward network add to the stream is normed first."""

FAMILIES = (
    _GPT2,
    replace(
        _GPT2,
        name="GPT-Neo",
        model_types=("gpt_neo",),
        projection="attn.attention.out_proj",
        counts_positions=True,
    ),
    Family(
        name="GPT-NeoX and Pythia",
        model_types=("gpt_neox",),
        blocks="gpt_neox.layers",
        norm="gpt_neox.final_layer_norm",
        attention="attention",
        projection="attention.dense",
        attention_added="attention",
        middle="post_attention_layernorm",
        parallel="use_parallel_residual",
    ),
    _LLAMA,
    replace(_LLAMA, name="Qwen2", model_types=("qwen2",), typed_masks=True),
    replace(
        _NORMED, name="Gemma 3", model_types=("gemma3_text",), middle="pre_feedforward_layernorm", typed_masks=True
    ),
    replace(_NORMED, name="OLMo 2", model_types=("olmo2",), middle="mlp"),
)
"""All families. A row that differs little from another says only where."""


def family_of(config: Any) -> Family:
    """The family of a model with this configuration (one of transformers' configurations).

    Raises:
        ValueError: it has no row in the table, or it is not a causal language model.
    """
    return family_named(str(config.model_type), config.architectures or ())


def family_named(kind: str, architectures: Sequence[str] = ()) -> Family:
    """The family with this ``model_type``.

    Args:
        kind: the configuration's ``model_type``.
        architectures: the classes that the weights were saved from, if the configuration says so.

    Raises:
        ValueError: it has no row in the table, or the weights are not those of a causal language model.
    """
    if architectures and not any(str(name).endswith(("ForCausalLM", "LMHeadModel")) for name in architectures):
        raise ValueError(
            f"model must be a causal language model, which predicts the next token; got a {shown(architectures[0])}. Take the "
            "model that it was made from."
        )
    known = {name: family for family in FAMILIES for name in family.model_types}
    if kind not in known:
        raise ValueError(
            f"model must be of a family that mesascope knows ({', '.join(known)}); got the model_type {shown(kind)}."
            f"{nearest(kind, known)} To add a family, write one row in models/language/families.py: CONTRIBUTING says how."
        )
    return known[kind]
