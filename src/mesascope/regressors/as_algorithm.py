"""A regressor as one of this package's algorithms: it answers in its first step."""

from dataclasses import dataclass, field
from typing import ClassVar, final
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mesascope.algorithms import ClosedForm, Invariance, Problem
from mesascope.regressors.regressor import Regressor
from mesascope.types import Prompts


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Answering(ClosedForm):
    """The answers of a regressor as an algorithm, for `mesascope.run` and for the identifier.

    Attributes:
        regressor: the regressor. Nothing is known of its symmetries, so none is implied.
        seed: of all that is random in it.
        known: its answers to problems that are still in use, since it may take a fit for each prompt.
    """

    regressor: Regressor
    seed: int = 0
    known: WeakKeyDictionary[Problem, Tensor] = field(default_factory=WeakKeyDictionary, repr=False)
    parametric: ClassVar[bool] = False
    name: ClassVar[str] = "regressor"
    implies: ClassVar[frozenset[Invariance]] = frozenset()

    def answer(self, problem: Problem) -> tuple[Float[Tensor, "batch query"], Int[Tensor, " batch"]]:
        if problem not in self.known:
            self.known[problem] = self._asked(problem)
        answers = self.known[problem]
        return answers, torch.zeros(len(answers), dtype=torch.long, device=answers.device)

    def _asked(self, problem: Problem) -> Float[Tensor, "batch query"]:
        xs, ys = problem.data
        prompts = Prompts(
            xs=xs,
            ys=ys,
            queries=problem.queries,
            targets=problem.queries.new_zeros(problem.queries.shape[:2]),
            target_variance=ys.new_ones(len(ys)),
        )
        return self.regressor.predict(prompts, seed=self.seed)


__all__ = ("Answering",)
