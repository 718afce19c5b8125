"""Answers that need no learning of the map, to stand beside a model's."""

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms import LastLabel, MeanLabel, NearestExample, run
from mesascope.types import Prompts


def baselines(prompts: Prompts) -> dict[str, Float[Tensor, "batch query"]]:
    """What simple rules answer: the label of the nearest example, the mean label, a constant, and the last label.

    The constant is the mean of the labels of all prompts.
    """
    rules = {"nearest": NearestExample(), "mean": MeanLabel(), "last": LastLabel()}
    found = {name: run(rule, prompts, steps=1).predictions[-1] for name, rule in rules.items()}
    return {**found, "constant": torch.full_like(prompts.targets, float(prompts.ys.mean()))}
