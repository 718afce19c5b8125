"""Softmax attention and its iterations against kernel regression: order, error, spread and blame, cell by cell.

One head of softmax attention is a kernel smoother, and kernel ridge regression with the same kernel is its oracle. In every
cell of a grid over dimension, examples, temperature, conditioning, ridge and noise the same prompts are answered by all
learners, by a network, by the oracles, and by the best answer there is (linear ridge with the Bayes-optimal λ).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.instruments.behaving.kernel_sweep.answering import replies
from mesascope.instruments.behaving.kernel_sweep.asking import (
    KERNEL_RIDGE,
    LEARNERS,
    LINEAR_RIDGE,
    PLAIN,
    SCALED,
    SOFTMAX,
    Asked,
    Grid,
)
from mesascope.instruments.behaving.kernel_sweep.drawing import draw
from mesascope.instruments.behaving.kernel_sweep.gathering import (
    CONTROLS,
    DRAWN,
    NEAR,
    NETWORK,
    WRONG,
    Batch,
    Cell,
    Rows,
    gather,
    oracle_of,
)
from mesascope.instruments.behaving.kernel_sweep.judging import (
    LOST,
    MOVED,
    NEIGHBOURS,
    OF_ANSWERS,
    OF_ORACLES,
    classify,
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
    `judging.classify`. Intervals are over seeds; one seed has none.

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
        rows: dict[tuple[Cell, str], Rows] = {}
        for step in range(asked.seeds):
            drawn = draw(task, n, condition=condition, streams=asked.streams, seed=seed, step=step, near=grid.near)
            present = asked.network_seeds is None or step < asked.network_seeds
            answered = replies(drawn, grid, asked, task.weight_variance)
            gather(rows, Batch(drawn=drawn, replies=answered, subject=subject if present else None), grid, asked, task)
        where = {"dim": task.dim, "examples": task.examples, "condition": condition, "streams": asked.streams}
        for (cell, queries), by_learner in rows.items():
            axes = {"τ": cell.t, "logits": SCALED if cell.scaled else PLAIN, "ridge": cell.ridge, "noise": cell.noise}
            found += _measured(by_learner, {**where, "queries": queries, **axes}, asked, draws, n)
    return tuple(found)


def _measured(
    rows: Rows, where: Mapping[str, Scalar], asked: Asked, draws: Float[Tensor, "repeat seed"], n: int
) -> list[Measurement]:
    """All measurements of one cell."""
    held = {name: {q: torch.stack(each) for q, each in by.items()} for name, by in rows.items()}
    known = {name: _values(by) for name, by in held.items()}
    found: list[Measurement] = []
    for name in (NETWORK, *asked.learners):
        verdict = classify(known[name], known[LINEAR_RIDGE], known[oracle_of(name)])
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
        positive = {control: held[control][quantity.name] for control in CONTROLS if control not in (WRONG, name)}
        negative = {WRONG: held[WRONG][quantity.name]}
    found = measure(NAME, quantity, rows, draws, coordinates=where, positive=positive, negative=negative)
    return replace(found, n=n * len(rows), **({"interval": None} if len(rows) == 1 else {}))


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
        "logits",
        "ridge",
        "noise",
        "learner",
        "class",
    ),
    values={"learner": (NETWORK, *LEARNERS), "queries": (DRAWN, NEAR), "logits": (PLAIN, SCALED)},
    sizes=sizes(n=(24, 256, 1024)),
)

__all__ = ("DRAWN", "INSTRUMENT", "NAME", "NEAR", "NETWORK", "WRONG", "Asked", "Grid", "kernel_sweep")
