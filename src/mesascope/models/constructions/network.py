"""Networks written by hand: linear attention over a residual stream in which every channel has a name.

One layer is ``h_j ← h_j + Σ_heads W_O · (1/n) Σᵢ ⟨W_Q h_j, W_K h_i⟩ W_V h_i`` with i over the n examples (queries are
never keys or values). If an algorithm needs an operation that attention cannot compute, a token-wise *gate* follows: a
function of the token's own channels. Each construction describes its gates in words.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.models.constructions.holding import Holding
from mesascope.models.taps import Taps
from mesascope.records.checks import check_count
from mesascope.records.codec import to_json
from mesascope.seeds import generator
from mesascope.types import Domain, Intervention, Layout, Prompts, Site, Task, Trace, interleaved

Named = dict[str, Float[Tensor, "batch position _"]]
FEATURES = ("x", "label", "example", "one", "1/n")
"""A token's features: its input; its label (0 at a query); 1 at an example, 0 at a query; 1; 1/n for n examples."""
MOST = 1000
"""The largest number of layers or iterations of a construction."""

Gate = Callable[[Named], Mapping[str, Tensor]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Channels:
    """The residual stream's channels, by name: ``Channels(sizes={"x": 5, "residual": 1})``."""

    sizes: Mapping[str, int]

    @property
    def width(self) -> int:
        return sum(self.sizes.values())

    @property
    def slices(self) -> dict[str, slice]:
        """The slice of the stream that each channel occupies."""
        ends = torch.tensor([0, *self.sizes.values()]).cumsum(0).tolist()
        return {name: slice(a, b) for name, a, b in zip(self.sizes, ends, ends[1:], strict=False)}

    def read(self, name: str, scale: float = 1.0) -> Float[Tensor, "channel width"]:
        """The matrix that extracts a channel from the stream. Its transpose writes the channel back."""
        return scale * torch.eye(self.width, dtype=torch.float64)[self.slices[name]]

    def split(self, stream: Float[Tensor, "batch position width"]) -> Named:
        """The stream's channels by name (views)."""
        return {name: stream[..., where] for name, where in self.slices.items()}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Head:
    """One linear-attention head; rows of each matrix act on the residual stream."""

    query: Float[Tensor, "key width"]
    key: Float[Tensor, "key width"]
    value: Float[Tensor, "value width"]
    out: Float[Tensor, "width value"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layer:
    """Heads that act in parallel, then an optional gate that returns new values for some channels."""

    heads: tuple[Head, ...]
    gate: Gate | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Weights:
    """All weights of a construction for one input dimension.

    Attributes:
        channels: the residual stream.
        embed: the feature of a token with which each channel starts (`FEATURES`, and `copy_name` for further outputs);
            all other channels start at zero.
        layers: the layers, in order.
        readout: the vector whose inner product with a query's stream is its answer.
        causal: whether an example sees only itself and the examples before it, with means over these; a query sees all.
        scores: ``linear``: ⟨W_Q h_j, W_K h_i⟩/n; ``exponential``: exp⟨W_Q h_j, W_K h_i⟩/n; ``softmax``: the exponentials
            divided by their sum.
        start: the stream of a start token, which all tokens attend to as to one more example, and which attends to none, so
            that it stays as it is; only with softmax scores. ``None`` if there is no such token.
        others: the weights that generate the further outputs' labels (`several_outputs`), which the prompt does not hold.
    """

    channels: Channels
    embed: Mapping[str, str]
    layers: tuple[Layer, ...]
    readout: Float[Tensor, " width"]
    causal: bool = False
    scores: Literal["linear", "exponential", "softmax"] = "linear"
    start: Float[Tensor, " width"] | None = None
    others: Float[Tensor, "output dim"] | None = None

    def state_dict(self) -> dict[str, Tensor]:
        """The weights: ``embed`` (width × features), every head's four matrices, ``readout``; and ``start`` if there is one.

        The columns of ``embed`` are `FEATURES`, with one column per dimension of ``x``, and the labels of further outputs.
        """
        dim = self.channels.sizes["x"]
        features = dict.fromkeys((*FEATURES, *self.embed.values()))
        embed = torch.zeros(self.channels.width, dim + len(features) - 1, dtype=torch.float64)
        columns = Channels(sizes={name: dim if name == "x" else 1 for name in features}).slices
        for channel, feature in self.embed.items():
            embed[self.channels.slices[channel], columns[feature]] = torch.eye(dim if feature == "x" else 1).double()
        heads = {
            f"layers.{i}.heads.{j}.{name}": getattr(head, name).contiguous().clone()
            for i, layer in enumerate(self.layers)
            for j, head in enumerate(layer.heads)
            for name in ("query", "key", "value", "out")
        }
        start = {} if self.start is None else {"start": self.start.clone()}
        return {"embed": embed, **heads, **start, "readout": self.readout.clone()}

    def with_weights(self, state: Mapping[str, Tensor]) -> "Weights":
        """This network with heads, readout and start token from a state dict; channels, embedding and gates stay the same."""
        layers = tuple(
            dataclasses.replace(
                layer,
                heads=tuple(
                    Head(**{name: state[f"layers.{i}.heads.{j}.{name}"] for name in ("query", "key", "value", "out")})
                    for j in range(len(layer.heads))
                ),
            )
            for i, layer in enumerate(self.layers)
        )
        return dataclasses.replace(self, layers=layers, readout=state["readout"], start=state.get("start"))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Construction:
    """A hand-built network as a subject.

    Attributes:
        name: its model reference, without ``construction:``.
        algorithm: the algorithm it runs.
        layers: number of attention layers.
        layers_per_step: number of attention layers per step of the algorithm.
        layers_to_start: number of attention layers before the first step, during which the answer stays zero.
        not_attention: what its gates compute, in words; empty if it has only attention.
        source: the publication that the construction is from.
        build: the network for an input dimension.
        options: the options that it was built with.
        dtype: the precision that it runs in, whatever the precision of the prompts.
        task: the task that it is made for, if this is not linear regression.
        holds: the algorithm's state that its channels hold, and how; ``None`` if no reference algorithm has such a state.
    """

    name: str
    algorithm: str
    layers: int
    layers_per_step: int
    not_attention: str
    source: str
    build: Callable[[int], Weights]
    options: Mapping[str, float | str] = field(default_factory=dict)
    layers_to_start: int = 0
    dtype: torch.dtype = torch.float64
    task: Task | None = None
    holds: Holding | None = None

    @property
    def domain(self) -> Domain:
        return Domain()

    @property
    def sites(self) -> tuple[Site, ...]:
        kinds = ("resid_pre", "attn_out", "resid_mid", "resid_post")
        return tuple(Site(layer=layer, kind=kind) for layer in range(self.layers) for kind in kinds)

    @property
    def path(self) -> tuple[Site, ...]:
        return tuple(Site(layer=layer, kind="resid_post") for layer in range(self.layers))

    @property
    def spec(self) -> dict[str, object]:
        return {
            "construction": self.name,
            "algorithm": self.algorithm,
            "layers_per_step": self.layers_per_step,
            "layers_to_start": self.layers_to_start,
            "not_attention": self.not_attention,
            "source": self.source,
            "options": dict(self.options),
            **({} if self.task is None else {"task": to_json(self.task)}),
        }

    def trace(
        self, prompts: Prompts, *, capture: Sequence[Site] = (), interventions: Sequence[Intervention] = ()
    ) -> Trace:
        """Run the network. See `mesascope.types.Subject`."""
        taps = Taps(self.sites, capture, interventions)
        p = prompts.to(dtype=self.dtype)
        network = _built(self.build, p.dim)
        ys = p.ys[..., None]
        if network.others is not None:
            ys = torch.cat([ys, p.xs @ network.others.to(p.xs).T], -1)
        stream = forward(network, embedded(network, p.xs, ys, p.queries), p.examples, taps)
        taps.finish()
        return Trace(predictions=stream[:, p.examples :] @ network.readout.to(stream), activations=taps.activations)

    def readout(self, activation: Float[Tensor, "batch query width"], site: Site) -> Float[Tensor, "batch query"]:
        """The answers in the answer channel, which is meaningful at every residual-stream site."""
        if site.kind == "attn_out":
            raise ValueError(f"site must be in the residual stream to be read out; got {site}.")
        width = activation.shape[-1]
        dim = next((d for d in range(1, width + 1) if _width(self.build, d) == width), None)
        if dim is None:
            raise ValueError(
                f"activation must be as wide as the residual stream is for some input dimension; got {width} channels. "
                "Pass an activation that trace captured at one of the subject's sites."
            )
        return activation @ _built(self.build, dim).readout.to(activation)

    def layout(self, examples: int, queries: int) -> Layout:
        """One token per example, which holds its input and its label; one context for all queries."""
        return interleaved(examples, queries, label_tokens=0)

    def channels(self, dim: int) -> Channels:
        """The named channels of the residual stream for an input dimension."""
        return _built(self.build, dim).channels

    def state_dict(self, dim: int) -> dict[str, Tensor]:
        """All weights for an input dimension, by names like ``layers.0.heads.1.query``; gates have no weights."""
        return _built(self.build, dim).state_dict()

    def reinitialised(self, seed: int) -> "Construction":
        """The same heads with Gaussian weights of the same norm; embedding and readout are unchanged, and there are no gates.

        Linear attention is cubic in the stream, so activations would grow without bound through layers of random heads.
        Instead of applying the gates, which belong to the algorithm, each layer scales every token to length 1, as an
        untrained transformer's norms do: the control stays finite at any depth.
        """

        def build(dim: int) -> Weights:
            network = self.build(dim)
            rng = generator(seed, f"reinitialised/{self.name}", dim)
            layers = tuple(
                Layer(heads=tuple(_random_like(head, rng) for head in layer.heads), gate=_unit_length)
                for layer in network.layers
            )
            return dataclasses.replace(network, layers=layers)

        return dataclasses.replace(
            self,
            name=f"{self.name}, random weights",
            algorithm="none",
            not_attention="scaling each token's channels to length 1 after every layer",
            build=build,
            holds=None,
        )


@functools.lru_cache(maxsize=64)
def _built(build: Callable[[int], Weights], dim: int) -> Weights:
    return build(dim)


def _width(build: Callable[[int], Weights], dim: int) -> int:
    return _built(build, dim).channels.width


def copy_name(name: str, output: int) -> str:
    """The name of an output's own copy of a channel or feature; for the first output, the name itself."""
    return name if output == 1 else f"{name} {output}"


def embedded(
    network: Weights,
    xs: Float[Tensor, "batch example dim"],
    ys: Float[Tensor, "batch example output"],
    queries: Float[Tensor, "batch query dim"],
) -> Float[Tensor, "batch position width"]:
    """The residual stream before the first layer."""
    examples, asked, outputs = xs.shape[1], queries.shape[1], ys.shape[2]
    stream = xs.new_zeros(len(xs), examples + asked, network.channels.width)
    is_example = (torch.arange(examples + asked, device=stream.device) < examples).to(stream)[:, None]
    features = {
        "x": torch.cat([xs, queries], 1),
        "example": is_example,
        "one": torch.ones_like(is_example),
        "1/n": torch.full_like(is_example, 1 / examples),
    }
    padded = torch.nn.functional.pad(ys, (0, 0, 0, asked))
    features |= {copy_name("label", i + 1): padded[..., i : i + 1] for i in range(outputs)}
    named = network.channels.split(stream)
    for channel, feature in network.embed.items():
        named[channel][:] = features[feature]
    return stream


def forward(
    network: Weights,
    stream: Float[Tensor, "batch position width"],
    examples: int,
    taps: Callable[[Site, Tensor], Tensor] = lambda _, value: value,
) -> Float[Tensor, "batch position width"]:
    """The residual stream after the last layer; ``taps`` gets the activation at each site, and may change it."""
    for index, layer in enumerate(network.layers):
        stream = taps(Site(layer=index, kind="resid_pre"), stream)
        attended = taps(Site(layer=index, kind="attn_out"), _attend(network, layer.heads, stream, examples))
        stream = taps(Site(layer=index, kind="resid_mid"), stream + attended)
        if layer.gate is not None:
            new = {**network.channels.split(stream), **layer.gate(network.channels.split(stream))}
            stream = torch.cat(list(new.values()), -1)
        stream = taps(Site(layer=index, kind="resid_post"), stream)
    return stream


def _attend(
    network: Weights, heads: tuple[Head, ...], stream: Float[Tensor, "batch position width"], examples: int
) -> Float[Tensor, "batch position width"]:
    """Σ_heads W_O (1/n) (Σᵢ V hᵢ ⊗ K hᵢ) Q h_j: it sums over examples first, so the cost is linear in positions.

    Under a causal mask, or with scores that are not linear, a score is computed for every pair of tokens instead.
    """
    shown = stream[:, :examples]
    if network.start is not None:
        shown = torch.cat([shown, network.start.to(stream).expand(len(stream), 1, -1)], 1)
    total = torch.zeros_like(stream)
    for head in heads:
        queries, keys, values = (
            stream @ head.query.to(stream).T,
            shown @ head.key.to(stream).T,
            shown @ head.value.to(stream).T,
        )
        if network.causal or network.scores != "linear":
            attended = _pattern(network, queries @ keys.mT) @ values
        else:
            attended = queries @ (values.mT @ keys / examples).mT
        total = total + attended @ head.out.to(stream).T
    return total


def _pattern(
    network: Weights, scores: Float[Tensor, "batch position example"]
) -> Float[Tensor, "batch position example"]:
    """The attention pattern: the weight of each example's value at each token."""
    positions, examples = scores.shape[1:]
    index = torch.arange(positions, device=scores.device)[:, None]
    visible = (index >= index[:examples].T) | (not network.causal)
    if network.start is not None:
        assert network.scores == "softmax", "a start token takes part in the normalisation only"
        visible[:, -1] = True
    if network.scores == "softmax":
        return scores.masked_fill(~visible, -torch.inf).softmax(-1)
    raw = scores.exp() if network.scores == "exponential" else scores
    return raw.masked_fill(~visible, 0.0) / visible.sum(-1, keepdim=True)


def _random_like(head: Head, rng: torch.Generator) -> Head:
    def draw(matrix: Tensor) -> Tensor:
        fresh = torch.randn(matrix.shape, generator=rng, dtype=matrix.dtype)
        return fresh * matrix.norm() / fresh.norm()

    return Head(query=draw(head.query), key=draw(head.key), value=draw(head.value), out=draw(head.out))


def _unit_length(channels: Named) -> Named:
    """Each token's stream (all channels together) scaled to length 1. A token of length 0 is unchanged."""
    length = torch.cat(list(channels.values()), -1).norm(dim=-1, keepdim=True)
    return {name: torch.where(length > 0, value / length, value) for name, value in channels.items()}


def check_depth(name: str, value: int) -> None:
    """Check a number of layers or iterations.

    Raises:
        ValueError: it is not a whole number from 1 to `MOST`.
    """
    check_count(name, value)
    if value > MOST:
        raise ValueError(
            f"{name} must be at most {MOST}; got {value}. Every layer is built and run: ask only for the steps "
            "that you compare with."
        )
