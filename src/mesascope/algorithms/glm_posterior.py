"""Logistic and Poisson regression by Bayes' rule: the posterior mean, which has the least mean squared error."""

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mesascope.algorithms.algorithm import Invariance, status_where
from mesascope.algorithms.closed_forms import ClosedForm
from mesascope.algorithms.problem import Problem
from mesascope.records.checks import check_choices, check_count
from mesascope.seeds import generator
from mesascope.types import GlmFamily, Status

TOGETHER = 16
"""Prompts that are weighted at a time, so that their likelihoods fit into memory."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class GLMPosteriorMean(ClosedForm):
    """The posterior mean of w under the prior of `GeneralisedLinearRegression`: any direction, and wᵀx as strong as stated.

    A learner does not see the inputs' covariance Σ, on which the length of w depends. For Gaussian inputs and a direction u,
    uᵀXᵀXu is uᵀΣu times a number with the distribution χ² of n degrees of freedom; so the length is drawn with such a number.
    A learner that knows more of Σ, such as its trace, can have a smaller error.

    The mean is found by importance sampling: directions and lengths are drawn once, the same for all prompts, and weighted by
    their likelihood. The status is BREAKDOWN for a prompt whose inputs are all zero.

    Attributes:
        family: ``logistic`` for labels 0 and 1, ``poisson`` for counts.
        strength: the standard deviation of wᵀx over the prompt's own input distribution.
        draws: number of draws. In five dimensions 8192 give an error of some 0.2 % of the target's variance.

    Raises:
        ValueError: an unknown family, a strength that is not above 0, or draws below 1.

    Source: Robert & Casella 2004, section 3.3 (self-normalised importance sampling).
    """

    family: GlmFamily = "logistic"
    strength: float = 1.0
    draws: int = 8192
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
        rng = generator(0, "glm-posterior-mean", problem.gram.shape[-1])
        drawn = torch.randn(self.draws, problem.gram.shape[-1], generator=rng, dtype=torch.float64).to(problem.gram)
        noise = torch.randn(self.draws, problem.examples, generator=rng, dtype=torch.float64).to(problem.gram)
        lengths = self.strength * noise.square().mean(-1).sqrt()
        parts = [self._means(problem[i : i + TOGETHER], drawn, lengths) for i in range(0, len(problem), TOGETHER)]
        found = torch.cat(parts)
        broken = ~found.isfinite().all(-1)
        return found.nan_to_num(nan=0.0), status_where(broken, Status.BREAKDOWN)

    def _means(
        self, problem: Problem, drawn: Float[Tensor, "draw dim"], lengths: Float[Tensor, " draw"]
    ) -> Float[Tensor, "batch dim"]:
        xs, ys = problem.data
        scale = lengths / torch.einsum("nd,bde,ne->bn", drawn, problem.gram, drawn).sqrt()
        predictor = (drawn @ xs.mT) * scale[..., None]
        potential = torch.nn.functional.softplus(predictor) if self.family == "logistic" else predictor.exp()
        likelihood = (ys[:, None] * predictor - potential).sum(-1)
        return ((likelihood.softmax(-1) * scale) @ drawn).to(problem.moment)


__all__ = ("GLMPosteriorMean",)
