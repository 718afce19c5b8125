"""Which algorithm a trained network runs, depth by depth, and over its training: identity followed where nobody has."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from mesascope.instruments.asking.applicability import untrained
from mesascope.instruments.identification import identify_path
from mesascope.instruments.identification.remainder import REPEATED
from mesascope.studies.measure import Between, labelled
from mesascope.studies.networks import Network
from mesascope.studies.session import Session
from mesascope.studies.study import Claim, Found, Study
from mesascope.types import Control, Figure, Measurement, Scalar, Subject

FOLLOWED = Network(layers=3)
NETWORKS = (
    Network(layers=1),
    Network(),
    Network(seed=100),
    FOLLOWED,
    Network(layers=3, seed=100),
    Network(layers=4),
    Network(layers=4, seed=100),
    Network(layers=6),
)
BUILT = {
    "gradient-descent": "construction:gradient-descent?layers=4",
    "conjugate-gradient": "construction:conjugate-gradient",
    "newton-schulz:identity": "construction:newton-schulz",  # it starts from a multiple of the identity
}
"""Hand-built networks whose algorithm is known, by the candidate that they run."""

PROMPTS = 100
BRIEFLY = ("gradient-descent", "conjugate-gradient", "newton-schulz")
"""Candidates at profile ``smoke``; all of them elsewhere."""

UNTRAINED = "untrained network"

LEFT, SCORE, REMAINDER = "candidates left", "score", "remainder"
"""How many candidates the verdict leaves (1: identified; 0: none); a candidate's score; and what the nearest leaves."""

FLOOR = -1.0  # of scores that are drawn
OFF = 0.5  # training loss below which a network has left the plateau


def run(session: Session) -> Found:
    """The path on discriminating prompts: hand-built networks, an untrained one, every depth, every checkpoint."""
    briefly = session.profile == "smoke"  # one network, one checkpoint of it, no untrained one
    others = () if briefly else session.shipped(tuple(n for n in NETWORKS if n != FOLLOWED))
    networks = (FOLLOWED, *others)
    trained = {n.name: session.network(n) for n in sorted(networks, key=NETWORKS.index)}
    trajectory = session.trajectory(FOLLOWED)
    early = {_at(step): subject for step, subject in trajectory.items() if step < max(trajectory)}
    early = dict(list(early.items())[-1:]) if briefly else early
    subjects = {reference: session.reference(reference) for reference in BUILT.values()} | trained | early
    if not briefly and (fresh := untrained(trained[FOLLOWED.name], session.seed)) is not None:
        subjects[UNTRAINED] = fresh
    raw = {
        name: session.keep(f"identify {name}", lambda subject=subject: _identified(subject, session))
        for name, subject in subjects.items()
    }
    found = {name: labelled(_controlled(name, part, raw), subject=name) for name, part in raw.items()}
    steps = {step: found[_at(step)] for step in trajectory if _at(step) in found} | {
        max(trajectory): found[FOLLOWED.name]
    }
    off = _off_the_plateau(session.curve(FOLLOWED), steps)
    return Found(
        evidence={
            "hand-built networks named rightly": tuple(_rightly(raw, name) for name in BUILT),
            "candidates left for the untrained network": _all(found.get(UNTRAINED, ()), LEFT),
            "candidates left for a trained network": tuple(m for name in trained for m in _all(found[name], LEFT)),
            "remainder of a trained network": tuple(m for name in trained for m in _all(found[name], REMAINDER)),
            "nearest candidates once off the plateau": _different(off, tuple(raw[name] for name in BUILT.values())),
        },
        measurements=tuple(m for part in found.values() for m in part),
        figures=(_over_training(steps), _by_depth({name: found[name] for name in trained}), _table(found)),
        notes=_notes(found, trained, steps),
    )


def _at(step: int) -> str:
    return f"{FOLLOWED.name}, step {step}"


