"""`describe`: what a subject computes, whether or not a candidate has its name."""

from collections.abc import Mapping
from dataclasses import replace

from mesascope.instruments.explaining.asked import ask
from mesascope.instruments.explaining.explanation import explain
from mesascope.instruments.explaining.words import sentence
from mesascope.instruments.identification.prompts import Distribution, discriminating, training
from mesascope.instruments.instrument import Profile
from mesascope.types import Description, Explanation, Subject, Task, check_keeps_task

DESCRIBED: Mapping[Profile, int] = {"smoke": 60, "laptop": 240, "full": 1200}
"""Prompts in each half, by profile: one is fitted to, one is scored."""


def describe(subject: Subject, task: Task, *, seed: int = 0, prompts: int = DESCRIBED["laptop"]) -> Description:
    """Describe what a subject computes on its training distribution, and on the discriminating prompts where there are any.

    Args:
        subject: what to examine.
        task: its training distribution.
        seed: of prompts and resampling.
        prompts: prompts in each half.

    Raises:
        ValueError: something that is no task, or one outside the subject's domain.
    """
    check_keeps_task(task)
    subject.domain.check(task)
    deciding = discriminating(task, subject.domain)

    def explained(where: Distribution) -> Explanation:
        return explain(ask(subject, where.task, seed=seed, prompts=prompts), where.words)

    found = Description(
        sentence="",
        basis="training" if deciding is None else "discriminating",
        training=explained(training(task)),
        discriminating=None if deciding is None else explained(deciding),
    )
    return replace(found, sentence=sentence(found))


__all__ = ("DESCRIBED", "describe")
