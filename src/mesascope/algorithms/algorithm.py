"""The base class of all reference algorithms: a frozen configuration with ``init`` and ``step``."""

import abc
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mesascope.algorithms.problem import Problem
from mesascope.types import Status

Invariance = Literal["additive", "homogeneous", "rotation", "permutation"]

INVARIANCES: frozenset[Invariance] = frozenset({"additive", "homogeneous", "rotation", "permutation"})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class State:
    """An algorithm's state between steps; each algorithm extends it with its own fields.

    Attributes:
        status: a `Status` per prompt for the step that led to this state. For each prompt only the first status that is not
            OK counts: `run` discards later iterates, so a step need not handle them.
        weights: the weight vector, if the algorithm has one.
        predictions: the answers at the queries, if it has no weight vector.
        ended: whether no prompt's status is OK any more, so that later steps change nothing; algorithms that do not check
            this leave it False.
    """

    status: Int[Tensor, " batch"]
    weights: Float[Tensor, "batch dim"] | None = None
    predictions: Float[Tensor, "batch query"] | None = None
    ended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Algorithm(abc.ABC):
    """A learner that answers queries from a context, step by step, from the zero predictor.

    Class attributes:
        name: its name in reports.
        implies: the symmetries that all its iterates have. ``additive``: with the inputs fixed, the prediction for
            labels y + y′ is the sum of those for y and y′; ``homogeneous``: labels c·y give c times the prediction;
            ``rotation``: rotating inputs and queries changes nothing; ``permutation``: reordering the examples changes nothing.
    """

    name: ClassVar[str]
    implies: ClassVar[frozenset[Invariance]]

    @abc.abstractmethod
    def init(self, problem: Problem) -> State:
        """The state of the zero predictor, before the first step."""

    def unit(self, problem: Problem, start: State) -> Float[Tensor, "batch 1"] | None:
        """The unit, a power of two, by which `run` divides a prompt's labels, so that no square overflows or underflows.

        Only for a homogeneous algorithm: its answers are multiplied by the unit again, exactly. None: labels stay as they are.

        Args:
            problem: the prompts.
            start: their state before the first step.
        """
        return None

    @abc.abstractmethod
    def step(self, problem: Problem, state: State) -> State:
        """The state after one more step."""


def initial_status(problem: Problem) -> Int[Tensor, " batch"]:
    """SOLVED if the moment is exactly zero, because then the zero predictor is the solution; else OK."""
    return status_where((problem.moment == 0).all(-1), Status.SOLVED)


def status_where(condition: Bool[Tensor, " batch"], status: Status) -> Int[Tensor, " batch"]:
    """The status where the condition holds, else OK."""
    return condition * int(status)


def as_numbers(value: float | Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """A coefficient as a double precision tensor: torch would round a plain number to single precision."""
    return torch.as_tensor(value, dtype=torch.float64)
