"""One row of means per seed, for each cell, learner and quantity of `kernel sweep`."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.instruments.asking.collect import answers as answers_of
from mesascope.instruments.behaving.kernel_sweep.answering import Replies, best_ridge, key
from mesascope.instruments.behaving.kernel_sweep.asking import (
    CROSS_VALIDATED,
    KERNEL_RIDGE,
    LINEAR_RIDGE,
    SOFTMAX,
    Asked,
    Cell,
    Grid,
    cells,
)
from mesascope.instruments.behaving.kernel_sweep.drawing import Drawn
from mesascope.instruments.behaving.kernel_sweep.judging import (
    CONDITION,
    LOST,
    MOVED,
    NEIGHBOURS,
    SINGULAR,
    moved,
    sums,
)
from mesascope.tasks import LinearRegression
from mesascope.types import Subject

DRAWN, NEAR = "as drawn", "near one example"
NETWORK, WRONG = "the network", "the right spread in the wrong order"
CONTROLS = (KERNEL_RIDGE, CROSS_VALIDATED, LINEAR_RIDGE, WRONG)
_NETWORKS = "linear ridge regression with the network's λ"
LARGEST = 308.0
"""log10 of a condition number that is not finite in float64."""

Rows = dict[str, dict[str, list[Tensor]]]
"""By learner and quantity, one row of means per seed."""


def oracle_of(learner: str) -> str:
    """Whose answers a learner's are compared with: kernel ridge with its kernel; for linear learners, linear ridge."""
    return {
        NETWORK: _NETWORKS,
        _NETWORKS: _NETWORKS,
        CROSS_VALIDATED: LINEAR_RIDGE,
        LINEAR_RIDGE: LINEAR_RIDGE,
    }.get(learner, KERNEL_RIDGE)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """The prompts of one seed, and who answers them.

    Attributes:
        drawn: the prompts.
        replies: the answers of all learners but the network.
        subject: the network; None if it does not answer this seed.
        asked: its answers, by noise.
    """

    drawn: Drawn
    replies: Replies
    subject: Subject | None
    asked: dict[float, Tensor] = field(default_factory=dict)

    def network(self, noise: float) -> Float[Tensor, "batch query"]:
        """The network's answers, asked once for each noise."""
        assert self.subject is not None, "a network that does not answer is not asked"
        if noise not in self.asked:
            self.asked[noise] = answers_of(self.subject, self.drawn.prompts(noise))
        return self.asked[noise]


def gather(rows: dict[tuple[Cell, str], Rows], batch: Batch, grid: Grid, asked: Asked, task: LinearRegression) -> None:
    """Add one row for each cell, kind of query, learner and quantity."""
    parts = {DRAWN: slice(0, task.queries), **({NEAR: slice(task.queries, None)} if grid.near else {})}
    for cell in cells(grid, task.dim):
        best = best_ridge(cell.noise, task.weight_variance)
        everything = _answers(batch, cell, asked, best)
        names = list(everything)
        answers = torch.stack(list(everything.values()))
        oracles = torch.tensor([names.index(oracle_of(name)) for name in names])
        for queries, part in parts.items():
            targets = batch.drawn.targets[:, part]
            mine = answers[..., part].clone()
            mine[names.index(WRONG)] = targets.roll(1, -1)
            by_learner = rows.setdefault((cell, queries), {})
            for quantity, means in sums(mine, oracles, targets).items():
                for name, row in zip(names, means, strict=True):
                    by_learner.setdefault(name, {}).setdefault(quantity, []).append(row)
            for name, quantities in _stability(batch, cell, part, asked, best).items():
                for quantity, value in quantities.items():
                    by_learner[name].setdefault(quantity, []).append(value.mean()[None])


def _answers(batch: Batch, cell: Cell, asked: Asked, best: float) -> dict[str, Float[Tensor, "batch query"]]:
    """The answers of all learners and controls."""
    names = [name for name in dict.fromkeys((*asked.learners, *CONTROLS)) if name != WRONG]
    found = {name: batch.replies.answers(name, cell, best) for name in names}
    found[WRONG] = torch.zeros_like(batch.drawn.targets)  # its order depends on which queries are looked at
    if batch.subject is not None:
        found[NETWORK] = batch.network(cell.noise)
        found[_NETWORKS] = batch.replies.answers(LINEAR_RIDGE, cell, asked.ridge)
    return found


def _stability(
    batch: Batch, cell: Cell, part: slice, asked: Asked, best: float
) -> dict[str, dict[str, Float[Tensor, " batch"]]]:
    """`OF_ORACLES` of every oracle, and the number of neighbours of softmax attention, prompt by prompt."""
    places = {KERNEL_RIDGE: key(KERNEL_RIDGE, cell, best), LINEAR_RIDGE: key(LINEAR_RIDGE, cell, best)}
    if batch.subject is not None:
        places[_NETWORKS] = key(LINEAR_RIDGE, cell, asked.ridge)
    found: dict[str, dict[str, Tensor]] = {}
    for name, place in places.items():
        solved = batch.replies.solved[place]
        found[name] = {
            MOVED.name: moved(solved.answers[:, part, 1], batch.drawn.clean, batch.drawn.targets[:, part]),
            CONDITION.name: solved.condition.log10().nan_to_num(nan=LARGEST, posinf=LARGEST),
            LOST.name: (solved.broken | ~(solved.factorised <= SINGULAR)).double(),
        }
    if SOFTMAX in asked.learners:
        found[SOFTMAX] = {NEIGHBOURS.name: batch.replies.neighbours[cell.temperature][:, part].mean(-1)}
    return found
