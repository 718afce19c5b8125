"""Solvers of ridge regression whose step ℓ is compared with layer ℓ: as a source ran them, and as they should be run.

All solve (XᵀX + λI) w = Xᵀy from w = 0, with coefficients from each prompt's own eigenvalues, so that they are as good as
such coefficients can make them.
"""

from collections.abc import Mapping
from itertools import product
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms import (
    RBF,
    Algorithm,
    ChebyshevIteration,
    ConjugateGradient,
    GradientDescent,
    HeavyBall,
    Linear,
    NewtonSchulz,
    PreconditionedConjugateGradient,
    PreconditionedGradientDescent,
    PreconditionedRichardson,
    Problem,
    Ridge,
    normalised_error,
    run,
)
from mesascope.types import Prompts

GD, CG, PGD, PCG = "gradient descent", "conjugate gradient", "Jacobi gradient descent", "Jacobi conjugate gradient"
HEAVY, CHEBYSHEV = "heavy ball as published", "Chebyshev as published"
HEAVY_TUNED, CHEBYSHEV_RIGHT = "heavy ball, tuned", "Chebyshev"
SOLVED, NEWTON, RICHARDSON = "ridge regression from the first layer on", "Newton–Schulz", "preconditioned Richardson"
RICHARDSON_RBF = "preconditioned Richardson (RBF)"
PUBLISHED = (GD, CG, PGD, HEAVY, CHEBYSHEV, PCG)
"""The six solvers that the source compares with, in its order."""
SOLVERS = (*PUBLISHED, HEAVY_TUNED, CHEBYSHEV_RIGHT, SOLVED, NEWTON, RICHARDSON, RICHARDSON_RBF)
MOST_MOMENTUM, SAFETY = 0.9, 0.95
"""The source's limit of the momentum, and its share of the largest stable step size."""
STEPS, MOMENTA = (0.5, 0.75, 1.0, 1.25, 1.5), (0.0, 0.2, 0.35, 0.5, 0.65, 0.8)
"""What the tuned heavy ball is chosen from: its step size times the largest eigenvalue, and its momentum."""
BANDWIDTHS = (2.0, 4.0, 8.0, 16.0, 32.0, 64.0)

T = TypeVar("T")
Steps = Float[Tensor, "layer batch query"]


def solutions(prompts: Prompts, tuning: Prompts, steps: int, *, ridge: float) -> dict[str, Steps]:
    """The answers of every solver after steps 1 to ``steps``, by its name in `SOLVERS`.

    Args:
        prompts: what to answer.
        tuning: other prompts, on which the heavy ball and the bandwidth are tuned.
        steps: number of steps, one per layer of the subject.
        ridge: λ.
    """
    problem, other = Problem.of(prompts, ridge), Problem.of(tuning, ridge)
    share, momentum = _best({pair: _heavy_ball(other, *pair) for pair in product(STEPS, MOMENTA)}, other, tuning, steps)
    width = _best({w: _kernel_richardson(w) for w in BANDWIDTHS}, other, tuning, steps)
    chosen: Mapping[str, Algorithm] = {
        GD: GradientDescent(),
        CG: ConjugateGradient(),
        PGD: PreconditionedGradientDescent(),
        HEAVY: published_heavy_ball(problem),
        CHEBYSHEV: published_chebyshev(problem, steps),
        PCG: PreconditionedConjugateGradient(),
        HEAVY_TUNED: _heavy_ball(problem, share, momentum),
        CHEBYSHEV_RIGHT: ChebyshevIteration(),
        SOLVED: Ridge(ridge=0.0),
        NEWTON: NewtonSchulz(),
        RICHARDSON: PreconditionedRichardson(kernel=Linear(), ridge=0.0),
        RICHARDSON_RBF: _kernel_richardson(width),
    }
    return {name: run(algorithm, problem, steps).predictions[1:] for name, algorithm in chosen.items()}


def published_heavy_ball(problem: Problem) -> HeavyBall:
    """The heavy ball as source A ran it: the momentum is cut at 0.9, and the step size is that of the uncut one, if stable.

    At large condition numbers it overshoots more than it gains: after 12 steps at κ = 500 it is worse than gradient descent.

    Source: A, its comparison of algorithms.
    """
    low, high = problem.bounds
    momentum = (((high.sqrt() - low.sqrt()) / (high.sqrt() + low.sqrt())) ** 2).clamp(max=MOST_MOMENTUM)
    step_size = torch.minimum(4 / (high.sqrt() + low.sqrt()) ** 2, 2 * SAFETY * (1 + momentum) / high)
    return HeavyBall(step_size=step_size, momentum=momentum)


def published_chebyshev(problem: Problem, steps: int) -> HeavyBall:
    """Chebyshev's iteration as source A ran it: with ω₁ = 1/(1 − σ²/4), where 1/(1 − σ²/2) is right.

    In heavy-ball form, with θ = (L+μ)/2 and σ = (L−μ)/(L+μ): α_k = ω_k/θ, β_k = ω_k − 1, ω_k = 1/(1 − σ²ω_{k−1}/4). The
    recursion is right from the second step on; the wrong start makes it slower for good.

    Source: A, its comparison of algorithms.
    """
    low, high = problem.bounds
    centre, square = (high + low) / 2, ((high - low) / (high + low)) ** 2
    weights = [torch.ones_like(centre)]
    for _ in range(1, steps):
        weights.append(1 / (1 - square * weights[-1] / 4))
    return HeavyBall(step_size=tuple(w / centre for w in weights), momentum=tuple(w - 1 for w in weights))


def _heavy_ball(problem: Problem, share: float, momentum: float) -> HeavyBall:
    """A heavy ball with the step size ``share``/L, L being each prompt's largest eigenvalue."""
    return HeavyBall(step_size=share / problem.bounds[1], momentum=momentum)


def _kernel_richardson(bandwidth: float) -> PreconditionedRichardson:
    return PreconditionedRichardson(kernel=RBF(bandwidth=bandwidth), ridge=0.0)


def _best(choices: Mapping[T, Algorithm], problem: Problem, prompts: Prompts, steps: int) -> T:
    """The choice whose answers after the last step have the least normalised error."""

    def error(choice: T) -> float:
        found = float(normalised_error(run(choices[choice], problem, steps).predictions[-1], prompts))
        return found if found == found else float("inf")

    return min(choices, key=error)


__all__ = ("PUBLISHED", "SOLVERS", "published_chebyshev", "published_heavy_ball", "solutions")
