"""Forward passes of a language model: what is computed, read and edited, and the unembedding of what is read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from mesascope.machine.memory import check_memory
from mesascope.models.language.hooks import hooks
from mesascope.models.language.network import Network, part
from mesascope.models.language.tokens import Tokens, places, visible
from mesascope.models.taps import Taps
from mesascope.types import Intervention, Site


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pass:
    """One forward pass.

    Attributes:
        hidden: the stream after the last layer and the final norm; unembedded, it gives the logits.
        activations: what was captured.
    """

    hidden: Float[Tensor, "batch position width"]
    activations: dict[Site, Tensor]


@torch.no_grad()
def run(
    network: Network, tokens: Tokens, *, capture: Sequence[Site] = (), interventions: Sequence[Intervention] = ()
) -> Pass:
    """One forward pass without the unembedding.

    Raises:
        ValueError: the network does not have a site, an edit changes a shape, a prompt is longer than the context, or the pass
            needs more memory than there is.
        RuntimeError: a site did not fire, or the model overwrote what was captured there.
    """
    taps = Taps(network.sites, capture, interventions)
    at = places(tokens)
    _check_length(network, tokens, at)
    _check_memory(network, tokens, taps)
    versions: dict[Site, int] = {}

    def touch(site: Site, value: Tensor) -> Tensor:
        new = taps(site, value.clone() if site.kind in network.copied and site in taps.wanted else value)
        if site in taps.activations:
            versions[site] = taps.activations[site]._version
        return new

    inputs = {"input_ids": tokens.ids, "position_ids": at}
    with hooks(network, frozenset(taps.wanted), touch):
        hidden = network.model.base_model(  # type: ignore[operator]
            **{name: value.to(network.device) for name, value in inputs.items()},
            attention_mask=_masks(network, tokens, at),
            use_cache=False,
        ).last_hidden_state
    taps.finish()
    for site, version in versions.items():
        if taps.activations[site]._version != version:
            raise RuntimeError(
                f"{site} was overwritten by the model after it was captured. Name its kind in the network's copied."
            )
    return Pass(hidden=hidden, activations=taps.activations)


def read(
    network: Network,
    tokens: Tokens,
    sites: Sequence[Site],
    positions: Int[Tensor, " query"],
    interventions: Sequence[Intervention] = (),
) -> Float[Tensor, "layer batch query width"]:
    """The stream at some positions of some sites, after the edits. Nothing else is kept, so that this costs little memory."""
    found: dict[Site, Tensor] = {}

    def keep(site: Site) -> Callable[[Tensor], Tensor]:
        def look(value: Tensor) -> Tensor:
            found[site] = value[:, positions.to(value.device)]
            return value

        return look

    looks = [Intervention(site=site, edit=keep(site)) for site in sites]
    run(network, tokens, interventions=[*interventions, *looks])
    return torch.stack([found[site] for site in sites])


@torch.no_grad()
def unembed(
    network: Network,
    stream: Float[Tensor, "*any width"],
    words: Int[Tensor, " vocab"] | None = None,
    *,
    normed: bool = False,
) -> Float[Tensor, "*any vocab"]:
    """The logits of some tokens, or of the whole vocabulary: the logit lens.

    Args:
        network: the model.
        stream: the residual stream after any layer, at the positions that are read.
        words: the tokens; None for all.
        normed: whether the final norm was applied already, as in `Pass.hidden`.
    """
    layer = network.unembedding
    weight, bias = layer.weight, getattr(layer, "bias", None)
    stream = stream.to(device=weight.device, dtype=weight.dtype)  # type: ignore[arg-type]
    hidden = stream if normed else part(network.model, network.family.norm)(stream)
    if words is not None:
        words = words.to(weight.device)  # type: ignore[arg-type]
        weight, bias = weight[words], None if bias is None else bias[words]  # type: ignore[index]
    logits = F.linear(hidden, weight, bias)  # type: ignore[arg-type]
    cap = getattr(network.config, "final_logit_softcapping", None)
    return logits if cap is None else cap * torch.tanh(logits / cap)


@torch.no_grad()
def added_by_heads(
    network: Network, layer: int, z: Float[Tensor, "batch position head _"]
) -> Float[Tensor, "batch position width"]:
    """What attention adds to the stream: the sum over heads of each head's output through its share of the projection."""
    weight, bias = output_projection(network, layer)
    shares = weight.unflatten(1, z.shape[2:])
    total = torch.stack([F.linear(z[:, :, head], shares[:, head]) for head in range(z.shape[2])]).sum(0)
    if bias is not None:
        total = total + bias
    norm = norm_of_added(network, layer)
    return total if norm is None else norm(total)  # type: ignore[no-any-return]


