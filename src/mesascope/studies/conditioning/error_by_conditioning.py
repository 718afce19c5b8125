"""The error of networks trained on conditioning beside that of the solvers, by κ: source A's table, and like with like."""

from collections.abc import Sequence
from dataclasses import replace

from mesascope.instruments.behaving import solver_errors
from mesascope.instruments.behaving.solver_errors import BAYES, CHOSEN, OWN, plain, single
from mesascope.instruments.reading.iterates import Solver
from mesascope.studies.bench import Bench
from mesascope.studies.conditioning.networks import (
    CONDITIONS,
    DIM,
    EXAMPLES,
    ISOTROPIC,
    MIXED,
    MIXED_100,
    NOISE,
    RIDGE,
    ROTATED,
    Conditioned,
    at,
)
from mesascope.studies.measure import Measure
from mesascope.studies.pictures import lines, only, table
from mesascope.studies.rules import Where, where
from mesascope.studies.study import Study, own, published, sourced
from mesascope.types import Figure, Measurement, Scalar, bounds

FEATURE_CG = Solver(method="conjugate gradient", space="feature", ridge=RIDGE)
DATA_CG = replace(FEATURE_CG, space="data")
FEATURE_GD, DATA_GD = (replace(solver, method="gradient descent") for solver in (FEATURE_CG, DATA_CG))
FEATURE_LARGEST, DATA_LARGEST = (replace(solver, step_size="largest") for solver in (FEATURE_GD, DATA_GD))
SOLVERS = (FEATURE_CG, DATA_CG, FEATURE_GD, DATA_GD, FEATURE_LARGEST, DATA_LARGEST)
FEW, MANY = 100, 2048
"""Prompts that plain readouts are fitted on: 1.56 for each of 64 channels, as the source's 400 are for its 256; and many."""
MIXED_ONES = (MIXED, MIXED_100)
LAST = max(CONDITIONS)
BEST = NOISE**2 * DIM / (EXAMPLES - DIM - 1)
"""The expected error of least squares, which is the same at every κ; ridge's is hardly less."""
PRINTED = {
    row: tuple(published("A")[f"final_mse_by_kappa/{row}/{i}"] for i in range(len(CONDITIONS)))
    for row in ("model", "cg_feature", "cg_data", "gd_data")
}


def _measure(network: Conditioned, condition: float) -> Measure:
    return Measure(
        instrument=solver_errors.NAME,
        network=network,
        label={"network": network.name, "κ": condition},
        prompts={"n": 512, "fit": 1024},
        options={"solvers": SOLVERS, "fits": (FEW, MANY)},
        task=at(condition, rotate=network == ROTATED),
        at_smoke=network == MIXED and condition in (1.0, LAST),
        smoke_options={"fits": (FEW,)},
    )


def _mse(answers: str, condition: float, *networks: Conditioned) -> Where:
    names = [n.name for n in networks or (MIXED,)]
    return where(solver_errors.MSE, answers=answers, network=names, κ=condition)


def _over(answers: str, over: str, conditions: Sequence[float], *networks: Conditioned) -> Where:
    names = [n.name for n in networks or (MIXED,)]
    return where(solver_errors.OVER, answers=answers, over=over, network=names, κ=conditions)


def _row(row: str) -> tuple[str, ...]:
    return tuple(f"final_mse_by_kappa/{row}/{i}" for i in range(len(CONDITIONS)))


def _figures(found: Sequence[Measurement], bench: Bench) -> tuple[Figure, ...]:
    made = (_table(found), _by_condition(found), _readouts(found))
    return tuple(figure for figure in made if figure.rows)


def _table(found: Sequence[Measurement]) -> Figure:
    shown = {
        "model": ("model", plain(FEW)),
        "conjugate gradient, feature space": ("cg_feature", FEATURE_CG.name),
        "conjugate gradient, data space": ("cg_data", DATA_CG.name),
        "the same in single precision": ("cg_data", single(DATA_CG)),
        "gradient descent, data space, step 2/(λmax + λmin)": ("gd_data", DATA_GD.name),
        "gradient descent, data space, step 1/λmax": ("gd_data", DATA_LARGEST.name),
    }
    rows: list[dict[str, Scalar]] = []
    for name, (row, answers) in shown.items():
        for i, condition in enumerate(CONDITIONS):
            for m in _mse(answers, condition).among(found):
                rows.append(
                    {"answers of": name, "κ": condition, "published MSE": PRINTED[row][i], "MSE": m.value, "n": m.n}
                )
    return table(
        name="error-table",
        section="As published",
        title="Source A's table: mean squared error after twelve layers, and after twelve steps",
        caption=f"The model by a plain readout of its last stream, fitted on {FEW} prompts: as many for each channel as the "
        "source's. The source names neither the precision nor, for this table, the step size; single precision and 1/λmax come "
        "near it at κ = 500.",
        rows=tuple(rows),
        facet="answers of",
    )