def _identified(subject: Subject, session: Session) -> tuple[Measurement, ...]:
    """The answer about a subject's path as measurements."""
    chosen = BRIEFLY if session.profile == "smoke" else None
    (answer,) = identify_path(
        subject, FOLLOWED.task, seed=session.seed, algorithms=chosen, prompts=session.prompts(PROMPTS)
    )
    eligible = [row for row in answer.scores if not row.excluded] or list(answer.scores)
    # Who is identified need not score highest: larger families that add nothing are set aside.
    nearest = (*answer.algorithms, eligible[0].candidate)[0]
    eligible.sort(key=lambda row: row.candidate != nearest)
    where: dict[str, Scalar] = {"label": answer.label, "nearest": nearest}

    def measured(quantity: str, value: float, interval: tuple[float, float] | None, **more: Scalar) -> Measurement:
        return Measurement(
            instrument="identification",
            quantity=quantity,
            value=value,
            interval=interval,
            n=answer.n,
            coordinates={**where, **more},
            controls=answer.controls if quantity == SCORE else (),
        )

    found = [measured(LEFT, float(len(answer.algorithms)), None)]
    found += [measured(SCORE, row.score, row.interval, candidate=row.candidate) for row in eligible]
    if answer.remainder is not None:
        found.append(measured(REMAINDER, answer.remainder, answer.remainder_interval))
    return tuple(found)


def _controlled(
    name: str, measurements: Sequence[Measurement], raw: Mapping[str, Sequence[Measurement]]
) -> tuple[Measurement, ...]:
    """With what the same run says of networks whose answer is known: built to run an algorithm, or not trained."""

    def known(quantity: str) -> tuple[Control, ...]:
        built = [(built, _best(raw[reference], quantity)) for built, reference in BUILT.items() if reference != name]
        cases = [Control(kind="positive", name=f"hand-built {n}", value=v) for n, v in built if v is not None]
        idle = None if name == UNTRAINED or UNTRAINED not in raw else _best(raw[UNTRAINED], quantity)
        return (*cases, *(() if idle is None else (Control(kind="negative", name=UNTRAINED, value=idle),)))

    def all_of(m: Measurement) -> tuple[Control, ...]:
        named = {c.name for c in m.controls}
        return (*m.controls, *(c for c in known(m.quantity) if c.name not in named))

    return tuple(replace(m, controls=all_of(m)) for m in measurements)


def _all(measurements: Sequence[Measurement], quantity: str) -> tuple[Measurement, ...]:
    return tuple(m for m in measurements if m.quantity == quantity)


def _best(measurements: Sequence[Measurement], quantity: str) -> float | None:
    """The value of a quantity; of the scores the nearest candidate's, which comes first."""
    return next((m.value for m in measurements if m.quantity == quantity), None)


def _nearest(measurements: Sequence[Measurement]) -> Scalar:
    return measurements[0].coordinates["nearest"]


def _rightly(raw: Mapping[str, Sequence[Measurement]], name: str) -> Measurement:
    """1 if the verdict on the hand-built network names its algorithm and no other."""

    def named(built: str) -> bool:
        where = _all(raw[BUILT[built]], LEFT)[0].coordinates
        return where["label"] == "identified" and where["nearest"] == name

    left = _all(raw[BUILT[name]], LEFT)[0]
    others = max(named(built) for built in BUILT if built != name)
    control = Control(kind="negative", name="the same name, of the other hand-built networks", value=float(others))
    return replace(
        left,
        quantity="named rightly",
        value=float(named(name)),
        coordinates={**left.coordinates, "built": name},
        controls=(*left.controls, control),
    )


def _different(
    off: Mapping[int, Sequence[Measurement]], built: Sequence[Sequence[Measurement]]
) -> tuple[Measurement, ...]:
    """How many different candidates are the nearest at these checkpoints."""
    if not off:
        return ()
    known = Control(
        kind="negative", name=f"{len(built)} different hand-built networks", value=len({_nearest(m) for m in built})
    )
    last = off[max(off)][0]
    return (
        replace(
            last,
            quantity="nearest candidates",
            value=float(len({_nearest(m) for m in off.values()})),
            coordinates={"steps": ", ".join(f"{step}: {_nearest(m)}" for step, m in off.items())},
            controls=(known,),
        ),
    )


def _off_the_plateau(
    curve: Sequence[Mapping[str, float]], steps: Mapping[int, tuple[Measurement, ...]]
) -> dict[int, tuple[Measurement, ...]]:
    """Those checkpoints at which the training loss was low already."""
    loss = {step: min(curve, key=lambda line: abs(line["step"] - step))["loss"] for step in steps}
    return {step: m for step, m in steps.items() if loss[step] < OFF}


