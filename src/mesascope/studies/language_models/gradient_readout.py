"""Does the answer of a language model move from layer to layer as gradient descent would move it?"""

from collections.abc import Sequence

from mesascope.instruments.reading import refinement
from mesascope.instruments.reading.refinement import ABSOLUTE, LESS, OTHERS, POOLED, SHOWN, SLOPE
from mesascope.instruments.reading.refinement import FIRST as BEFORE
from mesascope.instruments.reading.refinement import LAST as AFTER
from mesascope.studies.bench import Bench
from mesascope.studies.language_models.beyond import beyond
from mesascope.studies.language_models.networks import LADDER, PUBLISHED, SHUFFLED, SMOLLM2
from mesascope.studies.measure import Measure
from mesascope.studies.pictures import lines, only, table
from mesascope.studies.rules import known, pick, where
from mesascope.studies.study import Study, own, sourced
from mesascope.types import Figure, Measurement, Scalar, bounds

ALPHA, R2, SIGN = POOLED
READ = {name: PUBLISHED[name] for name in ("gpt2", "pythia-410m", "pythia-1b")}
"""The models that source C reads."""
N = {**dict.fromkeys((*LADDER, SHUFFLED), 2048), **dict.fromkeys((SMOLLM2, *READ), 256)}
"""Prompts for each network, on a laptop; source C has 80."""
FREE = 0.05
"""How far from 0 a number may lie, interval and all, where nothing can be known."""
NEAR = 0.1
"""The same for what is not known exactly: labels that the prompt shows lie a little differently from a new one."""
DRAWN = ("ladder-small", "ladder-large", SHUFFLED, SMOLLM2, "pythia-410m")
KEPT = (where(SLOPE), *map(where, POOLED), *map(where, ABSOLUTE))


def _measure(network: str, reference: str) -> Measure:
    return Measure(
        instrument=refinement.NAME,
        network=reference,
        label={"network": network},
        prompts={"n": N[network]},
        options={"queries": 1},
        kept=KEPT,
        at_smoke=network in (*LADDER, SHUFFLED),
    )


def _path(found: Sequence[Measurement]) -> Figure:
    rows: list[dict[str, Scalar]] = []
    for m in only(found, quantity=SLOPE.name):
        if m.coordinates["network"] in DRAWN:
            for targets, shown in (("its own", m), *((name, known(m, name)) for name in (OTHERS, SHOWN))):
                where_ = {name: m.coordinates[name] for name in ("network", "layer")}
                rows.append({**where_, "targets": targets, "slope": shown.value, **bounds(shown.interval)})
    return lines(
        name="slope-by-layer",
        section="Layer by layer",
        title="Slope of a layer's update on the residual before it",
        caption="Where the slope with another prompt's targets is as high, the layer moves without knowing the target.",
        rows=tuple(rows),
        x="layer",
        y="slope",
        series="targets",
        facet="network",
    )


def _table(found: Sequence[Measurement]) -> Figure:
    columns = {
        "absolute error, first answer": BEFORE,
        "last answer": AFTER,
        "reduction": LESS,
        "slope": ALPHA,
        "sign agreement": SIGN,
        "R²": R2,
    }
    rows = [
        {
            "network": network,
            "targets": targets,
            **{name: _value(found, q.name, network, targets) for name, q in columns.items()},
        }
        for network in dict.fromkeys(m.coordinates["network"] for m in found)
        for targets in ("its own", OTHERS, SHOWN)
    ]
    return table(
        name="readout",
        section="All layers together",
        title="What source C reads, beside the same with targets that the model cannot know",
        caption="One answer per layer, from the embedding to the end: its mean absolute error in digits; slope, sign agreement "
        "and R² of all updates and residuals. Source C prints a reduction of 0.33 to 0.52, slopes of 0.08 to 0.12, sign "
        "agreement of 0.55 to 0.65, and R² of 0.05 to 0.09.",
        rows=tuple(rows),
    )


def _value(found: Sequence[Measurement], quantity: str, network: Scalar, targets: str) -> float:
    m = pick(found, quantity, network=network)
    return (m if targets == "its own" else known(m, targets)).value


def _notes(found: Sequence[Measurement], bench: Bench) -> tuple[str, ...]:
    return tuple(
        f"{network}: the absolute error falls by {_value(found, LESS.name, network, 'its own'):.0%} (another prompt's targets: "
        f"{_value(found, LESS.name, network, OTHERS):.0%}); of the slope {_value(found, ALPHA.name, network, 'its own'):.3f}, "
        f"another prompt's targets give {_value(found, ALPHA.name, network, OTHERS):.3f}."
        for network in dict.fromkeys(str(m.coordinates["network"]) for m in only(found, quantity=LESS.name))
    )


def _figures(found: Sequence[Measurement], bench: Bench) -> tuple[Figure, ...]:
    return (_path(found), _table(found))


def _printed(name: str, *paths: str) -> tuple[str, ...]:
    return tuple(f"gradient_step_readout/{name}/{path}" for path in paths)


