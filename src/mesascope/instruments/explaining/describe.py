"""`describe`: what a subject computes, whether or not a candidate has its name."""

from dataclasses import replace

from mesascope.instruments.asking.lines import as_lines
from mesascope.instruments.explaining.asked import ask
from mesascope.instruments.explaining.explanation import explain
from mesascope.instruments.explaining.words import sentence
from mesascope.instruments.identification import PROMPTS, Readouts
from mesascope.instruments.identification.prompts import Distribution, discriminating, training
from mesascope.types import Description, Explanation, Subject, Task, check_keeps_task


def describe(
    subject: Subject,
    task: Task,
    *,
    seed: int = 0,
    prompts: int = PROMPTS,
    readout: Readouts = "auto",
    distribution: Distribution | None = None,
) -> Description:
    """Describe what a subject computes on its training distribution, and on the discriminating prompts where there are any.

    Args:
        subject: what to examine.
        task: its training distribution.
        seed: of prompts and resampling.
        prompts: prompts in each half: one is fitted to, one is scored.
        readout: ``own``, ``fitted``, or ``auto``: how the layers before the last are read.
        distribution: prompts in place of the standard discriminating ones.

    Raises:
        ValueError: something that is no task, or one outside the subject's domain.
    """
    check_keeps_task(task)
    subject, task = as_lines(subject, task)
    subject.domain.check(task)
    deciding = distribution or discriminating(task, subject.domain)

    def explained(where: Distribution) -> Explanation:
        return explain(ask(subject, where.task, seed=seed, prompts=prompts, readout=readout), where.words)

    found = Description(
        sentence="",
        basis="training" if deciding is None else "discriminating",
        training=explained(training(task)),
        discriminating=None if deciding is None else explained(deciding),
    )
    return replace(found, sentence=sentence(found))


__all__ = ("describe",)
