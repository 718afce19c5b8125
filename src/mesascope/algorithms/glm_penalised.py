"""Logistic and Poisson regression solved to the end: penalised maximum likelihood."""

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mesascope.algorithms.algorithm import Invariance, status_where
from mesascope.algorithms.closed_forms import ClosedForm, regularised_solve
from mesascope.algorithms.glm import GLM, GLMNewton, product
from mesascope.algorithms.problem import Problem
from mesascope.types import GlmFamily, Status

MOST = 40
"""Newton steps after which a prompt counts as one without a solution; others take about ten."""
HALVINGS = 30
SUFFICIENT = 1e-4
"""The share of the first-order decrease that a step must reach (Armijo's rule)."""


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GLMPenalisedLikelihood(ClosedForm):
    """The weights that minimise the objective of a generalised linear model (see `GLM`), in one step.

    With a ridge λ they are the mode of the posterior under the prior w ~ N(0, I/λ). They are found by Newton's method with step
    halving until the decrease is rounding. The status is BREAKDOWN for a prompt without a solution: separable labels without
    a ridge.

    Attributes:
        family, ridge: as in `GLM`.

    Raises:
        ValueError: as for `GLM`.

    Source: le Cessie & van Houwelingen 1992; Nocedal & Wright 2006, algorithm 3.1 (step halving).
    """

    family: GlmFamily = "logistic"
    ridge: float | Float[Tensor, "batch 1"] = 1.0
    name: ClassVar[str] = "glm-penalised-likelihood"
    implies: ClassVar[frozenset[Invariance]] = GLM.implies

    def __post_init__(self) -> None:
        _ = self._newton  # which checks both

    def answer(self, problem: Problem) -> tuple[Float[Tensor, "batch dim"], Int[Tensor, " batch"]]:
        model = self._newton
        weights = torch.zeros_like(problem.moment)
        value = objective(model, problem, weights)
        done = torch.zeros(len(problem), dtype=torch.bool, device=weights.device)
        rounding = torch.finfo(weights.dtype).eps ** 1.5
        for _ in range(MOST):
            right = model.descent(problem, weights)
            direction, _ = regularised_solve(model.curvature(problem, weights), right, 0.0)
            decrease = torch.linalg.vecdot(right, direction)
            done = done | (decrease <= rounding * (1 + value.abs()))
            if bool(done.all()):
                break
            direction = torch.where(direction.isfinite(), direction, right)  # without curvature, along the gradient
            weights, value = _halved(model, problem, (weights, value), direction, done)
        return weights, status_where(~done, Status.BREAKDOWN)

    @property
    def _newton(self) -> GLMNewton:
        return GLMNewton(family=self.family, ridge=self.ridge)


def objective(model: GLM, problem: Problem, weights: Float[Tensor, "batch dim"]) -> Float[Tensor, " batch"]:
    """The objective's mean over the examples."""
    xs, ys = problem.data
    predictor = product(xs, weights)
    potential = torch.nn.functional.softplus(predictor) if model.family == "logistic" else predictor.exp()
    penalty = model.damping(problem)[:, 0] * weights.square().sum(-1) / 2
    return (potential - ys * predictor).mean(-1) + penalty


def _halved(
    model: GLM,
    problem: Problem,
    start: tuple[Float[Tensor, "batch dim"], Float[Tensor, " batch"]],
    direction: Float[Tensor, "batch dim"],
    done: Bool[Tensor, " batch"],
) -> tuple[Float[Tensor, "batch dim"], Float[Tensor, " batch"]]:
    """The first of the step and its halves that decreases the objective enough; prompts that are done stay where they are."""
    weights, value = start
    slope = torch.linalg.vecdot(model.descent(problem, weights), direction)
    length = torch.where(done, 0.0, 1.0).to(weights)
    slack = torch.finfo(weights.dtype).eps * (1 + value.abs())
    for _ in range(HALVINGS):
        tried = weights + length[:, None] * direction
        found = objective(model, problem, tried)
        enough = done | (found <= value - SUFFICIENT * length * slope + slack)
        if bool(enough.all()):
            break
        length = torch.where(enough, length, length / 2)
    return tried, found


__all__ = ("GLMPenalisedLikelihood", "objective")
