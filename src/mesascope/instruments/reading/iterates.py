"""The iterates of gradient descent and conjugate gradient, on either of the two systems of ridge regression, as probes' targets.

In feature space both solve (XᵀX + λI)w = Xᵀy, and an iterate is w_k. In data space both solve (XXᵀ + λI)α = y, and an iterate
is α_k, one number per example, with weights Xᵀα_k. The limit is the same, the path is not. The numbers of α_k stand in the order
of the examples, while w_k and the answer w_k·x_q do not depend on it.
"""

from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms import ConjugateGradient, run
from mesascope.algorithms.conjugate_gradient import solve
from mesascope.algorithms.first_order import GradientDescent
from mesascope.algorithms.problem import check_ridge
from mesascope.records.checks import check_choices, check_count
from mesascope.types import Prompts

Method = Literal["gradient descent", "conjugate gradient"]
Space = Literal["feature", "data"]
Form = Literal["weights", "dual", "answer"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Solver:
    """A method on one of the two systems of ridge regression, from zero, without early stopping.

    Attributes:
        method: what iterates.
        space: the system: ``feature`` is (XᵀX + λI)w = Xᵀy, ``data`` is (XXᵀ + λI)α = y.
        ridge: λ.
        step_size: of gradient descent, from each prompt's own system: ``optimal`` is 2/(λmax + λmin), ``largest`` is 1/λmax.

    Raises:
        ValueError: an unknown method, space or step size, or a ridge that is negative or not finite.
    """

    method: Method
    space: Space = "feature"
    ridge: float = 0.0
    step_size: Literal["optimal", "largest"] = "optimal"

    def __post_init__(self) -> None:
        check_choices(self)
        check_ridge(self.ridge)

    @property
    def name(self) -> str:
        """What it is called in reports."""
        step = ", step 1/λmax" if self.step_size == "largest" else ""
        return f"{self.method}, {self.space} space{step}"

    def weights(self, prompts: Prompts, steps: int) -> Float[Tensor, "step batch dim"]:
        """The weights after 0 to ``steps`` steps."""
        if self.space == "data":
            return torch.einsum("sbe,bed->sbd", self.dual(prompts, steps), prompts.xs)
        if self.method == "conjugate gradient":
            weights = run(ConjugateGradient(), prompts, steps, ridge=self.ridge).weights
        else:
            matrix = prompts.xs.mT @ prompts.xs
            size = self._step(matrix) * prompts.examples  # for the mean over examples
            weights = run(GradientDescent(step_size=size), prompts, steps, ridge=self.ridge).weights
        assert weights is not None, "both hold weights"
        return weights

    def dual(self, prompts: Prompts, steps: int) -> Float[Tensor, "step batch example"]:
        """α after 0 to ``steps`` steps.

        Raises:
            ValueError: in feature space, where there is no α.
        """
        if self.space == "feature":
            raise ValueError("space must be 'data' for α; got 'feature', where iterates are weights. Ask for weights.")
        kernel = prompts.xs @ prompts.xs.mT
        system = kernel + self.ridge * torch.eye(prompts.examples, dtype=kernel.dtype, device=kernel.device)
        if self.method == "conjugate gradient":
            return torch.stack([solve(system, prompts.ys, step)[0] for step in range(steps + 1)])
        size = self._step(kernel)
        found = [torch.zeros_like(prompts.ys)]
        for _ in range(steps):
            image = (system @ found[-1][..., None])[..., 0]
            found.append(found[-1] + size * (prompts.ys - image))
        return torch.stack(found)

    def answers(self, prompts: Prompts, steps: int) -> Float[Tensor, "step batch query"]:
        """The answers after 0 to ``steps`` steps."""
        return torch.einsum("sbd,bqd->sbq", self.weights(prompts, steps), prompts.queries)

    def _step(self, matrix: Float[Tensor, "batch side side"]) -> Float[Tensor, "batch 1"]:
        """The step size for each prompt's matrix, to which λ is still to be added."""
        eigenvalues = torch.linalg.eigvalsh(matrix) + self.ridge
        low, high = eigenvalues[:, :1], eigenvalues[:, -1:]
        return 1 / high if self.step_size == "largest" else 2 / (low + high)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Iterate:
    """A solver's iterate after some steps, as a target of probes.

    Attributes:
        solver: what iterates.
        step: the number of steps, at least 1.
        form: ``weights`` w_k; ``dual`` α_k; or ``answer`` w_k·x_q, which depends on the query.
        matched: scale every prompt's iterate to length 1, so that the targets of all solvers and steps have the same variance
            in every prompt, and a score does not depend on how long a solver's iterates are.

    Raises:
        ValueError: a step below 1, or a form that the solver does not have.
    """

    solver: Solver
    step: int
    form: Form = "weights"
    matched: bool = False

    def __post_init__(self) -> None:
        check_choices(self)
        check_count("step", self.step)
        if self.form == "dual" and self.solver.space == "feature":
            raise ValueError(
                "form must be 'weights' or 'answer' for a solver in feature space; got 'dual'. α exists in data space only: "
                "give the solver space='data'."
            )

    def __call__(self, prompts: Prompts) -> Tensor:
        """The targets of these prompts: (batch, output), or (batch, query, 1) for answers."""
        if self.form == "answer":
            found = self.solver.answers(prompts, self.step)[-1]
            return (_unit(found) if self.matched else found)[..., None]
        of = self.solver.dual if self.form == "dual" else self.solver.weights
        found = of(prompts, self.step)[-1]
        return _unit(found) if self.matched else found


def _unit(vectors: Float[Tensor, "batch output"]) -> Float[Tensor, "batch output"]:
    """Every vector with length 1; a vector of zeros stays."""
    length = vectors.norm(dim=-1, keepdim=True)
    return vectors / torch.where(length > 0, length, torch.ones_like(length))
