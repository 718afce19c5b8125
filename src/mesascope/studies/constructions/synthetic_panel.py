"""Do hand-built layers contract as the theory says? Source C's synthetic panel, on networks that run."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms import GradientDescent, run
from mesascope.instruments.asking.tokens import along
from mesascope.models.constructions import Construction, gradient_descent
from mesascope.studies.measure import Between
from mesascope.studies.session import Session
from mesascope.studies.study import Claim, Found, Study
from mesascope.tasks import Eigenvalues, Gaussian, LinearRegression
from mesascope.types import Control, Figure, Measured, Measurement, Prompts, Scalar

EXAMPLES, DIM, STEPS = 20, 5, 20
CURVATURES = (0.3, 0.6, 1.0, 1.5)
SPECTRUM = tuple((0.9 * (108 / 0.9) ** (i / (DIM - 1))) / EXAMPLES for i in range(DIM))
"""Eigenvalues of XᵀX/n: those of XᵀX run from 0.9 to 108, as the source's do at its ends."""
RATES, DEPTHS = tuple(i / 20 for i in range(1, 20)), (1, 2, 3, 5, 10)
EXACT = Between(high=1e-12)
WRONG = 0.9
"""The negative control is the law for nine tenths of the gain."""


def run_panel(session: Session) -> Found:
    """The three panels: descent of the loss, each eigen-direction, and layers compounded."""
    n = session.prompts(64)
    parts = {
        "loss descent": session.keep_part("loss descent", lambda: _descent(session.seed, n)),
        "eigen-directions": session.keep_part("eigen-directions", lambda: _directions(session.seed, n)),
        "compounding": session.keep_part("compounding", lambda: _compounding(session.seed, n)),
    }
    return Found(
        evidence={name: part.measurements for name, part in parts.items()},
        measurements=tuple(m for part in parts.values() for m in part.measurements),
        figures=tuple(f for part in parts.values() for f in part.figures),
    )


def remaining(
    network: Construction, prompts: Prompts, directions: Float[Tensor, "batch query dim"]
) -> Float[Tensor, "step batch query"]:
    """(uᵀw_k − uᵀw)² over (uᵀw)² for each direction u, read from what the layers answer when u is the query."""
    asked = Prompts(
        xs=prompts.xs,
        ys=prompts.ys,
        queries=directions,
        targets=(directions @ _weights(prompts)[..., None])[..., 0],
        target_variance=prompts.target_variance,
        weights=prompts.weights,
    )
    trace = network.trace(asked, capture=network.path)
    answered = along(network.layout(prompts.examples, directions.shape[1]).answers)
    answers = [network.readout(trace[site][:, answered], site) for site in network.path]
    path = torch.stack([torch.zeros_like(asked.targets), *answers])
    return ((path - asked.targets) / asked.targets).square()


def _descent(seed: int, n: int) -> Measured:
    measured: list[Measurement] = []
    rows: list[dict[str, Scalar]] = []
    for a in CURVATURES:
        left = remaining(gradient_descent(layers=STEPS, step_size=1.0), *_one_dimension(a, seed, n))[..., 0]
        steps = torch.arange(STEPS + 1, dtype=torch.float64)
        expected = (1 - a) ** (2 * steps)
        measured.append(_distance("loss descent", left, expected, (1 - WRONG * a) ** (2 * steps), {"curvature a": a}))
        rows += _rows(left, expected, {"curvature": f"a = {a:g}"})
    return Measured(
        measurements=tuple(measured),
        figures=(
            _figure("loss-descent", "Loss descent of one channel", "layer", rows, "L_k/L_0 = (1 − ηa)²ᵏ at η = 1"),
        ),
    )


def _directions(seed: int, n: int) -> Measured:
    task = LinearRegression(
        dim=DIM, examples=EXAMPLES, inputs=Gaussian(covariance=Eigenvalues(values=SPECTRUM, rotate=True), exact=True)
    )
    prompts = task.sample(n, seed=seed, stream="synthetic-panel")
    values, vectors = torch.linalg.eigh(prompts.xs.mT @ prompts.xs / EXAMPLES)
    step = 2 / (min(SPECTRUM) + max(SPECTRUM))
    left = remaining(gradient_descent(layers=STEPS, step_size=step), prompts, vectors.mT)
    steps = torch.arange(STEPS + 1, dtype=torch.float64)
    found: list[Measurement] = []
    rows: list[dict[str, Scalar]] = []
    for i in range(DIM):
        value = float(values[:, i].mean())
        law, wrong = ((1 - gain * step * value) ** (2 * steps) for gain in (1.0, WRONG))
        found.append(
            _distance("eigen-directions", left[..., i], law, wrong, {"eigenvalue of XᵀX": round(value * EXAMPLES, 3)})
        )
        rows += _rows(left[..., i], law, {"curvature": f"λ = {value * EXAMPLES:.3g}"})
    caption = "(1 − η*λᵢ)²ᵏ at η* = 2/(λ₁ + λ₅); the legend has eigenvalues of XᵀX"
    return Measured(
        measurements=tuple(found),
        figures=(_figure("eigen-directions", "Each eigen-direction", "layer", rows, caption),),
    )


