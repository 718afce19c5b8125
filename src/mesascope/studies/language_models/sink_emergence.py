"""Do attention sinks in late layers emerge together with what a model learns in context?"""

from collections.abc import Sequence

from mesascope.instruments.attending.sinks import EVEN, GROWTH
from mesascope.instruments.reading.induction import ANSWER
from mesascope.instruments.reading.induction import FIRST as UNKNOWABLE
from mesascope.instruments.reading.refinement import FALL, OTHERS
from mesascope.studies.bench import Bench
from mesascope.studies.language_models.following import (
    BLOCKS,
    HERE,
    asked,
    attended,
    curves,
    features,
    over_training,
    refined,
)
from mesascope.studies.language_models.networks import SHUFFLED, SMALL
from mesascope.studies.language_models.trajectories import FINAL, HALF_RISE, PEAK, at_end, read, together
from mesascope.studies.measure import Measure
from mesascope.studies.pictures import table
from mesascope.studies.rules import Where, where
from mesascope.studies.study import Study, own, published, sourced
from mesascope.types import Figure, Measurement

PYTHIA = "Pythia-160M"
PRINTED = {64: "step64", 1000: "step1k", 16000: "step16k", 143000: "final"}
LAW = 1.25
"""Late over early sinks from which on they grow with depth, and below whose inverse they shrink."""
REPEATED = 0.9
"""Accuracy from which on blocks count as repeated."""
OF: tuple[tuple[str, str, Where, str, str], ...] = (
    ("sinks", "Late over early sinks", where(GROWTH), EVEN, "late over early"),
    ("refinement", "By how much the layers lower the error", where(FALL), OTHERS, "digits"),
    ("induction", "Repeated blocks", where(ANSWER, sequences=BLOCKS), UNKNOWABLE, "accuracy"),
)


def _measures(name: str) -> tuple[Measure, ...]:
    return (refined(name), attended(name), asked(name, BLOCKS))


def _figures(found: Sequence[Measurement], bench: Bench) -> tuple[Figure, ...]:
    pictures = tuple(
        over_training(
            name=name,
            title=title,
            caption=f"With 95 % intervals, beside the control: {null}.",
            rows=curves(found, of, null),
            axis=axis,
        )
        for name, title, of, null, axis in OF
        if of.among(found)
    )
    wanted = (HALF_RISE, PEAK, FINAL)
    rows = tuple({"what": title, **row} for _, title, of, null, _ in OF for row in features(found, of, wanted, null))
    beside = table(
        name="beside",
        section="Over training",
        title="When each of them emerges",
        caption="Half of the rise is counted from the value at the first checkpoint to the peak. A curve whose peak is "
        "hardly above its first value has a step of half its rise, too: compare the peaks with the control.",
        rows=rows,
    )
    return (*pictures, beside)


def _notes(found: Sequence[Measurement], bench: Bench) -> tuple[str, ...]:
    notes = []
    for network in dict.fromkeys(str(m.coordinates["network"]) for m in where(GROWTH).among(found)):
        parts = []
        for _, title, of, null, _ in OF:
            curve = [m for m in of.among(found) if m.coordinates["network"] == network and "step" in m.coordinates]
            for end in read(curve, FINAL, null):
                (half,) = read(curve, HALF_RISE, null) or (None,)
                parts.append(f"{title.lower()} {end.value:.2f}" + (f" (half at step {half.value:.0f})" if half else ""))
        notes.append(f"{network}, in the end: {'; '.join(parts)}.")
    return tuple(notes)


STUDY = Study(
    name="sink-emergence",
    source="C",
    title="Do attention sinks in late layers emerge together with what is learnt in context?",
    measures=tuple(measure for name in (*HERE, PYTHIA) for measure in _measures(name)),
    claims=(
        sourced(
            "In Pythia-160M sinks do not grow with depth up to step 64, and in the end lie five times as often in late layers.",
            *(
                where(GROWTH, network=PYTHIA, step=step).near(
                    published("C")[f"sink_emergence_pythia160m_late_over_early/{name}"], 1.25
                )
                for step, name in PRINTED.items()
            ),
            published=tuple(f"sink_emergence_pythia160m_late_over_early/{name}" for name in PRINTED.values()),
        ),
        own(
            f"The ladder's smallest models have the law too: late over early sinks of at least {LAW:g} in the end, with both "
            "seeds, and none before training.",
            *(where(GROWTH, network=name, step=1).between(1 / LAW, LAW) for name in SMALL),
            *(at_end(where(GROWTH, network=name)).between(low=LAW) for name in SMALL),
        ),
        own(
            "There they emerge with refinement: late over early sinks and the fall of the error have a rank correlation over "
            "training of at least 0.7.",
            *(
                together(f"correlation of sinks and refinement over training, {name}", *_pair).between(low=0.7)
                for name in SMALL
                for _pair in [(where(GROWTH, network=name), where(FALL, network=name))]
            ),
        ),
        own(
            "That is no sign that one belongs to the other: with shuffled labels, where nothing is refined, late over early "
            f"sinks are at least {LAW:g} in the end as well.",
            at_end(where(GROWTH, network=SHUFFLED)).between(low=LAW),
        ),
        own(
            "Nor does induction need refinement: with shuffled labels, too, blocks are repeated rightly in the end (accuracy at "
            f"least {REPEATED:g}).",
            *(at_end(where(ANSWER, network=name, sequences=BLOCKS)).between(low=REPEATED) for name in HERE),
        ),
    ),
    figures=_figures,
    notes=_notes,
    departures=(
        "Source C says neither which layers are early and late nor which positions count; the first and the last third of "
        "the layers are taken, and rows from the second position on. Its figures get a factor of 1.25.",
        "The rules about sinks were written before they were measured over training, for earlier models, whose blocks all had "
        "24 characters. That blocks of several lengths are repeated was seen before its rule was written.",
    ),
)
