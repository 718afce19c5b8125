"""How many digits the forms of conjugate gradient keep, in double and single precision, by condition number."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from mesascope.instruments.behaving.rounding import ERROR, ITSELF, NAME, PRECISIONS, RESIDUAL
from mesascope.studies.bench import Bench
from mesascope.studies.measure import Measure
from mesascope.studies.pictures import lines, only, rows
from mesascope.studies.rules import Rule, known, where
from mesascope.studies.study import Study, own
from mesascope.tasks import LinearRegression
from mesascope.types import Figure, Measurement

CONDITIONS = (1.0, *(10.0**k for k in range(2, 9)))
HARD, WORST = CONDITIONS[3:], CONDITIONS[-1]
ITERATIONS = 40
TASK = LinearRegression(dim=5, examples=20, queries=8)
DUAL, PIPELINED, PRIMAL = "dual", "pipelined", "primal"
FORMS = {
    DUAL: "conjugate-gradient",
    PIPELINED: "pipelined-conjugate-gradient",
    PRIMAL: "primal-conjugate-gradient",
}
EPSILON = {precision: torch.finfo(dtype).eps for precision, dtype in PRECISIONS.items()}


def _digits(low: float, high: float, control: str = "", **at: str | float | tuple[float, ...]) -> tuple[Rule, ...]:
    """Both quantities, in both precisions, must lie between multiples of the machine precision."""
    return tuple(
        where(quantity, control=control, precision=precision, **at).between(low * epsilon, high * epsilon)
        for precision, epsilon in EPSILON.items()
        for quantity in (ERROR, RESIDUAL)
    )


def _figures(found: Sequence[Measurement], bench: Bench) -> tuple[Figure, ...]:
    itself = [
        replace(known(m, ITSELF), quantity=ERROR, coordinates={**m.coordinates, "form": "reference"})
        for m in only(found, quantity=ERROR, form=DUAL)
    ]
    drawn = rows([*itself, *found], ERROR, "error", condition="condition", form="form", precision="precision")
    figure = lines(
        name="rounding",
        section="Rounding",
        title="What is left of the error after enough iterations of conjugate gradient",
        caption="Relative error at the queries: median over prompts and quartiles; 1 is answering zero. The reference is the "
        "algorithm in the same precision.",
        rows=drawn,
        x="condition",
        y="error",
        series="form",
        facet="precision",
        titles={"condition": "condition number", "error": "relative error"},
        log=("x", "y"),
    )
    return (figure,)


STUDY = Study(
    name="rounding",
    source="own",
    title="How many digits do the forms of conjugate gradient keep?",
    measures=tuple(
        Measure(
            instrument=NAME,
            network=f"construction:{network}?iterations={ITERATIONS}",
            label={"form": form},
            prompts={"n": 24},
            options={"conditions": CONDITIONS, "iterations": ITERATIONS},
            task=TASK,
        )
        for form, network in FORMS.items()
    ),
    claims=(
        own(
            "At condition number 1, every form leaves no more than 20 times the machine precision.",
            *_digits(0, 20, condition=1.0),
        ),
        own(
            "The dual form, which never forms XᵀX, keeps all digits up to condition number 1e8: it leaves no more than 30 times "
            "the machine precision.",
            *_digits(0, 30, form=DUAL),
        ),
        own(
            "The algorithm itself and the primal form hold the residual of the normal equations, and lose two to five digits at "
            "condition number 1e8.",
            *_digits(1e2, 1e5, control=ITSELF, form=DUAL, condition=WORST),
            *_digits(1e2, 1e5, form=PRIMAL, condition=WORST),
        ),
        own(
            "The pipelined form, with one layer per iteration, loses three digits and more from condition number 1e4 on.",
            *_digits(1e3, float("inf"), form=PIPELINED, condition=HARD),
        ),
    ),
    figures=_figures,
    departures=(
        "Nobody published this. The rules were written after the numbers had been looked at; the page on "
        "hand-built networks tells what they mean. Intervals are quartiles over prompts.",
    ),
)
