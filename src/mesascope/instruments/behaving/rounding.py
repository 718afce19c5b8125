"""Rounding: the error that remains in the answers of hand-built networks in either precision, by condition number."""

import dataclasses
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms import ConjugateGradient, run
from mesascope.instruments.asking.applicability import NotApplicable
from mesascope.instruments.instrument import Instrument, sizes
from mesascope.models.constructions import Construction
from mesascope.tasks import Diagonal, Gaussian
from mesascope.types import Control, Measurement, PrescribableTask, Prompts, Subject, adjusted

NAME = "rounding"
ERROR, RESIDUAL = "relative error", "relative residual"
ITSELF, ZERO = "the algorithm itself", "answering zero"
PRECISIONS = {"float64": torch.float64, "float32": torch.float32}
QUARTILES = (0.25, 0.5, 0.75)

_Case = tuple[str, float, str]
"""Precision, condition number, and whose answers: the network's, or a control's."""
_OWN = "the network"


def rounding(
    subject: Subject,
    task: PrescribableTask,
    *,
    seed: int = 0,
    n: int = 24,
    conditions: Sequence[float] = (1.0, 1e4, 1e8),
    iterations: int = 40,
) -> tuple[Measurement, ...]:
    """The remaining error of conjugate gradient after more iterations than exact arithmetic needs.

    XᵀX/n has exactly the condition number, so that the remaining error is rounding if the labels have no noise. The exact
    answer is that of least squares, by orthogonal factorisation in double precision, for the numbers after they are rounded
    to the precision.

    Two measurements per precision and condition number, medians over prompts with the quartiles as interval: the relative
    error of the answers (root mean square over queries, divided by that of the exact answers) and the relative residual
    ‖y − Xw‖/‖y‖ of the examples.

    Controls. Positive: the algorithm itself in that precision, and the network at the first condition number. Negative:
    answering zero.

    Args:
        subject: a hand-built network that runs conjugate gradient.
        task: where the prompts come from; its inputs become Gaussian with the condition number.
        seed: the seed of the prompts.
        n: number of prompts per condition number.
        conditions: condition numbers of XᵀX/n; the first is the easy case.
        iterations: number of iterations of the algorithm itself.

    Raises:
        NotApplicable: the subject is not a hand-built network.
    """
    if not isinstance(subject, Construction):
        raise NotApplicable(f"{subject.name} is not a hand-built network, so its precision cannot be chosen.")
    found: dict[_Case, Float[Tensor, "quantity quartile"]] = {}
    for condition in conditions:
        inputs = Gaussian(covariance=Diagonal(condition=condition, rotate=True), exact=True)
        prompts = adjusted(task, inputs=inputs).sample(n, seed=seed, stream="stability")
        for precision in PRECISIONS:
            for name, values in _remaining(subject, prompts, precision, iterations).items():
                found[precision, condition, name] = values
    return tuple(
        _measurement(found, i, n, precision, condition, conditions[0])
        for condition in conditions
        for precision in PRECISIONS
        for i in range(2)
    )


def _remaining(
    network: Construction, drawn: Prompts, precision: str, iterations: int
) -> dict[str, Float[Tensor, "quantity quartile"]]:
    """Quartiles of the error and the residual of the network, of the algorithm itself, and of answering zero."""
    dtype = PRECISIONS[precision]
    p = drawn.to(dtype=dtype).to(dtype=torch.float64)
    everywhere = {"queries": torch.cat([p.queries, p.xs], 1), "targets": torch.cat([p.targets, p.ys], 1)}
    asked = dataclasses.replace(p, **everywhere)  # also the examples' inputs, for the residual
    answers = {
        ZERO: torch.zeros_like(asked.targets),
        ITSELF: run(ConjugateGradient(), asked, iterations, dtype=dtype).predictions[-1],
        _OWN: dataclasses.replace(network, dtype=dtype).trace(asked).predictions,
    }
    levels = torch.tensor(QUARTILES, dtype=torch.float64)
    return {name: torch.quantile(_left(each.double(), p), levels, 0).T for name, each in answers.items()}


def _left(answers: Float[Tensor, "batch query"], p: Prompts) -> Float[Tensor, "batch 2"]:
    """Relative error at the queries, which come first, and relative residual at the examples."""
    solution = torch.linalg.lstsq(p.xs, p.ys[..., None], driver="gelsd").solution
    exact = (p.queries @ solution)[..., 0]
    queries = exact.shape[1]
    error = (answers[:, :queries] - exact).norm(dim=1) / exact.norm(dim=1)
    return torch.stack([error, (answers[:, queries:] - p.ys).norm(dim=1) / p.ys.norm(dim=1)], -1)


def _measurement(
    found: Mapping[_Case, Tensor], quantity: int, n: int, precision: str, condition: float, easy: float
) -> Measurement:
    low, middle, high = found[precision, condition, _OWN][quantity].tolist()
    below, itself, above = found[precision, condition, ITSELF][quantity].tolist()
    at_easy, zero = (
        found[case][quantity].tolist()[1] for case in ((precision, easy, _OWN), (precision, condition, ZERO))
    )
    return Measurement(
        instrument=NAME,
        quantity=(ERROR, RESIDUAL)[quantity],
        value=middle,
        interval=(low, high),
        n=n,
        coordinates={"precision": precision, "condition": condition},
        controls=(
            Control(kind="positive", name=ITSELF, value=itself, interval=(below, above)),
            Control(kind="positive", name=f"κ = {easy:g}", value=at_easy),
            Control(kind="negative", name=ZERO, value=zero),
        ),
    )


INSTRUMENT = Instrument(
    name=NAME,
    question="How many digits does rounding leave of its answers?",
    measure=rounding,
    needs="a hand-built network that runs conjugate gradient",
    quantities=(ERROR, RESIDUAL),
    coordinates=("precision", "condition"),
    values={"precision": tuple(PRECISIONS)},
    sizes=sizes(n=(24, 24, 96)),
)

__all__ = ("ERROR", "INSTRUMENT", "ITSELF", "NAME", "PRECISIONS", "RESIDUAL", "rounding")
