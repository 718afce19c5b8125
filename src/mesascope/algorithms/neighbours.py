"""The mean label of the nearest examples."""

from dataclasses import dataclass
from typing import ClassVar, Literal, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mesascope.algorithms.algorithm import INVARIANCES, Invariance
from mesascope.algorithms.closed_forms import ClosedForm
from mesascope.algorithms.problem import Problem
from mesascope.records.checks import check_choices, check_count


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class NearestNeighbours(ClosedForm):
    """The mean label of the examples nearest to the query (Euclidean distance).

    Of equally near ones the first shown are taken; where only rounding makes two distances differ, either may be.

    Attributes:
        neighbours: their number; all examples, if there are fewer.
        weights: ``uniform``, or ``distance`` for weights of 1 over the distance (an example at the query itself then decides
            alone, together with others there).

    Raises:
        ValueError: fewer than one neighbour, or unknown weights.

    Source: Cover & Hart 1967; Shepard 1968 for the weights.

    Departs from source: scikit-learn's ``KNeighborsRegressor`` refuses to answer from fewer examples than neighbours.
    """

    neighbours: int = 5
    weights: Literal["uniform", "distance"] = "uniform"
    parametric: ClassVar[bool] = False
    name: ClassVar[str] = "nearest-neighbours"
    implies: ClassVar[frozenset[Invariance]] = INVARIANCES

    def __post_init__(self) -> None:
        check_choices(self)
        check_count("neighbours", self.neighbours)

    def answer(self, problem: Problem) -> tuple[Float[Tensor, "batch query"], Int[Tensor, " batch"]]:
        xs, ys = problem.data
        # By differences, so that an example at the query itself is at distance 0 exactly.
        away = torch.cdist(problem.queries, xs, compute_mode="donot_use_mm_for_euclid_dist")
        distances, order = away.sort(dim=-1, stable=True)
        count = min(self.neighbours, xs.shape[1])
        distances, order = distances[..., :count], order[..., :count]
        labels = ys[:, None].expand(-1, order.shape[1], -1).gather(-1, order)
        status = torch.zeros(len(ys), dtype=torch.long, device=ys.device)
        if self.weights == "uniform":
            return labels.mean(-1), status
        here = distances == 0
        shares = torch.where(here.any(-1, keepdim=True), here.to(ys), 1 / distances)
        return (shares * labels).sum(-1) / shares.sum(-1), status


__all__ = ("NearestNeighbours",)
