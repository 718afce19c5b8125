"""Regularisers: terms of the training loss that are functions of the heads' weights alone."""

import itertools
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
Strength = float | Float[Tensor, ""]


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
) -> Float[Tensor, ""] | None:
    """What the regularisers add to the loss, or None if every strength is the number 0.

    A pure function of the weights, also under `torch.vmap`: a strength that is a tensor is always computed with.

    Args:
        weights: the network's parameters and buffers by name.
        config: its architecture.
        orthogonality, diversity: strengths, as in `Regularisers`.
    """
    terms = [
        strength * term(weights, config)
        for strength, term in ((orthogonality, overlap_of_heads), (diversity, likeness_of_heads))
        if isinstance(strength, Tensor) or strength
    ]
    return torch.stack(terms).sum() if terms else None


def overlap_of_heads(weights: Weights, config: TransformerConfig) -> Float[Tensor, ""]:
    """The orthogonality term: Σ over pairs of heads i < j of ‖W_i W_jᵀ‖²_F, a mean over layers and over query, key and value.

    W_i (width/heads × width) is a head's projection, scaled to a Frobenius norm of 1, so that small weights do not lower the
    term. A pair gives 0 if the two read orthogonal subspaces of the stream, and at most 1 (both have rank one and read the same
    direction).
    """
    terms = []
    for layer in range(config.layers):
        heads = weights[f"blocks.{layer}.attention.qkv.weight"].view(3, config.heads, -1, config.width)
        unit = heads / heads.square().sum((-1, -2), keepdim=True).sqrt()
        flat = unit.flatten(1, 2)  # (projection, head · width/head, width)
        size = config.width // config.heads
        products = (flat @ flat.transpose(1, 2)).square().unflatten(2, (-1, size)).unflatten(1, (-1, size))
        between = products.sum((2, 4))  # (projection, head, head)
        terms.append(between.triu(1).sum((1, 2)).mean())
    return torch.stack(terms).mean()


def likeness_of_heads(weights: Weights, config: TransformerConfig) -> Float[Tensor, ""]:
    """The diversity term: the mean over pairs of heads of the cosine between their key energies, in the first layer.

    A head's key energy in a dimension of the input is ‖W_K e‖², with W_K its key projection and e the embedding of that
    dimension: how much of it keys hold (layer normalisation apart). The energies are not negative, so a cosine is between
    0 (no dimension in common) and 1. Only the first layer's keys read inputs themselves. A dimension that a ``head_mask`` hides
    from a head has no energy there.
    """
    keys = weights["blocks.0.attention.qkv.weight"].view(3, config.heads, -1, config.width)[1]
    energy = (keys @ weights["embed.weight"][:, : config.dim]).square().sum(1)  # (head, dim)
    if "head_mask" in weights:
        energy = energy * weights["head_mask"][:, : config.dim].square()
    pairs = list(itertools.combinations(range(config.heads), 2))
    first, second = (energy[[pair[side] for pair in pairs]] for side in (0, 1))
    return F.cosine_similarity(first, second, dim=-1).mean()
