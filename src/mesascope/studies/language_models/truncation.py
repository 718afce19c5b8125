"""Does in-context learning need all directions of the embedding, and is it slower where they are packed more densely?"""

from collections.abc import Sequence

from mesascope.instruments.intervening import truncation as instrument
from mesascope.instruments.intervening.truncation import (
    ADDED,
    ANSWER,
    CONDITION,
    EQUAL,
    EVERY,
    GAP,
    HALF,
    HEADS,
    NONE,
    RANDOM,
    RANK,
    SMALLEST,
)
from mesascope.instruments.reading.induction import FIT, LEAST_RANGE, RHO2
from mesascope.studies.bench import Bench
from mesascope.studies.language_models.beyond import beyond
from mesascope.studies.language_models.depth_contraction import RELIABLE, measured
from mesascope.studies.language_models.networks import LADDER, SMOLLM2
from mesascope.studies.language_models.panel import (
    HERE,
    PANEL,
    Variable,
    correlated,
    p_value,
)
from mesascope.studies.language_models.sequences import LENGTH, blocks
from mesascope.studies.measure import Measure
from mesascope.studies.pictures import lines, only, table
from mesascope.studies.rules import known, pick, where
from mesascope.studies.study import Study, own, sourced
from mesascope.types import Figure, Measurement, Scalar, bounds

ODD = "gpt-neo-125m"
"""The one model of which source C says that its embedding has a few dominant directions."""
REGULAR = tuple(name for name in PANEL if name != ODD)
CUT = ("gpt2-medium", "pythia-410m")
"""Two models that can learn in context; source C does not name the two that it truncates."""
N = {**dict.fromkeys(LADDER, 48), SMOLLM2: 24}
DENSITY = Variable(of=where(RANK), name="rank over width")
RATE = Variable(of=where(RHO2, range=LEAST_RANGE), name="contraction per layer")
P = "p-value of the correlation"


def _measure(network: str, reference: str) -> Measure:
    return Measure(
        instrument=instrument.NAME,
        network=reference,
        label={"network": network, "symbols": LENGTH},
        prompts={"n": N.get(network, 24)},
        options={"sequences": blocks(network)},
        smoke_options={"shares": (0.25, 1.0)},
        at_smoke=network in LADDER,
    )


def _both(network: str, reference: str) -> tuple[Measure, ...]:
    return (_measure(network, reference), measured(network, reference, LENGTH, N.get(network, 24)))


def _reliable(found: Sequence[Measurement], network: str) -> bool:
    return pick(found, FIT, range=LEAST_RANGE, network=network).value >= RELIABLE


def _curves(found: Sequence[Measurement]) -> Figure:
    rows: list[dict[str, Scalar]] = []
    for m in only(found, quantity=ANSWER.name):
        for kept, shown in (("the largest", m), *((name, known(m, name)) for name in (RANDOM, SMALLEST))):
            row = {"network": m.coordinates["network"], "share": m.coordinates["share"], "kept": kept}
            rows.append({**row, "accuracy": shown.value, **bounds(shown.interval)})
    return lines(
        name="accuracy-by-directions",
        section="Truncation",
        title="Accuracy on repeated blocks with a part of the embedding's directions",
        caption="The stream that the first layer reads keeps some directions of the embedding: those of the largest singular "
        "values, as many random ones, or as many of the smallest.",
        rows=tuple(rows),
        x="share",
        y="accuracy",
        series="kept",
        facet="network",
        titles={"share": "share of directions kept"},
    )


def _table(found: Sequence[Measurement]) -> Figure:
    rows: list[dict[str, Scalar]] = []
    for rank in only(found, quantity=RANK):
        network = rank.coordinates["network"]
        gap = only(found, quantity=GAP.name, network=network)
        contraction = only(found, quantity=RHO2, network=network, range=LEAST_RANGE)
        rows.append(
            {
                "network": network,
                "rank over width": rank.value,
                "untrained": next((c.value for c in rank.controls if c.kind == "negative"), None),
                "heads over rank": pick(found, HEADS, network=network).value,
                "condition number": pick(found, CONDITION, network=network).value,
                "emergence gap": gap[0].value if gap else None,
                "gap, random directions": known(gap[0], RANDOM).value if gap else None,
                "contraction per layer": contraction[0].value if contraction else None,
            }
        )
    return table(
        name="embeddings",
        section="The embedding",
        title="The embedding's rank, and what truncation destroys",
        caption="Rank: eigenvalues of at least a hundredth of the largest, so that the condition number is at most 10. Emergence "
        "gap: mean accuracy where the rank or more is kept, less the mean where less is kept. No gap where every share "
        "keeps the rank. Source C prints gaps of 0.30 and 0.32, and ranks of 0.95 to 1.00 of the width.",
        rows=tuple(rows),
    )


