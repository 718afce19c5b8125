"""Do hand-built layers contract as the theory says? Source C's synthetic panel, on networks that run."""

from collections.abc import Callable, Sequence

from mesascope.instruments.spectral.contraction import DISTANCE, LAW, LEFT, NAME
from mesascope.studies.bench import Bench
from mesascope.studies.measure import Measure
from mesascope.studies.pictures import only
from mesascope.studies.rules import Where, known, largest, where
from mesascope.studies.study import Study, sourced
from mesascope.tasks import Eigenvalues, Gaussian, LinearRegression
from mesascope.types import Figure, Measurement, Scalar

EXAMPLES, DIM, STEPS = 20, 5, 20
CURVATURES = (0.3, 0.6, 1.0, 1.5)
SPECTRUM = tuple((0.9 * (108 / 0.9) ** (i / (DIM - 1))) / EXAMPLES for i in range(DIM))
"""Eigenvalues of XᵀX/n: those of XᵀX run from 0.9 to 108, as the source's do at its ends."""
BEST = 2 / (min(SPECTRUM) + max(SPECTRUM))
"""η*, the best single gain."""
RATES, DEPTHS = tuple(i / 20 for i in range(1, 20)), (1, 2, 3, 5, 10)
LOSS, DIRECTIONS, COMPOUNDING = "loss descent", "eigen-directions", "compounding"
EXACT = 1e-12


def _measure(
    label: dict[str, Scalar],
    eigenvalues: Sequence[float],
    *,
    layers: int,
    step_size: float = 1.0,
    kept: tuple[Where, ...] = (),
) -> Measure:
    """What layers of gradient descent leave of prompts whose XᵀX/n has exactly these eigenvalues."""
    inputs = Gaussian(covariance=Eigenvalues(values=tuple(eigenvalues), rotate=len(eigenvalues) > 1), exact=True)
    return Measure(
        instrument=NAME,
        network=f"construction:gradient-descent?layers={layers}&step_size={step_size}",
        label=label,
        prompts={"n": 64},
        options={"step_size": step_size},
        task=LinearRegression(dim=len(eigenvalues), examples=EXAMPLES, inputs=inputs),
        kept=kept,
    )


def _figures(found: Sequence[Measurement], bench: Bench) -> tuple[Figure, ...]:
    return (
        _descent(
            only(found, quantity=LEFT, panel=LOSS),
            "loss-descent",
            "Loss descent of one channel",
            "L_k/L_0 = (1 − ηa)²ᵏ at η = 1",
            lambda m: f"a = {m.coordinates['curvature a']:g}",
        ),
        _descent(
            only(found, quantity=LEFT, panel=DIRECTIONS),
            "eigen-directions",
            "Each eigen-direction",
            "(1 − η*λᵢ)²ᵏ at η* = 2/(λ₁ + λ₅); the legend has eigenvalues of XᵀX",
            lambda m: f"λ = {float(m.coordinates['eigenvalue'] or 0) * EXAMPLES:.3g}",
        ),
        _compounding(only(found, quantity=LEFT, panel=COMPOUNDING)),
    )


def _descent(
    left: Sequence[Measurement], name: str, title: str, law: str, curvature: Callable[[Measurement], str]
) -> Figure:
    rows = tuple(
        {
            "curvature": curvature(m),
            "layer": m.coordinates["layer"],
            "what is left": m.value,
            "law": known(m, LAW).value,
        }
        for m in left
        if m.value > 1e-16
    )
    return Figure(
        name=name,
        section="Synthetic panel",
        title=title,
        caption=f"What the layers leave of the loss, median over prompts; the law is {law}.",
        kind="lines",
        rows=rows,
        x="layer",
        y="what is left",
        series="curvature",
        log=("y",),
    )


def _compounding(left: Sequence[Measurement]) -> Figure:
    rows = tuple(
        {"one layer": m.coordinates["one layer"], "all layers": m.value, "layers": str(m.coordinates["layer"])}
        for depth in DEPTHS
        for m in only(left, layer=depth)
    )
    return Figure(
        name="compounding",
        section="Synthetic panel",
        title="Layers compounded",
        caption="What k layers leave of the loss, (ρ²)ᵏ, against what one leaves, ρ². Medians over prompts.",
        kind="lines",
        rows=rows,
        x="one layer",
        y="all layers",
        series="layers",
        titles={"one layer": "one layer leaves, ρ²", "all layers": "k layers leave, (ρ²)ᵏ"},
    )


STUDY = Study(
    name="synthetic-panel",
    source="C",
    title="Do hand-built layers contract as the theory says?",
    measures=(
        *(_measure({"panel": LOSS, "curvature a": a}, (a,), layers=STEPS) for a in CURVATURES),
        _measure({"panel": DIRECTIONS}, SPECTRUM, layers=STEPS, step_size=BEST),
        *(
            _measure(
                {"panel": COMPOUNDING, "one layer": rate},
                (1 - rate**0.5,),
                layers=max(DEPTHS),
                kept=(where(layer=DEPTHS),),
            )
            for rate in RATES
        ),
    ),
    claims=(
        sourced(
            "The loss of one channel falls as (1 − ηa)²ᵏ, to machine precision.",
            largest(where(DISTANCE, panel=LOSS), "curvature a").between(high=EXACT),
        ),
        sourced(
            "With the best single gain, each eigen-direction contracts by (1 − η*λᵢ)² per layer, to machine precision.",
            largest(where(DISTANCE, panel=DIRECTIONS), "eigenvalue").between(high=EXACT),
        ),
        sourced(
            "k layers leave the kth power of what one leaves.",
            largest(where(DISTANCE, panel=COMPOUNDING), "layer").between(high=EXACT),
        ),
    ),
    figures=_figures,
    departures=(
        "The source runs gradient descent in NumPy; here the layers themselves run (linear attention, the construction "
        "gradient-descent), and what they hold is read by asking for single directions.",
        "The source says that the largest eigen-direction converges fastest. With η* = 2/(λmin + λmax), which it uses, the "
        "smallest and the largest contract at the same rate, (κ−1)/(κ+1), and the ones between them faster.",
        "Of the spectrum the source gives the two ends (0.9 and 108, of XᵀX); the others are spaced evenly in their logarithm.",
    ),
)