def _over_training(steps: Mapping[int, Sequence[Measurement]]) -> Figure:
    ever = {_nearest(m) for m in steps.values()} | set(BRIEFLY)
    rows: list[dict[str, Scalar]] = []
    for step, measurements in steps.items():
        for m in _all(measurements, SCORE):
            if m.coordinates["candidate"] in ever and m.interval is not None:
                low, high = (max(bound, FLOOR) for bound in m.interval)
                where = {"step": step, "candidate": m.coordinates["candidate"]}
                rows.append({**where, "score": max(m.value, FLOOR), "low": low, "high": high})
    return Figure(
        name="algorithm-over-training",
        section="Over training",
        title="Which algorithm three layers come near to, over training",
        caption="Score of a candidate's path on discriminating prompts, with 95 % intervals: 1 is exact, 0 no better "
        f"than zero; below {FLOOR:g} drawn there. All candidates that are ever the nearest, and three well-known ones.",
        kind="lines",
        rows=tuple(rows),
        x="step",
        y="score",
        series="candidate",
        low="low",
        high="high",
        titles={"step": "training step"},
        log=("x",),
    )


def _by_depth(trained: Mapping[str, Sequence[Measurement]]) -> Figure:
    rows = tuple(
        {"network": name, "candidate": m.coordinates["candidate"], "score": max(m.value, FLOOR)}
        for name, measurements in trained.items()
        for m in _all(measurements, SCORE)
    )
    return Figure(
        name="algorithm-by-depth",
        section="By depth",
        title="Every candidate's score, by network",
        caption=f"As above; below {FLOOR:g} drawn there. A candidate that implies an invariance which the network breaks is "
        "left out.",
        kind="heatmap",
        rows=rows,
        x="network",
        y="candidate",
        value="score",
    )


def _table(found: Mapping[str, Sequence[Measurement]]) -> Figure:
    rows = [
        {
            "network": name,
            "verdict": measurements[0].coordinates["label"],
            "nearest candidate": _nearest(measurements),
            "score": _best(measurements, SCORE),
            "remainder": _best(measurements, REMAINDER),
            "n": measurements[0].n,
        }
        for name, measurements in found.items()
    ]
    return Figure(
        name="verdicts",
        section="By depth",
        title="Verdicts",
        caption="About the path of the layers on discriminating prompts. The hand-built networks and the untrained one are "
        "the controls. Remainder: share of the network's variance that the nearest candidate leaves and the problem determines; "
        f"above {REPEATED:.1%} a different algorithm is at work.",
        kind="table",
        rows=tuple(rows),
    )


def _notes(
    found: Mapping[str, Sequence[Measurement]],
    trained: Mapping[str, Subject],
    steps: Mapping[int, Sequence[Measurement]],
) -> tuple[str, ...]:
    depths = "; ".join(
        f"{name}: {found[name][0].coordinates['label']}, nearest {_nearest(found[name])} ({_best(found[name], SCORE):.2f})"
        for name in trained
    )
    way = "; ".join(f"{step}: {_nearest(m)} ({_best(m, SCORE):.2f})" for step, m in steps.items())
    return (f"By depth: {depths}.", f"Three layers over training, by step: {way}.")


STUDY = Study(
    name="which-algorithm-by-depth",
    title="Which algorithm does a trained network run, by depth and over its training?",
    claims=(
        Claim(
            own=True,
            text="In this very run the identifier names hand-built networks rightly, and names nothing for an untrained one.",
            accept={
                "hand-built networks named rightly": Between(low=1, high=1),
                "candidates left for the untrained network": Between(low=0, high=0),
            },
        ),
        Claim(
            own=True,
            text="No trained network, of whatever depth, takes the path of one of the candidates.",
            accept={"candidates left for a trained network": Between(low=0, high=0)},
        ),
        Claim(
            own=True,
            text=f"Noise is not what stands in the way: the nearest candidate leaves more than {REPEATED:.1%} of the network's "
            "variance that the problem determines.",
            accept={"remainder of a trained network": Between(low=REPEATED)},
        ),
        Claim(
            own=True,
            text=f"Once three layers are off the plateau (training loss below {OFF:g}), the nearest candidate stays the same.",
            accept={"nearest candidates once off the plateau": Between(low=1, high=1)},
        ),
    ),
    run=run,
    departures=(
        "Nobody published this. The question of the path alone is asked, on discriminating prompts, with "
        f"{PROMPTS} prompts in each half; the full question is that of `mesascope identify`.",
    ),
)