def _by_condition(found: Sequence[Measurement]) -> Figure:
    shown = {
        OWN: "own readout",
        FEATURE_CG.name: "conjugate gradient",
        DATA_CG.name: "conjugate gradient, data space",
        FEATURE_GD.name: "gradient descent",
        DATA_GD.name: "gradient descent, data space",
        FEATURE_LARGEST.name: "gradient descent, step 1/λmax",
        BAYES: "best ridge",
    }
    rows: list[dict[str, Scalar]] = []
    for m in only(found, quantity=solver_errors.MSE.name):
        network, name = str(m.coordinates["network"]), str(m.coordinates["answers"])
        if name in shown and (name == OWN or network == MIXED.name):
            answers = f"{network}, own readout" if name == OWN else shown[name]
            rows.append({"κ": m.coordinates["κ"], "answers": answers, "MSE": m.value, **bounds(m.interval)})
    return lines(
        name="error-by-conditioning",
        section="Like with like",
        title="The error by condition number, networks and solvers on the same prompts",
        caption="Mean squared error at noiseless targets; twelve steps of every solver in double precision. Answering zero "
        "errs by the sum of the eigenvalues, 10 at κ = 1 and 1,000 and more at κ = 500.",
        rows=tuple(rows),
        x="κ",
        y="MSE",
        series="answers",
        titles={"κ": "condition number κ"},
        log=("x", "y"),
    )


def _readouts(found: Sequence[Measurement]) -> Figure:
    rows: list[dict[str, Scalar]] = []
    for m in only(found, quantity=solver_errors.OVER.name, over=FEATURE_CG.name):
        at = {"network": m.coordinates["network"], "κ": m.coordinates["κ"], "readout": m.coordinates["answers"]}
        rows.append({**at, "ratio": m.value, **bounds(m.interval)})
    return lines(
        name="error-by-readout",
        section="Like with like",
        title="How many times conjugate gradient's error, by readout",
        caption=f"Feature-space conjugate gradient has 1. A plain readout fitted on {FEW} prompts multiplies what it cannot "
        f"explain by about 1/(1 − 64/{FEW}) = {1 / (1 - 64 / FEW):.1f}.",
        rows=tuple(rows),
        x="κ",
        y="ratio",
        series="readout",
        facet="network",
        titles={"κ": "condition number κ", "ratio": "error over conjugate gradient's"},
        log=("x", "y"),
    )


def _notes(found: Sequence[Measurement], bench: Bench) -> tuple[str, ...]:
    def said(answers: str, over: str) -> str:
        held = [
            m for m in only(found, quantity=solver_errors.OVER.name, answers=answers, over=over, network=MIXED.name)
        ]
        return ", ".join(f"{m.value:.3g} (κ = {m.coordinates['κ']:g})" for m in held)

    return (
        f"Own readout over feature-space conjugate gradient: {said(OWN, FEATURE_CG.name)}; the plain readout fitted on {FEW} "
        f"prompts: {said(plain(FEW), FEATURE_CG.name)}.",
        f"A readout fitted at one κ over the own one: {said(CHOSEN, OWN)}. Where it is below 1, the network's stream holds more "
        "than its readout, which serves every κ, takes out.",
        "Gradient descent from zero has one path at one step size: Xᵀα_k of data space is w_k of feature space. What differs "
        "is the step size 2/(λmax + λmin): with more examples than dimensions the smallest eigenvalue of XXᵀ + λI is λ itself.",
    )


_SHORT = {MIXED: 0.05}

