"""The distance between the prompts of two tasks."""

import math

import torch
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from mesascope.types import PrescribableTask, adjusted

SPECTRA = 128
"""Number of prompts of each task between which the transport cost is computed."""


def distance(task: PrescribableTask, other: PrescribableTask, *, seed: int = 0) -> float:
    """The root mean square move that turns contexts of one task into contexts of another, up to rotation.

    It is a share of the first task's own root mean square: 0.3 means that every number is moved by 30 % of its usual size.
    With W² the transport cost between the distributions of the singular values √λ of X/√n (sorted; by the best assignment
    between 128 prompts of each task),

        D² = (1 − c)·½·[W²/tr + (τ²W² + (σ − σ′)²)/(τ² tr + σ²)] + c,

    the mean of the moves of inputs and of labels, where tr is the mean trace of XᵀX/n in the first task, τ² the variance of a
    weight, and σ, σ′ the label noises. The share of examples that only one of the tasks has, c = |n − n′|/max(n, n′), counts
    as moved all the way to zero. The other examples are compared at the second task's number of examples.

    If the inputs' distribution is invariant under rotations (of the coordinates, and of the examples among each other), W²
    is the squared Wasserstein-2 distance of X/√n itself: by Mirsky's inequality, moving singular vectors gains nothing.
    Otherwise W² is what remains after the best rotation of each prompt. Queries do not count.

    Args:
        task: the first task, whose numbers are the unit.
        other: the second task.
        seed: of the prompts. Both tasks use the same random numbers, so the distance of a task from itself is 0.

    Raises:
        ValueError: the tasks differ in dimension or in the variance of the weights.

    Source: Mirsky 1960, theorem 5; Villani 2009, definition 6.1.
    """
    for name in ("dim", "weight_variance"):
        if (here := getattr(task, name)) != (there := getattr(other, name)):
            raise ValueError(f"task and other must have the same {name} to be compared; got {here} and {there}.")
    ours, theirs = singular_values(adjusted(task, examples=other.examples), seed), singular_values(other, seed)
    cost = (ours[:, None] - theirs).square().sum(-1)
    moved = float(cost[linear_sum_assignment(cost.numpy())].mean())
    trace, prior = float(ours.square().sum(-1).mean()), task.weight_variance
    labels = (prior * moved + (task.noise - other.noise) ** 2) / (prior * trace + task.noise**2)
    missing = abs(task.examples - other.examples) / max(task.examples, other.examples)
    return math.sqrt((1 - missing) * (moved / trace + labels) / 2 + missing)


def singular_values(task: PrescribableTask, seed: int) -> Float[Tensor, "batch dim"]:
    """The singular values of X/√n for 128 prompts, largest first, filled up with zeros to the dimension."""
    xs = task.sample(SPECTRA, seed=seed, stream="design/distance").xs
    values = torch.linalg.svdvals(xs) / task.examples**0.5
    return torch.nn.functional.pad(values, (0, task.dim - values.shape[1]))
