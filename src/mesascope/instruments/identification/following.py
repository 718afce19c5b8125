"""The path of a subject's layers as measurements: candidates left, every candidate's score, the nearest one's remainder."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from mesascope.instruments.asking.applicability import untrained
from mesascope.instruments.asking.lines import as_lines
from mesascope.instruments.identification import IDENTIFIED, identify_path
from mesascope.instruments.identification.prompts import training
from mesascope.instruments.instrument import Instrument, sizes
from mesascope.models.constructions import Construction, conjugate_gradient, glm_newton, gradient_descent, newton_schulz
from mesascope.types import Control, GlmFamily, Measurement, Scalar, Subject, Task, glm_family, is_prescribable

NAME = "path identification"
LEFT, SCORE, REMAINDER = "candidates left", "score", "remainder"
COEFFICIENT_FREE = ("conjugate-gradient",)
"""Those of the hand-built networks that solve inputs of any size; the step sizes of the others suit a mean eigenvalue near 1."""
SUITED = (0.5, 2.0)
"""The mean eigenvalues of the inputs for which all hand-built networks are controls."""
BUILT: Mapping[str, Construction] = {
    "gradient-descent": gradient_descent(layers=4),
    "conjugate-gradient": conjugate_gradient(),
    "newton-schulz:identity": newton_schulz(),  # it starts from a multiple of the identity
}
"""Hand-built networks, by the candidate that they run."""
INNER = 2
"""Steps of conjugate gradients per Newton step of the hand-built network for binary labels and counts."""
UNTRAINED = "untrained network"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """The arguments with which every subject is identified, positive and negative controls included."""

    task: Task
    seed: int
    n: int
    candidates: tuple[str, ...] | None
    where: Literal["training", "discriminating"]


def follow(
    subject: Subject,
    task: Task,
    *,
    seed: int = 0,
    n: int = IDENTIFIED["laptop"],
    candidates: Sequence[str] | None = None,
    idle: Mapping[str, Subject] | None = None,
    where: Literal["training", "discriminating"] = "discriminating",
) -> tuple[Measurement, ...]:
    """Identify the path of a subject's layers, as `identify_path` does.

    The coordinates ``label`` and ``nearest`` hold the verdict's label and the candidate that comes nearest. The first
    quantity is how many candidates the verdict leaves: 1 if the algorithm is identified, 0 if it is none of the candidates.
    The score has a coordinate ``candidate``, the nearest first; a candidate that implies an invariance which the subject
    breaks has none. The remainder is the share of the subject's variance that the nearest candidate leaves and the problem
    determines.

    Controls. Positive: the hand-built networks in `BUILT` that suit the size of the inputs, identified in the same way; for
    binary labels and counts, the network of Newton's method.
    Negative: an untrained network, identified in the same way; for scores, those that `identify_path` demands besides. Each
    is identified once per process.

    Args:
        subject: what to examine.
        task: where the prompts come from.
        seed: the seed of the prompts, the resampling and the untrained network.
        n: number of prompts in each half.
        candidates: names of candidate algorithms; by default all.
        idle: networks whose untrained twins are negative controls, by the controls' names; none by default.
        where: on discriminating prompts, or on the training distribution.
    """
    names = None if candidates is None else tuple(candidates)
    raw, (subject, task) = task, as_lines(subject, task)
    asked = _Question(task=task, seed=seed, n=n, candidates=names, where=where)
    found = _identified(subject, asked)
    suiting = _suiting(task)
    built = {f"hand-built {name}": _identified_once(b, asked) for name, b in suiting.items() if not _is(subject, b)}
    idlers = {name: _untrained(network, raw, asked) for name, network in (idle or {}).items()}

    def beside(m: Measurement) -> tuple[Control, ...]:
        """The first value of a quantity is the nearest candidate's."""
        others = [
            Control(kind="positive" if name in built else "negative", name=name, value=value)
            for name, known in {**built, **idlers}.items()
            for value in [o.value for o in known if o.quantity == m.quantity][:1]
            if name not in {c.name for c in m.controls}
        ]
        return (*m.controls, *others)

    return tuple(replace(m, controls=beside(m)) for m in found)


def _suiting(task: Task) -> Mapping[str, Construction]:
    """The hand-built networks that solve prompts of this size, by the candidate that they run."""
    glm = glm_family(task)
    if glm is not None:
        return {f"glm-newton-cg:{INNER}-inner": _newton(glm)}
    size = task.inputs.covariance.mean_eigenvalue(task.dim) if is_prescribable(task) else 1.0
    suited = SUITED[0] <= size <= SUITED[1]
    return {name: built for name, built in BUILT.items() if suited or name in COEFFICIENT_FREE}


@functools.cache
def _newton(glm: GlmFamily) -> Construction:
    return glm_newton(steps=2, inner=INNER, family=glm)


def nearest(measurement: Measurement) -> str:
    """The candidate that comes nearest to the subject that was measured."""
    return str(measurement.coordinates["nearest"])


def _identified(subject: Subject, asked: _Question) -> tuple[Measurement, ...]:
    """The answer about a subject's path as measurements, without the networks whose answer is known."""
    (answer,) = identify_path(
        subject,
        asked.task,
        seed=asked.seed,
        algorithms=asked.candidates,
        prompts=asked.n,
        distribution=training(asked.task) if asked.where == "training" else None,
    )
    eligible = [row for row in answer.scores if not row.excluded] or list(answer.scores)
    # The identified candidate need not score highest: larger families that add nothing are set aside.
    closest = (*answer.algorithms, eligible[0].candidate)[0]
    eligible.sort(key=lambda row: row.candidate != closest)
    where: dict[str, Scalar] = {"label": answer.label, "nearest": closest}

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


@functools.lru_cache(maxsize=32)
def _identified_once(built: Construction, asked: _Question) -> tuple[Measurement, ...]:
    return _identified(built, asked)


@functools.lru_cache(maxsize=8)
def _untrained(network: Subject, task: Task, asked: _Question) -> tuple[Measurement, ...]:
    twin = untrained(as_lines(network, task)[0], asked.seed)
    return () if twin is None else _identified(twin, asked)


def _is(subject: Subject, built: Construction) -> bool:
    """Whether the subject is this hand-built network, with the same options."""
    return isinstance(subject, Construction) and (subject.name, subject.options) == (built.name, built.options)


INSTRUMENT = Instrument(
    name=NAME,
    question="Which candidate is nearest to the path of its layers, and how near?",
    measure=follow,
    quantities=(LEFT, SCORE, REMAINDER),
    coordinates=("label", "nearest", "candidate"),
    sizes=sizes(n=(IDENTIFIED["smoke"], IDENTIFIED["laptop"], IDENTIFIED["full"])),
)

__all__ = ("BUILT", "INSTRUMENT", "LEFT", "NAME", "REMAINDER", "SCORE", "UNTRAINED", "follow", "nearest")
