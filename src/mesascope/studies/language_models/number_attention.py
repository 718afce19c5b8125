"""Source D's attention to numbers: where heads look when an answer is due, beside uniform attention and induction."""

from collections.abc import Sequence
from dataclasses import replace

from mesascope.instruments.attending import number_attention as instrument
from mesascope.instruments.attending.number_attention import (
    ANY,
    CHANCE,
    COMMON,
    EVEN,
    FEATURES,
    FRESH,
    IDEAL,
    INDUCTION,
    OUTPUTS,
    OVERLAP,
)
from mesascope.studies.bench import Bench
from mesascope.studies.language_models.beyond import beyond, less
from mesascope.studies.language_models.networks import LADDER, SMOLLM2
from mesascope.studies.language_models.number_tasks import LLAMA, Reader, drawn, reader, readers
from mesascope.studies.language_models.regressors import WRITTEN
from mesascope.studies.measure import Measure
from mesascope.studies.pictures import heatmap, only, table
from mesascope.studies.rules import Derived, known, pick, where
from mesascope.studies.study import Claim, Study, own, sourced
from mesascope.types import Figure, Measurement, Scalar

NOTED = ((27, 28), (28, 29), (27, 30))
"""Layer and head of those that source D finds interesting."""
EXAMPLES = 5
SHOWN = 10
"""Heads of a model in the table."""


def _maps(found: Sequence[Measurement]) -> Figure:
    what = {OUTPUTS.name: "to outputs", FEATURES.name: "to features", INDUCTION.name: "induction score"}
    rows: list[dict[str, Scalar]] = [
        {
            "case": f"{m.coordinates['network']}: {what[m.quantity]}",
            **{name: m.coordinates[name] for name in ("layer", "head")},
            "attention": m.value,
        }
        for m in found
        if m.quantity in what and m.coordinates["network"] in drawn(found)
    ]
    return heatmap(
        name="number-attention",
        section="Head by head",
        title="Attention of the position that predicts the answer",
        caption="To the outputs and to the features of the examples; beside it each head's induction score, its attention in "
        "random text that comes twice to what followed the same token the first time.",
        rows=tuple(rows),
        x="layer",
        y="head",
        value="attention",
        facet="case",
    )


def _table(found: Sequence[Measurement]) -> Figure:
    rows: list[dict[str, Scalar]] = []
    for network in drawn(found):
        looking = sorted(only(found, quantity=OUTPUTS.name, network=network), key=lambda m: -m.value)
        for m in looking[:SHOWN]:
            place = {name: m.coordinates[name] for name in ("network", "layer", "head")}
            low, high = m.interval or (None, None)
            rows.append(
                {
                    **place,
                    "to outputs": m.value,
                    "low": low,
                    "high": high,
                    **{name: known(m, name).value for name in (EVEN, IDEAL, FRESH)},
                    "to features": pick(found, FEATURES.name, **place).value,
                    "induction score": pick(found, INDUCTION.name, **place).value,
                }
            )
    return table(
        name="heads-to-outputs",
        section="Heads that look at outputs most",
        title=f"The {SHOWN} heads of each model that look at outputs most",
        caption="That they are the largest of all heads is a choice after the fact: with many heads some are far above uniform "
        "attention in any trained model. The columns after the interval are what uniform attention, an ideal induction head and "
        "the same head of the untrained network put on outputs.",
        rows=tuple(rows),
    )


def _notes(found: Sequence[Measurement], bench: Bench) -> tuple[str, ...]:
    return tuple(
        f"{m.coordinates['network']}: attention to outputs and induction score have a rank correlation of {m.value:.2f} over "
        f"heads (of random orders 97.5 % stay below {known(m, ANY).value:.2f}); of the heads that look at outputs most, "
        f"{common.value:.0%} are induction heads, by chance {known(common, CHANCE).value:.0%}."
        for m in only(found, quantity=OVERLAP)
        for common in only(found, quantity=COMMON, network=m.coordinates["network"])
    )


def _above_random(network: str) -> Derived:
    """The rank correlation less what random orders stay below, which is known, so that the interval moves with it."""
    overlap = where(OVERLAP, network=network)

    def of(found: Sequence[Measurement]) -> list[Measurement]:
        made = []
        for m in overlap.among(found):
            null = known(m, ANY).value
            assert m.interval is not None, "a correlation over heads has an interval over prompts"
            made.append(replace(less(m, ANY), interval=(m.interval[0] - null, m.interval[1] - null)))
        return made

    return Derived(words=f"{overlap}, beyond random orders", of=of, uses=(overlap,))


def _induction(network: str) -> tuple[Claim, ...]:
    written = WRITTEN.get(network, network)
    return (
        own(
            f"Heads of {written} that look at outputs overlap with its induction heads: over heads, the rank correlation of both "
            "is above what 97.5 % of random orders stay below.",
            _above_random(network).between(low=0),
        ),
        own(
            f"Less than half of the twentieth of {written}'s heads that look at outputs most are among the twentieth with the "
            "highest induction scores.",
            where(COMMON, network=network).between(high=0.499),
        ),
    )


def _of(reference: str) -> Study:
    """The study about one model."""
    return replace(
        STUDY,
        title=f"Which heads of {WRITTEN.get(reference, reference)} look at a prompt's numbers when an answer is due?",
        measures=(_measure(reader(reference, EXAMPLES)),),
        claims=_induction(reference),
    )


def _measure(of: Reader) -> Measure:
    return of.measure(instrument.NAME, {"n": 96 if of.digits else 24})


STUDY = Study(
    name="number-attention",
    source="D",
    title="Which heads look at a prompt's numbers when an answer is due, and are they more than induction heads?",
    measures=tuple(map(_measure, readers(EXAMPLES, published=25))),
    claims=(
        sourced(
            "Heads that look at outputs overlap with induction heads a lot: over heads, the rank correlation of both is above "
            "what 97.5 % of random orders stay below.",
            _above_random(LLAMA).between(low=0),
        ),
        sourced(
            "Head 28 of layer 27, head 29 of layer 28 and head 30 of layer 27 look at outputs more than evenly.",
            *(beyond(where(OUTPUTS, network=LLAMA, layer=i, head=h), EVEN).between(low=0) for i, h in NOTED),
            published=tuple(f"heads_noted/{i}/{j}" for i in range(len(NOTED)) for j in (0, 1)),
        ),
        *_induction(SMOLLM2),
        own(
            "In every model that is trained on lines, the head that looks at outputs most is not the one with the highest "
            "induction score.",
            *(where(COMMON, network=name).between(high=0) for name in LADDER),
        ),
    ),
    figures=lambda found, bench: (_maps(found), _table(found)),
    notes=_notes,
    departures=(
        "Source D draws maps of the attention from the last token to features and outputs, without a baseline, "
        "and names heads that look interesting on them, without saying where they look. It shows 25 examples; SmolLM2 gets 5.",
        "Source D does not say how it knows induction heads. Here a head's induction score is measured on random text, apart "
        "from any regression.",
        "The rules were written before the study was run, but after the instrument had been tried on the smallest model of the "
        "ladder.",
    ),
    of=_of,
)
