"""The explanation as an instrument: the share that every class explains, beside subjects that are in it and just above it."""

from collections.abc import Sequence

from mesascope.instruments.asking.lines import as_lines
from mesascope.instruments.explaining.asked import Asked, ask
from mesascope.instruments.explaining.controls import shares
from mesascope.instruments.explaining.explanation import explain
from mesascope.instruments.explaining.shares import HOLDS
from mesascope.instruments.identification import IDENTIFIED, PROMPTS
from mesascope.instruments.identification.prompts import Distribution, discriminating, training
from mesascope.instruments.instrument import Expected, Instrument, sizes
from mesascope.types import Control, Explanation, Figure, Measurement, Scalar, Subject, Task

NAME = "explanation"
SHARE = "share explained"
WITHIN, ABOVE = "a subject of this class", "a subject just above it"
CONTROLLED = 100
"""Prompts in each half for the controls, at most."""


def explanations(subject: Subject, task: Task, *, seed: int = 0, prompts: int = PROMPTS) -> tuple[Measurement, ...]:
    """The share of a subject's answers that every class explains, on the training distribution and the discriminating prompts.

    Controls, planted for every class: a subject that is exactly in it (positive), and one of the next wider class (negative).
    ``holds`` in the coordinates says whether the class is an explanation.

    Args:
        subject: what to examine.
        task: its training distribution.
        seed: of prompts and resampling.
        prompts: prompts in each half.

    Raises:
        ValueError: a task outside the subject's domain.
    """
    subject, task = as_lines(subject, task)
    found: list[Measurement] = []
    for where in filter(None, (training(task), discriminating(task, subject.domain))):
        asked = ask(subject, where.task, seed=seed, prompts=prompts)
        explanation = explain(asked, where.words)
        found += _measured(explanation, where, asked, seed)
    return tuple(found)


def _measured(explanation: Explanation, where: Distribution, asked: Asked, seed: int) -> list[Measurement]:
    """One measurement for each class."""
    count = min(CONTROLLED, len(asked.scoring))
    found = []
    for rung in explanation.rungs:
        (within, its), (above, others) = shares(where.task, rung.kind, seed=seed, prompts=count)
        found.append(
            Measurement(
                instrument=NAME,
                quantity=SHARE,
                value=rung.share,
                interval=rung.interval,
                n=explanation.n,
                coordinates={
                    "class": rung.kind,
                    "member": rung.detail,
                    "distribution": where.name,
                    "holds": rung.holds,
                },
                controls=(
                    Control(kind="positive", name=WITHIN, value=within, interval=its),
                    Control(kind="negative", name=ABOVE, value=above, interval=others),
                ),
            )
        )
    return found


def figure(measurements: Sequence[Measurement]) -> Figure:
    """The classes as a table, the widest first."""
    rows: list[dict[str, Scalar]] = []
    for m in measurements:
        if m.instrument == NAME:
            low, high = m.interval or (m.value, m.value)
            rows.append(
                {**m.coordinates, "share": m.value, "low": low, "high": high} | {c.name: c.value for c in m.controls}
            )
    return Figure(
        name=NAME,
        section="Explanation",
        title="How much of the answers each class explains",
        caption="Share of the answers on held-out prompts that a member of each class explains, from the widest class to the "
        f"narrowest, with 95 % intervals. A class holds if at most {HOLDS:.0%} is left. Beside it: the same for a subject that "
        "is exactly in the class, and for one of the next wider class.",
        kind="table",
        rows=tuple(rows),
        y="share",
        low="low",
        high="high",
    )


INSTRUMENT = Instrument(
    name=NAME,
    question="Which class of functions do its answers lie in, from any function linear in the labels to a named one?",
    measure=explanations,
    quantities=(SHARE,),
    coordinates=("class", "distribution", "holds", "member"),
    sizes=sizes(prompts=(IDENTIFIED["smoke"], IDENTIFIED["laptop"], IDENTIFIED["full"])),
    figure=figure,
    expected=(Expected(quantity=SHARE, control=WITHIN, words="above 0.97", holds=lambda v: v > 0.97),),
)

__all__ = ("INSTRUMENT", "NAME", "SHARE", "explanations", "figure")
