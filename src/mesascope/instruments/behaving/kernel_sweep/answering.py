"""What all learners of `kernel sweep` answer on one batch of prompts."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.instruments.behaving.kernel_sweep import solving
from mesascope.instruments.behaving.kernel_sweep.asking import (
    CROSS_VALIDATED,
    DESCENT,
    KERNEL_RIDGE,
    LINEAR_RIDGE,
    NORMALISED,
    RICHARDSON,
    SOFTMAX,
    Asked,
    Cell,
    Grid,
)
from mesascope.instruments.behaving.kernel_sweep.drawing import Drawn
from mesascope.instruments.behaving.kernel_sweep.solving import Products, Regressed

WIDTHS = (0.5, 1.0, 4.0, 16.0)
"""Temperatures over √d that cross-validation may choose besides those of the grid."""
FLOOR = 1e-6
"""The smallest λ of linear ridge regression; the Bayes-optimal one is 0 without noise, and the dual form needs some."""

Key = tuple[str, float, float]
"""A learner, its temperature and its ridge; 0.0 where it has none."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Replies:
    """What all learners but the network answer on one batch of prompts.

    Attributes:
        responses: answers to both parts of the labels.
        crossed: answers at the cross-validated width, by ridge and noise.
        solved: the oracles' solutions.
        neighbours: effective number of neighbours of softmax attention, by temperature.
    """

    responses: Mapping[Key, Float[Tensor, "batch query part"]]
    crossed: Mapping[tuple[float, float], Float[Tensor, "batch query"]]
    solved: Mapping[Key, Regressed]
    neighbours: Mapping[float, Float[Tensor, "batch query"]]

    def answers(self, learner: str, cell: Cell, best: float) -> Float[Tensor, "batch query"]:
        """A learner's answers in a cell; ``best`` is λ of linear ridge regression."""
        if learner == CROSS_VALIDATED:
            return self.crossed[cell.ridge, cell.noise]
        return mixed(self.responses[key(learner, cell, best)], cell.noise)


def key(learner: str, cell: Cell, best: float) -> Key:
    """Where `Replies` has a learner in a cell."""
    if learner == LINEAR_RIDGE:
        return learner, 0.0, best
    return learner, cell.temperature, cell.ridge if learner in (RICHARDSON, KERNEL_RIDGE) else 0.0


def mixed(parts: Float[Tensor, "*axes part"], noise: float) -> Float[Tensor, "*axes"]:
    """Answers to the labels: those to the clean part and to the noise, added."""
    return parts[..., 0] + noise * parts[..., 1]


def best_ridge(noise: float, weight_variance: float) -> float:
    """λ with which linear ridge regression is the best answer: Bayes-optimal, at least `FLOOR`."""
    return max(noise**2 / weight_variance, FLOOR)


def replies(drawn: Drawn, grid: Grid, asked: Asked, weight_variance: float) -> Replies:
    """What all learners answer; inner products are shared among them, and kernels among ridges and noises."""
    p, labels, dim = solving.products(drawn.xs, drawn.queries), drawn.parts, drawn.xs.shape[-1]
    temperatures = tuple(dict.fromkeys(grid.kernels(dim).values()))
    widths = tuple(dict.fromkeys((*temperatures, *(width * dim**0.5 for width in WIDTHS))))
    solved: dict[Key, Regressed] = {}
    for t, ridge in itertools.product(widths, grid.ridges):
        solved[KERNEL_RIDGE, t, ridge] = solving.kernel_ridge(p, t, ridge, labels)
    for ridge in (asked.ridge, *(best_ridge(noise, weight_variance) for noise in grid.noises)):
        solved[LINEAR_RIDGE, 0.0, ridge] = solving.linear_ridge(p, ridge, labels)
    responses, neighbours = _smoothed(p, labels, temperatures, grid.ridges, asked)
    return Replies(
        responses=responses | {key: found.answers for key, found in solved.items()},
        crossed={
            (ridge, noise): _crossed([solved[KERNEL_RIDGE, t, ridge] for t in widths], noise)
            for ridge, noise in itertools.product(grid.ridges, grid.noises)
        },
        solved=solved,
        neighbours=neighbours,
    )


def _smoothed(
    p: Products, labels: solving.Labels, temperatures: Sequence[float], ridges: Sequence[float], asked: Asked
) -> tuple[dict[Key, Tensor], dict[float, Tensor]]:
    """The answers of the learners that attend, and the numbers of neighbours of one head."""
    responses: dict[Key, Tensor] = {}
    neighbours: dict[float, Tensor] = {}
    for t in temperatures:
        responses[SOFTMAX, t, 0.0], neighbours[t] = solving.softmax(p, t, labels)
        if DESCENT in asked.learners:
            responses[DESCENT, t, 0.0] = solving.descent(p, t, labels, asked.steps)
        if NORMALISED in asked.learners:
            responses[NORMALISED, t, 0.0] = solving.normalised_descent(p, t, labels, asked.steps)
        for ridge in ridges if RICHARDSON in asked.learners else ():
            responses[RICHARDSON, t, ridge] = solving.richardson(p, t, ridge, labels, asked.steps)
    return responses, neighbours


def _crossed(found: Sequence[Regressed], noise: float) -> Float[Tensor, "batch query"]:
    """Each prompt's answers at the width with the smallest leave-one-out error."""
    errors = torch.stack([mixed(each.left_out, noise).square().mean(-1) for each in found])
    broken = torch.stack([each.broken for each in found])
    best = errors.nan_to_num(nan=math.inf).masked_fill(broken, math.inf).argmin(0)
    answers = torch.stack([mixed(each.answers, noise) for each in found])
    return answers[best, torch.arange(len(best))]
