"""Does the recipe change what a network does? Loss at every input against loss at the query; one optimiser against another."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest

from mesascope.instruments.behaving import errors
from mesascope.instruments.reading import probes
from mesascope.instruments.spectral import spectrum
from mesascope.studies.bench import Bench
from mesascope.studies.measure import Measure
from mesascope.studies.networks import Network
from mesascope.studies.pictures import curve_rows, lines, only
from mesascope.studies.rules import Derived, Where, apart, known, pick, where
from mesascope.studies.study import Study, own
from mesascope.studies.trained_regressors.probed import ALONE, ANSWER, COSINE, MOMENT, R2, TARGETS, UNTRAINED, W, last
from mesascope.studies.trained_regressors.resolved import resolved, responses
from mesascope.types import Control, Figure, Measurement, Scalar, bounds

TWO, FOUR = Network(), Network(layers=4)
AGAIN = Network(seed=100)
QUERY_ONLY = (TWO, AGAIN, FOUR, Network(layers=4, seed=100))
DENSE = {2: "two-layer", 4: "four-layer"}
ADAM = "query-only-2-layers-adam"
"""The network of `TWO` trained by Adam, with a curriculum over dimensions."""
LAYERS: Mapping[Network | str, int] = {
    **{name: layers for layers, name in DENSE.items()},
    **{network: network.layers for network in QUERY_ONLY},
    ADAM: 2,
}
AT_SMOKE = (DENSE[2], TWO, ADAM)

SAME = "another seed, same recipe"

_ON_ONE_TASK = functools.partial(Measure, task=TWO.task)
_PROBED = functools.partial(
    _ON_ONE_TASK, instrument=probes.NAME, prompts={"fit": 512, "score": 512}, options={"targets": TARGETS}
)


def _kind(network: Network | str) -> dict[str, Scalar]:
    dense = network in DENSE.values()
    return {"supervision": "every input" if dense else "the query only", "layers": LAYERS[network]}


def _measures(network: Network | str) -> tuple[Measure, ...]:
    """Probes after every sub-layer, and the spectral response."""
    label = {"network": network if isinstance(network, str) else network.name, **_kind(network)}
    smoke, size = network in AT_SMOKE, {"prompts": 400}
    return (
        _PROBED(network=network, label=label, at_smoke=smoke),
        _ON_ONE_TASK(instrument=spectrum.INSTRUMENT.name, network=network, label=label, prompts=size, at_smoke=smoke),
    )


def _held(layers: int) -> Derived:
    """cos(w) at the end of query-only networks, less the dense one's."""
    names, at = [n.name for n in QUERY_ONLY if n.layers == layers], {"target": W, "site": last(layers)}
    ours, theirs = (where(COSINE, network=network, **at) for network in (names, DENSE[layers]))
    return apart(f"cos(w), query only less dense, {layers} layers", ours, theirs, "target", "site")


def _cosine(target: str) -> Callable[[str], Where]:
    return lambda network: where(COSINE, network=network, target=target, site=last(2))


def _recipes(words: str, of: Callable[[str], Where], *shared: str) -> Derived:
    """Adam less Muon; beside it what two seeds of one recipe differ by."""
    adam, again = (apart(f"{words}, Adam less Muon", of(name), of(TWO.name), *shared) for name in (ADAM, AGAIN.name))

    def beside(found: Sequence[Measurement]) -> list[Measurement]:
        seeds = [Control(kind="negative", name=SAME, value=m.value, interval=m.interval) for m in again.among(found)]
        pairs = zip_longest(adam.among(found), seeds)
        return [replace(m, controls=(*m.controls, *filter(None, (seed,)))) for m, seed in pairs]

    return Derived(words=adam.words, of=beside, uses=(*adam.uses, *again.uses))


def _figures(found: Sequence[Measurement], bench: Bench) -> tuple[Figure, ...]:
    beside = [m for m in found if "network" in m.coordinates]
    return (
        _by_site(beside),
        _over_training(_trained(found)),
        responses(beside, "supervision-spectral-response", "Side by side"),
        _curves(bench),
    )


def _trained(found: Sequence[Measurement]) -> list[Measurement]:
    """Measurements over training, after the last sub-layer."""
    return [m for m in found if "step" in m.coordinates and m.coordinates["site"] == last(2)]


def _shown(m: Measurement) -> bool:
    return (m.quantity, m.coordinates.get("target")) in ((COSINE, W), (COSINE, MOMENT), (R2, ANSWER))


def _probe(m: Measurement) -> str:
    target = m.coordinates["target"]
    return f"R² of {target}" if target == ANSWER else f"cos({target})"


def _by_site(found: Sequence[Measurement]) -> Figure:
    rows: list[dict[str, Scalar]] = []
    for m in filter(_shown, found):
        at: dict[str, Scalar] = {"probe": _probe(m), "after": m.coordinates["site"]}
        rows.append({**at, "network": m.coordinates["network"], "value": m.value, **bounds(m.interval)})
        if m.coordinates["network"] == DENSE[2]:
            telling = [c for c in m.controls if c.name in (ALONE, UNTRAINED)]
            rows += [{**at, "network": c.name, "value": c.value, "low": None, "high": None} for c in telling]
    return lines(
        name="supervision-by-sub-layer",
        section="Side by side",
        title="What is linearly decodable after each sub-layer",
        caption="Probes at the query on held-out prompts, of networks trained with the loss at every input (two-layer, "
        "four-layer) and at the query only. Controls: a probe of Xᵀy alone, and the untrained two-layer network.",
        rows=tuple(sorted(rows, key=lambda row: str(row["after"]))),
        x="after",
        y="value",
        series="network",
        facet="probe",
        titles={"value": "cosine, or R²"},
    )


