"""Filters that have a name: what algorithms with the same coefficients for all prompts compute, as functions of the eigenvalue.

f(λ) is the share of the least-squares answer that is reached in a direction with eigenvalue λ of XᵀX/n.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms.gradient_flow import flow_response

Values = Float[Tensor, "..."]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Coefficient:
    """A positive coefficient that is fitted.

    Attributes:
        name: what it is called.
        low, high: where it is looked for, in units of the largest eigenvalue to the power ``power``.
        power: 1 for what is added to an eigenvalue, −1 for what multiplies one, 0 for a pure number.
        most: what it is at most, by its meaning.
    """

    name: str
    low: float
    high: float
    power: int
    most: float = math.inf


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FunctionFamily:
    """Filters that differ in their coefficients.

    Attributes:
        name: the family's name.
        coefficients: those that are fitted, at most two.
        count: what is counted, such as ``steps``; empty if nothing is.
        counts: the numbers tried.
        gains: f at eigenvalues for a count and coefficients, which broadcast against the eigenvalues.
        smooth: whether f is a smooth function of its coefficients.
    """

    name: str
    gains: Callable[..., Tensor]
    coefficients: tuple[Coefficient, ...] = ()
    count: str = ""
    counts: tuple[int, ...] = (1,)
    smooth: bool = True

    @property
    def size(self) -> int:
        """Number of coefficients, counts included: of two families that fit equally well the smaller one is named."""
        return len(self.coefficients) + bool(self.count)


def _descent(at: Values, steps: int, size: Values) -> Values:
    return 1 - (1 - size * at) ** steps


def _damped(at: Values, steps: int, size: Values, penalty: Values) -> Values:
    """Gradient descent on the ridge objective. Its first step does not depend on the penalty."""
    return at / (at + penalty) * (1 - (1 - size * (at + penalty)) ** steps)


def _gd_plus_plus(at: Values, steps: int, size: Values, curvature: Values) -> Values:
    """Source: von Oswald et al. 2023, GD++."""
    error = torch.ones_like(size * at)
    transform = torch.ones_like(error)
    for _ in range(steps):
        error = error * (1 - size * transform.square() * at)
        transform = transform * (1 - curvature * at * transform.square())
    return 1 - error


def _tikhonov(at: Values, times: int, penalty: Values) -> Values:
    return 1 - (penalty / (at + penalty)) ** times


def _heavy_ball(at: Values, steps: int, size: Values, momentum: Values) -> Values:
    """Source: Polyak 1964."""
    before = error = torch.ones_like(size * at)
    for step in range(steps):
        error, before = error - size * at * error + (momentum * (error - before) if step else 0), error
    return 1 - error


def _nesterov(at: Values, steps: int, size: Values, momentum: Values) -> Values:
    """With constant momentum."""
    before = error = torch.ones_like(size * at)
    for step in range(steps):
        ahead = error + (momentum * (error - before) if step else 0)
        error, before = (1 - size * at) * ahead, error
    return 1 - error


def _chebyshev(at: Values, steps: int, low: Values, high: Values) -> Values:
    """The polynomial of least error on [low, low + high]."""
    centre, half = low + high / 2, high / 2

    def polynomial(x: Values) -> Values:
        before, value = torch.ones_like(x), x
        for _ in range(steps - 1):
            before, value = value, 2 * x * value - before
        return value

    return 1 - polynomial((centre - at) / half) / polynomial(centre / half)


STEP = Coefficient(name="step size", low=0.02, high=4.0, power=-1)
MOMENTUM = Coefficient(name="momentum", low=0.05, high=0.98, power=0, most=1.0)
PENALTY = Coefficient(name="penalty", low=1e-5, high=30.0, power=1)

TIME = Coefficient(name="time", low=0.03, high=3e4, power=-1)

GRADIENT_FLOW = FunctionFamily(
    name="gradient flow", gains=lambda at, _, time: flow_response(at, time), coefficients=(TIME,)
)
SCALED_FLOW = FunctionFamily(
    name="gradient flow times a factor",
    gains=lambda at, _, time, factor: factor * flow_response(at, time),
    coefficients=(TIME, Coefficient(name="factor", low=0.1, high=30.0, power=0)),
)
"""For layers that a fitted readout has read: it scales a partial answer up to the size that predicts the targets best."""
LEAST_SQUARES = FunctionFamily(name="least squares", gains=lambda at, _: torch.ones_like(at))
FAMILIES: tuple[FunctionFamily, ...] = (
    LEAST_SQUARES,
    GRADIENT_FLOW,
    FunctionFamily(name="ridge", gains=lambda at, _, mu: at / (at + mu), coefficients=(PENALTY,)),
    FunctionFamily(
        name="spectral cut-off",
        gains=lambda at, _, least: (at >= least).to(at.dtype),
        coefficients=(Coefficient(name="smallest eigenvalue", low=1e-4, high=1.0, power=1),),
        smooth=False,
    ),
    FunctionFamily(
        name="gradient descent", gains=_descent, coefficients=(STEP,), count="steps", counts=tuple(range(1, 17))
    ),
    FunctionFamily(
        name="iterated Tikhonov", gains=_tikhonov, coefficients=(PENALTY,), count="times", counts=tuple(range(2, 7))
    ),
    FunctionFamily(
        name="Newton–Schulz",
        gains=lambda at, steps, scale: _descent(at, 2**steps, scale),
        coefficients=(STEP,),
        count="steps",
        counts=(5, 6, 7),
    ),
    FunctionFamily(
        name="Newton–Schulz from XᵀX",
        gains=lambda at, steps, scale: _descent(at.square(), 2**steps, scale),
        coefficients=(Coefficient(name="scale", low=0.02, high=4.0, power=-2),),
        count="steps",
        counts=tuple(range(1, 8)),
    ),
    FunctionFamily(
        name="heavy ball", gains=_heavy_ball, coefficients=(STEP, MOMENTUM), count="steps", counts=tuple(range(2, 11))
    ),
    FunctionFamily(
        name="Nesterov", gains=_nesterov, coefficients=(STEP, MOMENTUM), count="steps", counts=tuple(range(2, 11))
    ),
    FunctionFamily(
        name="damped gradient descent",
        gains=_damped,
        coefficients=(STEP, PENALTY),
        count="steps",
        counts=tuple(range(2, 11)),
    ),
    FunctionFamily(
        name="GD++",
        gains=_gd_plus_plus,
        coefficients=(STEP, Coefficient(name="curvature", low=0.01, high=1.0, power=-1)),
        count="steps",
        counts=tuple(range(2, 10)),
    ),
    FunctionFamily(
        name="Chebyshev",
        gains=_chebyshev,
        coefficients=(
            Coefficient(name="smallest eigenvalue", low=1e-3, high=0.7, power=1),
            Coefficient(name="width", low=0.2, high=2.0, power=1),
        ),
        count="steps",
        counts=tuple(range(2, 9)),
    ),
)
"""The simplest first. Gradient descent after 2ᵏ steps is Newton–Schulz after k: of 4, 8 and 16 steps both names are right."""


__all__ = ("FAMILIES", "GRADIENT_FLOW", "LEAST_SQUARES", "SCALED_FLOW", "Coefficient", "FunctionFamily")
