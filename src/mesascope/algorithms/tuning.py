"""Coefficients fitted to a set of prompts: the best fixed numbers for all of them."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeVar

from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms.algorithm import Algorithm
from mesascope.algorithms.first_order import PreconditionedGradientDescent
from mesascope.algorithms.newton import NewtonSchulz
from mesascope.algorithms.preconditioner import preconditioned_bounds
from mesascope.algorithms.problem import Problem
from mesascope.algorithms.running import run
from mesascope.types import Prompts

A = TypeVar("A", bound=Algorithm)

STARTS = 2  # number of grid points from which the search starts
_WORST = 1e300  # replaces infinity, which the simplex method cannot subtract


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    """A field that can be tuned, expressed through unconstrained coordinates.

    Attributes:
        decode: maps coordinates to the field's value.
        grid: coordinates to try first.
    """

    decode: Callable[..., float | tuple[float, float]]
    grid: tuple[tuple[float, ...], ...]


def _fields(algorithm: Algorithm, problem: Problem) -> dict[str, _Field]:
    preconditioned = isinstance(algorithm, PreconditionedGradientDescent)
    _, high = preconditioned_bounds(algorithm.preconditioner, problem) if preconditioned else problem.bounds
    log_high = math.log(float(high.median()))
    power = 2 if isinstance(algorithm, NewtonSchulz) and algorithm.start == "gram" else 1
    fields = {
        "step_size": _Field(decode=math.exp, grid=tuple((math.log(c) - log_high,) for c in (4, 2, 1, 0.5, 0.2, 0.05))),
        # At most the largest number below 1: if more momentum is always better (as with two steps), the search approaches 1.
        "momentum": _Field(
            decode=lambda x: min(_sigmoid(x), math.nextafter(1, 0)),
            grid=tuple((_logit(c),) for c in (0.05, 0.3, 0.6, 0.85)),
        ),
        "curvature": _Field(decode=math.exp, grid=tuple((math.log(c) - log_high,) for c in (0.01, 0.1, 0.5))),
        # The coordinates are the largest eigenvalue, and the smallest as a share of the largest.
        "bounds": _Field(
            decode=lambda a, b: (math.exp(a) * _sigmoid(b), math.exp(a)),
            grid=tuple((math.log(c) + log_high, _logit(r)) for c in (0.5, 1, 2) for r in (0.5, 0.1, 0.01)),
        ),
        "scale": _Field(decode=math.exp, grid=tuple((math.log(c) - power * log_high,) for c in (2, 1, 0.5, 0.1))),
    }
    return {f.name: fields[f.name] for f in dataclasses.fields(algorithm) if f.name in fields}


def normalised_error(predictions: Float[Tensor, "*step batch query"], prompts: Prompts) -> Float[Tensor, "*step"]:
    """Mean over prompts of the mean squared error over queries, divided by the prompt's target variance."""
    per_prompt = (predictions - prompts.targets).square().mean(-1) / prompts.target_variance
    return per_prompt.mean(-1)


def tuned(algorithm: A, prompts: Prompts, steps: int, *, ridge: float = 0.0) -> A:
    """The algorithm with the fixed coefficients that minimise the mean normalised error after ``steps`` steps.

    All its coefficients are replaced, including "optimal" ones: the result uses the same numbers on every prompt, as a
    network with fixed weights must. The search takes a coarse grid, then Nelder–Mead from the best grid points.

    Args:
        algorithm: an algorithm with coefficients: step size, momentum, bounds, curvature or scale.
        prompts: the prompts to tune on; score on others.
        steps: the number of steps after which the error is measured.
        ridge: λ of the problem.

    Raises:
        ValueError: the algorithm has no coefficients, or steps is below 1.
    """
    problem = Problem.of(prompts, ridge)
    fields = _fields(algorithm, problem)
    if not fields:
        raise ValueError(
            "algorithm must have a coefficient to tune (step_size, momentum, bounds or scale); "
            f"{algorithm.name} has none. Use it as it is."
        )
    from scipy.optimize import minimize  # noqa: PLC0415  (a fifth of a second to import, and only tuning needs it)

    if steps < 1:
        raise ValueError(
            f"steps must be at least 1 to tune on; got {steps}. Before the first step, no coefficient has an effect."
        )

    def build(point: Sequence[float]) -> A:
        left, values = list(point), {}
        for name, field in fields.items():
            width = len(field.grid[0])
            values[name] = field.decode(*left[:width])
            left = left[width:]
        return dataclasses.replace(algorithm, **values)

    def error(point: Sequence[float]) -> float:
        value = float(normalised_error(run(build(point), problem, steps).predictions[-1], prompts))
        return value if math.isfinite(value) else _WORST

    grid = [sum(point, ()) for point in product(*(field.grid for field in fields.values()))]
    best = sorted(grid, key=error)[:STARTS]
    options = {"xatol": 1e-6, "fatol": 1e-10, "maxfev": 200}
    found = [minimize(lambda x: error(x.tolist()), start, method="Nelder-Mead", options=options) for start in best]
    return build(min(found, key=lambda result: result.fun).x.tolist())


def _sigmoid(x: float) -> float:
    return 0.5 * (1 + math.tanh(x / 2))


def _logit(p: float) -> float:
    return math.log(p / (1 - p))
