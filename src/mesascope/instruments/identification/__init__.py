"""Identification: which function a subject computes, and which algorithm's path its layers take to it, if any candidate's."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from mesascope.instruments.asking.applicability import untrained
from mesascope.instruments.asking.lines import as_lines
from mesascope.instruments.behaving.invariance import invariances
from mesascope.instruments.identification.answering import answer
from mesascope.instruments.identification.evidence import Halves
from mesascope.instruments.identification.families import FAMILIES, POOL, Family, as_candidate, chosen
from mesascope.instruments.identification.offering import offered
from mesascope.instruments.identification.pictures import figures
from mesascope.instruments.identification.prompts import Distribution, discriminating, training
from mesascope.instruments.instrument import Profile
from mesascope.instruments.reading.paths import Splits, asked_again, paths
from mesascope.types import (
    Answer,
    DistributionVerdict,
    Figure,
    Measurement,
    PooledTask,
    Prompts,
    SizedTask,
    Subject,
    Task,
    Verdict,
    can_vary_inputs,
    check_keeps_task,
    glm_family,
    label_noise,
)

QUESTION = "Which function does it compute, and which algorithm do its layers follow; or is it none of the candidates?"
IDENTIFIED: Mapping[Profile, int] = {"smoke": 60, "laptop": 300, "full": 1200}
"""Numbers of prompts in each half, by profile."""
PROMPTS = IDENTIFIED["laptop"]
"""The default number of prompts in each half: one half to fit coefficients, steps per layer and gains, the other to score."""
Readouts = Literal["auto", "own", "fitted"]
READING = 3
"""How many times the prompts of a half are drawn to fit each of the two readouts, if the subject's own is not used."""


