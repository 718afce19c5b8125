"""What every reference algorithm is: a frozen configuration with ``init`` and ``step``."""

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
    """What an algorithm holds between steps; each algorithm extends it by what it remembers.

    Attributes:
        status: a `Status` per prompt for the step that led here. Only the first that is not OK counts: `run` discards
            what follows, so a step need not guard against it.
        weights: the weight vector, where the algorithm has one.
        predictions: the answers at the queries, where it has none.
        ended: whether no status is OK any more, so that later steps change nothing; may stay False where it is not looked at.
    """

    status: Int[Tensor, " batch"]
    weights: Float[Tensor, "batch dim"] | None = None
    predictions: Float[Tensor, "batch query"] | None = None
    ended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Algorithm(abc.ABC):
    """A learner that answers queries from a context, step by step, from the zero predictor.

    Class attributes:
        name: what it is called in reports.
        implies: the symmetries that all its iterates have. ``additive``: with the inputs fixed, the prediction for
            labels y + y′ is the sum of those for y and y′; ``homogeneous``: labels c·y give c times the prediction;
            ``rotation``: rotating inputs and queries changes nothing; ``permutation``: nor does the order of examples.
    """

    name: ClassVar[str]
    implies: ClassVar[frozenset[Invariance]]

    @abc.abstractmethod
    def init(self, problem: Problem) -> State:
        """The zero predictor."""

    def unit(self, problem: Problem, start: State) -> Float[Tensor, "batch 1"] | None:
        """What `run` measures a prompt's labels in, a power of two, so that no square leaves the range of its numbers.

        Only for a homogeneous algorithm, whose answers are then measured in it too, bit for bit. None: as they are.

        Args:
            problem: the prompts.
            start: their state before the first step.
        """
        return None

    @abc.abstractmethod
    def step(self, problem: Problem, state: State) -> State:
        """One step on."""


def initial_status(problem: Problem) -> Int[Tensor, " batch"]:
    """SOLVED where the moment is exactly zero, for then the zero predictor is the solution; else OK."""
    return status_where((problem.moment == 0).all(-1), Status.SOLVED)


def status_where(condition: Bool[Tensor, " batch"], status: Status) -> Int[Tensor, " batch"]:
    """The status where the condition holds, else OK."""
    return condition * int(status)


def as_numbers(value: float | Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """A coefficient as a double precision tensor: torch would round a plain number to single precision."""
    return torch.as_tensor(value, dtype=torch.float64)
