"""How the loss falls with depth, and why one layer is not enough: source B's first figure, and the question behind it."""

from collections.abc import Mapping, Sequence

from mesascope.instruments.behaving import errors, training_curve
from mesascope.instruments.intervening import influence
from mesascope.studies.bench import Bench
from mesascope.studies.measure import Curve, Measure
from mesascope.studies.networks import Network
from mesascope.studies.pictures import curve_rows, only, table
from mesascope.studies.rules import known, where
from mesascope.studies.study import Study, own, sourced
from mesascope.types import Figure, Measurement

DEPTHS = {layers: Network(layers=layers) for layers in (1, 2, 3, 4, 5, 6, 8)}
"""The source's depths."""
ONE, TWO, EIGHT = DEPTHS[1], DEPTHS[2], DEPTHS[8]
SHALLOWER = dict(zip(list(DEPTHS)[1:], DEPTHS, strict=False))
"""The depth that each depth is compared with: the one before it."""
PAIRED = "one layer, x and y in one token"
BUILT = f"construction:gradient-descent?layers=1&step_size={ONE.examples / (ONE.examples + ONE.task.dim + 1)!r}"


def _measures(network: Network | str, name: str, rivals: Sequence[Network] = ()) -> tuple[Measure, ...]:
    """Held-out error, and the examples that the answers depend on."""
    label, beside = {"network": name}, {"rivals": {rival.name: rival for rival in rivals}}
    return (
        Measure(
            instrument=errors.NAME, network=network, label=label, prompts={"n": 1024}, options=beside, task=ONE.task
        ),
        Measure(instrument=influence.NAME, network=network, label=label, prompts={"n": 128}, task=ONE.task),
    )


def _half_way(network: Network) -> Measure:
    label, options = {"network": network.name}, {"curve": Curve(of=network)}
    return Measure(instrument=training_curve.NAME, network=network, label=label, prompts={}, options=options)


def _by_name(found: Sequence[Measurement], quantity: str) -> dict[str, Measurement]:
    return {str(m.coordinates["network"]): m for m in only(found, quantity=quantity)}


def _figures(found: Sequence[Measurement], bench: Bench) -> tuple[Figure, ...]:
    shown = [m for m in found if m.coordinates["network"] in (ONE.name, TWO.name, PAIRED)]
    mse, counts = _by_name(found, errors.MSE.name), _by_name(found, influence.COUNT.name)
    return (_curves(bench), _table(mse, counts), influence.figure(shown, series="network"))


def _curves(bench: Bench) -> Figure:
    able = bench.shipped(list(DEPTHS.values()))
    rows = [row for network in able for row in curve_rows(bench.curve(network), layers=f"{network.layers}")]
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
    return table(
        name="error-by-depth",
        section="Loss by depth",
        title="Held-out error, and how many examples an answer depends on",
        caption="With 95 % intervals over prompts; the controls were measured on the same prompts. Examples that count: measured "
        "by how much the answers move when one example's label is changed.",
        rows=tuple(rows),
    )


def _notes(found: Sequence[Measurement], bench: Bench) -> tuple[str, ...]:
    mse, counts = _by_name(found, errors.MSE.name), _by_name(found, influence.COUNT.name)
    one = mse[ONE.name]
    alone = known(one, "one example alone").value
    return (
        f"One layer ends at {one.value:.3f}. The best answer from one example has {alone:.3f} on the same prompts, and its "
        f"answers depend on {counts[ONE.name].value:.1f} of {ONE.examples} examples; those of two layers on "
        f"{counts[TWO.name].value:.1f}.",
        f"With x and y in one token a hand-built layer has {mse[PAIRED].value:.3f} and depends on {counts[PAIRED].value:.1f} "
        "examples: the layer is not too weak, its tokens hold the wrong things.",
    )


STUDY = Study(
    name="depth-loss",
    title="How does the loss fall with depth, and why is one layer not enough?",
    measures=(
        *_measures(BUILT, PAIRED),
        *(
            measure
            for layers, network in DEPTHS.items()
            for measure in _measures(network, network.name, [DEPTHS[SHALLOWER[layers]]] if layers in SHALLOWER else [])
        ),
        *map(_half_way, (TWO, EIGHT)),
    ),
    claims=(
        sourced(
            "Half-way through its training, a two-layer network's loss is about 0.01 (within a factor of three).",
            where(training_curve.HALF_WAY, network=TWO.name).between(0.0033, 0.03),
            published=("loss_by_depth_at_100k/2",),
            needs={TWO: 0.001},
        ),
        sourced(
            "Half-way through its training, an eight-layer network's loss is about 0.00001 (within a factor of three).",
            where(training_curve.HALF_WAY, network=EIGHT.name).between(3.3e-6, 3e-5),
            published=("loss_by_depth_at_100k/8",),
            needs={EIGHT: 1e-5},
        ),
        sourced(
            "One layer stays on a plateau near what answering zero earns.",
            where(errors.MSE, network=ONE.name).between(0.6, 1.05),
        ),
        own(
            "Every depth has a lower error than the depth before it, by a tenth at least.",
            where(errors.OVER).between(high=0.9),
            needs={Network(layers=6): 1e-4},
        ),
        own(
            "One layer is enough for one step of gradient descent, with error (d+1)/(n+d+1) = 0.23, if each token holds x and y "
            "together: what a single trained layer lacks is the pairing, not the aggregation.",
            where(errors.MSE, network=PAIRED).between(0.2, 0.26),
            where(influence.COUNT, network=PAIRED).between(low=15),
        ),
        own(
            "A single trained layer does pair, but only at the query, by place, one to three examples, and learns from nothing "
            "else; from two layers on, most of the context counts.",
            where(influence.COUNT, network=ONE.name).between(1, 3),
            where(influence.COUNT, network=[DEPTHS[n].name for n in SHALLOWER]).between(low=10),
        ),
    ),
    figures=_figures,
    notes=_notes,
    departures=(
        "The source gives the loss at 100,000 of 200,000 steps and calls it approximate; for another recipe the comparison is at "
        "half of the training. Its own two-layer network is at 0.01 there and at 0.0009 in the end.",
        "That one layer depends on few examples was seen on the network of seed 42 before the rule was written; profile full "
        "trains others.",
        "The rule for one layer's plateau, 0.6 to 1.05, was fixed after a first look at the numbers.",
    ),
)
