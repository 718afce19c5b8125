"""Softmax attention and its iterations against kernel regression: order, error, spread and blame, cell by cell.

One head of softmax attention is a kernel smoother, and kernel ridge regression with the same kernel is its oracle. In every
cell of a grid over dimension, examples, temperature, conditioning, ridge and noise the same prompts are answered by all
learners, by a network, by the oracles, and by the best answer there is (linear ridge with the Bayes-optimal λ).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.instruments.asking.collect import answers as answers_of
from mesascope.instruments.behaving.kernel_sweep.answering import Replies, best_ridge, key, replies
from mesascope.instruments.behaving.kernel_sweep.asking import (
    CROSS_VALIDATED,
    KERNEL_RIDGE,
    LEARNERS,
    LINEAR_RIDGE,
    SOFTMAX,
    Asked,
    Cell,
    Grid,
    cells,
)
from mesascope.instruments.behaving.kernel_sweep.drawing import Drawn, draw
from mesascope.instruments.behaving.kernel_sweep.judging import (
    CONDITION,
    LOST,
    MOVED,
    NEIGHBOURS,
    OF_ANSWERS,
    OF_ORACLES,
    SINGULAR,
    classify,
    moved,
    sums,
)
from mesascope.instruments.behaving.silent_rule import OWN, POOLED, RANK
from mesascope.instruments.instrument import Instrument, sizes
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.scores import Quantity, measure
from mesascope.machine.memory import check_memory
from mesascope.records.checks import check_count
from mesascope.tasks import LinearRegression
from mesascope.types import Measurement, Scalar, Subject

NAME = "kernel sweep"
DRAWN, NEAR = "as drawn", "near one example"
NETWORK, WRONG = "the network", "the right spread in the wrong order"
_OWN_ORACLE = "the network's oracle"
_ALWAYS = (KERNEL_RIDGE, CROSS_VALIDATED, LINEAR_RIDGE, WRONG)
_ORACLES = {NETWORK: _OWN_ORACLE, CROSS_VALIDATED: LINEAR_RIDGE, LINEAR_RIDGE: LINEAR_RIDGE, _OWN_ORACLE: _OWN_ORACLE}
"""Whose oracle is not kernel ridge regression with the cell's kernel."""

_Rows = dict[str, dict[str, list[Tensor]]]
"""By learner and quantity, one row of means per seed."""


def kernel_sweep(
    subject: Subject,
    task: LinearRegression,
    *,
    seed: int = 0,
    n: int = 256,
    grid: Grid | None = None,
    asked: Asked | None = None,
) -> tuple[Measurement, ...]:
    """Order, error, spread and class of every learner in every cell.

    Per cell and learner: the rank correlation with the truth and with the oracle's answers (Spearman, over the queries of
    one prompt, mean over prompts), the root mean squared error, the error over the pooled variance and over each prompt's own
    (1: answering the prompt's mean), and the spread. Of softmax attention also the effective number of neighbours; of kernel
    ridge regression how far labels that are perturbed by a tenth of their standard deviation move the answers, the condition
    number of its matrix, and the share of prompts in which it is singular. The coordinate ``class`` says who fails, see
    `judging.classify`. Intervals are over seeds.

    The oracle of a learner is kernel ridge regression with its kernel; that of the network, linear ridge regression.

    Controls, on the same prompts. Positive: kernel ridge regression with the cell's kernel and with a cross-validated width,
    and linear ridge regression with the Bayes-optimal λ, the best answer there is. Negative: the right spread in the wrong
    order; for the number of neighbours, the nearest example.

    Args:
        subject: the network.
        task: the sizes of the prompts, and the prior of their weights; inputs and noise are the grid's.
        seed: of the prompts and the resampling.
        n: number of prompts per seed.
        grid: the cells; by default one.
        asked: what is drawn and who answers.

    Raises:
        ValueError: fewer than 3 queries, prompts that do not fit into memory, or a condition number that the task's
            dimension does not have.
    """
    grid, asked = grid or Grid(), asked or Asked()
    check_count("queries", task.queries, least=3, hint=" An order needs several: pass 16.")
    kept = 8 * len(grid.temperatures) * len(grid.scaled) * len(grid.ridges)
    check_memory(
        f"a batch of {n} prompts of examples={task.examples}",
        8 * n * (task.examples * (6 * task.examples + kept) + 4 * task.dim * (task.examples + 2 * task.queries)),
        "Pass a smaller n.",
    )
    found: list[Measurement] = []
    draws = bootstrap.weights(asked.seeds, seed=seed)
    for condition in grid.conditions:
        rows: dict[tuple[Cell, str], _Rows] = {}
        for step in range(asked.seeds):
            drawn = draw(task, n, condition=condition, streams=asked.streams, seed=seed, step=step, near=grid.near)
            _add(
                rows, _Batch(drawn, replies(drawn, grid, asked, task.weight_variance), subject, step), grid, asked, task
            )
        where = {"dim": task.dim, "examples": task.examples, "condition": condition, "streams": asked.streams}
        for (cell, queries), by_learner in rows.items():
            place = {**where, "queries": queries, **_coordinates(cell)}
            found += _measured(by_learner, place, asked, draws, n)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Batch:
    """The prompts of one seed, and who answers them."""

    drawn: Drawn
    replies: Replies
    subject: Subject
    step: int
    asked: dict[float, Tensor] = field(default_factory=dict)

    def network(self, noise: float) -> Float[Tensor, "batch query"]:
        """The network's answers, asked once for each noise."""
        if noise not in self.asked:
            self.asked[noise] = answers_of(self.subject, self.drawn.prompts(noise))
        return self.asked[noise]


