"""The error as examples per dimension go from 1 to 8: source B names the ratio and prints no figures."""

from collections.abc import Sequence

from mesascope.instruments import examples
from mesascope.studies.measure import Between, known, labelled, pick
from mesascope.studies.networks import Network
from mesascope.studies.session import Session
from mesascope.studies.study import Claim, Found, Study
from mesascope.tasks import LinearRegression
from mesascope.types import Figure, Measurement, Scalar, Subject, bounds

NETWORKS = (Network(layers=2), Network(layers=3), Network(layers=4))
LONGER = Network(examples=40)
DENSE = ("two-layer", "four-layer")
COUNTS = (5, 6, 8, 10, 15, 20)
COUNTS_LONGER = (5, 10, 20, 40)
PROMPTS = 768


def run(session: Session) -> Found:
    """Query-only networks with examples repeated to fill the context; dense ones with and without repetition."""
    networks, dense, counts, longer = NETWORKS, DENSE, COUNTS, session.shipped((LONGER,))
    if session.profile == "smoke":  # one of each shows that it runs
        networks, dense, counts, longer = NETWORKS[:1], DENSE[:1], (COUNTS[0], COUNTS[-1]), ()
    found: list[Measurement] = []

    def add(name: str, subject: Subject, counts: Sequence[int], repeat_to: int | None) -> None:
        shown = "once" if repeat_to is None else "repeated"
        measured = session.keep(
            f"{name} {shown}",
            lambda: examples.by_examples(
                subject,
                LinearRegression(),
                counts=counts,
                seed=session.seed,
                n=session.prompts(PROMPTS),
                repeat_to=repeat_to,
            ),
        )
        found.extend(labelled(measured, network=name))

    for network in networks:
        add(network.name, session.network(network), counts, network.examples)
    for network in longer:
        add(network.name, session.network(network), COUNTS_LONGER, network.examples)
    for name in dense:
        for repeat_to in (None, COUNTS[-1]):
            add(name, session.reference(name), counts, repeat_to)

    quantity = examples.OVER_MULTIPLE.name
    once = "once"
    reference = {
        count: known(
            pick(found, examples.NORMALISED.name, network=DENSE[0], shown=once, examples=count), examples.MULTIPLE
        )
        for count in (5, 20)
    }
    return Found(
        evidence={
            "as trained": tuple(pick(found, quantity, network=n.name, examples=20) for n in networks),
            "one example a dimension, repeated": tuple(
                pick(found, quantity, network=n.name, examples=5) for n in networks
            ),
            "dense networks, shown once": tuple(
                pick(found, quantity, network=name, shown=once, examples=count) for name in dense for count in counts
            ),
            "eight a dimension": tuple(pick(found, quantity, network=n.name, examples=40) for n in longer),
            "the best multiple at 1": reference[5],
            "the best multiple at 4": reference[20],
        },
        measurements=tuple(found),
        figures=(_errors(found), _nearer(found)),
        notes=(*_notes(found), *(() if longer else (f"{LONGER.name} was not asked: nothing at n/d = 8.",))),
    )


def _errors(found: Sequence[Measurement]) -> Figure:
    rows: list[dict[str, Scalar]] = []
    for m in found:
        if m.quantity != examples.NORMALISED.name:
            continue
        shown = "shown once" if m.coordinates["shown"] == "once" else "repeated to fill the context"
        where = {"examples per dimension": m.coordinates["examples per dimension"], "shown": shown}
        name = str(m.coordinates["network"])
        rows.append({**where, "who": name, "normalised error": m.value, **bounds(m.interval), "n": m.n})
        if name == DENSE[0]:
            for control in ("ridge", examples.MULTIPLE):
                rows.append(
                    {
                        **where,
                        "who": control,
                        "normalised error": known(m, control).value,
                        **bounds(known(m, control).interval),
                        "n": m.n,
                    }
                )
    return Figure(
        name="examples-per-dimension",
        section="Examples per dimension",
        title="The error as more examples are shown",
        caption="Mean squared error over the target's variance. Networks trained at the query alone answer after one number of "
        "examples, so theirs are repeated until the context is full; ridge (λ = 0.01) sees them once.",
        kind="lines",
        rows=tuple(rows),
        x="examples per dimension",
        y="normalised error",
        series="who",
        facet="shown",
        low="low",
        high="high",
        log=("y",),
    )


def _nearer(found: Sequence[Measurement]) -> Figure:
    wanted = {examples.TO_RIDGE.name: "ridge's answers", examples.TO_MULTIPLE.name: "the best multiple of Xᵀy"}
    return Figure(
        name="nearer",
        section="Examples per dimension",
        title="Whose answers are they nearer to?",
        caption="Mean squared distance to each reference's answers over the target's variance.",
        kind="lines",
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
        low="low",
        high="high",
        log=("y",),
    )


def _notes(found: Sequence[Measurement]) -> tuple[str, ...]:
    lines: dict[str, list[str]] = {}
    for m in found:
        if m.quantity == examples.NORMALISED.name:
            row = lines.setdefault(f"{m.coordinates['network']}, {m.coordinates['shown']}", [])
            row.append(f"{m.coordinates['examples per dimension']:g}: {m.value:.2g}")
    told = [f"{who}: {', '.join(values)}" for who, values in lines.items()]
    return (f"Normalised error by examples per dimension. {'; '.join(told)}.",)


STUDY = Study(
    name="examples-per-dimension",
    title="How does the error fall with the number of examples per dimension?",
    claims=(
        Claim(
            text="The best multiple of Xᵀy leaves (d + 1)/(n + d + 1) of the variance: 0.545 at n/d = 1 and 0.231 at 4 (each "
            "within a tenth).",
            own=True,
            accept={
                "the best multiple at 1": Between(low=0.49, high=0.6),
                "the best multiple at 4": Between(low=0.208, high=0.254),
            },
        ),
        Claim(
            text="At n/d = 4, as trained, networks of 2, 3 and 4 layers leave at most a twentieth of that: they do not just "
            "rescale Xᵀy.",
            own=True,
            accept={"as trained": Between(high=0.05)},
            needs={Network(): 0.01, Network(layers=3): 0.01, Network(layers=4): 0.01},
        ),
        Claim(
            text="With one example a dimension, shown four times over, they do no better than the best multiple of Xᵀy.",
            own=True,
            accept={"one example a dimension, repeated": Between(low=1.0)},
        ),
        Claim(
            text="Networks trained with loss at every input beat the best multiple of Xᵀy at every n/d from 1 to 4 (by a tenth "
            "at least).",
            own=True,
            accept={"dense networks, shown once": Between(high=0.9)},
        ),
        Claim(
            text="At n/d = 8, trained there, two layers leave at most a twentieth of what the best multiple leaves.",
            own=True,
            accept={"eight a dimension": Between(high=0.05)},
            needs={LONGER: 0.0065},
        ),
    ),
    run=run,
    departures=(
        "The source says that it varies n/d and prints no figures, so all claims here are ours.",
        "A network with the loss at the query answers at one position, after 20 examples. With fewer it is shown them over and "
        "over, which leaves XᵀX/n and Xᵀy/n as they are; but such prompts did not occur in training. The dense networks, which "
        "answer after any number, stand beside it both ways and show what repetition itself costs.",
    ),
)
