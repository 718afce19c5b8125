"""Whose answers a subject's are like, as measurements with their controls."""

from dataclasses import replace

from mesascope.instruments.regressing.contest import Contest
from mesascope.instruments.regressing.resemblance import Resemblance, answers_of, representatives, resemblance
from mesascope.types import Control, Measurement, Scalar

SCORE, LEFT, REMAINDER = "score of the resemblance", "regressors left", "repeated remainder"
NEARER, LEAD = "nearer than one number", "nearer than any other regressor"
OTHERS, ITSELF, NO_NUMBER = (
    "its answers to other prompts",
    "that regressor in the subject's place",
    "a subject that never answers",
)
SELF = "the subject asked again"


def measured_resemblance(contest: Contest, name: str) -> list[Measurement]:
    """The verdict as measurements: how many regressors are left, everybody's score, and what the nearest leaves.

    The coordinates ``label`` and ``nearest`` hold the verdict. Controls. Positive: the nearest regressor whose answers depend on
    the prompt, in the subject's place and judged in the same way (how many are left, and 0 if it is none of them); for scores the
    subject's own answers to the examples in another order. Negative: the nearest regressor's answers to other prompts; a subject
    that never answers.
    """
    found = resemblance(contest)
    where: dict[str, Scalar] = {"label": found.label, "nearest": found.best}

    def measured(
        quantity: str, value: float, interval: tuple[float, float] | None, *controls: Control, **more: Scalar
    ) -> Measurement:
        return Measurement(
            instrument=name,
            quantity=quantity,
            value=value,
            interval=interval,
            n=found.n,
            coordinates={**where, **more},
            controls=controls,
        )

    mute = Control(kind="negative", name=NO_NUMBER, value=0.0)
    if not found.scores:
        return [replace(measured(LEFT, 0.0, None, mute), n=len(contest.prompts))]
    place = representatives(contest)[next((who for who in found.scores if _depends(contest, who)), found.best)]
    planted = resemblance(planted_contest(contest, place))
    known = Control(kind="positive", name=ITSELF, value=float(len(planted.left) * (place in planted.left)))
    rows = [measured(LEFT, float(len(found.left)), None, known, mute)]
    beside = [("negative", OTHERS, found.control), ("positive", SELF, found.again)]
    for quantity, of in ((SCORE, "score"), (NEARER, "nearer")):
        controls = [
            Control(kind=kind, name=who, value=getattr(case, of)[0], interval=getattr(case, of)[1])  # type: ignore[arg-type]
            for kind, who, case in beside
            if case is not None
        ]
        rows += [measured(quantity, *getattr(each, of), *controls, regressor=who) for who, each in found.scores.items()]
    rows += [
        measured(LEAD, *each.lead, *_planted_lead(planted, place), regressor=who)
        for who, each in found.scores.items()
        if each.lead is not None
    ]
    if found.repeated is not None and planted.repeated is not None:
        nothing = Control(kind="positive", name=ITSELF, value=planted.repeated[0], interval=planted.repeated[1])
        rows.append(measured(REMAINDER, *found.repeated, nothing))
    return rows


def _depends(contest: Contest, name: str) -> bool:
    """Whether a regressor's answers depend on the prompt: with one answer for all, its answers to other prompts are as near."""
    given = contest.others[contest.names.index(name)]
    return bool((given != given[:1]).any())


def _planted_lead(planted: Resemblance, best: str) -> list[Control]:
    """The lead of a regressor that is there itself."""
    lead = planted.scores[best].lead
    return [] if lead is None else [Control(kind="positive", name=ITSELF, value=lead[0], interval=lead[1])]


def planted_contest(contest: Contest, name: str) -> Contest:
    """The same contest with a regressor in the subject's place."""
    return Contest(
        prompts=contest.prompts,
        seed=contest.seed,
        subject=contest.others[contest.names.index(name)],
        names=contest.names,
        others=contest.others,
        again=(answers_of(name, contest.again[1], contest.seed), contest.again[1]),
        replies=None,
    )


__all__ = (
    "ITSELF",
    "LEAD",
    "LEFT",
    "NEARER",
    "NO_NUMBER",
    "OTHERS",
    "REMAINDER",
    "SCORE",
    "SELF",
    "measured_resemblance",
    "planted_contest",
)