def _figures(found: Sequence[Measurement], bench: Bench) -> tuple[Figure, ...]:
    return (_curves(found), _table(found))


def _notes(found: Sequence[Measurement], bench: Bench) -> tuple[str, ...]:
    return tuple(
        f"{m.coordinates['network']}: the gap is {m.value:.2f}; with random directions it is {known(m, RANDOM).value:.2f}."
        for m in only(found, quantity=GAP.name)
    )


STUDY = Study(
    name="truncation",
    source="C",
    title="Does in-context learning need all directions of the embedding, and does their density slow it?",
    measures=(
        *(measure for name in HERE for measure in _both(name, name)),
        *(measure for name, reference in PANEL.items() for measure in _both(name, reference)),
    ),
    claims=(
        sourced(
            "Two models that learn in context lose it when less than the embedding's rank is kept: gaps of 0.30 and 0.32.",
            *(where(GAP, network=name).between(0.25, 0.38) for name in CUT),
            published=("svd_truncation_emergence_gap/0", "svd_truncation_emergence_gap/1"),
        ),
        sourced(
            "All models but one have an embedding of nearly full rank, 0.95 to 1.00 of the width.",
            *(where(RANK, network=name).between(0.95, 1) for name in REGULAR),
            published=("capacity_bridge/rank_over_d/0", "capacity_bridge/rank_over_d/1"),
        ),
        sourced(
            "Where the rank is a larger share of the width, the surprisal contracts less per layer, but not significantly so: r "
            "is 0.43 (p 0.21) over the ten models whose fit is reliable, after 0.93 over the first six.",
            correlated(DENSITY, RATE, tuple(PANEL), whole=True, reliable=_reliable).between(0.2, 0.65),
            correlated(DENSITY, RATE, tuple(PANEL), whole=True, reliable=_reliable, show=p_value, words=P).between(
                low=0.05
            ),
            published=("capacity_bridge/r", "capacity_bridge/p", "capacity_bridge/r_first_panel"),
        ),
        own(
            "The measurement works: a matrix of half the rank is found to have it, keeping all directions changes nothing, and "
            "without any direction nobody knows what is repeated.",
            where(RANK, control=HALF).between(0.5, 0.5),
            where(ADDED, control=EVERY).between(-EQUAL, EQUAL),
            where(ANSWER, control=NONE).between(high=0.2),
        ),
        own(
            "SmolLM2's embedding is as dense as those of source C's models.",
            where(RANK, network=SMOLLM2).between(0.95, 1),
        ),
        own(
            "Truncation destroys what SmolLM2 and every model of the ladder know of repeated blocks: the gap is at least 0.1.",
            *(where(GAP, network=name).between(low=0.1) for name in HERE),
        ),
        own(
            "What truncation destroys is not about the embedding's own directions: with as many random ones the gap is at least "
            "0.1, too.",
            *(where(GAP, control=RANDOM, network=name).between(low=0.1) for name in HERE),
        ),
        own(
            "Half of the directions, the largest, leave SmolLM2 more of its accuracy than half of them drawn at random.",
            beyond(where(ANSWER, network=SMOLLM2, share=0.5), RANDOM).between(low=0),
        ),
        own(
            "Among the models that can be run here, density and contraction do not correlate significantly.",
            correlated(DENSITY, RATE, HERE, reliable=_reliable, show=p_value, words=P).between(low=0.05),
        ),
    ),
    figures=_figures,
    notes=_notes,
    departures=(
        "Source C does not name its two models, nor which matrix is truncated, nor the ranks of the gap. Here the first layer's "
        "stream keeps 1/16 to all of the embedding's directions, and the weights stay as they are.",
        "The rules were written before anything was measured, for an earlier ladder, whose blocks all had 24 symbols.",
    ),
)
