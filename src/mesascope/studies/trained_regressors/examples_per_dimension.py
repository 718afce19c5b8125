"""The error as examples per dimension go from 1 to 8: source B names the ratio and prints no figures."""

from collections.abc import Sequence

from mesascope.instruments.behaving import examples
from mesascope.studies.bench import Bench
from mesascope.studies.measure import Measure
from mesascope.studies.networks import Network
from mesascope.studies.pictures import lines, only
from mesascope.studies.rules import Where, known, where
from mesascope.studies.study import Study, own
from mesascope.tasks import LinearRegression
from mesascope.types import Figure, Measurement, Scalar, bounds

NETWORKS = (Network(layers=2), Network(layers=3), Network(layers=4))
LONGER = Network(examples=40)
DENSE = ("two-layer", "four-layer")
COUNTS = (5, 6, 8, 10, 15, 20)


def _measure(
    network: Network | str, *, counts: tuple[int, ...] = COUNTS, repeat_to: int | None = 20, smoke: bool = False
) -> Measure:
    shown = "once" if repeat_to is None else f"repeated to {repeat_to}"
    return Measure(
        instrument=examples.NAME,
        network=network,
        label={"network": network if isinstance(network, str) else network.name, "shown": shown},
        prompts={"n": 768},
        options={"counts": counts, "repeat_to": repeat_to},
        task=LinearRegression(),
        at_smoke=smoke,
    )


def _of(networks: Sequence[Network], count: int) -> Where:
    return where(examples.OVER_MULTIPLE, network=[network.name for network in networks], examples=count)


def _best_multiple(count: int) -> Where:
    return where(examples.NORMALISED, control=examples.MULTIPLE, network=DENSE[0], shown="once", examples=count)


def _figures(found: Sequence[Measurement], bench: Bench) -> tuple[Figure, ...]:
    return (_errors(only(found, quantity=examples.NORMALISED.name)), _nearer(found))


def _errors(found: Sequence[Measurement]) -> Figure:
    rows: list[dict[str, Scalar]] = []
    for m in found:
        name = str(m.coordinates["network"])
        cases = [(name, m), *((c, known(m, c)) for c in ("ridge", examples.MULTIPLE) if name == DENSE[0])]
        shown = "shown once" if m.coordinates["shown"] == "once" else "repeated to fill the context"
        at = {"examples per dimension": m.coordinates["examples per dimension"], "shown": shown}
        rows += [{**at, "who": w, "normalised error": c.value, **bounds(c.interval), "n": m.n} for w, c in cases]
    return lines(
        name="examples-per-dimension",
        section="Examples per dimension",
        title="The error as more examples are shown",
        caption="Mean squared error over the target's variance. Networks trained at the query alone answer after one number of "
        "examples, so theirs are repeated until the context is full; ridge (λ = 0.01) sees them once.",
        rows=tuple(rows),
        x="examples per dimension",
        y="normalised error",
        series="who",
        facet="shown",
        log=("y",),
    )


def _nearer(found: Sequence[Measurement]) -> Figure:
    wanted = {examples.TO_RIDGE.name: "ridge's answers", examples.TO_MULTIPLE.name: "the best multiple of Xᵀy"}
    return lines(
        name="nearer",
        section="Examples per dimension",
        title="Whose answers the networks are nearer to",
        caption="Mean squared distance to each reference's answers over the target's variance.",
        rows=tuple(
            {
                "examples per dimension": m.coordinates["examples per dimension"],
                "network": f"{m.coordinates['network']}, {m.coordinates['shown']}",
                "to": wanted[m.quantity],
                "distance": m.value,
                **bounds(m.interval),
                "n": m.n,
            }
            for m in found
            if m.quantity in wanted
        ),
        x="examples per dimension",
        y="distance",
        series="to",
        facet="network",
        log=("y",),
    )


def _notes(found: Sequence[Measurement], bench: Bench) -> tuple[str, ...]:
    courses: dict[str, list[str]] = {}
    for m in only(found, quantity=examples.NORMALISED.name):
        row = courses.setdefault(f"{m.coordinates['network']}, {m.coordinates['shown']}", [])
        row.append(f"{m.coordinates['examples per dimension']:g}: {m.value:.2g}")
    told = "; ".join(f"{who}: {', '.join(values)}" for who, values in courses.items())
    asked = only(found, network=LONGER.name)
    missing = () if asked else (f"{LONGER.name} was not measured, so there is no number at n/d = 8.",)
    return (f"Normalised error by examples per dimension. {told}.", *missing)


STUDY = Study(
    name="examples-per-dimension",
    title="How does the error fall with the number of examples per dimension?",
    measures=(
        *(_measure(network, smoke=network == NETWORKS[0]) for network in NETWORKS),
        _measure(LONGER, counts=(5, 10, 20, 40), repeat_to=40),
        *(_measure(name, repeat_to=to, smoke=name == DENSE[0]) for name in DENSE for to in (None, 20)),
    ),
    claims=(
        own(
            "The best multiple of Xᵀy leaves (d + 1)/(n + d + 1) of the variance: 0.545 at n/d = 1 and 0.231 at 4 (each within a "
            "tenth).",
            _best_multiple(5).between(0.49, 0.6),
            _best_multiple(20).between(0.208, 0.254),
        ),
        own(
            "At n/d = 4, as in training, networks of 2, 3 and 4 layers leave at most a twentieth of what the best multiple of "
            "Xᵀy leaves: they do not just rescale Xᵀy.",
            _of(NETWORKS, 20).between(high=0.05),
            needs=dict.fromkeys(NETWORKS, 0.01),
        ),
        own(
            "With one example per dimension, shown four times over, networks of 2, 3 and 4 layers do no better than the best "
            "multiple of Xᵀy.",
            _of(NETWORKS, 5).between(low=1.0),
        ),
        own(
            "Networks trained with loss at every input beat the best multiple of Xᵀy at every n/d from 1 to 4 (by a tenth at "
            "least).",
            where(examples.OVER_MULTIPLE, network=DENSE, shown="once").between(high=0.9),
        ),
        own(
            "Trained at n/d = 8, two layers leave there at most a twentieth of what the best multiple of Xᵀy leaves.",
            _of((LONGER,), 40).between(high=0.05),
            needs={LONGER: 0.0065},
        ),
    ),
    figures=_figures,
    notes=_notes,
    departures=(
        "The source says that it varies n/d and prints no figures, so all claims here are ours.",
        "A network with the loss at the query answers at one position, after 20 examples. Fewer examples are shown to it several "
        "times, which leaves XᵀX/n and Xᵀy/n as they are; but such prompts did not occur in training. The dense networks, which "
        "answer after any number, are measured both ways and show what repetition itself costs.",
    ),
)
