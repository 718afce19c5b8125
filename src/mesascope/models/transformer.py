"""The transformer that learns regression in context: one file, with the shape beside each line.

With the default configuration this is the network of the two-to-eight-layer study (Garg et al. 2022's task): 2n+1
interleaved tokens x₁ y₁ … x_n y_n x_q, one input projection for both (a label is in the first coordinate), learned
positions, pre-norm blocks, GELU, and a linear readout of the residual stream at x_q.

Several queries of a prompt share its context and are answered in one pass: each query sees the context and itself, and all
have the same position embedding. If the context sees the query too (``mask='full'``), nothing can be shared, and each query
gets a context of its own.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from mesascope.records.checks import check_choices, check_count
from mesascope.seeds import generator
from mesascope.types import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformerConfig:
    """The architecture of a transformer.

    Attributes:
        dim: dimension of the inputs.
        examples: largest number of examples in a prompt.
        layers, width, heads: number of blocks, width of the residual stream, number of attention heads.
        feedforward: hidden width of the MLP; 0 for no MLP (attention-only).
        activation: the MLP's activation function; ``gelu_tanh`` is the approximation that GPT-2 was trained with.
        norm: LayerNorm before attention and MLP.
        final_norm: LayerNorm before the readout.
        attention: ``softmax``, or ``linear`` (scores without softmax, divided by the number of visible tokens).
        tokens: ``interleaved`` (x₁ y₁ x₂ …) or ``pairs`` ((x₁,y₁) (x₂,y₂) … (x_q,0)).
        mask: ``causal``; ``prefix`` (all tokens see the examples, queries are never keys); ``full`` (all tokens see all
            tokens, including the query).
        positions: learned position embeddings.
        answers: ``query``, or ``everywhere``: trained to answer each input of the context from the examples before it.

    Raises:
        ValueError: a size below its smallest value, or an impossible combination.
    """

    dim: int = 5
    examples: int = 20
    layers: int = 2
    width: int = 128
    heads: int = 4
    feedforward: int = 256
    activation: Literal["gelu", "gelu_tanh", "relu"] = "gelu"
    norm: bool = True
    final_norm: bool = False
    attention: Literal["softmax", "linear"] = "softmax"
    tokens: Literal["interleaved", "pairs"] = "interleaved"
    mask: Literal["causal", "prefix", "full"] = "causal"
    positions: bool = True
    answers: Literal["query", "everywhere"] = "query"

    def __post_init__(self) -> None:
        check_choices(self)
        for name in ("dim", "examples", "layers", "width", "heads"):
            check_count(name, getattr(self, name))
        check_count("feedforward", self.feedforward, least=0, hint=" Pass 0 for no MLP.")
        if self.width % self.heads:
            raise ValueError(
                f"width must be a multiple of heads; got width={self.width}, heads={self.heads}. "
                f"Pass width={self.heads * math.ceil(self.width / self.heads)}."
            )
        if self.answers == "everywhere" and (self.mask != "causal" or self.tokens != "interleaved"):
            raise ValueError(
                "answers='everywhere' needs mask='causal' and tokens='interleaved', or a label would be visible where "
                f"it must be predicted; got mask={self.mask!r}, tokens={self.tokens!r}. Pass answers='query'."
            )

    @property
    def tokens_per_example(self) -> int:
        return 2 if self.tokens == "interleaved" else 1


def count_parameters(config: TransformerConfig) -> int:
    """The number of parameters of a `Transformer` with this configuration, without constructing it."""
    width, inner = config.width, config.feedforward
    norm = 2 * width if config.norm else 0
    attention = 4 * width * width + 4 * width + norm
    mlp = 2 * width * inner + inner + width + norm if inner else 0
    positions = config.width * (config.examples * config.tokens_per_example + 1) if config.positions else 0
    embedding = width * (config.dim + (config.tokens == "pairs")) + width
    unembedding = width + 1 + (2 * width if config.final_norm else 0)
    return embedding + positions + config.layers * (attention + mlp) + unembedding


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
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.out = nn.Linear(config.width, config.width)

    def forward(
        self,
        x: Float[Tensor, "batch position width"],
        rows: Int[Tensor, " row"] | None,
        mask: Bool[Tensor, "row position"],
        touch: Callable[[str, Tensor], Tensor] | None,
    ) -> Float[Tensor, "batch row width"]:
        if rows is not None and touch is None and not self.linear and len(rows) * self.heads <= x.shape[-1] // 4:
            return self.out(self._few(x, rows, mask))
        width = x.shape[-1]
        if rows is None:
            q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        else:  # only these rows need queries
            weight, bias = self.qkv.weight, self.qkv.bias
            q = F.linear(x[:, rows], weight[:width], bias[:width]).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            k, v = F.linear(x, weight[width:], bias[width:]).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        # q: (batch, head, row, width/head); k, v: (batch, head, position, width/head)
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])  # (batch, head, row, position)
        if self.linear:
            pattern = scores.masked_fill(~mask, 0.0) / mask.sum(-1, keepdim=True)
        else:
            pattern = (scores + _barrier(mask, scores.dtype)).softmax(-1)
        if touch is not None:
            pattern = touch("pattern", pattern)
        z = (pattern @ v).transpose(1, 2)  # (batch, row, head, width/head)
        if touch is not None:
            z = touch("z", z)
        return self.out(z.flatten(-2))

    def _few(
        self, x: Float[Tensor, "batch position width"], rows: Int[Tensor, " row"], mask: Bool[Tensor, "row position"]
    ) -> Float[Tensor, "batch row width"]:
        """The heads' outputs for few rows, without computing a key or a value for every position.

        q·(K x) = (Kᵀq)·x, so each row's query is multiplied by the key weights once; Σ p V x = V Σ p x, so the value weights
        are applied once per row. The keys' bias adds the same number to all scores of a row, which does not change softmax.
        """
        per_head = (self.heads, -1)
        queries, keys, values = self.qkv.weight.chunk(3)  # each (head · width/head, width)
        q = F.linear(x[:, rows], queries, self.qkv.bias.chunk(3)[0]).unflatten(-1, per_head)
        q = torch.einsum("brhd,hdw->brhw", q, keys.unflatten(0, per_head)).flatten(1, 2)  # (batch, row · head, width)
        scores = q @ x.transpose(1, 2) / math.sqrt(x.shape[-1] // self.heads)  # (batch, row · head, position)
        pattern = (scores + _barrier(mask, scores.dtype).repeat_interleave(self.heads, 0)).softmax(-1)
        seen = (pattern @ x).unflatten(1, (len(rows), self.heads))  # (batch, row, head, width)
        z = torch.einsum("brhw,hdw->brhd", seen, values.unflatten(0, per_head))
        return z.flatten(-2) + self.qkv.bias.chunk(3)[2]


def _barrier(mask: Bool[Tensor, "row position"], dtype: torch.dtype) -> Float[Tensor, "row position"]:
    """The tensor that is added to the scores: 0 where a row may attend, minus infinity where it may not."""
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, -torch.inf)


class Block(nn.Module):
    """Attention, then an MLP, each added to the residual stream."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        norm = (lambda: nn.LayerNorm(config.width)) if config.norm else nn.Identity
        self.norm_attention = norm()
        self.attention = Attention(config)
        self.norm_mlp = norm() if config.feedforward else None
        self.mlp = (
            nn.Sequential(
                nn.Linear(config.width, config.feedforward),
                ACTIVATIONS[config.activation](),
                nn.Linear(config.feedforward, config.width),
            )
            if config.feedforward
            else None
        )

    def forward(
        self,
        x: Float[Tensor, "batch position width"],
        rows: Int[Tensor, " row"] | None,
        mask: Bool[Tensor, "row position"],
        layer: int,
        touch: Touch | None,
    ) -> Float[Tensor, "batch row width"]:
        def at(kind: str, value: Tensor) -> Tensor:
            return value if touch is None else touch(Site(layer=layer, kind=kind), value)

        x = at("resid_pre", x)
        inner = None if touch is None else at
        attended = at("attn_out", self.attention(self.norm_attention(x), rows, mask, inner))
        x = at("resid_mid", (x if rows is None else x[:, rows]) + attended)
        if self.mlp is not None and self.norm_mlp is not None:
            x = x + at("mlp_out", self.mlp(self.norm_mlp(x)))
        return at("resid_post", x)


