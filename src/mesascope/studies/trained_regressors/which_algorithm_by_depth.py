"""Which algorithm a trained network runs, by depth and over its training."""

import functools
from collections.abc import Sequence
from dataclasses import replace

from mesascope.instruments.asking.applicability import untrained
from mesascope.instruments.behaving import training_loss
from mesascope.instruments.identification import following
from mesascope.instruments.identification.following import LEFT, REMAINDER, SCORE, UNTRAINED, nearest
from mesascope.instruments.identification.remainder import REPEATED
from mesascope.studies.bench import Bench
from mesascope.studies.measure import Curve, Measure
from mesascope.studies.networks import Network
from mesascope.studies.pictures import heatmap, lines, only, table
from mesascope.studies.rules import Derived, pick, where
from mesascope.studies.study import Study, own
from mesascope.types import Control, Figure, Measurement, Subject
from mesascope.zoo import load

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
TRAINED = tuple(network.name for network in NETWORKS)
FOLLOWING = f"{FOLLOWED.name}, over training"
BUILT = {
    "gradient-descent": "construction:gradient-descent?layers=4",
    "conjugate-gradient": "construction:conjugate-gradient",
    "newton-schulz:identity": "construction:newton-schulz",
}
"""The references of the hand-built networks, by the candidate that they run; see `following.BUILT`."""
KNOWN = ("gradient-descent", "conjugate-gradient", "newton-schulz")
"""Well-known candidates, which are always drawn; profile ``smoke`` has no others."""
PROMPTS = 100
FLOOR = -1.0  # of scores that are drawn
OFF = 0.5  # training loss below which a network has left the plateau

_ON_ONE_TASK = functools.partial(Measure, task=FOLLOWED.task)
_IDENTIFIED = functools.partial(
    _ON_ONE_TASK, instrument=following.NAME, prompts={"n": PROMPTS}, smoke_options={"candidates": KNOWN}
)
_BESIDE = functools.partial(_IDENTIFIED, options={"idle": {UNTRAINED: FOLLOWED}})


def fresh() -> Subject:
    """The three-layer network before its training."""
    twin = untrained(load(FOLLOWED.ships_as), 0)
    assert twin is not None, "our transformers can be had untrained"
    return twin


def _rightly(found: Sequence[Measurement]) -> list[Measurement]:
    """For each hand-built network 1 if the verdict names its algorithm and no other, else 0."""
    left = {name: pick(found, LEFT, subject=reference) for name, reference in BUILT.items()}

    def named(of: str, name: str) -> float:
        return float(left[of].coordinates["label"] == "identified" and nearest(left[of]) == name)

    def control(name: str) -> Control:
        value = max(named(other, name) for other in BUILT if other != name)
        return Control(kind="negative", name="the same name, of the other hand-built networks", value=value)

    return [
        replace(m, quantity="named rightly", value=named(name, name), controls=(*m.controls, control(name)))
        for name, m in left.items()
    ]


def _different(found: Sequence[Measurement]) -> list[Measurement]:
    """How many different candidates are the nearest at the checkpoints whose training loss was low already."""
    losses = {m.coordinates["step"]: m.value for m in only(found, quantity=training_loss.LOSS)}
    off = {
        m.coordinates["step"]: m
        for m in only(found, quantity=LEFT, subject=FOLLOWING)
        if losses[m.coordinates["step"]] < OFF
    }
    if not off:
        return []
    built = {nearest(pick(found, LEFT, subject=reference)) for reference in BUILT.values()}
    known = Control(kind="negative", name=f"{len(BUILT)} different hand-built networks", value=len(built))
    return [
        replace(
            list(off.values())[-1],
            quantity="nearest candidates",
            value=float(len({nearest(m) for m in off.values()})),
            coordinates={"steps": ", ".join(f"{step}: {nearest(m)}" for step, m in off.items())},
            controls=(known,),
        )
    ]


def _figures(found: Sequence[Measurement], bench: Bench) -> tuple[Figure, ...]:
    return (_over_training(found), _by_depth(found), _table(found))


def _over_training(found: Sequence[Measurement]) -> Figure:
    scores = only(found, quantity=SCORE, subject=FOLLOWING)
    drawn = {*map(nearest, scores), *KNOWN}
    rows = [
        {
            "step": m.coordinates["step"],
            "candidate": m.coordinates["candidate"],
            **{name: max(v, FLOOR) for name, v in zip(("score", "low", "high"), (m.value, *m.interval), strict=True)},
        }
        for m in scores
        if m.coordinates["candidate"] in drawn and m.interval is not None
    ]
    return lines(
        name="algorithm-over-training",
        section="Over training",
        title="Which algorithm three layers come near to, over training",
        caption="Score of a candidate's path on discriminating prompts, with 95 % intervals: 1 is exact, 0 no better than the "
        f"zero predictor; scores below {FLOOR:g} are drawn at {FLOOR:g}. Shown are all candidates that are ever the nearest, and "
        "three well-known ones.",
        rows=tuple(rows),
        x="step",
        y="score",
        series="candidate",
        titles={"step": "training step"},
        log=("x",),
    )


