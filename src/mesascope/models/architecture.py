"""The architecture of the transformer as a configuration, and the number of parameters that it has."""

import math
from dataclasses import dataclass, field
from typing import Literal

from mesascope.records.checks import check_choices, check_count
from mesascope.records.codec import ADDED
from mesascope.records.shown import shown


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
        sink: one learned token before all others, which every token sees and which sees only itself, whatever the mask. It has
            no position embedding.
        layer_scale: one learned number per block, 1 at the start, that multiplies what attention and MLP add to the stream.
        head_dims: for every head of the first layer, the dimensions of the input (from 0) that its keys may read; None for
            all. Such a head's keys derive from the embedding of a token whose other input dimensions are zero; labels stay
            visible. Queries, values and all later layers are free. See `head_mask`.
        dropout: share of the numbers that attention and MLP add to the stream which are set to zero in training, the others
            being divided by 1 − dropout. Which ones the caller of the network says.

    Raises:
        ValueError: a size below its smallest value, a head whose keys may read nothing or what is not there, or an impossible
            combination.

    Source: source C, sections 9.1 (keys of a band of dimensions) and 9.5 (SM1, a learnable sink token; SM2, layer scaling).
    Departs from source: it states neither what the sink token sees, nor where the scale stands in a block, nor what a masked
        head's queries and values read; the choices here are ours.
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
    sink: bool = field(default=False, metadata=ADDED)
    layer_scale: bool = field(default=False, metadata=ADDED)
    head_dims: tuple[tuple[int, ...], ...] | None = field(default=None, metadata=ADDED)
    dropout: float = field(default=0.0, metadata=ADDED)

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
        if not 0 <= self.dropout < 1:
            raise ValueError(
                f"dropout must be a share from 0 to below 1; got {shown(self.dropout)}. A value that works: 0.1."
            )
        if self.head_dims is not None:
            _check_head_dims(self.head_dims, self.heads, self.dim)

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
    sink = width if config.sink else 0
    return embedding + positions + sink + config.layers * (attention + mlp + config.layer_scale) + unembedding


def positions(config: TransformerConfig, examples: int, queries: int) -> int:
    """Number of positions of a prompt: the sink token, the context (one copy per query if it sees the query), the queries."""
    copies = queries if config.mask == "full" else 1
    return config.sink + copies * examples * config.tokens_per_example + queries


def _check_head_dims(head_dims: tuple[tuple[int, ...], ...], heads: int, dim: int) -> None:
    if len(head_dims) != heads:
        raise ValueError(
            f"head_dims must have one entry for each of the heads={heads}; got {len(head_dims)}. "
            "Give every head its dimensions, or pass None."
        )
    for head, dims in enumerate(head_dims):
        if not dims:
            raise ValueError(
                f"head_dims must give every head something to read; it leaves head {head} nothing. "
                "Give the head at least one dimension."
            )
        if wrong := [i for i in dims if isinstance(i, bool) or not isinstance(i, int) or not 0 <= i < dim]:
            raise ValueError(
                f"head_dims must hold dimensions of the input, whole numbers from 0 to {dim - 1}; got {shown(wrong[0])} for "
                f"head {head}. Count the dimensions from 0."
            )
        if len(set(dims)) < len(dims):
            raise ValueError(
                f"head_dims must name a dimension once per head; got {shown(list(dims))} for head {head}. Leave out the second."
            )
