"""Coefficients of each layer, found one layer after the other: where the search for a path with coefficients per layer starts."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.instruments.identification.fitting import Aim
from mesascope.instruments.identification.variable import CURVATURE, MOMENTUM, STEP, moving
from mesascope.instruments.statistics.discrepancy import CLIP

ROUNDS = 4
"""How often prompts are weighted anew by how far they are missed."""
CURVATURES = 81
"""How many curvatures are tried in each layer: the answer depends on them not linearly, unlike on the other coefficients."""

Rest = tuple[Float[Tensor, "batch query"], Float[Tensor, " batch"]]
"""What a layer's answers leave to explain, and the weight of each prompt's squared error."""


def regressed(
    terms: Float[Tensor, "choice term batch query"], rest: Rest
) -> tuple[Float[Tensor, "choice term"], Float[Tensor, " choice"]]:
    """The coefficients with which the terms sum to the rest, by least squares that is robust to prompts, and the loss.

    Prompts are weighted by how far the fit of the round before misses them, for the loss of `refining.saturating`, so that
    those on which subject or candidate diverge count for little.
    """
    answers, weight = rest
    terms = torch.nan_to_num(terms, posinf=0, neginf=0)
    weights = weight.expand(len(terms), -1)
    found = missed = torch.zeros_like(weights)
    for _ in range(ROUNDS):
        weighted = terms * weights[:, None, :, None]
        gram = torch.einsum("ctbq,csbq->cts", weighted, terms)
        right = torch.einsum("ctbq,bq->ct", weighted, answers)
        scale = gram.diagonal(dim1=-2, dim2=-1).clamp(min=1e-300).rsqrt()
        scaled = gram * scale[:, :, None] * scale[:, None] + 1e-12 * torch.eye(gram.shape[-1], dtype=gram.dtype)
        found = torch.linalg.solve(scaled, (scale * right)[..., None])[..., 0] * scale
        # Nothing is found where the iterates so far are beyond the range of numbers.
        found = found.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
        missed = (answers - torch.einsum("ct,ctbq->cbq", found, terms)).square().mean(-1) * weight
        weights = weight / (1 + missed / CLIP).square()
    return found, (missed / (1 + missed / CLIP)).sum(-1)


def _rests(aim: Aim, steps: Sequence[int]) -> list[Rest]:
    """The answers after each layer that moves, and the weights of the prompts, 0 where an answer is not finite."""
    return [answered(aim, layer) for layer in moving(steps)]


def answered(aim: Aim, layer: int) -> Rest:
    """The answers after a layer, and the weights of the prompts, 0 where an answer is not finite."""
    answers = aim.subject[layer]
    finite = answers.isfinite().all(-1)
    return torch.where(finite[:, None], answers, torch.zeros_like(answers)), finite / aim.units[layer]


def _within(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def recurrence(aim: Aim, steps: Sequence[int], *, momentum: bool) -> tuple[float, ...]:
    """Step sizes, and momenta if asked for, layer by layer: given the iterates so far, the next is linear in both."""
    channels, step, further = aim.runner.channels, STEP.at(aim.runner.size), MOMENTUM
    now = before = torch.zeros_like(channels.eigenvalues)
    sizes, momenta = [], []
    for answers, weight in _rests(aim, steps):
        ways = [channels.eigenvalues * (1 - now)] + ([now - before] if momentum and sizes else [])
        terms = channels.predictions(torch.stack(ways))[None]
        found = regressed(terms, (answers - channels.predictions(now), weight))[0][0].tolist()
        sizes.append(_within(found[0], step.low, step.high))
        momenta += [_within(value, further.low, further.high) for value in found[1:]]
        moved = sum(value * way for value, way in zip((sizes[-1], *momenta[-1:]), ways, strict=False))
        now, before = now + moved, now
    return (*sizes, *momenta)


def transformed(aim: Aim, steps: Sequence[int]) -> tuple[float, ...]:
    """Step sizes and curvatures of GD++, layer by layer: the step size is linear, and the curvature before it is tried out."""
    channels, size = aim.runner.channels, aim.runner.size
    at, step, curvature = channels.eigenvalues, STEP.at(size), CURVATURE.at(size)
    tried = torch.linspace(curvature.low, curvature.high, CURVATURES, dtype=torch.float64)
    now, transform = torch.zeros_like(at), torch.ones_like(at)
    sizes, curvatures = [], []
    for answers, weight in _rests(aim, steps):
        choices = transform * (1 - tried[:, None, None] * at * transform.square()) if sizes else transform[None]
        ways = choices.square() * at * (1 - now)
        found, losses = regressed(channels.predictions(ways)[:, None], (answers - channels.predictions(now), weight))
        best = int(losses.argmin())
        if sizes:
            curvatures.append(float(tried[best]))
        sizes.append(_within(float(found[best, 0]), step.low, step.high))
        now, transform = now + sizes[-1] * ways[best], choices[best]
    return (*sizes, *curvatures)


def descent(aim: Aim, steps: Sequence[int]) -> tuple[float, ...]:
    """The step sizes of gradient descent, layer by layer."""
    return recurrence(aim, steps, momentum=False)


def heavy_ball(aim: Aim, steps: Sequence[int]) -> tuple[float, ...]:
    """The step sizes and momenta of heavy ball, layer by layer."""
    return recurrence(aim, steps, momentum=True)


Finder = Callable[[Aim, Sequence[int]], tuple[float, ...]]
"""Finds coefficients from a subject's answers and the steps after each layer."""
