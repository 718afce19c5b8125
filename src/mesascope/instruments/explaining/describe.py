"""`describe`: what a subject computes, whether or not a candidate has its name."""

from collections.abc import Mapping
from dataclasses import replace

from mesascope.instruments.explaining.asked import ask
from mesascope.instruments.explaining.explanation import explain
from mesascope.instruments.explaining.words import sentence
from mesascope.instruments.identification.prompts import Distribution, discriminating, training
from mesascope.instruments.instrument import Profile
from mesascope.types import Description, Explanation, Subject, Task, check_keeps_task

FITTED: Mapping[Profile, int] = {"smoke": 60, "laptop": 300, "full": 1000}
"""Prompts that are fitted to, by profile."""
SCORED: Mapping[Profile, int] = {"smoke": 40, "laptop": 200, "full": 1000}
"""Prompts that are scored, by profile."""


def describe(
    subject: Subject, task: Task, *, seed: int = 0, fit: int = FITTED["laptop"], score: int = SCORED["laptop"]
) -> Description:
    """Describe what a subject computes on its training distribution, and on the discriminating prompts where there are any.

    Args:
        subject: what to examine.
        task: its training distribution.
        seed: of prompts and resampling.
        fit, score: numbers of prompts.

    Raises:
        ValueError: something that is no task, or one outside the subject's domain.
    """
    check_keeps_task(task)
    subject.domain.check(task)
    deciding = discriminating(task, subject.domain)

    def explained(where: Distribution) -> Explanation:
        return explain(ask(subject, where.task, seed=seed, fit=fit, score=score, read=fit), where.words)

    found = Description(
        sentence="",
        basis="training" if deciding is None else "discriminating",
        training=explained(training(task)),
        discriminating=None if deciding is None else explained(deciding),
    )
    return replace(found, sentence=sentence(found))


__all__ = ("FITTED", "SCORED", "describe")
