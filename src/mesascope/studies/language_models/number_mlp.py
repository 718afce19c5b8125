"""Source D's feed-forward networks at numbers: how much they add there, and whether the answer needs it."""

from collections.abc import Sequence
from dataclasses import replace

from mesascope.instruments.intervening import number_mlp as instrument
from mesascope.instruments.intervening.number_mlp import (
    ANSWER,
    AS_MANY,
    BLURRED,
    EARLIER,
    FRESH,
    KINDS,
    KNOWN,
    LAST,
    LOST,
    SIZE,
    WORDS,
)
from mesascope.studies.bench import Bench
from mesascope.studies.language_models.beyond import beyond
from mesascope.studies.language_models.networks import LADDER, SMOLLM2
from mesascope.studies.language_models.number_tasks import LLAMA, Reader, reader, readers
from mesascope.studies.language_models.regressors import WRITTEN
from mesascope.studies.measure import Measure
from mesascope.studies.pictures import bars, lines, only
from mesascope.studies.rules import Rule, known, where
from mesascope.studies.study import Study, own, sourced
from mesascope.types import Figure, Measurement, Scalar, bounds

EXAMPLES = 5
LAST_OF_SMOLLM2 = tuple(range(21, 30))
"""As large a share of its 30 layers as the last ten of source D's 32."""


def _sizes(found: Sequence[Measurement]) -> Figure:
    rows: list[dict[str, Scalar]] = []
    for m in only(found, quantity=SIZE.name):
        place = {name: m.coordinates[name] for name in ("network", "layer")}
        rows.append({**place, "at": m.coordinates["at"], "size": m.value, **bounds(m.interval)})
        if m.coordinates["at"] == ANSWER:
            words = known(m, WORDS)
            rows.append({**place, "at": WORDS, "size": words.value, **bounds(words.interval)})
        if m.coordinates["at"] == KINDS[1]:
            drawn = known(m, FRESH)
            rows.append({**place, "at": f"{KINDS[1]}, {FRESH}", "size": drawn.value, **bounds(drawn.interval)})
    return lines(
        name="size-at-numbers",
        section="How much they add",
        title="Length of what a feed-forward network adds, over that of the stream",
        caption="At the features and outputs of the examples, at the position that predicts the answer, and at the words between "
        "numbers.",
        rows=tuple(rows),
        x="layer",
        y="size",
        series="at",
        facet="network",
    )


def _needed(found: Sequence[Measurement]) -> Figure:
    rows: list[dict[str, Scalar]] = []
    for m in only(found, quantity=LOST.name):
        place = {"network": m.coordinates["network"], "at": f"{m.coordinates['at']}, {m.coordinates['layers']}"}
        for what, shown in (("there", m), (AS_MANY, known(m, AS_MANY)), (BLURRED, known(m, BLURRED))):
            rows.append({**place, "replaced": what, "nats": shown.value, **bounds(shown.interval)})
    return bars(
        name="needed-at-numbers",
        section="Whether the answer needs it",
        title="Log-odds of the answer lost if what the networks add at numbers is replaced by its mean",
        caption="The prompt's own answer over another prompt's, in nats; beside it the same at as many words, and with the "
        "embeddings of all numbers replaced by their mean.",
        rows=tuple(rows),
        x="at",
        y="nats",
        series="replaced",
        facet="network",
    )


def _notes(found: Sequence[Measurement], bench: Bench) -> tuple[str, ...]:
    sentences = [
        f"{m.coordinates['network']}: the log-odds of its own answer over another prompt's are {m.value:.2f} nats "
        f"({known(m, BLURRED).value:.2f} with the embeddings of numbers replaced by their mean)."
        for m in only(found, quantity=KNOWN.name)
    ]
    return (
        *sentences,
        *(
            f"{m.coordinates['network']}: without what {m.coordinates['layers']} add at {m.coordinates['at']} {m.value:.2f} nats "
            f"less, at as many words {known(m, AS_MANY).value:.2f}."
            for m in only(found, quantity=LOST.name)
        ),
    )


def _measure(of: Reader) -> Measure:
    return of.measure(instrument.NAME, {"n": 96 if of.digits else 10})


def _needs(network: str, layers: str, *kinds: str) -> list[Rule]:
    return [beyond(where(LOST, network=network, at=kind, layers=layers), AS_MANY).between(low=0) for kind in kinds]


def _of(reference: str) -> Study:
    """The study about one model."""
    written = WRITTEN.get(reference, reference)
    return replace(
        STUDY,
        title=f"Does an answer of {written} need what feed-forward networks add at the prompt's numbers?",
        measures=(_measure(reader(reference, EXAMPLES)),),
        claims=(
            own(
                "The answer needs what the networks of the last layers add at features and at outputs, more than what they add "
                "at as many words.",
                *_needs(reference, LAST, *KINDS),
            ),
            own("It needs what the earlier ones add at outputs.", *_needs(reference, EARLIER, KINDS[1])),
            own(
                f"{written} knows something of the answer: its log-odds over another prompt's are above 0.",
                where(KNOWN, network=reference).between(low=0),
            ),
        ),
    )


STUDY = Study(
    name="number-mlp",
    source="D",
    title="Does an answer need what feed-forward networks add at the prompt's numbers?",
    measures=tuple(map(_measure, readers(EXAMPLES, published=25))),
    claims=(
        sourced(
            "Feed-forward networks are very important for the task: the answer needs what those of the last ten layers add at "
            "features and at outputs, more than what they add at as many words.",
            *_needs(LLAMA, LAST, *KINDS),
        ),
        own(
            "So it is in SmolLM2, with the last nine of its layers.",
            *_needs(SMOLLM2, LAST, *KINDS),
        ),
        own(
            "SmolLM2's answer needs what its earlier networks add at outputs.",
            *_needs(SMOLLM2, EARLIER, KINDS[1]),
        ),
        own(
            "In the last nine layers, SmolLM2's networks add more to the stream at outputs than at words.",
            beyond(where(SIZE, network=SMOLLM2, at=KINDS[1], layer=LAST_OF_SMOLLM2), WORDS).between(low=0),
        ),
        own(
            "Models that are trained on lines need what their earlier networks add at outputs, in every size and with both "
            "seeds.",
            *(rule for name in LADDER for rule in _needs(name, EARLIER, KINDS[1])),
        ),
        own(
            "SmolLM2 knows something of the answer: its log-odds over another prompt's are above 0.",
            where(KNOWN, network=SMOLLM2).between(low=0),
        ),
    ),
    figures=lambda found, bench: (_needed(found), _sizes(found)),
    notes=_notes,
    departures=(
        "Source D draws what the networks of the last ten layers add at features and outputs, for one prompt of 25 examples, and "
        "prints no number. The rule about need, and the words beside the numbers, are ours. SmolLM2 gets 5 examples.",
        "The rules were written before the study was run, but after the instrument had been tried on the smallest model of the "
        "ladder.",
    ),
    of=_of,
)
