"""A rehearsal: one prompt goes through a subject before anything is measured or written, so that errors show at once."""

from collections.abc import Mapping

from torch import Tensor

from mesascope.records.shown import shown
from mesascope.types import BrokenSubject, Subject, Task, Trace, check_description


def rehearse(subject: Subject, task: Task, *, seed: int = 0) -> Trace:
    """Check on one prompt that a subject's description is complete, that it accepts the task and captures its path.

    `mesascope.testing.check_subject` checks more.

    Returns:
        The trace of that prompt.

    Raises:
        ValueError: the task lies outside the subject's domain, or makes no prompts.
        BrokenSubject: the object does not keep the protocol `mesascope.types.Subject`.
    """
    check_description(subject)
    if not subject.path:
        raise BrokenSubject(
            f"{type(subject).__name__} must name the residual stream after each layer as its path; its path is empty."
        )
    subject.domain.check(task)
    prompts = task.sample(1, seed=seed)
    who = f"{type(subject).__name__}.trace must return a Trace, as mesascope.types.Subject describes it"
    trace = subject.trace(prompts, capture=subject.path)
    answers, wanted = getattr(trace, "predictions", None), tuple(prompts.targets.shape)
    if not isinstance(answers, Tensor) or tuple(answers.shape) != wanted:
        held = tuple(answers.shape) if isinstance(answers, Tensor) else answers
        raise BrokenSubject(f"{who}: its predictions must have shape (batch, query), {wanted} here; got {shown(held)}.")
    captured = getattr(trace, "activations", None)
    for site in subject.path:
        if not isinstance(captured, Mapping) or not isinstance(captured.get(site), Tensor):
            raise BrokenSubject(f"{who}: it must capture every site that was asked for; {site} is missing.")
    return trace


__all__ = ("rehearse",)
