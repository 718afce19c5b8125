"""A norm whose scale is held at what it was for one stream: it is then linear, and parts of the stream can be told apart."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Held:
    """A layer norm or a root-mean-square norm at given streams, as a linear map of whatever is added up to the stream.

    Attributes:
        gain: what each channel is multiplied by, beside the scale.
        shift: what is added in the end.
        centred: whether the mean over channels is taken away first.
        scale: one over the size of the streams that the norm was held at.
    """

    gain: Float[Tensor, " width"]
    shift: Float[Tensor, " width"]
    centred: bool
    scale: Float[Tensor, "*any 1"]

    def back(self, direction: Float[Tensor, "*any width"]) -> Float[Tensor, "*any width"]:
        """The direction before the norm whose product with a part is that of ``direction`` with the part behind the norm."""
        found = self.gain * self.scale * direction
        return found - found.mean(-1, keepdim=True) if self.centred else found


PROBE = 1e3
"""The size of the stream that finds a norm's gains: beside it, the small number that norms add to a variance is nothing."""


@torch.no_grad()
def held(norm: nn.Module, stream: Float[Tensor, "*any width"]) -> Held:
    """The norm with its scale held at these streams. Gains and shift are asked of the module, not read from its fields.

    Raises:
        ValueError: it is neither a layer norm nor a root-mean-square norm.
    """
    weight = next(norm.parameters())
    width = stream.shape[-1]
    zero = torch.zeros(width, dtype=weight.dtype, device=weight.device)
    signs = torch.ones_like(zero)
    signs[1::2] = -1  # its mean is 0, whether or not the norm takes that away; the width of models is even
    shift = norm(zero).double()
    gain = (norm(PROBE * signs).double() - shift) * signs.double()
    centred = bool(torch.allclose(norm(PROBE * (signs + 1)), norm(PROBE * signs), rtol=1e-3, atol=1e-4))
    stream = stream.to(weight)
    inner = stream.double()
    inner = inner - inner.mean(-1, keepdim=True) if centred else inner
    scaled, behind = gain * inner, norm(stream).double() - shift
    tiny = torch.finfo(scaled.dtype).tiny  # where the stream is zero, so is what is behind the norm
    scale = (scaled * behind).sum(-1, keepdim=True) / scaled.square().sum(-1, keepdim=True).clamp(min=tiny)
    if not torch.allclose(scale * scaled, behind, rtol=1e-3, atol=1e-3 * float(behind.abs().max())):
        raise ValueError(
            f"norm must be a layer norm or a root-mean-square norm, which divide by one number; got a {type(norm).__name__}. "
            "Parts of a stream behind another norm cannot be told apart."
        )
    return Held(gain=gain, shift=shift, centred=centred, scale=scale)


__all__ = ("Held", "held")
