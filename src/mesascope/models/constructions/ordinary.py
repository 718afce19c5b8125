"""Constructions as ordinary transformers with the same weights."""

import math

import torch

from mesascope.models.constructions.network import FEATURES, Construction
from mesascope.models.transformer import Transformer, TransformerConfig


def as_transformer(construction: Construction, dim: int, examples: int) -> Transformer:
    """A `Transformer` in float64 that computes the same as a construction; its first channels are the construction's.

    Linear attention without norms, MLPs or positions; tokens (x, y); queries are never keys. Constants come from the
    embedding's bias. The transformer divides scores by √(width of a head); the query matrices compensate for this.

    Args:
        construction: a construction without gates.
        dim: dimension of the inputs.
        examples: number of examples in every prompt; it matters only if a channel holds 1/n.

    Raises:
        ValueError: the construction has gates, a causal mask, scores that are not linear, or a channel that distinguishes
            examples from queries by something other than the label.
    """
    network = construction.build(dim)
    if any(layer.gate is not None for layer in network.layers):
        raise ValueError(
            f"construction must have only attention; {construction.name} also has {construction.not_attention}."
        )
    if (
        network.causal
        or network.scores != "linear"
        or not {"x", "label", "one", "1/n"}.issuperset(network.embed.values())
    ):
        raise ValueError(
            f"construction must see all examples, have linear scores and start from x, the label and constants; "
            f"{construction.name} does not."
        )
    heads = max(1, *(len(layer.heads) for layer in network.layers))
    every = [head for layer in network.layers for head in layer.heads]
    size = max(math.ceil(network.channels.width / heads), *(max(len(h.key), len(h.value)) for h in every))
    width, used = heads * size, network.channels.width
    model = Transformer(
        TransformerConfig(
            dim=dim, examples=examples, layers=construction.layers, width=width, heads=heads, feedforward=0, norm=False,
            attention="linear", tokens="pairs", mask="prefix", positions=False,
        )
    ).double()  # fmt: skip
    state = {name: torch.zeros_like(value) for name, value in model.state_dict().items()}
    embed = network.state_dict()["embed"]
    one, share = dim + FEATURES.index("one") - 1, dim + FEATURES.index("1/n") - 1
    state["embed.weight"][:used] = embed[:, : dim + 1]
    state["embed.bias"][:used] = embed[:, one] + embed[:, share] / examples
    state["unembed.weight"][0, :used] = network.readout
    for i, layer in enumerate(network.layers):
        qkv, out = state[f"blocks.{i}.attention.qkv.weight"], state[f"blocks.{i}.attention.out.weight"]
        for j, head in enumerate(layer.heads):
            matrices = (math.sqrt(size) * head.query, head.key, head.value)
            for part, matrix in enumerate(matrices):
                row = part * width + j * size
                qkv[row : row + len(matrix), :used] = matrix
            out[:used, j * size : j * size + len(head.value)] = head.out
    model.load_state_dict(state)
    return model