STUDY = Study(
    name="gradient-readout",
    source="C",
    title="Does the answer of a language model move as gradient descent would move it?",
    measures=(
        *(_measure(name, name) for name in (*LADDER, SHUFFLED, SMOLLM2)),
        *(_measure(name, reference) for name, reference in READ.items()),
    ),
    claims=(
        sourced(
            "From the embedding to the last layer, the mean absolute error falls by a third to a half.",
            where(LESS, network="gpt2").near(0.33, 1.25),
            where(LESS, network="pythia-410m").near(0.49, 1.25),
            where(LESS, network="pythia-1b").near(0.52, 1.25),
            where(BEFORE, network="gpt2").near(3.62, 1.25),
            where(AFTER, network="gpt2").near(2.43, 1.25),
            where(BEFORE, network="pythia-410m").near(2.33, 1.25),
            where(AFTER, network="pythia-410m").near(1.19, 1.25),
            where(BEFORE, network="pythia-1b").near(2.30, 1.25),
            where(AFTER, network="pythia-1b").near(1.10, 1.25),
            published=tuple(path for name in READ for path in _printed(name, "reduction", "mae/0", "mae/1")),
        ),
        sourced(
            "The update has the sign of the residual more often than not, and grows with it.",
            *(where(SIGN, network=name).between(0.5, 0.7) for name in READ),
            *(where(ALPHA, network=name).between(0.05, 0.2) for name in READ),
            published=(*_printed("sign_agreement", "0", "1"), *_printed("alpha", "0", "1")),
        ),
        sourced(
            "A single layer is no calibrated step: the residual explains less than a tenth of the updates.",
            *(where(R2, network=name).between(0.0, 0.1) for name in READ),
            published=_printed("r2", "0", "1"),
        ),
        own(
            "SmolLM2's numbers lie where source C has those of other models: the absolute error falls by 0.33 to 0.52, the sign "
            "agrees in 0.55 to 0.65, the slope is 0.08 to 0.12, and R² 0.05 to 0.09.",
            where(LESS, network=SMOLLM2).between(0.33, 0.52),
            where(SIGN, network=SMOLLM2).between(0.55, 0.65),
            where(ALPHA, network=SMOLLM2).between(0.08, 0.12),
            where(R2, network=SMOLLM2).between(0.05, 0.09),
        ),
        own(
            "SmolLM2's answers know something of the prompt: its absolute error falls further than with another "
            "prompt's targets.",
            beyond(where(LESS, network=SMOLLM2), OTHERS).between(low=0),
        ),
        own(
            "What is left of SmolLM2's slope, sign agreement and R² beyond another prompt's targets is above 0.",
            *(beyond(where(quantity, network=SMOLLM2), OTHERS).between(low=0) for quantity in (ALPHA, SIGN, R2)),
        ),
        own(
            "In models that are trained on such maps, error reduction, slope, sign agreement and R² are all higher than with "
            "another prompt's targets, in every size and with both seeds.",
            *(
                beyond(where(quantity, network=name), OTHERS).between(low=0)
                for name in LADDER
                for quantity in (LESS, ALPHA, SIGN, R2)
            ),
        ),
        own(
            f"In the model that is trained on shuffled labels, another prompt's targets give the same, to within {FREE:g}.",
            *(
                beyond(where(quantity, network=SHUFFLED), OTHERS).between(-FREE, FREE)
                for quantity in (LESS, ALPHA, SIGN, R2)
            ),
        ),
        own(
            "Models of the ladder know the map, and not only where the labels lie: all four are higher than with a label that "
            "the prompt shows, in every size and with both seeds.",
            *(
                beyond(where(quantity, network=name), SHOWN).between(low=0)
                for name in LADDER
                for quantity in (LESS, ALPHA, SIGN, R2)
            ),
        ),
        own(
            "SmolLM2 knows the map, and not only where the labels lie: its absolute error falls further than with a label that "
            "the prompt shows.",
            beyond(where(LESS, network=SMOLLM2), SHOWN).between(low=0),
        ),
        own(
            "The model that is trained on shuffled labels knows no map: a label that the prompt shows gives the same, to within "
            f"{NEAR:g}.",
            *(
                beyond(where(quantity, network=SHUFFLED), SHOWN).between(-NEAR, NEAR)
                for quantity in (LESS, ALPHA, SIGN, R2)
            ),
        ),
    ),
    figures=_figures,
    notes=_notes,
    departures=(
        "Source C's prompts are not printed: ours have eight examples, slopes of 1 and 2 and their negatives, and a query that "
        "no example shows. Slopes are fitted with an intercept, over all layers and prompts together. Published figures get a "
        "factor of 1.25.",
        "The rules were written before any of these models was measured so, but for what shuffled targets gave in the first "
        "layers of SmolLM2. Those about labels that the prompt shows were added, and the ladder's prompts were made four times "
        "as many, when the model on shuffled labels had told its own targets from another prompt's: it knows where labels lie.",
    ),
)
