"""What a regressor is: anything that answers the queries of prompts from their examples."""

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from mesascope.types import Prompts

LEAST = 2
"""The smallest number of examples that is a data set."""


@runtime_checkable
class Regressor(Protocol):
    """Learns each prompt's function from its examples alone, and answers its queries.

    Answers depend on the regressor, on the prompt's examples and queries and on ``seed``, and on nothing else: not on targets, on
    the other prompts, or on the other queries. `mesascope.testing.check_regressor` checks this.
    """

    @property
    def name(self) -> str:
        """Its name in tables."""
        ...

    def predict(self, prompts: Prompts, *, seed: int = 0) -> Float[Tensor, "batch query"]:
        """The answers, in the prompts' precision; NaN where there is none, which whoever compares has to count.

        Args:
            prompts: the problems.
            seed: of all that is random in the learner; the same for every prompt.

        Raises:
            ValueError: prompts with fewer than two examples.
        """
        ...


def check_examples(prompts: Prompts) -> None:
    """Check that prompts show enough examples for a regression.

    Raises:
        ValueError: fewer than two.
    """
    if prompts.examples < LEAST:
        raise ValueError(
            f"prompts must show at least {LEAST} examples to a regressor; got {prompts.examples}. Sample from a task with more "
            "examples."
        )


__all__ = ("LEAST", "Regressor", "check_examples")
