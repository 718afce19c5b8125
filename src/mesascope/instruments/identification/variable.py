"""Candidates whose number of coefficients depends on the path: a coefficient for each layer, or a matrix for all layers.

Fixed weights can hold all of these, and a trained network has no reason to hold equal steps or no preconditioner.

Source: Ahn et al. 2023 (linear transformers trained on regression learn a preconditioner, and other steps in every layer).
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms import (
    Algorithm,
    ChebyshevIteration,
    ConjugateGradient,
    GDPlusPlus,
    GradientDescent,
    HeavyBall,
    PreconditionedConjugateGradient,
    PreconditionedGradientDescent,
)
from mesascope.algorithms.algorithm import as_numbers
from mesascope.algorithms.problem import Problem
from mesascope.instruments.identification.family import Coefficient, CoefficientValue, Family

STEP = Coefficient(name="step_size", low=-100.0, high=100.0, scale="linear", power=-1)
"""Wide enough for steps that remove single directions: 1 over the smallest eigenvalue of prompts with condition number 300."""
MOMENTUM = Coefficient(name="momentum", low=-20.0, high=20.0, scale="linear")
CURVATURE = Coefficient(name="curvature", low=-1.0, high=3.0, scale="linear", power=-1)
DIAGONAL = Coefficient(name="root", low=1e-2, high=10.0, power=-0.5)
BESIDE = Coefficient(name="root", low=-10.0, high=10.0, scale="linear", power=-0.5)

Values = Sequence[CoefficientValue]


def moving(steps: Sequence[int]) -> list[int]:
    """The layers that take a step, counted from 0: those after which there are more steps than before."""
    return [layer for layer, now in enumerate(steps) if now > (steps[layer - 1] if layer else 0)]


def _each(coefficient: Coefficient, layers: Sequence[int]) -> tuple[Coefficient, ...]:
    return tuple(replace(coefficient, layer=layer + 1) for layer in layers)


def _sizes(steps: Sequence[int], dim: int) -> tuple[Coefficient, ...]:
    return _each(STEP, moving(steps))


def _with_momentum(steps: Sequence[int], dim: int) -> tuple[Coefficient, ...]:
    """The first momentum has no effect, and is left out."""
    return _each(STEP, moving(steps)) + _each(MOMENTUM, moving(steps)[1:])


def _with_curvature(steps: Sequence[int], dim: int) -> tuple[Coefficient, ...]:
    """The last curvature has no effect, and is left out."""
    return _each(STEP, moving(steps)) + _each(CURVATURE, moving(steps)[:-1])


def _descent(values: Values) -> Algorithm:
    return GradientDescent(step_size=tuple(values))


def _heavy_ball(values: Values) -> Algorithm:
    count = (len(values) + 1) // 2
    return HeavyBall(step_size=tuple(values[:count]), momentum=(0.0, *values[count:]))


def _gd_plus_plus(values: Values) -> Algorithm:
    count = (len(values) + 1) // 2
    return GDPlusPlus(step_size=tuple(values[:count]), curvature=tuple(values[count:]) or (0.0,))


Contained = tuple[float, ...] | None


def _equal(values: Sequence[float], steps: int, dim: int) -> Contained:
    """Every coefficient of a step for each of the steps, the second and later ones without the first or last step's."""
    first, *others = values
    return (first,) * steps + tuple(value for value in others for _ in range(steps - 1))


def _nesterov(values: Sequence[float], steps: int, dim: int) -> Contained:
    """Nesterov's first two steps are gradient descent with step sizes α and α(1 + β); later ones are not."""
    size, momentum = values
    return (size, size * (1 + momentum))[:steps] if steps <= 2 else None


def _alone(values: Sequence[float], steps: int, dim: int) -> Contained:
    """Step sizes, followed by zeros for the other coefficient of each step but one."""
    sizes = tuple(values) if len(values) == steps else (values[0],) * steps
    return sizes + (0.0,) * (steps - 1)


def _nesterov_alone(values: Sequence[float], steps: int, dim: int) -> Contained:
    sizes = _nesterov(values, steps, dim)
    return None if sizes is None else _alone(sizes, steps, dim)


def _chebyshev(values: Sequence[float], steps: int, dim: int) -> Contained:
    """Chebyshev's iteration with fixed bounds is heavy ball with coefficients for each step."""
    largest, condition = values
    nothing = Problem.from_gram(torch.ones(1, 1, 1, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64))
    schedule = ChebyshevIteration(bounds=(largest / condition, largest)).schedule(nothing)
    found = [[float(as_numbers(c)) for c in schedule(k)] for k in range(steps)]
    return tuple(size for size, _, _ in found) + tuple(momentum for _, momentum, _ in found[1:])


