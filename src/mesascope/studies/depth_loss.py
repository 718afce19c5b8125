"""How the loss falls with depth, and why one layer is not enough: source B's first figure, and the question behind it."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev

from mesascope.instruments import errors, influence
from mesascope.models.constructions import gradient_descent
from mesascope.studies.measure import Between, labelled, pick
from mesascope.studies.networks import Network
from mesascope.studies.session import Session
from mesascope.studies.study import Claim, Found, Study
from mesascope.types import Control, Figure, Measurement, Scalar, Subject, spec_mapping

ONE, TWO, EIGHT = (Network(layers=layers) for layers in (1, 2, 8))
DEPTHS = tuple(Network(layers=layers) for layers in (1, 2, 3, 4, 6))
ALL_DEPTHS = tuple(Network(layers=layers) for layers in (1, 2, 3, 4, 5, 6, 8))
"""Those of the source; five and eight layers are trained at profile ``full`` only."""

PAIRED = "one layer, x and y in one token"
HALF_WAY = Measurement(instrument="training", quantity="loss half-way", value=math.nan, interval=None, n=0, unit="y²")
POINTS = 80  # of a curve that are drawn


def run(session: Session) -> Found:
    """Held-out error and training curve of every depth; the examples that each depends on; the hand-built one layer."""
    networks = (ONE, TWO, *session.shipped((ALL_DEPTHS if session.profile == "full" else DEPTHS)[2:]))
    task = ONE.task
    built = gradient_descent(layers=1, step_size=task.examples / (task.examples + task.dim + 1))
    subjects: dict[str, Subject] = {PAIRED: built} | {n.name: session.network(n) for n in networks}
    shallower = dict(zip((n.name for n in networks[1:]), networks, strict=False))
    found: list[Measurement] = []
    for name, subject in subjects.items():
        rivals = {shallower[name].name: session.network(shallower[name])} if name in shallower else {}
        measured = session.keep(
            f"error {name}",
            lambda subject=subject, rivals=rivals: errors.errors(
                subject, task, seed=session.seed, n=session.prompts(1024), rivals=rivals
            ),
        )
        measured += session.keep(
            f"influence {name}",
            lambda subject=subject: influence.influence(subject, task, seed=session.seed, n=session.prompts(128)),
        )
        found += labelled(measured, network=name)
    curves = {n: session.curve(n) for n in networks}
    half_way = {n: _half_way(n, curves[n], session) for n in (TWO, EIGHT) if n in networks}
    found += [m for part in half_way.values() for m in part]

    mse = {name: pick(found, errors.MSE.name, network=name) for name in subjects}
    counts = {name: pick(found, influence.COUNT.name, network=name) for name in subjects}
    return Found(
        evidence={
            "loss half-way, two layers": half_way[TWO],
            "loss half-way, eight layers": half_way.get(EIGHT, ()),
            "MSE of one layer": mse[ONE.name],
            "MSE of one layer with paired tokens": mse[PAIRED],
            "examples that one layer depends on": counts[ONE.name],
            "examples that deeper networks depend on": tuple(counts[name] for name in shallower),
            "examples that paired tokens depend on": counts[PAIRED],
            "MSE over that of the next shallower": tuple(m for m in found if m.quantity == errors.OVER.name),
        },
        measurements=tuple(found),
        figures=(_curves(curves), _table(mse, counts), _influence(found)),
        notes=_notes(mse, counts),
    )


def _half_way(network: Network, curve: Sequence[Mapping[str, float]], session: Session) -> tuple[Measurement, ...]:
    """The loss from 45 to 55 % of the training; its prompts are fresh, so it is an error held out."""
    spec = spec_mapping(session.network(network))
    around = [line["loss"] for line in curve if abs(line["step"] / spec["steps"] - 0.5) <= 0.05]
    if len(around) < 2:
        return ()
    mean, half = fmean(around), 1.96 * stdev(around) / len(around) ** 0.5
    controls = (
        Control(kind="negative", name="its first steps, untrained", value=curve[0]["loss"]),
        Control(
            kind="positive", name=f"its last steps; held out {session.error(network):.2g}", value=curve[-1]["loss"]
        ),
    )
    return (
        dataclasses.replace(
            HALF_WAY,
            value=mean,
            interval=(mean - half, mean + half),
            n=len(around) * spec["log_every"] * spec["batch"],
            coordinates={"network": network.name},
            controls=controls,
        ),
    )


def _curves(curves: Mapping[Network, Sequence[Mapping[str, float]]]) -> Figure:
    rows: list[dict[str, Scalar]] = []
    for network, curve in curves.items():
        size = math.ceil(len(curve) / POINTS)
        for part in (curve[i : i + size] for i in range(0, len(curve), size)):
            loss = fmean(line["loss"] for line in part)
            rows.append({"layers": f"{network.layers}", "step": part[-1]["step"], "loss": loss})
    return Figure(
        name="loss-by-depth",
        section="Loss by depth",
        title="Training loss by depth",
        caption="Mean squared error at the query, of prompts that are fresh at every step. Answering zero earns 1, the best "
        "answer from a single example 0.8, one step of gradient descent 0.23.",
        kind="lines",
        rows=tuple(rows),
        x="step",
        y="loss",
        series="layers",
        log=("x", "y"),
    )


def _table(mse: Mapping[str, Measurement], counts: Mapping[str, Measurement]) -> Figure:
    rows = [
        {
            "network": name,
            "MSE": m.value,
            "from": m.interval[0] if m.interval else None,
            "to": m.interval[1] if m.interval else None,
            **{c.name: c.value for c in m.controls},
            "examples that count": counts[name].value,
        }
        for name, m in mse.items()
    ]
    return Figure(
        name="error-by-depth",
        section="Loss by depth",
        title="Held-out error, and how many examples an answer depends on",
        caption="With 95 % intervals over prompts, the controls beside it on the same prompts. Examples that count: by the "
        "move of the answers when one example's label is changed.",
        kind="table",
        rows=tuple(rows),
    )


def _influence(found: Sequence[Measurement]) -> Figure:
    shown = [m for m in found if m.coordinates["network"] in (ONE.name, TWO.name, PAIRED)]
    return influence.figure(shown, series="network")


def _notes(mse: Mapping[str, Measurement], counts: Mapping[str, Measurement]) -> tuple[str, ...]:
    one, alone = mse[ONE.name], next(c.value for c in mse[ONE.name].controls if c.name == "one example alone")
    return (
        f"One layer ends at {one.value:.3f}. The best answer from one example has {alone:.3f} on the same prompts, and its "
        f"answers depend on {counts[ONE.name].value:.1f} of {ONE.examples} examples; those of two layers on "
        f"{counts[TWO.name].value:.1f}.",
        f"With x and y in one token a hand-built layer has {mse[PAIRED].value:.3f} and depends on "
        f"{counts[PAIRED].value:.1f} examples: the layer is not too weak, its tokens hold the wrong things.",
    )


STUDY = Study(
    name="depth-loss",
    title="How does the loss fall with depth, and why is one layer not enough?",
    claims=(
        Claim(
            text="At half of its training a two-layer network's loss is about 0.01 (within a factor of three).",
            published=("loss_by_depth_at_100k/2",),
            accept={"loss half-way, two layers": Between(low=0.0033, high=0.03)},
            needs={TWO: 0.001},
        ),
        Claim(
            text="At half of its training an eight-layer network's loss is about 0.00001 (within a factor of three).",
            published=("loss_by_depth_at_100k/8",),
            accept={"loss half-way, eight layers": Between(low=3.3e-6, high=3e-5)},
            needs={EIGHT: 1e-5},
        ),
        Claim(
            text="One layer stays on a plateau near what answering zero earns.",
            accept={"MSE of one layer": Between(low=0.6, high=1.05)},
        ),
        Claim(
            own=True,
            text="Every depth has a lower error than the one before it (a tenth, at least).",
            accept={"MSE over that of the next shallower": Between(high=0.9)},
            needs={Network(layers=6): 1e-4},
        ),
        Claim(
            own=True,
            text="One layer is enough for one step of gradient descent, with error (d+1)/(n+d+1) = 0.23, where a token holds "
            "x and y together: what is missing is the pairing, not the aggregation.",
            accept={
                "MSE of one layer with paired tokens": Between(low=0.2, high=0.26),
                "examples that paired tokens depend on": Between(low=15),
            },
        ),
        Claim(
            own=True,
            text="One layer does not leave pairing out: it pairs at the query, by place, one to three examples, and learns "
            "from nothing else; from two layers on, most of the context counts.",
            accept={
                "examples that one layer depends on": Between(low=1, high=3),
                "examples that deeper networks depend on": Between(low=10),
            },
        ),
    ),
    run=run,
    departures=(
        "The source gives the loss at 100,000 of 200,000 steps and calls it approximate; for another recipe the comparison is "
        "at half of the training. Its own two-layer network is at 0.01 there and at 0.0009 in the end.",
        "That one layer depends on few examples was seen on the network of seed 42 before the rule was written; profile full "
        "trains others.",
        "The rule for one layer's plateau, 0.6 to 1.05, was fixed after a first look at the numbers.",
    ),
)
