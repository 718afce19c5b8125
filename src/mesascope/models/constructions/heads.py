"""The attention heads of which constructions consist."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.models.constructions.network import Channels, Head


def product(
    channels: Channels,
    value: Float[Tensor, "value width"],
    targets: Mapping[str, float],
    metric: Float[Tensor, "dim dim"] | None = None,
) -> Head:
    """Add scale · (1/n) Σᵢ ⟨x_j, P xᵢ⟩ · valueᵢ to each target of token j: the kernel, applied to a channel.

    Args:
        channels: the residual stream, with a channel ``x``.
        value: rows that read the summed value from the stream.
        targets: the channels that receive the sum, each with its scale.
        metric: P = W_QᵀW_K, symmetric; the identity by default.
    """
    x = channels.read("x")
    return Head(query=x if metric is None else metric @ x, key=x, value=value, out=_write(channels, targets))


def broadcast(channels: Channels, left: str, right: str, target: str) -> Head:
    """Add (1/n) Σᵢ leftᵢ · rightᵢ over the examples to every token's target; the query is the constant ``one``."""
    return Head(
        query=channels.read("one"), key=channels.read(left), value=channels.read(right), out=channels.read(target).T
    )


def own(channels: Channels, source: str, targets: Mapping[str, float], factor: str = "one") -> tuple[Head, ...]:
    """Add scale · source_j to the targets of the same token j: a token-wise linear map by attention.

    The query is the token's own number, and all examples have the same constant key and value, so the mean over the examples
    is that number. There is one head per number of the source.

    Args:
        channels: the residual stream, with a channel ``one``.
        source: the channel to read, of the same size as each target.
        targets: the channels that receive it, each with its scale.
        factor: a channel with the same value at all examples, which multiplies the result.
    """
    one, value, out = channels.read("one"), channels.read(factor), _write(channels, targets)
    rows = channels.read(source)
    return tuple(Head(query=rows[[i]], key=one, value=value, out=out[:, [i]]) for i in range(len(rows)))


def _write(channels: Channels, targets: Mapping[str, float]) -> Float[Tensor, "width value"]:
    return torch.stack([channels.read(name, scale).T for name, scale in targets.items()]).sum(0)