class Transformer(nn.Module):
    """The network that maps regression prompts to answers; see the module's description.

    Weights and biases are drawn as in PyTorch's linear layers (uniform within ±1/√inputs), and depend on ``seed`` alone. With
    this initialisation, training leaves the plateau of this task sooner than with GPT-2's (normal, standard deviation 0.02).
    Position embeddings are normal with standard deviation 0.02.
    """

    def __init__(self, config: TransformerConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        features = config.dim + (config.tokens == "pairs")
        length = config.examples * config.tokens_per_example + 1
        with torch.random.fork_rng(
            devices=[]
        ):  # PyTorch's layers draw from the global generator; the weights are redrawn below
            self.embed = nn.Linear(features, config.width)
            self.position = nn.Parameter(torch.empty(length, config.width)) if config.positions else None
            self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
            self.final_norm = nn.LayerNorm(config.width) if config.final_norm else nn.Identity()
            self.unembed = nn.Linear(config.width, 1)
        if not self.unembed.weight.is_meta:  # a meta tensor has only a shape
            self.initialise(seed)

    @torch.no_grad()
    def initialise(self, seed: int) -> None:
        """Draw all weights, with one random stream per parameter, so that new layers do not change the others' weights."""
        for name, parameter in self.named_parameters():
            if "norm" in name:
                parameter.fill_(1.0 if name.endswith("weight") else 0.0)
                continue
            rng = generator(seed, f"weights/{name}")
            if name == "position":
                fresh = torch.empty(parameter.shape).normal_(std=0.02, generator=rng)
            else:
                weight = self.get_parameter(name.removesuffix("bias") + "weight" if name.endswith("bias") else name)
                bound = 1 / math.sqrt(weight.shape[1])
                fresh = torch.empty(parameter.shape).uniform_(-bound, bound, generator=rng)
            parameter.copy_(fresh)

    def tokens(
        self,
        xs: Float[Tensor, "batch example dim"],
        ys: Float[Tensor, "batch example"],
        queries: Float[Tensor, "batch query dim"],
    ) -> Float[Tensor, "batch position feature"]:
        """The prompt as a sequence of vectors: the context (one copy per query if it sees the query), then the queries."""
        if self.config.tokens == "pairs":
            context = torch.cat([xs, ys[..., None]], -1)
            queries = F.pad(queries, (0, 1))
        else:
            labels = F.pad(ys[..., None], (0, xs.shape[-1] - 1))
            context = torch.stack([xs, labels], 2).flatten(1, 2)  # x₁ y₁ x₂ y₂ …
        return torch.cat([context.repeat(1, self._copies(queries.shape[1]), 1), queries], 1)

    def forward(
        self,
        xs: Float[Tensor, "batch example dim"],
        ys: Float[Tensor, "batch example"],
        queries: Float[Tensor, "batch query dim"],
        *,
        everywhere: bool = False,
        touch: Touch | None = None,
        whole_last_layer: bool = True,
    ) -> Float[Tensor, "batch answer"]:
        """Answers at the queries; with ``everywhere``, at the context's inputs and then at the queries.

        Args:
            xs, ys, queries: the prompts.
            everywhere: also answer every input of the context.
            touch: a function that gets every activation with its site and returns the value that replaces it. Positions
                are those of the context, then the queries; with ``mask='full'``, those of the first query's context, of
                the second's, and so on, then the queries.
            whole_last_layer: compute the last layer at every position, even where no answer is read. This matters only
                with a ``touch``, which sees the activations.

        Raises:
            ValueError: more examples than the model has positions for, or ``everywhere`` where inputs see their labels.
        """
        config = self.config
        if xs.shape[1] > config.examples and self.position is not None:
            raise ValueError(
                f"xs must show at most the {config.examples} examples that the model has positions for; got "
                f"{xs.shape[1]}. Show fewer, or build the model with positions=False."
            )
        if everywhere and (config.mask != "causal" or config.tokens != "interleaved"):
            raise ValueError(
                "everywhere=True needs mask='causal' and tokens='interleaved', or inputs would see their own labels; "
                f"got mask={config.mask!r}, tokens={config.tokens!r}. Ask at the queries only."
            )
        if touch is None and self._copies(queries.shape[1]) > 1:  # gives the same numbers as below, at a lower cost
            each = (values.repeat_interleave(queries.shape[1], 0) for values in (xs, ys))
            return self(*each, queries.flatten(0, 1)[:, None]).view(queries.shape[:2])
        h = self.embed(self.tokens(xs, ys, queries))  # (batch, position, width)
        if touch is not None:
            h = touch(Site(kind="embed"), h)
        mask, reads, places = self._layout(xs.shape[1], queries.shape[1], everywhere, h.device)
        if self.position is not None:
            h = h + self.position[places]
        last = len(self.blocks) - 1
        for layer, block in enumerate(self.blocks):
            rows = reads if layer == last and not (whole_last_layer and touch is not None) else None
            h = block(h, rows, mask if rows is None else mask[rows], layer, touch)
        if h.shape[1] != len(reads):
            h = h[:, reads]
        return self.read(h)

    def read(self, h: Float[Tensor, "batch answer width"]) -> Float[Tensor, "batch answer"]:
        """The model's own readout of the residual stream."""
        return self.unembed(self.final_norm(h)).squeeze(-1)

    def _layout(
        self, examples: int, queries: int, everywhere: bool, device: torch.device
    ) -> tuple[Bool[Tensor, "position position"], Int[Tensor, " answer"], Int[Tensor, " position"]]:
        """The attention mask, the positions where answers are read, and each token's index for the position embedding."""
        per = self.config.tokens_per_example
        length, copies = examples * per, self._copies(queries)
        context = copies * length
        index = torch.arange(context + queries, device=device)
        in_context = index < context
        if self.config.mask == "causal":
            mask = (index[:, None] >= index[None, :]) & in_context[None, :] | (index[:, None] == index[None, :])
        elif self.config.mask == "prefix":
            mask = in_context.expand(len(index), len(index))
        else:
            query = torch.where(in_context, index // max(length, 1), index - context)  # whose copy a position is in
            mask = query[:, None] == query[None, :]
        reads = index[context:]
        if everywhere:
            reads = torch.cat([index[:context:per], reads])
        return mask, reads, torch.where(in_context, index % max(length, 1), length)

    def _copies(self, queries: int) -> int:
        """Number of copies of the context for a prompt with this number of queries."""
        return queries if self.config.mask == "full" else 1
