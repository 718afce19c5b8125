"""Answers that need no learning of the map, to stand beside a model's: what the examples' labels alone give."""

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.types import Prompts


def baselines(prompts: Prompts) -> dict[str, Float[Tensor, "batch query"]]:
    """What simple rules answer: copying the nearest example, the mean label, a constant, and the last label.

    Of several nearest examples the one shown last is copied. The constant is the mean of all labels of all prompts.
    """
    apart = (prompts.queries[:, :, None] - prompts.xs[:, None]).square().sum(-1)
    nearest = prompts.examples - 1 - apart.flip(-1).argmin(-1)  # argmin takes the first of equals
    ones = torch.ones_like(prompts.targets)
    return {
        "nearest": prompts.ys.gather(1, nearest),
        "mean": prompts.ys.mean(1, keepdim=True) * ones,
        "constant": prompts.ys.mean() * ones,
        "last": prompts.ys[:, -1:] * ones,
    }
