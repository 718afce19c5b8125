"""A language model with its parts found. Its weights are never changed."""

import functools
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from mesascope.models.language.families import Family
from mesascope.types import Site

KINDS = ("resid_pre", "pattern", "z", "attn_out", "resid_mid", "mlp_out", "resid_post")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Network:
    """A causal language model of transformers, with eager attention and in evaluation mode.

    Attributes:
        model: the model.
        family: the row that says where its parts are.
        copied: kinds of site that the model overwrites after computing them; what is captured there is copied at once.
    """

    model: nn.Module
    family: Family
    copied: frozenset[str] = frozenset()

    @property
    def config(self) -> Any:
        """The model's configuration, as transformers has it."""
        return self.model.config

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """The model's blocks; a layer is one of them."""
        return tuple(part(self.model, self.family.blocks).children())

    @property
    def context(self) -> int:
        """The largest number of tokens in a sequence."""
        return int(self.config.max_position_embeddings)

    @property
    def heads(self) -> int:
        """Number of attention heads (of queries) per layer."""
        return int(self.config.num_attention_heads)

    @property
    def parallel(self) -> bool:
        """Whether attention and the feed-forward network read the same stream, so that there is no stream between them."""
        return self.family.parallel is not None and bool(getattr(self.config, self.family.parallel))

    @property
    def sites(self) -> tuple[Site, ...]:
        """Every site that can be captured and edited, in the order of computation. ``embed`` is what the first layer reads."""
        return _sites(len(self.blocks), self.parallel)

    @property
    def unembedding(self) -> nn.Module:
        """The output layer, with a row per token of the vocabulary."""
        return self.model.get_output_embeddings()  # type: ignore[operator]

    @property
    def device(self) -> torch.device:
        return self.unembedding.weight.device  # type: ignore[return-value]


@functools.lru_cache(maxsize=64)
def _sites(layers: int, parallel: bool) -> tuple[Site, ...]:
    """Every pass asks for them several times."""
    kinds = [kind for kind in KINDS if not (parallel and kind == "resid_mid")]
    return (Site(kind="embed"), *(Site(layer=i, kind=kind) for i in range(layers) for kind in kinds))


def part(module: nn.Module, path: str) -> nn.Module:
    """A module inside another, by its dotted path; the module itself for an empty one."""
    return operator.attrgetter(path)(module) if path else module
