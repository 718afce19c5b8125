"""A block of the transformer: attention and an MLP, each added to the residual stream."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from mesascope.models.architecture import TransformerConfig
from mesascope.models.layers import LayerNorm, Linear, linear
from mesascope.types import Site

Touch = Callable[[Site, Tensor], Tensor]
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "gelu": nn.GELU,
    "gelu_tanh": lambda: nn.GELU(approximate="tanh"),
    "relu": nn.ReLU,
}


class Attention(nn.Module):
    """Multi-head attention with possibly fewer rows (query positions) than columns (key positions)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.linear = config.attention == "linear"
        self.qkv = Linear(config.width, 3 * config.width)
        self.out = Linear(config.width, config.width)

    def forward(
        self,
        x: Float[Tensor, "*member batch position width"],
        rows: Int[Tensor, " row"] | None,
        mask: Bool[Tensor, "row position"],
        touch: Callable[[str, Tensor], Tensor] | None,
        read: Float[Tensor, "*member head batch position width"] | None = None,
    ) -> Float[Tensor, "*member batch row width"]:
        """What attention adds to the stream; ``read`` is what each head's keys derive from, if that is not ``x``."""
        plain = touch is None and read is None and not self.linear
        if plain and rows is not None and len(rows) * self.heads <= x.shape[-1] // 4:
            return self.out(self._few(x, rows, mask))
        width, per_head = x.shape[-1], (self.heads, -1)
        if rows is None:
            parts = self.qkv(x).chunk(3, -1)
        else:  # only these rows need queries
            sizes = (width, 2 * width)
            weights, biases = self.qkv.weight.split(sizes, -2), self.qkv.bias.split(sizes, -1)
            queries = linear(x.index_select(-2, rows), weights[0], biases[0])
            parts = (queries, *linear(x, weights[1], biases[1]).chunk(2, -1))
        q, k, v = (part.unflatten(-1, per_head).transpose(-2, -3) for part in parts)
        if read is not None:
            weight, bias = self.qkv.weight.chunk(3, -2)[1], self.qkv.bias.chunk(3, -1)[1]
            k = torch.einsum("...hbpw,...hdw->...hbpd", read, weight.unflatten(-2, per_head)).transpose(-3, -4)
            k = k + bias.unflatten(-1, per_head)[..., None, :, None, :]
        # q: (member, batch, head, row, width/head); k, v: (member, batch, head, position, width/head). The scores are
        # (member, batch, head, position, row): softmax along rows of fewer numbers than a vector register holds is slow.
        scores, scale = k @ q.mT, 1 / math.sqrt(q.shape[-1])
        if self.linear:
            pattern = (scale * scores.masked_fill(~mask.mT, 0.0) / mask.sum(-1)).mT
        else:
            pattern = torch.add(_barrier(mask.mT, scores.dtype), scores, alpha=scale).softmax(-2).mT
        if touch is not None:
            pattern = touch("pattern", pattern)
        z = (pattern @ v).transpose(-2, -3)  # (member, batch, row, head, width/head)
        if touch is not None:
            z = touch("z", z)
        return self.out(z.flatten(-2))

    def _few(
        self,
        x: Float[Tensor, "*member batch position width"],
        rows: Int[Tensor, " row"],
        mask: Bool[Tensor, "row position"],
    ) -> Float[Tensor, "*member batch row width"]:
        """The heads' outputs for few rows, without computing a key or a value for every position.

        q·(K x) = (Kᵀq)·x, so each row's query is multiplied by the key weights once; Σ p V x = V Σ p x, so the value weights
        are applied once per row. The keys' bias adds the same number to all scores of a row, which does not change softmax.
        """
        per_head = (self.heads, -1)
        queries, keys, values = self.qkv.weight.chunk(3, -2)  # each (member, head · width/head, width)
        biases = self.qkv.bias.chunk(3, -1)
        q = linear(x.index_select(-2, rows), queries, biases[0]).unflatten(-1, per_head)
        q = torch.einsum("...brhd,...hdw->...brhw", q, keys.unflatten(-2, per_head)).flatten(-3, -2)
        scores = q @ x.mT / math.sqrt(x.shape[-1] // self.heads)  # (member, batch, row · head, position)
        pattern = (scores + _barrier(mask, scores.dtype).repeat_interleave(self.heads, 0)).softmax(-1)
        seen = (pattern @ x).unflatten(-2, (len(rows), self.heads))  # (member, batch, row, head, width)
        z = torch.einsum("...brhw,...hdw->...brhd", seen, values.unflatten(-2, per_head))
        return z.flatten(-2) + biases[2][..., None, None, :]


def _barrier(mask: Bool[Tensor, "row column"], dtype: torch.dtype) -> Float[Tensor, "row column"]:
    """The tensor that is added to the scores: 0 where the mask lets see, minus infinity where it does not."""
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, -torch.inf)


class Block(nn.Module):
    """Attention, then an MLP, each added to the residual stream."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.scale = nn.Parameter(torch.empty(1)) if config.layer_scale else None
        norm = (lambda: LayerNorm(config.width)) if config.norm else nn.Identity
        self.norm_attention = norm()
        self.attention = Attention(config)
        self.norm_mlp = norm() if config.feedforward else None
        self.mlp = (
            nn.Sequential(
                Linear(config.width, config.feedforward),
                ACTIVATIONS[config.activation](),
                Linear(config.feedforward, config.width),
            )
            if config.feedforward
            else None
        )

    def forward(
        self,
        x: Float[Tensor, "*member batch position width"],
        rows: Int[Tensor, " row"] | None,
        mask: Bool[Tensor, "row position"],
        layer: int,
        touch: Touch | None,
        hiding: Float[Tensor, "*member head batch position width"] | None = None,
        kept: Bool[Tensor, "*member batch part position width"] | None = None,
    ) -> Float[Tensor, "*member batch row width"]:
        """The stream after the block.

        Args:
            x: the stream before it.
            rows: the positions that are computed; None for all.
            mask: which positions each of them sees.
            layer: the block's number, for ``touch``.
            touch: gets every activation, and returns what replaces it.
            hiding: for each head, what is added to ``x`` before its keys read it; None if all read it as it is.
            kept: which numbers of what attention and what the MLP adds (``part``) dropout keeps; None for all of them.
        """

        def at(kind: str, value: Tensor) -> Tensor:
            return value if touch is None else touch(Site(layer=layer, kind=kind), value)

        def added(part: int, value: Tensor) -> Tensor:
            if self.scale is not None:
                value = value * self.scale[..., None, None]
            if kept is None:
                return value
            own = kept.select(-3, part) if rows is None else kept.select(-3, part).index_select(-2, rows)
            return value * own / (1 - self.dropout)

        x = at("resid_pre", x)
        inner = None if touch is None else at
        read = None if hiding is None else self.norm_attention(x.unsqueeze(-4) + hiding)
        attended = at("attn_out", added(0, self.attention(self.norm_attention(x), rows, mask, inner, read)))
        x = at("resid_mid", (x if rows is None else x.index_select(-2, rows)) + attended)
        if self.mlp is not None and self.norm_mlp is not None:
            x = x + at("mlp_out", added(1, self.mlp(self.norm_mlp(x))))
        return at("resid_post", x)