def identify(
    subject: Subject,
    task: Task,
    *,
    seed: int = 0,
    algorithms: Sequence[str | Family] | None = None,
    prompts: int = PROMPTS,
    readout: Readouts = "auto",
    distribution: Distribution | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Verdict:
    """Name the algorithm that a subject's forward pass follows, or say that the evidence names none.

    Two questions are answered separately: which *function* the last layer computes, and which *path* the layers take to it.
    Both are answered on the training distribution and on prompts made to tell candidates apart. See
    `mesascope.instruments.statistics.discrepancy` for the error and the score, `answer` for the rules.

    Args:
        subject: any object that satisfies the subject protocol.
        task: its training distribution. If the task is neither linear nor generalised linear, or its inputs cannot be replaced,
            no prompts can be made to tell candidates apart; the verdict then rests on the training distribution, and says so.
        seed: of the prompts, the resampling and the untrained control.
        algorithms: names of candidates or of regressors, or candidates themselves (`as_candidate`). By default all candidates,
            but those with a curved kernel only where the answers are not linear in the query, and no regressors.
        prompts: number of prompts in each half.
        readout: ``own``, ``fitted``, or ``auto``: the subject's own if its error is acceptable at every layer.
        distribution: the prompts to decide on in place of the standard discriminating ones, such as a design's.
        progress: called with a description of each part before it starts.

    Raises:
        ValueError: ``task`` is not a task, a candidate is unknown, the task or the distribution is outside the subject's
            domain, or the prompts need more memory than there is.
    """
    check_keeps_task(task)
    subject, task = as_lines(subject, task)
    _families(algorithms, task, task)  # unknown names are refused before any work
    deciding = check_sizes(subject, task, prompts, distribution)
    verdicts: dict[str, DistributionVerdict] = {}
    broken: tuple[Measurement, ...] = ()
    pictures: tuple[Figure, ...] = ()
    for where in filter(None, (training(task), deciding)):
        progress(f"identifying on the {where.name} distribution")
        families = _families(algorithms, task, where.task)
        if algorithms is None:
            families = offered(families, subject, where.task, seed)
        found = _invariances(subject, where, seed)
        broken += found
        verdict, drawn = _on(subject, where, families, found, seed, prompts, readout)
        verdicts[where.name] = verdict
        pictures += drawn
    alone = "" if can_vary_inputs(task) or deciding is not None else f" {_alone(subject, task)}"
    return _verdict(subject.name, verdicts, broken, pictures, alone)


def check_sizes(
    subject: Subject, task: Task, prompts: int, distribution: Distribution | None = None
) -> Distribution | None:
    """Check that the subject accepts the prompts of `identify`, and that this machine can hold them.

    The arguments are those of `identify`.

    Returns:
        The distribution of the deciding prompts; ``None`` if there is only the training distribution.

    Raises:
        ValueError: the task or the distribution is outside the subject's domain, or needs more memory than there is.
    """

    subject, task = as_lines(subject, task)

    def checked(where: Distribution) -> Distribution:
        subject.domain.check(where.task)
        if isinstance(where.task, SizedTask):
            where.task.check_memory(READING * prompts)
        return where

    checked(training(task))  # before the other is derived from it
    if distribution is not None:
        return checked(replace(distribution, name="discriminating"))
    deciding = discriminating(task, subject.domain)
    return None if deciding is None else checked(deciding)


def identify_path(
    subject: Subject,
    task: Task,
    *,
    seed: int = 0,
    algorithms: Sequence[str | Family] | None = None,
    prompts: int = PROMPTS,
    readouts: Sequence[Readouts] = ("auto",),
    distribution: Distribution | None = None,
) -> tuple[Answer, ...]:
    """The answer that decides the label of `identify`: the one to the question of the path, on the deciding prompts.

    Arguments and exceptions are those of `identify`. There is one answer for each of ``readouts``.
    """
    check_keeps_task(task)
    subject, task = as_lines(subject, task)
    families = _families(algorithms, task, task)
    distribution = distribution or discriminating(task, subject.domain) or training(task)
    control = untrained(subject, seed + 1)
    splits = _splits(subject, distribution, seed, prompts)
    halves = Halves.of(distribution.words, splits, seed, glm_family(distribution.task))
    broken = _invariances(subject, distribution, seed)
    if algorithms is None:
        families = offered(families, subject, distribution.task, seed)
    found = []
    for readout in readouts:
        path = paths(subject, splits, seed=seed, readout=readout)
        idle = None if control is None else paths(control, splits, seed=seed, readout=path.readout)
        found.append(answer("path", path, idle, halves, families, broken)[0])
    return tuple(found)


def _families(algorithms: Sequence[str | Family] | None, task: Task, where: Task) -> tuple[Family, ...]:
    """The candidates on prompts of ``where``, for a subject whose training task is ``task``: its pool and its link."""
    pool = task.vectors if isinstance(task, PooledTask) else None
    glm = glm_family(task)
    families = chosen(algorithms, label_noise(where), pool, None if glm is None else (glm, where.dim, where.examples))
    return tuple(f for f in families if f.name != POOL or where.dim == task.dim)


def _invariances(subject: Subject, distribution: Distribution, seed: int) -> tuple[Measurement, ...]:
    return tuple(
        Measurement(
            instrument=m.instrument,
            quantity=m.quantity,
            value=m.value,
            interval=m.interval,
            n=m.n,
            unit=m.unit,
            coordinates={**m.coordinates, "distribution": distribution.name},
            controls=m.controls,
        )
        for m in invariances(subject, distribution.task, seed=seed)
    )


def _on(
    subject: Subject,
    distribution: Distribution,
    families: Sequence[Family],
    broken: Sequence[Measurement],
    seed: int,
    prompts: int,
    readout: Readouts,
) -> tuple[DistributionVerdict, tuple[Figure, ...]]:
    control = untrained(subject, seed + 1)
    splits = _splits(subject, distribution, seed, prompts)
    halves = Halves.of(distribution.words, splits, seed, glm_family(distribution.task))
    path = paths(subject, splits, seed=seed, readout=readout)
    idle = None if control is None else paths(control, splits, seed=seed, readout=path.readout)
    function, _ = answer("function", path, idle, halves, families, broken)
    way, fitted = answer("path", path, idle, halves, families, broken)
    pictures = () if fitted is None else figures(way, path, fitted, halves, distribution.name)
    return DistributionVerdict(function=function, path=way), pictures


def _splits(subject: Subject, distribution: Distribution, seed: int, prompts: int) -> Splits:
    def sample(stream: str, count: int) -> Prompts:
        return distribution.task.sample(count, seed=seed, stream=f"identify/{stream}")

    scoring = sample("score", prompts)
    return Splits(
        fitting=sample("fit", prompts),
        scoring=scoring,
        again=asked_again(subject, scoring, seed),
        reading=lambda: (sample("read", READING * prompts), sample("read again", READING * prompts)),
    )


def _verdict(
    name: str,
    verdicts: dict[str, DistributionVerdict],
    broken: tuple[Measurement, ...],
    pictures: tuple[Figure, ...],
    alone: str,
) -> Verdict:
    basis = "discriminating" if "discriminating" in verdicts else "training"
    deciding = verdicts[basis].path if verdicts[basis].path.scores else verdicts[basis].function
    return Verdict(
        subject=name,
        label=deciding.label,
        algorithms=deciding.algorithms,
        reason=deciding.reason + alone,
        basis=basis,
        training=verdicts["training"],
        discriminating=verdicts.get("discriminating"),
        invariances=broken,
        figures=pictures,
    )


def _alone(subject: Subject, task: Task) -> str:
    if subject.domain.written:
        return (
            "This rests on the training distribution alone: text has whole digits only, whose spectrum cannot be chosen, "
            "so no prompts can be made to tell candidates apart."
        )
    return (
        f"This rests on the training distribution alone: {type(task).__name__} is no linear task whose inputs can be given "
        "another spectrum, so no prompts can be made to tell candidates apart."
    )


__all__ = ("FAMILIES", "Family", "as_candidate", "check_sizes", "identify", "identify_path")
