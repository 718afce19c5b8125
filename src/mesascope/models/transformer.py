"""The transformer that learns regression in context: one file, with the shape beside each line.

With the default configuration this is the network of the two-to-eight-layer study (Garg et al. 2022's task): 2n+1
interleaved tokens x₁ y₁ … x_n y_n x_q, one input projection for both (a label is in the first coordinate), learned
positions, pre-norm blocks, GELU, and a linear readout of the residual stream at x_q.

Several queries of a prompt share its context and are answered in one pass: each query sees the context and itself, and all
have the same position embedding. If the context sees the query too (``mask='full'``), nothing can be shared, and each query
gets a context of its own.

What else can be configured changes nothing by default: a learned token before all others (``sink``), a learned scale of what
each block adds (``layer_scale``), what the keys of the first layer's heads read of the inputs (``head_dims``), and dropout.
Many networks that are alike compute as one: called by `torch.func.functional_call` with parameters, buffers and prompts that all
have one more axis in front, that of the members, it gives the answers of each member to its own prompts.
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from mesascope.models.architecture import TransformerConfig, count_parameters
from mesascope.models.blocks import Block, Touch
from mesascope.models.layers import LayerNorm, Linear
from mesascope.seeds import generator
from mesascope.types import Site

__all__ = ("Transformer", "TransformerConfig", "count_parameters")


class Transformer(nn.Module):
    """The network that maps regression prompts to answers; see the module's description.

    Weights and biases are drawn as in PyTorch's linear layers (uniform within ±1/√inputs), and depend on ``seed`` alone. With
    this initialisation, training leaves the plateau of this task sooner than with GPT-2's (normal, standard deviation 0.02).
    Position embeddings and the sink token are normal with standard deviation 0.02; layer scales are 1.

    Attributes:
        head_mask: with ``head_dims``, 1 where a head's keys read a number of an input's token and 0 where they do not: a buffer,
            which multiplies, so that members of a batch of networks can differ in it. None without.
    """

    head_mask: Float[Tensor, "*member head feature"] | None

    def __init__(self, config: TransformerConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        features = config.dim + (config.tokens == "pairs")
        length = config.examples * config.tokens_per_example + 1
        with torch.random.fork_rng(
            devices=[]
        ):  # PyTorch's layers draw from the global generator; the weights are redrawn below
            self.embed = Linear(features, config.width)
            self.position = nn.Parameter(torch.empty(length, config.width)) if config.positions else None
            self.sink = nn.Parameter(torch.empty(config.width)) if config.sink else None
            self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
            self.final_norm = LayerNorm(config.width) if config.final_norm else nn.Identity()
            self.unembed = Linear(config.width, 1)
        self.register_buffer("head_mask", head_mask(config))
        if not self.unembed.weight.is_meta:  # a meta tensor has only a shape
            self.initialise(seed)

    @torch.no_grad()
    def initialise(self, seed: int) -> None:
        """Draw all weights, with one random stream per parameter, so that new layers do not change the others' weights."""
        for name, parameter in self.named_parameters():
            if "norm" in name:
                parameter.fill_(1.0 if name.endswith("weight") else 0.0)
                continue
            if name.endswith(".scale"):
                parameter.fill_(1.0)
                continue
            rng = generator(seed, f"weights/{name}")
            if name in ("position", "sink"):
                fresh = torch.empty(parameter.shape).normal_(std=0.02, generator=rng)
            else:
                weight = self.get_parameter(name.removesuffix("bias") + "weight" if name.endswith("bias") else name)
                bound = 1 / math.sqrt(weight.shape[1])
                fresh = torch.empty(parameter.shape).uniform_(-bound, bound, generator=rng)
            parameter.copy_(fresh)

    def tokens(
        self,
        xs: Float[Tensor, "*member batch example dim"],
        ys: Float[Tensor, "*member batch example"],
        queries: Float[Tensor, "*member batch query dim"],
    ) -> Float[Tensor, "*member batch position feature"]:
        """The prompt as a sequence of vectors: the context (one copy per query if it sees the query), then the queries."""
        if self.config.tokens == "pairs":
            context = torch.cat([xs, ys[..., None]], -1)
            queries = F.pad(queries, (0, 1))
        else:
            labels = F.pad(ys[..., None], (0, xs.shape[-1] - 1))
            context = torch.stack([xs, labels], -2).flatten(-3, -2)  # x₁ y₁ x₂ y₂ …
        return torch.cat([*[context] * self._copies(queries.shape[-2]), queries], -2)

    def forward(
        self,
        xs: Float[Tensor, "*member batch example dim"],
        ys: Float[Tensor, "*member batch example"],
        queries: Float[Tensor, "*member batch query dim"],
        *,
        everywhere: bool = False,
        touch: Touch | None = None,
        whole_last_layer: bool = True,
        kept: Bool[Tensor, "*member layer batch 2 position width"] | None = None,
    ) -> Float[Tensor, "*member batch answer"]:
        """Answers at the queries; with ``everywhere``, at the context's inputs and then at the queries.

        Args:
            xs, ys, queries: the prompts.
            everywhere: also answer every input of the context.
            touch: a function that gets every activation with its site and returns the value that replaces it. Positions
                are those of the context, then the queries; with ``mask='full'``, those of the first query's context, of
                the second's, and so on, then the queries.
            whole_last_layer: compute the last layer at every position, even where no answer is read. This matters only
                with a ``touch``, which sees the activations.
            kept: for training with dropout, which numbers of what attention (first) and the MLP (second) add are kept, at the
                positions that a ``touch`` sees. None, as in any evaluation, keeps all.

        An edit of the embedding, or of the stream before the first layer, reaches the keys of heads that do not read every
        dimension as it is: what they do not read is subtracted, and that is of the prompt.

        Raises:
            ValueError: more examples than the model has positions for, ``everywhere`` where inputs see their labels, or
                ``kept`` for a model without dropout.
        """
        config = self.config
        if xs.shape[-2] > config.examples and self.position is not None:
            raise ValueError(
                f"xs must show at most the {config.examples} examples that the model has positions for; got "
                f"{xs.shape[-2]}. Show fewer, or build the model with positions=False."
            )
        if everywhere and (config.mask != "causal" or config.tokens != "interleaved"):
            raise ValueError(
                "everywhere=True needs mask='causal' and tokens='interleaved', or inputs would see their own labels; "
                f"got mask={config.mask!r}, tokens={config.tokens!r}. Ask at the queries only."
            )
        if kept is not None and not config.dropout:
            raise ValueError("kept needs a model with dropout; got one with dropout=0.0. Pass kept=None.")
        if (
            touch is None and kept is None and self._copies(queries.shape[-2]) > 1
        ):  # gives the same numbers as below, at a lower cost
            each = (xs.repeat_interleave(queries.shape[-2], -3), ys.repeat_interleave(queries.shape[-2], -2))
            return self(*each, queries.flatten(-3, -2).unsqueeze(-2)).view(queries.shape[:-1])
        tokens = self.tokens(xs, ys, queries)
        h = self._after_sink(self.embed(tokens))  # (member, batch, position, width)
        if touch is not None:
            h = touch(Site(kind="embed"), h)
        mask, reads, places = self._layout(xs.shape[-2], queries.shape[-2], everywhere, h.device)
        if self.position is not None:
            h = h + F.pad(self.position.index_select(-2, places), (0, 0, self._begin, 0)).unsqueeze(-3)
        hiding = self._hiding(tokens, queries.shape[-2])
        last = len(self.blocks) - 1
        for layer, block in enumerate(self.blocks):
            rows = reads if layer == last and not (whole_last_layer and touch is not None) else None
            own = None if kept is None else kept.select(-5, layer)
            h = block(h, rows, mask if rows is None else mask[rows], layer, touch, hiding if layer == 0 else None, own)
        if h.shape[-2] != len(reads):
            h = h.index_select(-2, reads)
        return self.read(h)

    def read(self, h: Float[Tensor, "*member batch answer width"]) -> Float[Tensor, "*member batch answer"]:
        """The model's own readout of the residual stream."""
        return self.unembed(self.final_norm(h)).squeeze(-1)

    def _layout(
        self, examples: int, queries: int, everywhere: bool, device: torch.device
    ) -> tuple[Bool[Tensor, "position position"], Int[Tensor, " answer"], Int[Tensor, " token"]]:
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
        if self.config.sink:
            mask = F.pad(F.pad(mask, (0, 0, 1, 0), value=False), (1, 0), value=True)
        return mask, reads + self._begin, torch.where(in_context, index % max(length, 1), length)

    @property
    def _begin(self) -> int:
        """Number of positions before the context."""
        return int(self.config.sink)

    def _after_sink(
        self, h: Float[Tensor, "*member batch token width"]
    ) -> Float[Tensor, "*member batch position width"]:
        return (
            h if self.sink is None else torch.cat([self.sink[..., None, None, :].expand(*h.shape[:-2], 1, -1), h], -2)
        )

    def _hiding(
        self, tokens: Float[Tensor, "*member batch token feature"], queries: int
    ) -> Float[Tensor, "*member head batch position width"] | None:
        """For each head of the first layer, the negative of the part of the embedding that its keys do not read."""
        if self.head_mask is None:
            return None
        unread = self.head_mask.unsqueeze(-2) - 1  # (member, head, 1, feature): -1 where it is not read, else 0
        if self.config.tokens == "interleaved":  # every second token of the context is a label
            index = torch.arange(tokens.shape[-2], device=tokens.device)
            unread = unread * ((index % 2 == 0) | (index >= len(index) - queries))[:, None]
        own = torch.einsum("...hbpf,...wf->...hbpw", tokens.unsqueeze(-4) * unread.unsqueeze(-3), self.embed.weight)
        return F.pad(own, (0, 0, self._begin, 0)) if self._begin else own  # padding by nothing would copy

    def _copies(self, queries: int) -> int:
        """Number of copies of the context for a prompt with this number of queries."""
        return queries if self.config.mask == "full" else 1


def head_mask(config: TransformerConfig) -> Float[Tensor, "head feature"] | None:
    """For each head, 1 at the numbers of an input's token that its keys read (in ``pairs`` also the label), else 0."""
    if config.head_dims is None:
        return None
    features = config.dim + (config.tokens == "pairs")
    rows = [[float(i in dims or i == config.dim) for i in range(features)] for dims in config.head_dims]
    return torch.tensor(rows, dtype=torch.get_default_dtype())
