"""Logistic and Poisson regression by Bayes' rule: the posterior mean, which has the least mean squared error."""

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mesascope.algorithms.algorithm import Invariance, status_where
from mesascope.algorithms.closed_forms import ClosedForm
from mesascope.algorithms.glm import GLMNewton
from mesascope.algorithms.glm_penalised import GLMPenalisedLikelihood
from mesascope.algorithms.problem import Problem
from mesascope.records.checks import check_choices, check_count
from mesascope.seeds import generator
from mesascope.types import GlmFamily, Status

TOGETHER = 64
"""Prompts that are weighted at a time, so that their likelihoods fit into memory."""
FREEDOM = 5
"""Degrees of freedom of the distribution that is drawn from: its tails must be heavier than those of any posterior."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class GLMPosteriorMean(ClosedForm):
    """The posterior mean of w under the prior of `GeneralisedLinearRegression`: any direction, and wᵀx as strong as stated.

    A learner does not see the inputs' covariance Σ, on which the length of w depends. For Gaussian inputs and a direction u,
    uᵀXᵀXu is uᵀΣu times a number with the distribution χ² of n degrees of freedom; so the length is drawn with such a number.
    A learner that knows more of Σ, such as its trace, can have a smaller error.

    The mean is found by importance sampling: w is drawn from a t-distribution around a penalised solution, with its curvature
    there, and weighted by likelihood and prior. The status is BREAKDOWN for a prompt whose inputs are all zero.

    Attributes:
        family: ``logistic`` for labels 0 and 1, ``poisson`` for counts.
        strength: the standard deviation of wᵀx over the prompt's own input distribution.
        draws: number of draws, the same for all prompts but for each one's centre and curvature.

    Raises:
        ValueError: an unknown family, a strength that is not above 0, or draws below 1.

    Source: Robert & Casella 2004, section 3.3 (self-normalised importance sampling, and the t-distribution for it).
    """

    family: GlmFamily = "logistic"
    strength: float = 1.0
    draws: int = 2048
    name: ClassVar[str] = "glm-posterior-mean"
    implies: ClassVar[frozenset[Invariance]] = frozenset({"permutation"})

    def __post_init__(self) -> None:
        check_choices(self)
        check_count("draws", self.draws)
        if not self.strength > 0:
            raise ValueError(
                f"strength must be above 0; got {self.strength}. It is the standard deviation of wᵀx over the examples."
            )

    def answer(self, problem: Problem) -> tuple[Float[Tensor, "batch dim"], Int[Tensor, " batch"]]:
        rng, dim = generator(0, "glm-posterior-mean", problem.gram.shape[-1]), problem.gram.shape[-1]
        normal = torch.randn(self.draws, dim, generator=rng, dtype=torch.float64).to(problem.gram)
        squares = torch.randn(self.draws, FREEDOM, generator=rng, dtype=torch.float64).to(problem.gram).square()
        drawn = normal / squares.mean(-1, keepdim=True).sqrt()
        parts = [self._means(problem[i : i + TOGETHER], drawn) for i in range(0, len(problem), TOGETHER)]
        found = torch.cat(parts)
        broken = ~found.isfinite().all(-1)
        return found.nan_to_num(nan=0.0), status_where(broken, Status.BREAKDOWN)

    def _means(self, problem: Problem, drawn: Float[Tensor, "draw dim"]) -> Float[Tensor, "batch dim"]:
        xs, ys = problem.data
        # As a normal distribution the prior would have wᵀGw = strength² in the mean.
        ridge = problem.gram.diagonal(dim1=-2, dim2=-1).sum(-1, keepdim=True) / self.strength**2
        centre, _ = GLMPenalisedLikelihood(family=self.family, ridge=ridge).answer(problem)
        curvature = GLMNewton(family=self.family, ridge=ridge).curvature(problem, centre) * problem.examples
        root, _ = torch.linalg.cholesky_ex(curvature)
        # w = centre + L⁻ᵀz has the covariance (L Lᵀ)⁻¹.
        tried = (
            centre[:, None] + torch.linalg.solve_triangular(root.mT, drawn.T.expand(len(root), -1, -1), upper=True).mT
        )
        predictor = tried @ xs.mT
        potential = torch.nn.functional.softplus(predictor) if self.family == "logistic" else predictor.exp()
        likelihood = (ys[:, None] * predictor - potential).sum(-1)
        proposal = -(FREEDOM + drawn.shape[-1]) / 2 * (drawn.square().sum(-1) / FREEDOM).log1p()
        weights = (likelihood + self._prior(problem, tried) - proposal).softmax(-1)
        return (weights[:, None] @ tried)[:, 0].to(problem.moment)

    def _prior(self, problem: Problem, weights: Float[Tensor, "batch draw dim"]) -> Float[Tensor, "batch draw"]:
        """The logarithm of the prior's density, up to a constant of each prompt.

        With c² = wᵀ(XᵀX/n)w/strength², the direction u and c are independent, n c² has the distribution χ² of n degrees of
        freedom, and dw = |w|ᵈ du dc/c.
        """
        size = torch.linalg.vecdot(weights @ problem.gram, weights) / self.strength**2  # c²
        return problem.examples / 2 * (size.log() - size) - problem.gram.shape[-1] * weights.norm(dim=-1).log()


__all__ = ("GLMPosteriorMean",)
