"""Accuracy of the forms of conjugate gradient, in double and single precision, by condition number."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms import ConjugateGradient, run
from mesascope.models.constructions import (
    Construction,
    conjugate_gradient,
    pipelined_conjugate_gradient,
    primal_conjugate_gradient,
)
from mesascope.tasks import Diagonal, Gaussian, LinearRegression
from mesascope.types import Control, Figure, Measurement, Prompts

CONDITIONS = (1.0, *(10.0**k for k in range(2, 9)))
DIM, EXAMPLES, QUERIES = 5, 20, 8
PRECISIONS = {"float64": torch.float64, "float32": torch.float32}
REFERENCE = "reference"
FORMS: dict[str, Callable[..., Construction]] = {
    "dual": conjugate_gradient,
    "pipelined": pipelined_conjugate_gradient,
    "primal": primal_conjugate_gradient,
}
QUANTITIES = ("relative error", "relative residual")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Found:
    """One form at one condition number in one precision: both `QUANTITIES`, one row per prompt."""

    form: str
    precision: str
    condition: float
    values: Float[Tensor, "batch 2"]

    def quartiles(self, quantity: int) -> tuple[float, float, float]:
        levels = torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)
        low, middle, high = torch.quantile(self.values[:, quantity], levels).tolist()
        return low, middle, high


def stability(
    seed: int = 0, *, conditions: Sequence[float] = CONDITIONS, iterations: int = 40, prompts: int = 24
) -> tuple[tuple[Measurement, ...], Figure]:
    """The remaining error after enough iterations of conjugate gradient, by form, precision and condition number.

    Labels have no noise, and XᵀX/n has exactly the condition number, so that the remaining error is rounding. The exact answer
    is that of least squares, by orthogonal factorisation in double precision, for the numbers after they are rounded to the
    precision.

    Args:
        seed: the seed of the prompts.
        conditions: condition numbers of XᵀX/n; the first is the easy case, which serves as a control.
        iterations: number of iterations of each form; 5 would be enough in exact arithmetic.
        prompts: number of prompts per condition number.

    Returns:
        Two measurements per form, precision and condition number, medians over prompts with the quartiles as
        interval: the relative error of the answers (root mean square over queries, divided by that of the exact answers) and
        the relative residual ‖y − Xw‖/‖y‖ of the examples. Controls: the algorithm itself in that precision, the form
        at the first condition number, and answering zero.
    """
    found = {
        (row.form, row.precision, row.condition): row
        for condition in conditions
        for row in _at(condition, seed, iterations, prompts)
    }
    measurements = tuple(
        Measurement(
            instrument="stability",
            quantity=name,
            value=row.quartiles(quantity)[1],
            interval=(row.quartiles(quantity)[0], row.quartiles(quantity)[2]),
            n=prompts,
            coordinates={
                "form": row.form,
                "precision": row.precision,
                "condition": row.condition,
                "iterations": iterations,
            },
            controls=(
                *(
                    Control(kind="positive", name=words, value=found[key].quartiles(quantity)[1])
                    for words, key in (
                        ("the algorithm itself", (REFERENCE, row.precision, row.condition)),
                        (f"κ = {conditions[0]:g}", (row.form, row.precision, conditions[0])),
                    )
                ),
                Control(
                    kind="negative",
                    name="answering zero",
                    value=found["zero", row.precision, row.condition].quartiles(quantity)[1],
                ),
            ),
        )
        for row in found.values()
        if row.form != "zero"
        for quantity, name in enumerate(QUANTITIES)
    )
    return measurements, _figure(measurements)


def _at(condition: float, seed: int, iterations: int, prompts: int) -> list[_Found]:
    """All forms in both precisions at one condition number."""
    inputs = Gaussian(covariance=Diagonal(condition=condition, rotate=True), exact=True)
    task = LinearRegression(dim=DIM, examples=EXAMPLES, queries=QUERIES, inputs=inputs)
    drawn = task.sample(prompts, seed=seed, stream="stability")
    rows = []
    for precision, dtype in PRECISIONS.items():
        p = drawn.to(dtype=dtype).to(dtype=torch.float64)
        everywhere = {"queries": torch.cat([p.queries, p.xs], 1), "targets": torch.cat([p.targets, p.ys], 1)}
        asked = dataclasses.replace(p, **everywhere)  # also the examples' inputs, for the residual
        answers = {
            "zero": torch.zeros_like(asked.targets),
            REFERENCE: run(ConjugateGradient(), asked, iterations, dtype=dtype).predictions[-1],
        }
        for form, make in FORMS.items():
            network = dataclasses.replace(make(iterations=iterations), dtype=dtype)
            answers[form] = network.trace(asked).predictions
        rows += [
            _Found(form=form, precision=precision, condition=condition, values=_left(each.double(), p))
            for form, each in answers.items()
        ]
    return rows


def _left(answers: Float[Tensor, "batch query"], p: Prompts) -> Float[Tensor, "batch 2"]:
    """Relative error at the queries, which come first, and relative residual at the examples."""
    solution = torch.linalg.lstsq(p.xs, p.ys[..., None], driver="gelsd").solution
    exact = (p.queries @ solution)[..., 0]
    queries = exact.shape[1]
    error = (answers[:, :queries] - exact).norm(dim=1) / exact.norm(dim=1)
    return torch.stack([error, (answers[:, queries:] - p.ys).norm(dim=1) / p.ys.norm(dim=1)], -1)


def _figure(measurements: Sequence[Measurement]) -> Figure:
    rows = tuple(
        {
            "condition": m.coordinates["condition"],
            "error": m.value,
            "low": m.interval[0],
            "high": m.interval[1],
            "form": m.coordinates["form"],
            "precision": m.coordinates["precision"],
            "n": m.n,
        }
        for m in measurements
        if m.quantity == QUANTITIES[0] and m.interval
    )
    return Figure(
        name="stability",
        section="Stability",
        title="What is left of the error after enough iterations of conjugate gradient",
        caption="Relative error at the queries: median over prompts and quartiles; 1 is answering zero. The reference is "
        "the algorithm in the same precision.",
        kind="lines",
        rows=rows,
        x="condition",
        y="error",
        series="form",
        facet="precision",
        low="low",
        high="high",
        titles={"condition": "condition number", "error": "relative error", "form": "form"},
        log=("x", "y"),
    )
