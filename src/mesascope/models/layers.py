"""Layers of one network, or of many alike: their weights may have an axis of members in front, as their input then has."""

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


@final
class Linear(nn.Linear):
    """A linear layer."""

    def forward(
        self, x: Float[Tensor, "*member batch position feature"]
    ) -> Float[Tensor, "*member batch position output"]:
        """Each position's vector, multiplied by the weights; plus the bias."""
        return linear(x, self.weight, self.bias)


@final
class LayerNorm(nn.LayerNorm):
    """Layer normalisation of the last axis."""

    def forward(self, x: Float[Tensor, "*axis width"]) -> Float[Tensor, "*axis width"]:
        """Each vector less its mean, over its standard deviation; then a scale and a shift."""
        if self.weight.ndim == 1:
            return super().forward(x)
        weight, bias = (each.view(len(x), *[1] * (x.ndim - 2), -1) for each in (self.weight, self.bias))
        return torch.addcmul(bias, F.layer_norm(x, self.normalized_shape, eps=self.eps), weight)


def linear(
    x: Float[Tensor, "*member batch position feature"],
    weight: Float[Tensor, "*member output feature"],
    bias: Float[Tensor, "*member output"],
) -> Float[Tensor, "*member batch position output"]:
    """`torch.nn.functional.linear`, also for many members, each with its own weights."""
    if weight.ndim == 2:
        return F.linear(x, weight, bias)
    return torch.baddbmm(bias[:, None], x.flatten(1, -2), weight.mT).unflatten(1, x.shape[1:-1])
