"""Pictures of the study `silent-failure`."""

from collections.abc import Sequence

from mesascope.instruments.behaving.kernel_sweep import DRAWN, NEAR, NETWORK
from mesascope.instruments.behaving.kernel_sweep.asking import (
    CROSS_VALIDATED,
    KERNEL_RIDGE,
    LEARNERS,
    LINEAR_RIDGE,
    PLAIN,
    RICHARDSON,
    SCALED,
    SOFTMAX,
)
from mesascope.instruments.behaving.kernel_sweep.judging import CLASSES, CONDITION, LOST, MOVED, NEIGHBOURS, SILENT
from mesascope.instruments.behaving.silent_rule import OWN, POOLED, RANK, SPREAD
from mesascope.studies.pictures import heatmap, lines, only, table
from mesascope.studies.rules import known
from mesascope.types import Figure, Measurement, Scalar, bounds

SINGLE, MAP, TRAINED, HAND_BUILT = "single draws", "map", "trained networks", "hand-built"
STREAMS = ("replayed", "leaking", "independent")
LOGARITHMIC = {"dimension": "dim", "examples": "examples", "temperature": "τ", "condition": "condition"}
"""The sweeps over what is drawn on a logarithmic axis, and the coordinate of each."""
SWEPT = LOGARITHMIC | {"ridge": "ridge", "noise": "noise"}
WORDS = {"condition": "condition number", "temperature": "temperature", "examples": "number of examples"}
SHORT = {"dimension": "d", "examples": "n", "condition": "κ", "ridge": "λ", "noise": "σ"}
NAMES = {NETWORK: "linear attention (CG)"}
SECTION = "Softmax attention and kernel regression"


def figures(found: Sequence[Measurement]) -> tuple[Figure, ...]:
    """All pictures for which something was measured."""
    made = (
        _dimension(found),
        _oracles(found),
        *(_sweep(found, sweep) for sweep in ("condition", "temperature", "examples")),
        _kinds(found),
        _mapped(found),
        _classes(found),
        _trained(found),
    )
    return tuple(figure for figure in made if figure.rows)


def _said(m: Measurement) -> str:
    """Where the prompts of a line come from."""
    scaled = ", τ = √d" if m.coordinates["logits"] == SCALED else ""
    return f"{m.coordinates['streams']}{scaled}"


def _lines(found: Sequence[Measurement], sweep: str) -> tuple[dict[str, Scalar], ...]:
    order = (SOFTMAX, NETWORK, *(name for name in LEARNERS if name != SOFTMAX))
    return tuple(
        {
            "panel": _said(m),
            SWEPT[sweep]: m.coordinates[SWEPT[sweep]],
            "learner": NAMES.get(name, name),
            RANK.name: m.value,
            **bounds(m.interval),
            "class": m.coordinates["class"],
            "n": m.n,
        }
        for streams in STREAMS
        for logits in (PLAIN, SCALED)
        for name in order
        for m in only(found, quantity=RANK.name, sweep=sweep, learner=name, streams=streams, logits=logits)
    )


def _dimension(found: Sequence[Measurement]) -> Figure:
    return lines(
        name="silent-dimension",
        section=SECTION,
        title="The order of the answers against the dimension, with the source's leak and without it",
        caption="Rank correlation with the truth within a prompt (48 examples, τ = 1, noise 0.1). Replayed are the "
        "source's five draws; leaking is its definition over many draws; in both, the weights equal the first "
        "support point, so that linear attention has a perfect order in any dimension. From 48 examples in more "
        "dimensions nobody can have one.",
        rows=_lines(found, "dimension"),
        x="dim",
        y=RANK.name,
        series="learner",
        facet="panel",
        titles={"dim": "dimension"},
        log=("x",),
    )


def _sweep(found: Sequence[Measurement], sweep: str) -> Figure:
    fixed = {"condition": "τ = 1", "temperature": "κ = 1", "examples": "τ = 1"}[sweep]
    chosen = [m for m in found if sweep == "temperature" or m.coordinates.get("τ") == 1.0]
    return lines(
        name=f"silent-{sweep}",
        section=SECTION,
        title=f"The order of the answers against the {WORDS[sweep]}",
        caption=f"Rank correlation with the truth within a prompt, 8 dimensions, {fixed}."
        + (" With independent streams the mean eigenvalue is 1 at every κ." if sweep == "condition" else ""),
        rows=_lines(chosen, sweep),
        x=SWEPT[sweep],
        y=RANK.name,
        series="learner",
        facet="panel",
        titles={"condition": "condition number κ", "τ": "temperature τ"},
        log=("x",),
    )


def _oracles(found: Sequence[Measurement]) -> Figure:
    """The oracles' own quality, in every setting of the sweeps with independent streams."""
    rows: list[dict[str, Scalar]] = []
    for m in only(found, quantity=RANK.name, learner=KERNEL_RIDGE, streams="independent"):
        sweep, place = str(m.coordinates["sweep"]), m.coordinates
        held = {
            other.quantity: other
            for other in only(found, learner=KERNEL_RIDGE)
            if all(other.coordinates[name] == value for name, value in place.items())
        }
        swept = [] if sweep == "temperature" else [f"{SHORT[sweep]} = {place[SWEPT[sweep]]:g}"]
        at = [*swept, f"τ = {place['τ']:g}{' √d' if place['logits'] == SCALED else ''}".replace("1 √d", "√d")]
        rows.append(
            {
                "at": ", ".join(at),
                "kernel ridge": m.value,
                "cross-validated": known(m, CROSS_VALIDATED).value,
                "linear ridge": known(m, LINEAR_RIDGE).value,
                "error": held[OWN.name].value,
                "error, cross-validated": known(held[OWN.name], CROSS_VALIDATED).value,
                "moved": held[MOVED.name].value,
                "log10 κ(K + λI)": held[CONDITION.name].value,
                "singular": held[LOST.name].value,
            }
        )
    return table(
        name="silent-oracles",
        section=SECTION,
        title="The oracles' own quality",
        caption="Rank correlation with the truth: kernel ridge regression with the cell's kernel, with a cross-validated "
        "width, and linear ridge regression with the Bayes-optimal λ. Then the error of the first two over each "
        "prompt's own variance (at most 4 per prompt), the share of the variance by which perturbed labels move "
        "kernel ridge's answers, the condition number of its matrix, and the share of prompts in which it is "
        "singular. A learner is not blamed where its oracle is unstable.",
        rows=tuple(rows),
    )