def _by_depth(found: Sequence[Measurement]) -> Figure:
    rows = tuple(
        {
            "network": m.coordinates["subject"],
            "candidate": m.coordinates["candidate"],
            "score": max(m.value, FLOOR),
        }
        for m in where(SCORE, subject=TRAINED).among(found)
    )
    return heatmap(
        name="algorithm-by-depth",
        section="By depth",
        title="Every candidate's score, by network",
        caption="Score of a candidate's path on discriminating prompts: 1 is exact, 0 no better than the zero predictor; scores "
        f"below {FLOOR:g} are drawn at {FLOOR:g}. A candidate that implies an invariance which the network breaks is left out.",
        rows=rows,
        x="network",
        y="candidate",
        value="score",
    )


def _first(found: Sequence[Measurement], quantity: str, beside: Measurement) -> float | None:
    """A quantity of the network that was measured beside; of the scores the nearest candidate's, which comes first."""
    subject, step = (beside.coordinates.get(name) for name in ("subject", "step"))
    return next((m.value for m in only(found, quantity=quantity, subject=subject, step=step)), None)


def _table(found: Sequence[Measurement]) -> Figure:
    rows = [
        {
            "network": ", step ".join(str(m.coordinates[k]) for k in ("subject", "step") if k in m.coordinates),
            "verdict": m.coordinates["label"],
            "nearest candidate": nearest(m),
            "score": _first(found, SCORE, m),
            "remainder": _first(found, REMAINDER, m),
            "n": m.n,
        }
        for m in only(found, quantity=LEFT)
    ]
    return table(
        name="verdicts",
        section="By depth",
        title="Verdicts",
        caption="About the path of the layers on discriminating prompts. The hand-built networks and the untrained one are the "
        "controls. Remainder: share of the network's variance that the nearest candidate leaves and the problem determines; "
        f"above {REPEATED:.1%} a different algorithm is at work.",
        rows=tuple(rows),
    )


def _notes(found: Sequence[Measurement], bench: Bench) -> tuple[str, ...]:
    depths = "; ".join(
        f"{m.coordinates['subject']}: {m.coordinates['label']}, nearest {nearest(m)} ({_first(found, SCORE, m):.2f})"
        for m in where(LEFT, subject=TRAINED).among(found)
    )
    way = "; ".join(
        f"{m.coordinates['step']}: {nearest(m)} ({_first(found, SCORE, m):.2f})"
        for m in only(found, quantity=LEFT, subject=FOLLOWING)
    )
    return (f"By depth: {depths}.", f"Three layers over training, by step: {way}.")


STUDY = Study(
    name="which-algorithm-by-depth",
    title="Which algorithm does a trained network run, by depth and over its training?",
    measures=(
        *(_BESIDE(network=reference, label={"subject": reference}) for reference in BUILT.values()),
        *(_BESIDE(network=n, label={"subject": n.name}, at_smoke=n == FOLLOWED) for n in NETWORKS),
        _IDENTIFIED(network=f"python:{__name__}:{fresh.__name__}", label={"subject": UNTRAINED}, at_smoke=False),
        _BESIDE(network=FOLLOWED, label={"subject": FOLLOWING}, over_training=True),
        _ON_ONE_TASK(
            instrument=training_loss.NAME,
            network=FOLLOWED,
            label={"subject": FOLLOWING},
            prompts={},
            options={"curve": Curve(of=FOLLOWED)},
            over_training=True,
        ),
    ),
    claims=(
        own(
            "In this very run, the identifier names hand-built networks correctly, and names no algorithm for an untrained "
            "network.",
            Derived(
                words="hand-built networks named rightly",
                of=_rightly,
                uses=(where(LEFT, subject=tuple(BUILT.values())),),
            ).between(1, 1),
            where(LEFT, subject=UNTRAINED).between(0, 0),
        ),
        own(
            "No trained network of any depth takes the path of one of the candidates.",
            where(LEFT, subject=TRAINED).between(0, 0),
        ),
        own(
            f"Noise is not the reason: the nearest candidate leaves more than {REPEATED:.1%} of the network's variance "
            "unexplained although the problem determines it.",
            where(REMAINDER, subject=TRAINED).between(low=REPEATED),
        ),
        own(
            f"Once three layers are off the plateau (training loss below {OFF:g}), the nearest candidate stays the same.",
            Derived(
                words="nearest candidates once off the plateau",
                of=_different,
                uses=(where(LEFT, subject=FOLLOWING), where(training_loss.LOSS, subject=FOLLOWING)),
            ).between(1, 1),
        ),
    ),
    figures=_figures,
    notes=_notes,
    departures=(
        f"Nobody published this. The question of the path alone is asked, on discriminating prompts, with {PROMPTS} prompts in "
        "each half; the full question is that of `mesascope identify`.",
    ),
)
