"""The order of the answers within one prompt: Spearman's correlation with the targets, and where there is no order to judge."""

import enum

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

LARGEST = 1e100
"""Answers beyond this size count as not finite: their squares would overflow."""
ROUNDING = 1e-14
"""Values whose range is below this share of the largest of them differ only by rounding in float64."""


class Ordered(enum.IntEnum):
    """Whether a prompt's answers can be put in order and compared with its targets."""

    OK = 0
    CONSTANT_ANSWERS = 1
    """All answers are equal: they hold no order, so their rank correlation counts as 0."""
    CONSTANT_TARGETS = 2
    """All targets are equal: there is no order to find, and the prompt is left out."""
    NOT_FINITE = 3
    """An answer is not finite, or so large that its square would overflow; the prompt is left out."""


def statuses(answers: Float[Tensor, "batch query"], targets: Float[Tensor, "batch query"]) -> Int[Tensor, " batch"]:
    """The status of every prompt, as `Ordered`; the last that applies if there are several."""
    found = torch.zeros(len(answers), dtype=torch.long)
    found[constant(answers)] = int(Ordered.CONSTANT_ANSWERS)
    found[constant(targets)] = int(Ordered.CONSTANT_TARGETS)
    found[~(answers.abs() < LARGEST).all(-1)] = int(Ordered.NOT_FINITE)
    return found


def constant(values: Float[Tensor, "batch query"]) -> Bool[Tensor, " batch"]:
    """Whether all values of a prompt are equal up to rounding."""
    return values.amax(-1) - values.amin(-1) <= ROUNDING * values.abs().amax(-1)


def ranks_within(values: Float[Tensor, "batch query"]) -> Float[Tensor, "batch query"]:
    """Ranks from 1 among the values of one prompt; equal values get the mean of their ranks."""
    below = (values[:, :, None] > values[:, None, :]).sum(-1)
    equal = (values[:, :, None] == values[:, None, :]).sum(-1)
    return below.double() + (equal.double() + 1) / 2


def rank_correlation(
    answers: Float[Tensor, "batch query"], targets: Float[Tensor, "batch query"]
) -> Float[Tensor, " batch"]:
    """Spearman's correlation between the answers and the targets of each prompt; 0 where either are constant.

    Source: Spearman 1904; with ties, Pearson's correlation of the mean ranks.
    """
    a, b = (ranks_within(v) - (v.shape[-1] + 1) / 2 for v in (answers, targets))
    lengths = (a.square().sum(-1) * b.square().sum(-1)).sqrt()
    none = constant(answers) | constant(targets)
    return torch.where(none, 0.0, (a * b).sum(-1) / torch.where(none, 1.0, lengths))
