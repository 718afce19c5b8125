"""Does an early checkpoint forecast what a model can do in the end?"""

from collections.abc import Sequence

from mesascope.instruments.reading.induction import SURPRISAL
from mesascope.instruments.reading.refinement import FALL
from mesascope.studies.bench import Bench
from mesascope.studies.language_models.following import RECALL, asked, refined
from mesascope.studies.language_models.forecasting import PEARSON, RANKS, SHUFFLED, SKILL, forecast
from mesascope.studies.language_models.networks import FORECAST, LADDER, SMALL
from mesascope.studies.language_models.recorded import MARK, from_records, told
from mesascope.studies.language_models.trajectories import at_end
from mesascope.studies.pictures import lines, table
from mesascope.studies.rules import Derived, Where, where
from mesascope.studies.study import Study, own, published, sourced
from mesascope.types import Figure, Measurement, bounds

EARLY, LATE = 4000, 143000
"""Steps of Pythia that source C forecasts from, and the last."""
SOON = 512
"""The step of the ladder to forecast from: an eighth of its training."""
LARGER = tuple(name for name in LADDER if name not in SMALL)
LAYERS = {"Pythia-14M": 6, "Pythia-31M": 6, "Pythia-70M": 6, "Pythia-160M": 12, "Pythia-410M": 24}
LAYERS |= {"Pythia-1B": 16, "Pythia-1.4B": 24, "Pythia-6.9B": 32, "Pythia-12B": 36}
SEVEN, NINE = tuple(LAYERS)[:7], tuple(LAYERS)
PRINTED = published("C")["forecast/within_task_spearman_n7"]
FELL = {name: where(FALL, network=name) for name in (*NINE, *LADDER)}


def _pythia(statistic: str, names: Sequence[str], words: str, *, cross: bool = False) -> Derived:
    ends = [
        where(SURPRISAL, network=name, sequences=RECALL, layer=LAYERS[name], step=LATE)
        if cross
        else where(FALL, network=name, step=LATE)
        for name in names
    ]
    starts = [where(FALL, network=name, step=EARLY) for name in names]

    def of(found: Sequence[Measurement]) -> list[Measurement]:
        early, final = ([m for each in wanted for m in each.among(found)] for wanted in (starts, ends))
        complete = len(early) == len(final) == len(names)  # a panel with gaps is another panel
        return forecast(early, final, statistic, words, sign=-1 if cross else 1) if complete else []

    return Derived(words=f"{statistic}, {words}", of=of, uses=(*starts, *ends))


def _of_ladder(found: Sequence[Measurement], statistic: str) -> list[Measurement]:
    held = [*where(FALL).among(found), *from_records(LARGER, FALL.name)]
    early = [m for m in held if m.coordinates["step"] == SOON]
    names = dict.fromkeys(m.coordinates["network"] for m in early)
    final = [m for name in names for m in at_end(where(FALL, network=name)).among(held)]
    return forecast(early, final, statistic, "error reduction of the ladder, from step 512 to the end")


def _ladder(statistic: str) -> Derived:
    uses: tuple[Where, ...] = tuple(FELL[name] for name in SMALL)
    words = f"{statistic}, error reduction of the ladder"
    return Derived(words=words, of=lambda found: _of_ladder(found, statistic), uses=uses)


def _figures(found: Sequence[Measurement], bench: Bench) -> tuple[Figure, ...]:
    held = [*where(FALL).among(found), *from_records(LARGER, FALL.name)]
    curves = lines(
        name="panel",
        section="Over training",
        title="Error reduction over training, all models beside one another",
        caption=f"A name with{MARK} is drawn from a record: it was measured when the model was trained.",
        rows=tuple(
            {
                "model": m.coordinates["network"],
                "step": max(1, int(m.coordinates["step"])),  # type: ignore[arg-type]
                "value": m.value,
                **bounds(m.interval),
            }
            for m in held
        ),
        x="step",
        y="value",
        series="model",
        titles={"step": "training step", "value": "fall of the error, digits"},
        log=("x",),
    )
    rows = tuple(
        {"what": m.quantity, "value": m.value, **bounds(m.interval), "models": m.n, **_shuffled(m)}
        for statistic in (RANKS, SKILL)
        for m in _of_ladder(found, statistic)
    )
    numbers = table(
        name="forecasts",
        section="Over training",
        title="Forecasts over the ladder",
        caption="Beside what 95 % of random orders of the outcomes give.",
        rows=rows,
    )
    return (curves, numbers) if rows else (curves,)


def _shuffled(m: Measurement) -> dict[str, float]:
    (null,) = (c for c in m.controls if c.name == SHUFFLED)
    low, high = null.interval or (null.value, null.value)
    return {"shuffled, low": low, "shuffled, high": high}


def _notes(found: Sequence[Measurement], bench: Bench) -> tuple[str, ...]:
    made = [m for statistic in (RANKS, SKILL) for m in _of_ladder(found, statistic)]
    few = (
        ()
        if made
        else ("Fewer than five models of the ladder have been measured over training: no forecast is judged.",)
    )
    return (*told(LARGER), *few, *(f"{m.quantity}: {m.value:.2f} over {m.n} models." for m in made))


STUDY = Study(
    name="forecast",
    source="C",
    title="Does an early checkpoint forecast what a model can do in the end?",
    measures=(
        *(refined(name) for name in SMALL),
        *(
            measure
            for name in NINE
            for measure in (
                refined(name, FORECAST[name]),
                asked(name, RECALL, where(SURPRISAL, layer=LAYERS[name]), reference=FORECAST[name]),
            )
        ),
    ),
    claims=(
        sourced(
            "Over seven sizes of Pythia, error reduction at step 4,000 ranks the models by error reduction at the end.",
            _pythia(RANKS, SEVEN, "error reduction of seven Pythias").between(PRINTED / 1.25),
            published=("forecast/within_task_spearman_n7",),
        ),
        sourced(
            "Over nine sizes it does not.",
            _pythia(RANKS, NINE, "error reduction of nine Pythias").between(high=0.0),
            published=("forecast/within_task_wide",),
        ),
        sourced(
            "It forecasts no other task: over seven sizes the log-probability of recall goes with it, if at all, the wrong "
            "way, and a line through the other models is no better than their mean.",
            _pythia(PEARSON, SEVEN, "recall of seven Pythias", cross=True).between(high=0.3),
            _pythia(SKILL, SEVEN, "recall of seven Pythias", cross=True).between(high=0.0),
            published=("forecast/cross_task_r", "forecast/cross_task_p"),
        ),
        own(
            "Over the ladder, whose models all reduce the error in the end, error reduction after an eighth of the training "
            "forecasts that at the end: rank correlation at least 0.5, and a line through the other models is better than "
            "their mean.",
            *(at_end(FELL[name]).between(low=0.0) for name in SMALL),
            _ladder(RANKS).between(low=0.5),
            _ladder(SKILL).between(low=0.0),
        ),
    ),
    figures=_figures,
    notes=_notes,
    departures=(
        "Intervals are over models. A panel of seven or nine is judged only if all of it was measured. Source C's wide panel "
        "has ten models, of which pythia-2.8b had the same readout at all checkpoints: it is left out.",
        "Of the ladder's larger models the checkpoints do not ship; their numbers come from records. The rule about the ladder "
        "was written when the curves of the two smallest models of an earlier ladder had been seen, and no record had been "
        "looked at.",
    ),
)