def _coordinates(cell: Cell) -> dict[str, Scalar]:
    return {"τ": cell.t, "over √d": cell.scaled, "ridge": cell.ridge, "noise": cell.noise}


def _add(rows: dict[tuple[Cell, str], _Rows], batch: _Batch, grid: Grid, asked: Asked, task: LinearRegression) -> None:
    """One row more for each cell, learner and quantity."""
    parts = {DRAWN: slice(0, task.queries), **({NEAR: slice(task.queries, None)} if grid.near else {})}
    for cell in cells(grid, task.dim):
        best = best_ridge(cell.noise, task.weight_variance)
        everything = _answers(batch, cell, asked, best)
        names = list(everything)
        answers = torch.stack(list(everything.values()))
        oracles = torch.tensor([names.index(_ORACLES.get(name, KERNEL_RIDGE)) for name in names])
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


def _answers(batch: _Batch, cell: Cell, asked: Asked, best: float) -> dict[str, Float[Tensor, "batch query"]]:
    """The answers of all learners and controls."""
    names = [name for name in dict.fromkeys((*asked.learners, *_ALWAYS)) if name != WRONG]
    found = {name: batch.replies.answers(name, cell, best) for name in names}
    found[WRONG] = torch.zeros_like(batch.drawn.targets)  # its order depends on which queries are looked at
    if asked.network_seeds is None or batch.step < asked.network_seeds:
        found[NETWORK] = batch.network(cell.noise)
        found[_OWN_ORACLE] = batch.replies.answers(LINEAR_RIDGE, cell, asked.ridge)
    return found


def _stability(
    batch: _Batch, cell: Cell, part: slice, asked: Asked, best: float
) -> dict[str, dict[str, Float[Tensor, " batch"]]]:
    """`OF_ORACLES` of every oracle, and the number of neighbours of softmax attention, prompt by prompt."""
    found: dict[str, dict[str, Tensor]] = {}
    ridges = {KERNEL_RIDGE: best, LINEAR_RIDGE: best, _OWN_ORACLE: asked.ridge}
    if asked.network_seeds is not None and batch.step >= asked.network_seeds:
        del ridges[_OWN_ORACLE]
    for name, ridge in ridges.items():
        solved = batch.replies.solved[key(KERNEL_RIDGE if name == KERNEL_RIDGE else LINEAR_RIDGE, cell, ridge)]
        found[name] = {
            MOVED.name: moved(solved.answers[:, part, 1], batch.drawn.clean, batch.drawn.targets[:, part]),
            CONDITION.name: solved.condition.log10().nan_to_num(nan=99.0, posinf=99.0),
            LOST.name: (solved.broken | ~(solved.condition <= SINGULAR)).double(),
        }
    if SOFTMAX in asked.learners:
        found[SOFTMAX] = {NEIGHBOURS.name: batch.replies.neighbours[cell.temperature][:, part].mean(-1)}
    return found


