"""How far the prompts of one task lie from those of another."""

import math

import torch
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from mesascope.types import PrescribableTask, adjusted

SPECTRA = 128
"""Prompts of each task that are moved onto each other."""


def distance(task: PrescribableTask, other: PrescribableTask, *, seed: int = 0) -> float:
    """Root mean square amount by which contexts of one task must be moved to become contexts of another, up to rotation.

    As a share of the first task's own root mean square: 0.3 means that every number is moved by 30 % of its usual size.
    With W² the transport cost between the distributions of the singular values √λ of X/√n (sorted; the best assignment
    of 128 prompts of each task),

        D² = (1 − c)·½·[W²/tr + (τ²W² + (σ − σ′)²)/(τ² tr + σ²)] + c,

    the mean of what the inputs and what the labels are moved by, where tr is the mean trace of XᵀX/n in the first task, τ² the
    variance of a weight and σ the label noise; c = |n − n′|/max(n, n′) is the share of the examples that one task has
    and the other has not, which count as moved all the way to zero. The examples that both have are compared at the
    number of the other task.

    Where no rotation changes the distribution of the inputs (neither of the coordinates nor of the examples among each
    other), W² is the squared Wasserstein-2 distance of X/√n itself: by Mirsky's inequality nothing is gained by moving
    singular vectors. Elsewhere it is what remains after the best rotation of each prompt. Queries do not count.

    Args:
        task: from where; its numbers are the unit.
        other: to where.
        seed: of the prompts. Both tasks use the same random numbers, so that a task is at distance 0 from itself.

    Raises:
        ValueError: tasks that differ in dimension or in the variance of the weights.

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
    """Those of X/√n for 128 prompts, largest first; zeros where there are fewer examples than dimensions."""
    xs = task.sample(SPECTRA, seed=seed, stream="design/distance").xs
    values = torch.linalg.svdvals(xs) / task.examples**0.5
    return torch.nn.functional.pad(values, (0, task.dim - values.shape[1]))
