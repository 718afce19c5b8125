"""Asking for the path alone."""

from collections.abc import Callable, Sequence

import pytest

from mesascope.instruments.identification import identify_path
from mesascope.tasks import LinearRegression
from mesascope.types import Answer, Subject

FEW = (
    "gradient-descent",
    "heavy-ball",
    "chebyshev-iteration",
    "preconditioned-gradient-descent",
    "conjugate-gradient",
    "data-space-conjugate-gradient",
    "newton-schulz",
)


@pytest.fixture(scope="session")
def path_answer() -> Callable[..., Answer]:
    """The path on discriminating prompts: a quarter of what `identify` answers, and of its time."""

    def ask(subject: Subject, *, algorithms: Sequence[str] = FEW, prompts: int = 60, seed: int = 0) -> Answer:
        return identify_path(subject, LinearRegression(), seed=seed, algorithms=algorithms, prompts=prompts)[0]

    return ask