STUDY = Study(
    name="error-by-conditioning",
    title="Does a network that was trained on badly conditioned problems solve them as well as conjugate gradient?",
    source="A",
    measures=(
        *(_measure(network, condition) for network in MIXED_ONES for condition in CONDITIONS),
        *(_measure(ROTATED, condition) for condition in CONDITIONS),
        _measure(ISOTROPIC, 1.0),
    ),
    claims=(
        sourced(
            "The model's errors, by a readout fitted anew as in the source, are as printed (within a factor of 2).",
            *(_mse(plain(FEW), κ).near(printed, 2.0) for κ, printed in zip(CONDITIONS, PRINTED["model"], strict=True)),
            published=_row("model"),
            needs=_SHORT,
        ),
        sourced(
            "The errors of feature-space conjugate gradient are as printed (within a factor of 2).",
            *(
                _mse(FEATURE_CG.name, κ).near(printed, 2.0)
                for κ, printed in zip(CONDITIONS, PRINTED["cg_feature"], strict=True)
            ),
            published=_row("cg_feature"),
        ),
        sourced(
            "The errors of data-space conjugate gradient are as printed (within a factor of 2, in double precision).",
            *(
                _mse(DATA_CG.name, κ).near(printed, 2.0)
                for κ, printed in zip(CONDITIONS, PRINTED["cg_data"], strict=True)
            ),
            published=_row("cg_data"),
        ),
        sourced(
            "The errors of data-space gradient descent are as printed (within a factor of 2, step 2/(λmax + λmin)).",
            *(
                _mse(DATA_GD.name, κ).near(printed, 2.0)
                for κ, printed in zip(CONDITIONS, PRINTED["gd_data"], strict=True)
            ),
            published=_row("gd_data"),
        ),
        sourced(
            "At every κ the model's error is 2 to 5 times that of feature-space conjugate gradient (by a readout fitted anew).",
            _over(plain(FEW), FEATURE_CG.name, CONDITIONS).between(2.0, 5.0),
            published=("model_over_feature_space_cg/0", "model_over_feature_space_cg/1"),
            needs=_SHORT,
        ),
        sourced(
            "At every κ gradient descent's error is at least three times the model's (data space; by a readout fitted anew).",
            _over(plain(FEW), DATA_GD.name, CONDITIONS).between(high=1 / 3),
            published=("gd_over_model/0", "gd_over_model/1"),
            needs=_SHORT,
        ),
        sourced(
            "At κ = 500 gradient descent's error is 54.2, the model's 0.054, conjugate gradient's 0.020 (each within a factor "
            "of 2; gradient descent with step 1/λmax).",
            _mse(DATA_LARGEST.name, LAST).near(54.2, 2.0),
            _mse(plain(FEW), LAST).near(0.054, 2.0),
            _mse(FEATURE_CG.name, LAST).near(0.02, 2.0),
            published=tuple(f"final_mse_at_largest_kappa/{name}" for name in ("gd", "model", "cg")),
            needs=_SHORT,
        ),
        own(
            "Like with like: by its own readout a mixed network errs at most twice as much as feature-space conjugate "
            "gradient, up to κ = 100.",
            _over(OWN, FEATURE_CG.name, [κ for κ in CONDITIONS if κ < LAST], *MIXED_ONES).between(high=2.0),
            needs=dict.fromkeys(MIXED_ONES, 0.05),
        ),
        own(
            f"The factor is the readout's: at κ = 1 a plain one fitted on {FEW} prompts errs at least 1.5 times as much as the "
            f"network's own, and one fitted on {MANY} at most 1.2 times.",
            _over(plain(FEW), OWN, (1.0,), *MIXED_ONES).between(low=1.5),
            _over(plain(MANY), OWN, (1.0,), *MIXED_ONES).between(high=1.2),
        ),
        own(
            "In data space conjugate gradient fails by rounding: in double precision, up to κ = 100, it errs at most 1.3 "
            "times as much as least squares is expected to, and in single precision, from κ = 50 on, more than ten times.",
            *(_mse(DATA_CG.name, κ).between(high=1.3 * BEST) for κ in CONDITIONS if κ < LAST),
            *(_mse(single(DATA_CG), κ).between(low=10 * BEST) for κ in CONDITIONS if κ >= 50),
        ),
        own(
            "A basis that is drawn anew for every prompt costs the network little: by its own readout the rotated network errs "
            "at most three times as much as feature-space conjugate gradient, up to κ = 100.",
            _over(OWN, FEATURE_CG.name, [κ for κ in CONDITIONS if κ < LAST], ROTATED).between(high=3.0),
            needs={ROTATED: 0.05},
        ),
        own(
            "Every network beats gradient descent at its best step size in feature space by more than three times, at every κ.",
            _over(OWN, FEATURE_GD.name, CONDITIONS, *MIXED_ONES, ROTATED).between(high=1 / 3),
        ),
    ),
    figures=_figures,
    notes=_notes,
    departures=(
        "How many prompts the source's readouts are fitted on is not said; its probes are fitted on 400, for 256 channels. For "
        f"64 channels {FEW} prompts are as many.",
        "The source's table sets data-space gradient descent beside feature-space conjugate gradient; here both are in both "
        "spaces, in double precision, twelve steps, λ = 0.1.",
        "A prompt has eight queries in place of one; errors are means over queries.",
        "Rules were fixed after a look at a mixed network at step 7,000 of 16,000.",
    ),
)