def _compounding(seed: int, n: int) -> Measured:
    left = {
        rate: remaining(gradient_descent(layers=max(DEPTHS), step_size=1.0), *_one_dimension(1 - rate**0.5, seed, n))
        for rate in RATES
    }
    found: list[Measurement] = []
    rows: list[dict[str, Scalar]] = []
    for depth in DEPTHS:
        after = torch.stack([left[rate][depth, :, 0] for rate in RATES])
        rates = torch.tensor(RATES, dtype=torch.float64)
        wrong = (1 - WRONG * (1 - rates.sqrt())) ** (2 * depth)
        found.append(_distance("compounding", after, rates**depth, wrong, {"layers": depth}))
        rows += [
            {"one layer": rate, "all layers": float(v.median()), "layers": str(depth)}
            for rate, v in zip(RATES, after, strict=True)
        ]
    figure = Figure(
        name="compounding",
        section="Synthetic panel",
        title="Layers compounded",
        caption="What k layers leave of the loss, (ρ²)ᵏ, against what one leaves, ρ². Medians over prompts.",
        kind="lines",
        rows=tuple(rows),
        x="one layer",
        y="all layers",
        series="layers",
        titles={"one layer": "one layer leaves, ρ²", "all layers": "k layers leave, (ρ²)ᵏ"},
    )
    return Measured(measurements=tuple(found), figures=(figure,))


def _one_dimension(curvature: float, seed: int, n: int) -> tuple[Prompts, Float[Tensor, "batch query dim"]]:
    inputs = Gaussian(covariance=Eigenvalues(values=(curvature,)), exact=True)
    task = LinearRegression(dim=1, examples=EXAMPLES, inputs=inputs)
    prompts = task.sample(n, seed=seed, stream="synthetic-panel")
    return prompts, torch.ones(n, 1, 1, dtype=torch.float64)


def _distance(
    panel: str, left: Float[Tensor, "step batch"], law: Float[Tensor, " step"], wrong: Tensor, where: dict[str, Scalar]
) -> Measurement:
    """The largest distance from the law, over steps and prompts."""
    problem = LinearRegression(dim=1, examples=EXAMPLES).sample(left.shape[1], seed=0)
    reference = run(GradientDescent(step_size=0.5), problem, STEPS)
    assert reference.weights is not None
    gain = 0.5 * problem.xs.square().mean(1)[:, 0]
    known = (reference.weights[..., 0] / _weights(problem)[:, 0] - 1).square()
    steps = torch.arange(STEPS + 1, dtype=torch.float64)
    return Measurement(
        instrument="synthetic-panel",
        quantity="largest distance from the law",
        value=float((left - law[:, None]).abs().max()),
        interval=None,
        n=left.shape[1],
        coordinates={"panel": panel, **where},
        controls=(
            Control(
                kind="positive",
                name="gradient descent itself, in one dimension",
                value=float((known - (1 - gain)[None] ** (2 * steps)[:, None]).abs().max()),
            ),
            Control(
                kind="negative", name="the law for 0.9 of the gain", value=float((left - wrong[:, None]).abs().max())
            ),
        ),
    )


def _rows(left: Float[Tensor, "step batch"], law: Tensor, where: dict[str, Scalar]) -> list[dict[str, Scalar]]:
    middle = left.median(1).values
    return [
        {**where, "layer": k, "what is left": float(value), "law": float(expected)}
        for k, (value, expected) in enumerate(zip(middle, law, strict=True))
    ]


def _figure(name: str, title: str, x: str, rows: Sequence[dict[str, Scalar]], law: str) -> Figure:
    return Figure(
        name=name,
        section="Synthetic panel",
        title=title,
        caption=f"Median over prompts of what the layers leave of the loss; the law is {law}.",
        kind="lines",
        rows=tuple(row for row in rows if float(row["what is left"] or 0) > 1e-16),
        x=x,
        y="what is left",
        series="curvature",
        log=("y",),
    )


def _weights(prompts: Prompts) -> Float[Tensor, "batch dim"]:
    assert prompts.weights is not None, "the task has latent weights"
    return prompts.weights


STUDY = Study(
    name="synthetic-panel",
    source="C",
    title="Do hand-built layers contract as the theory says?",
    claims=(
        Claim(
            text="The loss of one channel falls as (1 − ηa)²ᵏ, to machine precision.",
            accept={"loss descent": EXACT},
        ),
        Claim(
            text="With the best single gain, each eigen-direction contracts by (1 − η*λᵢ)² a layer, to machine precision.",
            accept={"eigen-directions": EXACT},
        ),
        Claim(
            text="k layers leave the kth power of what one leaves.",
            accept={"compounding": EXACT},
        ),
    ),
    run=run_panel,
    departures=(
        "The source runs gradient descent in NumPy; here the layers themselves run (linear attention, the construction "
        "gradient-descent), and what they hold is read by asking for single directions.",
        "The source says that the largest eigen-direction converges fastest. With η* = 2/(λmin + λmax), which it uses, the "
        "smallest and the largest contract at the same rate, (κ−1)/(κ+1), and the ones between them faster.",
        "Of the spectrum the source gives the two ends (0.9 and 108, of XᵀX); the others are spaced evenly in their logarithm.",
    ),
)
