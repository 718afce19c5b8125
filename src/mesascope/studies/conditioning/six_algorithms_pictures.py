"""The pictures and notes of the study of six solvers."""

import math
from collections.abc import Mapping, Sequence

from mesascope.instruments.explaining.instrument import SHARE
from mesascope.instruments.identification.following import LEFT, REMAINDER, SCORE, nearest
from mesascope.instruments.identification.remainder import REPEATED
from mesascope.instruments.metrics.layer_by_step import AHEAD, ALL, HALF, PROGRESS, R2, R2_LAYER
from mesascope.instruments.metrics.named_solvers import CG, GD, HEAVY, PCG, SOLVED, SOLVERS
from mesascope.studies.pictures import bars, lines, only, table
from mesascope.types import Figure, Measurement, Scalar, bounds

FLOOR = 0.0
"""Progress that is drawn, at least."""
Printed = dict[str, tuple[float, float]]
"""The source's scores and half-widths, by solver."""


def scores(found: Sequence[Measurement], printed: Printed, drawn: Sequence[str]) -> Figure:
    """The published score of every solver: the source's, and that of some subjects by the same definition."""
    return bars(
        name="published-score",
        section="As published",
        title="The published score of every solver",
        caption="R² about the identity between layer ℓ and step ℓ, clipped at 0, averaged over layers, then over condition "
        "numbers by their logarithm. The bars are the source's half-widths: 1.96 standard deviations over 200 bootstrap "
        "repetitions, averaged over layers and condition numbers. The first six solvers are the source's. Planted subjects take "
        "exactly one step of a solver per layer.",
        rows=_scored(found, printed, drawn),
        x="solver",
        y="score",
        series="of",
    )


def scaled_scores(found: Sequence[Measurement], printed: Printed, network: str) -> Figure:
    """The same in the scaled setting."""
    return bars(
        name="published-score-scaled",
        section="As published",
        title="The published score of every solver: 24 layers, 20 dimensions, 40 examples",
        caption="As for twelve layers, with the source's scores for its own network of this size.",
        rows=_scored(found, printed, (network,)),
        x="solver",
        y="score",
        series="of",
    )


def _scored(found: Sequence[Measurement], printed: Printed, drawn: Sequence[str]) -> tuple[dict[str, Scalar], ...]:
    """The source's scores and those of some subjects, with the source's half-widths, in the order of the solvers."""
    rows: list[dict[str, Scalar]] = [
        {"solver": solver, "of": "source A", "score": value, "low": value - half, "high": value + half}
        for solver, (value, half) in printed.items()
    ]
    halves = {(m.coordinates["network"], m.coordinates["solver"]): m.value for m in only(found, quantity=HALF)}
    for m in only(found, quantity=R2, condition=ALL):
        if m.coordinates["network"] not in drawn:
            continue
        half = halves[m.coordinates["network"], m.coordinates["solver"]]
        place = {"solver": m.coordinates["solver"], "of": m.coordinates["network"], "score": m.value}
        rows.append({**place, "low": m.value - half, "high": m.value + half})
    rows.sort(key=lambda row: SOLVERS.index(str(row["solver"])))
    return tuple(rows)


def score_table(found: Sequence[Measurement], printed: Printed, scaled: Printed) -> Figure:
    """The published score as a table: the source's at both of its sizes, and those of all subjects."""
    held = {
        (m.coordinates["solver"], m.coordinates["network"]): m.value for m in only(found, quantity=R2, condition=ALL)
    }
    networks = dict.fromkeys(str(network) for _, network in held)
    rows: list[dict[str, Scalar]] = [
        {
            "solver": solver,
            "source A": printed[solver][0] if solver in printed else None,
            "half-width": printed[solver][1] if solver in printed else None,
            "source A, scaled": scaled[solver][0] if solver in scaled else None,
            **{network: held.get((solver, network)) for network in networks},
        }
        for solver in SOLVERS
    ]
    return table(
        name="published-score-table",
        section="As published",
        title="The published score of every solver, on every subject",
        caption="By the source's definition. The first six solvers are the source's, with its printed half-width, and with its "
        "scores for 24 layers.",
        rows=tuple(rows),
    )


