"""The figures of identification: layers against steps for each candidate, and the error by depth."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.instruments.identification.candidates import Fitted
from mesascope.instruments.identification.evidence import Halves
from mesascope.instruments.reading.paths import Paths
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.discrepancy import discrepancy, units
from mesascope.types import Answer, Figure, Scalar

SHOWN = 6
"""The number of candidates drawn, best first."""


def figures(answer: Answer, paths: Paths, fitted: Fitted, halves: Halves, distribution: str) -> tuple[Figure, ...]:
    """Both figures for one distribution."""
    names = [f.family.name for f in fitted.fits]
    shown = [names.index(row.candidate) for row in answer.scores if not row.excluded][:SHOWN]
    return (
        _heat_map(paths, fitted, shown, halves, distribution),
        _depth(paths, fitted, shown, halves, distribution),
    )


def _heat_map(paths: Paths, fitted: Fitted, shown: Sequence[int], halves: Halves, distribution: str) -> Figure:
    """The agreement of each layer with each step; the best non-decreasing path is a diagnostic and is never scored."""
    layers = len(paths.scoring)
    most = min(max(3 * layers, 4), 24)
    unit = units(paths.scoring, halves.scoring.prompts.target_variance)
    size = discrepancy(paths.scoring, torch.zeros_like(paths.scoring), unit).mean(-1)
    rows: list[dict[str, Scalar]] = []
    for i in shown:
        fit = fitted.fits[i]
        steps = halves.scoring.predictions(fit.family, fit.values, most)
        table = torch.stack(
            [1 - discrepancy(paths.scoring, a.expand_as(paths.scoring), unit).mean(-1) / size for a in steps], 1
        )
        free = _free_path(table)
        rows += [
            {
                "candidate": fit.family.name,
                "layer": layer + 1,
                "step": step,
                "agreement": max(float(table[layer, step]), -1.0),
                "free path": free[layer] == step,
                "n": len(halves.scoring.prompts),
            }
            for layer in range(layers)
            for step in range(1, most + 1)
        ]
    return Figure(
        name=f"layers-by-steps-{distribution}",
        section=f"Layers against steps, {distribution} distribution",
        title=f"Which step each layer looks like ({distribution} distribution)",
        caption="1 − (discrepancy between a layer's answer and an iterate)/(the answer's size): 1 if they are equal; values "
        "below −1 are drawn as −1. The outlined best non-decreasing path is a diagnostic and is never scored. For a fitted "
        "readout, the gains of the candidates are left out here.",
        kind="heatmap",
        rows=tuple(rows),
        x="step",
        y="layer",
        value="agreement",
        series="free path",
        facet="candidate",
    )


def _free_path(table: Float[Tensor, "layer step"]) -> list[int]:
    """The non-decreasing sequence of steps with the largest total agreement (dynamic programming)."""
    layers = len(table)
    total = table[0].clone()
    back: list[Tensor] = []
    for layer in range(1, layers):
        best, where = total.cummax(0)
        back.append(where)
        total = best + table[layer]
    path = [int(total.argmax())]
    for where in reversed(back):
        path.append(int(where[path[-1]]))
    return path[::-1]


def _depth(paths: Paths, fitted: Fitted, shown: Sequence[int], halves: Halves, distribution: str) -> Figure:
    prompts = halves.scoring.prompts
    variance = prompts.target_variance
    lines = {"subject": paths.scoring} | {fitted.fits[i].family.name: fitted.scoring[1][i] for i in shown}
    rows: list[dict[str, Scalar]] = []
    for name, path in lines.items():
        for layer, answers in enumerate(path):
            error = discrepancy(answers, prompts.targets, variance)
            value, (low, high) = bootstrap.estimate(error[:, None], lambda m: m[:, 0], halves.draws)
            if value > 0:
                rows.append(
                    {
                        "layer": f"layer {layer + 1}",
                        "error": value,
                        "low": low,
                        "high": high,
                        "who": name,
                        "n": len(prompts),
                    }
                )
    return Figure(
        name=f"error-by-depth-{distribution}",
        section="Error by depth",
        title=f"Error by depth, {distribution} distribution",
        caption="Squared error over the target's variance (1: answering zero), with 95 % intervals. The reference "
        f"algorithms take the steps per layer that fit best; the subject is read by its {paths.readout} readout.",
        kind="lines",
        rows=tuple(rows),
        x="layer",
        y="error",
        series="who",
        low="low",
        high="high",
        titles={"error": "normalised error", "who": "predictor", "layer": "after"},
        log=("y",),
    )