def _over_training(trained: Sequence[Measurement]) -> Figure:
    rows: list[dict[str, Scalar]] = []
    for m in filter(_shown, trained):
        at = {k: m.coordinates[k] for k in ("supervision", "step")}
        rows.append({**at, "probe": _probe(m), "value": m.value, **bounds(m.interval)})
    return lines(
        name="supervision-over-training",
        section="Side by side",
        title="Two layers over training, after the last sub-layer",
        caption="Probes at the query on held-out prompts, for the checkpoints that ship.",
        rows=tuple(rows),
        x="step",
        y="value",
        series="supervision",
        facet="probe",
        titles={"value": "cosine, or R²", "step": "training step", "supervision": "loss at"},
        log=("x",),
    )


def _curves(bench: Bench) -> Figure:
    named = {network.name: network for network in bench.shipped(QUERY_ONLY)}
    drawn: dict[str, Network | str] = {**named, **{name: name for name in (*DENSE.values(), ADAM)}}
    rows = [row for name, network in drawn.items() for row in curve_rows(bench.curve(network), network=name)]
    return Figure(
        name="supervision-curves",
        section="Side by side",
        title="Training loss",
        caption="Each network on its own loss. The loss at every input includes answers from few examples, so that curve does "
        "not go as low.",
        kind="lines",
        rows=tuple(rows),
        x="step",
        y="loss",
        series="network",
        log=("x", "y"),
    )


def _notes(found: Sequence[Measurement], bench: Bench) -> tuple[str, ...]:
    told: list[str] = []
    beside = [m for m in only(found, quantity=COSINE, target=W) if "network" in m.coordinates]
    for w in beside:
        at = {"network": w.coordinates["network"], "site": w.coordinates["site"]}
        if at["site"] == last(int(w.coordinates["layers"] or 0)):
            moment, right = pick(found, COSINE, target=MOMENT, **at), pick(found, R2, target=ANSWER, **at)
            told.append(
                f"{at['network']}: cos(w) {w.value:.2f}, cos(Xᵀy) {moment.value:.2f}, R² of the answer {right.value:.3f} after "
                "the last sub-layer."
            )
    course: dict[Scalar, list[str]] = {}
    for m in only(_trained(found), quantity=COSINE, target=W):
        course.setdefault(m.coordinates["supervision"], []).append(f"{m.value:.2f} at step {m.coordinates['step']}")
    return (
        *told,
        f"A probe that sees Xᵀy alone has cos(w) {known(beside[0], ALONE).value:.2f}.",
        *(f"Two layers, loss at {where}: cos(w) {', '.join(values)}." for where, values in course.items()),
    )


STUDY = Study(
    name="supervision",
    title="Does the recipe change what a network does?",
    measures=(
        *(measure for network in LAYERS for measure in _measures(network)),
        _ON_ONE_TASK(
            instrument=errors.NAME,
            network=ADAM,
            label={"network": ADAM},
            prompts={"n": 1024},
            options={"rivals": {TWO.name: TWO}},
        ),
        *(_PROBED(network=network, label=_kind(network), over_training=True) for network in (DENSE[2], TWO)),
    ),
    claims=(
        own(
            "At two layers, the loss at the query makes a network hold w where the loss at every input does not: cos(w) at the "
            "query after the last sub-layer is higher by 0.1 at least.",
            _held(2).between(low=0.1),
            needs={TWO: 0.001},
        ),
        own(
            "At four layers it is the other way round: with the loss at the query, cos(w) is lower by 0.1 at least.",
            _held(4).between(high=-0.1),
            needs={FOUR: 1e-4},
        ),
        own(
            "What the answer resolves does not depend on where the loss is: for two layers, it agrees within 0.15 at every "
            "eigenvalue that training prompts have.",
            apart(
                "share resolved, query only less dense",
                resolved(TWO.name),
                resolved(DENSE[2]),
                "layer",
                "eigenvalue",
            ).between(-0.15, 0.15),
        ),
        own(
            "The optimiser and a curriculum do not change where a query-only network ends: Adam with a curriculum over "
            "dimensions and Muon without agree in loss (within a factor of three), in cos(w) and cos(Xᵀy) and in the share "
            "resolved of every eigen-direction (within 0.1).",
            where(errors.OVER, network=ADAM).between(1 / 3, 3),
            _recipes("cos(w)", _cosine(W), "target", "site").between(-0.1, 0.1),
            _recipes("cos(Xᵀy)", _cosine(MOMENT), "target", "site").between(-0.1, 0.1),
            _recipes("share resolved", resolved, "layer", "eigenvalue").between(-0.1, 0.1),
        ),
    ),
    figures=_figures,
    notes=_notes,
    departures=(
        "The source trains with the loss at the query only. The dense networks differ in more than where the loss is: they are "
        "trained by AdamW, and answers at every input are part of what they are made for.",
        "The networks with dense supervision have one seed per depth: intervals are over prompts, not over seeds.",
    ),
)