def by_layer(found: Sequence[Measurement], network: str) -> Figure:
    """The published R² of each layer."""
    rows = tuple(
        {"layer": m.coordinates["layer"], "solver": m.coordinates["solver"], "R²": m.value, **bounds(m.interval)}
        for m in only(found, quantity=R2_LAYER, network=network)
        if m.coordinates["solver"] in (CG, PCG, GD, HEAVY, SOLVED)
    )
    return lines(
        name="published-score-by-layer",
        section="As published",
        title=f"The published R² of each layer: {network}",
        caption="Where layer and step have both solved the problem they agree, whatever took them there: the curve of ridge "
        "regression, which takes no steps, nearly coincides with that of conjugate gradient. Averaged over condition numbers by "
        "their logarithm; 95 % intervals over prompts.",
        rows=rows,
        x="layer",
        y="R²",
        series="solver",
    )


def progress(found: Sequence[Measurement], drawn: Sequence[str]) -> Figure:
    """Progress to the steps of every solver, of some subjects."""
    rows = tuple(
        {
            "solver": m.coordinates["solver"],
            "of": m.coordinates["network"],
            **{k: max(v, FLOOR) for k, v in zip(("progress", "low", "high"), (m.value, *m.interval), strict=True)},
        }
        for m in only(found, quantity=PROGRESS, condition=ALL)
        if m.interval is not None and m.coordinates["network"] in drawn
    )
    return bars(
        name="progress",
        section="Done right",
        title="How much of what the layers do each solver's steps explain",
        caption="1 − (error of the step as a description of the layer) / (error of answering zero), where the solvers differ by "
        "more than 1 %; each step is scaled as a fitted readout scales what it finds. A planted subject has 1 for its own "
        "solver. 95 % intervals over prompts.",
        rows=rows,
        x="solver",
        y="progress",
        series="of",
    )


def verdicts(found: Sequence[Measurement]) -> Figure:
    """The verdicts, with the nearest candidate."""
    rows = []
    for m in only(found, quantity=LEFT):
        network, on = (m.coordinates[name] for name in ("network", "on"))
        near, rest = (only(found, quantity=quantity, network=network, on=on) for quantity in (SCORE, REMAINDER))
        rows.append(
            {
                "network": network,
                "on": on,
                "verdict": m.coordinates["label"],
                "nearest candidate": nearest(m),
                "score": near[0].value if near else None,
                "remainder": rest[0].value if rest else None,
                "n": m.n,
            }
        )
    return table(
        name="verdicts",
        section="Verdicts",
        title="Which candidate's path the layers take",
        caption="Remainder: share of the network's variance that the nearest candidate leaves and the problem determines; "
        f"above {REPEATED:.1%} another algorithm is at work.",
        rows=tuple(rows),
    )


def said(found: Sequence[Measurement], networks: Sequence[str]) -> tuple[str, ...]:
    """What else came out, in sentences."""

    def each(quantity: str, solver: str) -> str:
        held = {m.coordinates["network"]: m for m in only(found, quantity=quantity, solver=solver, condition=ALL)}
        return ", ".join(f"{held[name].value:.3f} ({name})" for name in networks if name in held)

    functions = [m for m in only(found, quantity=SHARE) if m.coordinates["class"] == "function"]
    named = "; ".join(
        f"{m.coordinates['network']} on the {m.coordinates['distribution']} distribution: {m.coordinates['member']}, "
        f"{m.value:.2%}"
        for m in functions
    )
    needed = "; ".join(
        f"{_count(m.value)} at κ = {m.coordinates['condition']:g} and noise {m.coordinates['noise']:.0%}"
        for m in only(found, quantity="prompts needed")
    )
    return (
        f"Jacobi conjugate gradient's progress beyond conjugate gradient's: {each(AHEAD, PCG)}.",
        *((f"Named functions, with their share of the answers. {named}.",) if named else ()),
        f"Prompts needed to tell the two conjugate gradients apart: {needed}.",
    )


def _count(prompts: float) -> str:
    """A number of prompts; there is none where the two candidates are one."""
    return f"{prompts:g}" if math.isfinite(prompts) else "no number suffices"


def trained_to(network: str, curve: Sequence[Mapping[str, float]], error: float, printed: Mapping[str, float]) -> str:
    """How far a network was trained, beside the source's networks."""
    last = [line["loss"] for line in curve if "loss" in line][-10:]
    return (
        f"{network}: training loss {sum(last) / len(last):.3g} (mean of the last {len(last)} that were logged), held-out error "
        f"{error:.3g}. The source prints {printed['training_loss/mixed']:g} for its mixed network of twelve layers, and no "
        "training loss for the scaled one."
    )


__all__ = ("by_layer", "progress", "said", "scaled_scores", "score_table", "scores", "trained_to", "verdicts")