def dimension(entries: int) -> int:
    """The number of rows of a triangular matrix with this many entries, or with one fewer."""
    return math.isqrt(2 * entries + 1)


def root(values: Sequence[float]) -> Float[Tensor, "dim dim"]:
    """The lower triangular matrix with these entries, row by row; the first is 1 if it is left out."""
    dim = dimension(len(values))
    missing = dim * (dim + 1) // 2 - len(values)
    entries = torch.tensor([1.0] * missing + list(values), dtype=torch.float64)
    found = torch.zeros(dim, dim, dtype=torch.float64)
    found[tuple(torch.tril_indices(dim, dim))] = entries
    return found


def entries(matrix: Float[Tensor, "dim dim"]) -> tuple[float, ...]:
    """The lower triangle, row by row."""
    return tuple(matrix[tuple(torch.tril_indices(*matrix.shape))].tolist())


def _matrix(steps: Sequence[int], dim: int) -> tuple[Coefficient, ...]:
    rows, columns = torch.tril_indices(dim, dim).tolist()
    return tuple(DIAGONAL if i == j else BESIDE for i, j in zip(rows, columns, strict=True))


def _directions(steps: Sequence[int], dim: int) -> tuple[Coefficient, ...]:
    """Without the first entry: the scale of P has no effect on conjugate gradient."""
    return tuple(replace(c, power=0.0) for c in _matrix(steps, dim)[1:])


SINGULAR = 1e-10
"""The least eigenvalue of a matrix in the weights, as a share of the mean."""


def _product(values: Sequence[float]) -> Float[Tensor, "dim dim"]:
    """P = R Rᵀ, with so much of the identity that it is positive definite in floating point where R is singular."""
    factor = root(values)
    found = factor @ factor.mT
    return found + SINGULAR * found.diagonal().mean() * torch.eye(len(found), dtype=found.dtype)


def _told(values: Sequence[float]) -> dict[str, float]:
    """The entries of P."""
    found = _product(values)
    return {f"P[{i + 1},{j + 1}]": float(found[i, j]) for i in range(len(found)) for j in range(i + 1)}


def _told_directions(values: Sequence[float]) -> dict[str, float]:
    """The entries of P with mean eigenvalue 1."""
    found = _told(values)
    size = sum(found[f"P[{i},{i}]"] for i in range(1, dimension(len(values)) + 1)) / dimension(len(values))
    return {name: value / size for name, value in found.items()}


_PLAIN = {"gradient-descent": _alone, "gradient-descent:per-layer": _alone, "nesterov": _nesterov_alone}
VARIABLE: tuple[Family, ...] = (
    Family(
        name="gradient-descent:per-layer",
        make=_descent,
        filter=_descent,
        variable=_sizes,
        general=True,
        contains={"gradient-descent": _equal, "nesterov": _nesterov},
    ),
    Family(
        name="heavy-ball:per-layer",
        make=_heavy_ball,
        filter=_heavy_ball,
        variable=_with_momentum,
        general=True,
        contains={**_PLAIN, "heavy-ball": _equal, "chebyshev-iteration": _chebyshev},
    ),
    Family(
        name="gd-plus-plus:per-layer",
        make=_gd_plus_plus,
        filter=_gd_plus_plus,
        variable=_with_curvature,
        contains={**_PLAIN, "gd-plus-plus": _equal},
    ),
    Family(
        name="preconditioned-gradient-descent:fixed-matrix",
        make=lambda values: PreconditionedGradientDescent(step_size=1.0, preconditioner=_product(values)),
        variable=_matrix,
        root=root,
        inside=GradientDescent(step_size=1.0),
        told=_told,
        contains={"gradient-descent": lambda values, _, dim: entries(math.sqrt(values[0]) * torch.eye(dim))},
    ),
    Family(
        name="preconditioned-conjugate-gradient:fixed-matrix",
        make=lambda values: PreconditionedConjugateGradient(preconditioner=_product(values)),
        variable=_directions,
        root=root,
        inside=ConjugateGradient(),
        told=_told_directions,
        contains={"conjugate-gradient": lambda values, _, dim: entries(torch.eye(dim))[1:]},
    ),
)
"""Smaller ones first, as everywhere: a family comes after those that it contains."""
