"""Regularisers: terms of the training loss that are functions of the heads' weights alone."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from mesascope.models.transformer import TransformerConfig
from mesascope.records.shown import shown

Weights = Mapping[str, Tensor]
"""Parameters and buffers of a `mesascope.models.Transformer`, by name."""
Strength = float | Float[Tensor, "*member"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Regularisers:
    """How strongly each term is weighted in the loss; 0 leaves it out.

    Attributes:
        orthogonality: strength of `orthogonality`, which heads whose projections overlap raise.
        diversity: strength of `diversity`, which heads whose keys read the same dimensions of the input raise.

    Raises:
        ValueError: a strength below 0, or not finite.

    Source: source C, section 9.5 (SM4/SM5, orthogonality of head projections) and 9.6 (diversity, strengths 0.1 to 1).
    Departs from source: it gives neither formula; the definitions here are ours.
    """

    orthogonality: float = 0.0
    diversity: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(
                    f"{field.name} must be a finite strength of at least 0; got {shown(value)}. A value that works: 0.1."
                )

    def check_heads(self, heads: int) -> None:
        """Check that a model has pairs of heads, if any term is asked for.

        Raises:
            ValueError: it has one head.
        """
        if heads < 2 and (asked := [field.name for field in fields(self) if getattr(self, field.name)]):
            raise ValueError(
                f"{asked[0]} needs at least two heads; got {heads}. Give the model more heads, or pass {asked[0]}=0.0."
            )


def penalty(
    weights: Weights, config: TransformerConfig, *, orthogonality: Strength = 0.0, diversity: Strength = 0.0
) -> Float[Tensor, "*member"] | None:
    """What the regularisers add to the loss, or None if every strength is the number 0.

    A pure function of the weights. A strength that is a tensor is always computed with.

    Args:
        weights: the network's parameters and buffers by name; those of many networks have an axis of members in front.
        config: its architecture.
        orthogonality, diversity: strengths, as in `Regularisers`.
    """
    terms = [
        strength * term(weights, config)
        for strength, term in ((orthogonality, overlap_of_heads), (diversity, likeness_of_heads))
        if isinstance(strength, Tensor) or strength
    ]
    return torch.stack(terms).sum(0) if terms else None


def overlap_of_heads(weights: Weights, config: TransformerConfig) -> Float[Tensor, "*member"]:
    """The orthogonality term: Σ over pairs of heads i < j of ‖W_i W_jᵀ‖²_F, a mean over layers and over query, key and value.

    W_i (width/heads × width) is a head's projection, scaled to a Frobenius norm of 1, so that small weights do not lower the
    term. A pair gives 0 if the two read orthogonal subspaces of the stream, and at most 1 (both have rank one and read the same
    direction).
    """
    names = [f"blocks.{layer}.attention.qkv.weight" for layer in range(config.layers)]
    per_head = (config.heads, config.width // config.heads)
    heads = torch.stack([weights[name] for name in names], -3).unflatten(-2, (3, *per_head))
    unit = heads / heads.square().sum((-1, -2), keepdim=True).sqrt()
    flat = unit.flatten(-3, -2)  # (member, layer, projection, head · width/head, width)
    products = (flat @ flat.mT).square().unflatten(-1, per_head).unflatten(-3, per_head)
    between = products.sum((-1, -3))  # (member, layer, projection, head, head)
    return between.triu(1).sum((-1, -2)).mean((-1, -2))


def likeness_of_heads(weights: Weights, config: TransformerConfig) -> Float[Tensor, "*member"]:
    """The diversity term: the mean over pairs of heads of the cosine between their key energies, in the first layer.

    A head's key energy in a dimension of the input is ‖W_K e‖², with W_K its key projection and e the embedding of that
    dimension: how much of it keys hold (layer normalisation apart). The energies are not negative, so a cosine is between
    0 (no dimension in common) and 1. Only the first layer's keys read inputs themselves. A dimension that a ``head_mask`` hides
    from a head has no energy there.
    """
    keys = weights["blocks.0.attention.qkv.weight"].chunk(3, -2)[1].unflatten(-2, (config.heads, -1))
    embedding = weights["embed.weight"][..., : config.dim].unsqueeze(-3)
    energy = (keys @ embedding).square().sum(-2)  # (member, head, dim)
    if "head_mask" in weights:
        energy = energy * weights["head_mask"][..., : config.dim].square()
    first, second = torch.triu_indices(config.heads, config.heads, 1, device=energy.device)
    return F.cosine_similarity(energy.index_select(-2, first), energy.index_select(-2, second), dim=-1).mean(-1)