def output_projection(network: Network, layer: int) -> tuple[Float[Tensor, "width _"], Float[Tensor, " width"] | None]:
    """The weight and the bias that take the outputs of a layer's heads, side by side, to the stream."""
    projection = part(network.blocks[layer], network.family.projection)
    weight = projection.weight if isinstance(projection, nn.Linear) else projection.weight.T  # type: ignore[union-attr, operator]
    return weight, projection.bias  # type: ignore[return-value]


def norm_of_added(network: Network, layer: int) -> nn.Module | None:
    """The norm that attention's output goes through before it is added to the stream, in families that have one."""
    row = network.family
    same = row.attention_added == row.attention
    return None if same else part(network.blocks[layer], row.attention_added)


def _masks(network: Network, tokens: Tokens, at: Int[Tensor, "batch position"]) -> Tensor | dict[str, Tensor]:
    """What is added to attention scores in a pass over branches."""
    return additive(network, visible(tokens), at[:, :, None] - at[:, None])


def additive(
    network: Network, seen: Bool[Tensor, "batch position _"], distance: Int[Tensor, "#batch position _"]
) -> Tensor | dict[str, Tensor]:
    """What is added to attention scores; for models that have layers with a window, one mask for each type of layer.

    Args:
        network: the model.
        seen: whether a token sees another.
        distance: how many places it stands after the other.
    """
    dtype = network.unembedding.weight.dtype

    def mask(allowed: Tensor) -> Tensor:
        values = torch.zeros(allowed.shape, dtype=dtype).masked_fill(~allowed, torch.finfo(dtype).min)  # type: ignore[arg-type]
        return values[:, None].to(network.device)

    if not network.family.typed_masks:
        return mask(seen)
    near = seen & (distance < (network.config.sliding_window or seen.shape[-1]))
    return {"full_attention": mask(seen), "sliding_attention": mask(near)}


def _check_memory(network: Network, tokens: Tokens, taps: Taps) -> None:
    """Check that a pass fits into this machine: the attention scores of one layer, three times, and what is captured."""
    batch, length = tokens.ids.shape
    pattern, stream = network.heads * length * length, length * int(network.config.hidden_size)
    kept = sum(pattern if site.kind == "pattern" else stream for site in taps.wanted)
    what = f"a pass over {batch} prompts of {length} positions, with {len(taps.wanted)} sites"
    check_memory(
        what, 4 * batch * (3 * pattern + 8 * stream + kept), "Pass fewer prompts at once, or capture fewer sites."
    )


def _check_length(network: Network, tokens: Tokens, at: Int[Tensor, "batch position"]) -> None:
    longest, context = int(at.max()) + 1, network.context
    if longest > context:
        raise ValueError(
            f"prompts must have at most {context} tokens, which is this model's context; got one of {longest}. "
            "Show fewer examples."
        )
    counted = network.family.counts_positions
    limit = min(context, int(network.config.window_size)) if counted else 0
    if counted and tokens.ids.shape[1] > limit and (len(tokens.parents) > 2 or not bool(tokens.real.all())):
        raise ValueError(
            f"prompts must have at most {limit} positions, all queries together: this model's code counts positions where "
            f"others count a query's own tokens; got {tokens.ids.shape[1]}. Show fewer examples or ask fewer queries."
        )