def _kinds(found: Sequence[Measurement]) -> Figure:
    """Copying or averaging: neighbours and spread by dimension, scaled and not."""
    rows = tuple(
        {
            "quantity": m.quantity,
            "dim": m.coordinates["dim"],
            "logits": m.coordinates["logits"],
            "value": m.value,
            **bounds(m.interval),
        }
        for quantity in (NEIGHBOURS.name, SPREAD.name)
        for m in only(found, quantity=quantity, sweep="dimension", learner=SOFTMAX, streams="independent")
    )
    return lines(
        name="silent-copying",
        section=SECTION,
        title="Without scaling one head copies one example; with it, it averages and shrinks",
        caption="Effective number of neighbours (of 48), and the spread of the answers over that of the targets.",
        rows=rows,
        x="dim",
        y="value",
        series="logits",
        facet="quantity",
        titles={"dim": "dimension", "value": ""},
        log=("x", "y"),
    )


def _mapped(found: Sequence[Measurement]) -> Figure:
    rows = tuple(
        {
            "panel": f"{'near, ' if queries == NEAR else ''}τ = {'1' if logits == PLAIN else '√d'}",
            "dimension": m.coordinates["dim"],
            "examples": m.coordinates["examples"],
            RANK.name: m.value,
            "class": m.coordinates["class"],
            "silent": m.coordinates["class"] == SILENT,
        }
        for queries in (DRAWN, NEAR)
        for logits in (PLAIN, SCALED)
        for m in _plain(only(found, quantity=RANK.name, sweep=MAP, learner=SOFTMAX, queries=queries))
        if m.coordinates["logits"] == logits and m.coordinates["condition"] == 1.0
    )
    return heatmap(
        name="silent-map",
        section=SECTION,
        title="Where softmax attention keeps the order; cells that fail silently are framed",
        caption="Rank correlation with the truth within a prompt at κ = 1, λ = 0.01, noise 0.1, for queries as drawn and "
        "near one example.",
        rows=rows,
        x="dimension",
        y="examples",
        value=RANK.name,
        series="silent",
        facet="panel",
    )


def _plain(found: Sequence[Measurement]) -> list[Measurement]:
    """The map's cells at the source's ridge and noise."""
    return [
        m for m in found if (m.coordinates["τ"], m.coordinates["ridge"], m.coordinates["noise"]) == (1.0, 0.01, 0.1)
    ]


def _classes(found: Sequence[Measurement]) -> Figure:
    rows: list[dict[str, Scalar]] = []
    for queries in (DRAWN, NEAR):
        for learner in (SOFTMAX, RICHARDSON, NETWORK):
            cells = only(found, quantity=RANK.name, sweep=MAP, learner=learner, queries=queries)
            held = [m.coordinates["class"] for m in cells]
            rows += [
                {
                    "queries": queries,
                    "learner": NAMES.get(learner, learner),
                    "class": name,
                    "share of cells": held.count(name) / len(held),
                    "cells": len(held),
                }
                for name in CLASSES
                if held
            ]
    return Figure(
        name="silent-classes",
        section=SECTION,
        title="Who fails, whether it shows, and where nobody is to blame",
        caption="All cells of the map: dimension, examples, temperature, condition number, ridge and noise. Linear "
        "attention does not depend on temperature and ridge, so that it has fewer cells.",
        kind="bars",
        rows=tuple(rows),
        x="class",
        y="share of cells",
        series="learner",
        facet="queries",
    )


def _trained(found: Sequence[Measurement]) -> Figure:
    rows: list[dict[str, Scalar]] = []
    for m in only(found, quantity=RANK.name, sweep=TRAINED, noise=0.0):
        place = m.coordinates
        (error,) = [
            other
            for other in only(found, quantity=POOLED.name, sweep=TRAINED)
            if all(other.coordinates[name] == value for name, value in place.items())
        ]
        if place["learner"] == NETWORK or place["layers"] == 1:
            trained = f"{place['layers']} trained layer{'' if place['layers'] == 1 else 's'}"
            who = trained if place["learner"] == NETWORK else f"{SOFTMAX}, τ = √d"
            rows.append(
                {
                    "learner": who,
                    "κ": place["condition"],
                    "queries": place["queries"],
                    RANK.name: m.value,
                    **bounds(m.interval),
                    "best possible": known(m, LINEAR_RIDGE).value,
                    "pooled error": error.value,
                    "class": place["class"],
                }
            )
    return table(
        name="silent-trained",
        section=SECTION,
        title="Trained softmax networks on the same prompts",
        caption="Five dimensions, 20 examples, no noise, as they were trained. One layer cannot do better: see the study "
        "depth-loss.",
        rows=tuple(rows),
        value=RANK.name,
        low="low",
        high="high",
    )


__all__ = ("HAND_BUILT", "MAP", "SINGLE", "TRAINED", "figures")
