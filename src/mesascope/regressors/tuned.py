"""A choice among regressors for each prompt, by cross-validation within its examples."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.records.checks import check_count
from mesascope.records.shown import shown
from mesascope.regressors.regressor import LEAST, Regressor, check_examples
from mesascope.types import Prompts


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class TunedRegressor:
    """For each prompt the choice with the smallest squared error on examples that it was not given, fitted to all of them.

    The examples are cut into ``folds`` runs of neighbours, and each is answered from the others. Of equally good choices the
    first is taken. With fewer than three examples there is nothing to validate on, and the first is taken too.

    Attributes:
        name: its name in tables.
        choices: the regressors.
        folds: the number of parts; at most one for each example.

    Raises:
        ValueError: no choices, or fewer than two folds.
    """

    name: str
    choices: tuple[Regressor, ...]
    folds: int = 5

    def __post_init__(self) -> None:
        check_count("folds", self.folds, least=2)
        if not self.choices:
            raise ValueError(
                f"choices must hold at least one regressor; got {shown(self.choices)}. Pass what to tune over."
            )

    def predict(self, prompts: Prompts, *, seed: int = 0) -> Float[Tensor, "batch query"]:
        """The answers. See `mesascope.regressors.Regressor`."""
        best = self.chosen(prompts, seed=seed)
        answers = torch.full_like(prompts.targets, torch.nan)
        for i, choice in enumerate(self.choices):
            if bool((mine := best == i).any()):
                answers[mine] = choice.predict(prompts[mine], seed=seed)
        return answers

    def chosen(self, prompts: Prompts, *, seed: int = 0) -> Tensor:
        """For each prompt the index of its choice."""
        check_examples(prompts)
        if prompts.examples <= LEAST or len(self.choices) == 1:
            return torch.zeros(len(prompts), dtype=torch.long, device=prompts.xs.device)
        parts = torch.arange(prompts.examples).tensor_split(min(self.folds, prompts.examples))
        errors = prompts.xs.new_zeros(len(self.choices), len(prompts), dtype=torch.float64)
        for held in parts:
            fold = held_out(prompts, held)
            for i, choice in enumerate(self.choices):
                errors[i] += (choice.predict(fold, seed=seed) - fold.targets).double().square().sum(-1)
        return errors.nan_to_num(nan=torch.inf).argmin(0)


def held_out(prompts: Prompts, held: Tensor) -> Prompts:
    """The problem of answering some of the examples from all others.

    Args:
        prompts: the prompts.
        held: the indices of the examples to answer.
    """
    shown = torch.ones(prompts.examples, dtype=torch.bool)
    shown[held] = False
    return Prompts(
        xs=prompts.xs[:, shown],
        ys=prompts.ys[:, shown],
        queries=prompts.xs[:, held],
        targets=prompts.ys[:, held],
        target_variance=torch.ones_like(prompts.target_variance),
    )


__all__ = ("TunedRegressor", "held_out")