def _measured(
    rows: _Rows, where: Mapping[str, Scalar], asked: Asked, draws: Float[Tensor, "repeat seed"], n: int
) -> list[Measurement]:
    """All measurements of one cell."""
    held = {name: {q: torch.stack(each) for q, each in by.items()} for name, by in rows.items()}
    known = {name: _values(by) for name, by in held.items()}
    found: list[Measurement] = []
    for name in (NETWORK, *asked.learners):
        oracle = _ORACLES.get(name, KERNEL_RIDGE)
        verdict = classify(known[name], known[LINEAR_RIDGE], known[oracle])
        place = {**where, "learner": name, "class": verdict}
        special = (NEIGHBOURS,) if name == SOFTMAX else OF_ORACLES if name == KERNEL_RIDGE else ()
        found += [
            _measurement(quantity, held, name, place, draws, n)
            for quantity in (*OF_ANSWERS, *special)
            if not asked.quantities or quantity.name in asked.quantities
        ]
    return [replace(m, interval=None) for m in found] if asked.streams == "replayed" else found


def _values(by_quantity: Mapping[str, Tensor]) -> dict[str, float]:
    """The values that the class rests on."""
    quantities: Sequence[Quantity] = (RANK, POOLED, OWN, MOVED, LOST)
    return {
        q.name: float(q.combine(by_quantity[q.name].mean(0, keepdim=True))[0])
        for q in quantities
        if q.name in by_quantity
    }


def _measurement(
    quantity: Quantity,
    held: Mapping[str, Mapping[str, Tensor]],
    name: str,
    where: Mapping[str, Scalar],
    draws: Tensor,
    n: int,
) -> Measurement:
    """One number of one learner with its controls, which are taken from the same prompts."""
    rows = held[name][quantity.name]
    held = {other: {q: each[: len(rows)] for q, each in by.items()} for other, by in held.items()}
    draws = draws[:, : len(rows)]
    positive: Mapping[str, Tensor | float]
    negative: Mapping[str, Tensor | float]
    if quantity is NEIGHBOURS:
        positive, negative = {"equal weights": float(str(where["examples"]))}, {"nearest example": 1.0}
    elif quantity in OF_ORACLES:
        positive, negative = {LINEAR_RIDGE: held[LINEAR_RIDGE][quantity.name]}, {}
    else:
        positive = {control: held[control][quantity.name] for control in _ALWAYS if control not in (WRONG, name)}
        negative = {WRONG: held[WRONG][quantity.name]}
    found = measure(NAME, quantity, rows, draws, coordinates=where, positive=positive, negative=negative)
    return replace(found, n=n * len(rows))


INSTRUMENT = Instrument(
    name=NAME,
    question="Where does softmax attention keep the order that kernel regression finds, and where does it fail?",
    measure=kernel_sweep,
    needs="a subject that takes the sizes of the grid",
    quantities=tuple(quantity.name for quantity in (*OF_ANSWERS, NEIGHBOURS, *OF_ORACLES)),
    coordinates=(
        "dim",
        "examples",
        "condition",
        "streams",
        "queries",
        "τ",
        "over √d",
        "ridge",
        "noise",
        "learner",
        "class",
    ),
    values={"learner": (NETWORK, *LEARNERS), "queries": (DRAWN, NEAR)},
    sizes=sizes(n=(24, 256, 1024)),
)

__all__ = ("DRAWN", "INSTRUMENT", "NAME", "NEAR", "NETWORK", "WRONG", "Asked", "Grid", "kernel_sweep")
