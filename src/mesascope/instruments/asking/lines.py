"""A subject that reads digits, as one that regresses: so that the identifier and the explanations can ask it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.seeds import generator
from mesascope.tasks import DigitLines, DigitRegression
from mesascope.tasks.lines import MIDDLE, UNIT, as_digits
from mesascope.types import (
    Domain,
    Intervention,
    Layout,
    Prompts,
    Site,
    Subject,
    Task,
    Trace,
    spec_of,
    stated_layout,
    untrained_twin,
)

FEWER, FEWER_IF_DEEP = 4, 16
"""A subject that reads text is asked this many times fewer prompts, since each takes about a hundred tokens; and this many
times if it is deep."""
DEEP = 8
"""A subject with more layers is deep."""
LEAST = 16
"""Fewer prompts cannot be fitted and scored."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LinesSubject:
    """A subject of `DigitRegression` that takes the prompts of `DigitLines`, and answers in their units.

    Attributes:
        subject: the subject, which reads and answers digits.
    """

    subject: Subject

    @property
    def name(self) -> str:
        return self.subject.name

    @property
    def domain(self) -> Domain:
        return replace(self.subject.domain, dims=(2,))

    @property
    def sites(self) -> tuple[Site, ...]:
        return self.subject.sites

    @property
    def path(self) -> tuple[Site, ...]:
        return self.subject.path

    @property
    def spec(self) -> object:
        """The subject's specification."""
        return spec_of(self.subject)

    def trace(
        self, prompts: Prompts, *, capture: Sequence[Site] = (), interventions: Sequence[Intervention] = ()
    ) -> Trace:
        """Run the subject on the digits. See `mesascope.types.Subject`."""
        self.domain.check(prompts)
        found = self.subject.trace(as_digits(prompts), capture=capture, interventions=interventions)
        return replace(found, predictions=(found.predictions - MIDDLE) / UNIT)

    def readout(self, activation: Float[Tensor, "batch query width"], site: Site) -> Float[Tensor, "batch query"]:
        return (self.subject.readout(activation, site) - MIDDLE) / UNIT

    def layout(self, examples: int, queries: int) -> Layout | None:
        """Where the digits stand."""
        return stated_layout(self.subject, examples, queries)

    def reinitialised(self, seed: int) -> Subject | None:
        """The subject with fresh random weights, or None if it has no untrained twin."""
        twin = untrained_twin(self.subject, seed)
        return None if twin is None else LinesSubject(subject=twin)


def as_lines(subject: Subject, task: Task) -> tuple[Subject, Task]:
    """The subject and the task as the identifier asks them: those of digits as a linear regression, all others as they are.

    Raises:
        ValueError: a subject that reads text, with a task whose numbers are not digits from 0 to 9.
    """
    if not subject.domain.written or isinstance(subject, LinesSubject):
        return subject, task
    if isinstance(task, DigitRegression) and not task.spreads:
        return LinesSubject(subject=subject), DigitLines(digits=replace(task, new_only=True, queries=1))
    raise ValueError(
        f"task must have digits as its numbers for a subject that reads text to be identified; got {type(task).__name__}. "
        "Pass ms.tasks.DigitRegression() without spreads."
    )


def fewer(subject: Subject, prompts: int) -> int:
    """The number of prompts for a subject where others get ``prompts``."""
    if not subject.domain.written:
        return prompts
    return min(prompts, max(LEAST, -(-prompts // (FEWER_IF_DEEP if is_deep(subject) else FEWER))))


def is_deep(subject: Subject) -> bool:
    """Whether a pass takes so long that a subject cannot be run once for each of its parts."""
    return len(subject.path) > DEEP


def beside_constant(prompts: Prompts) -> Prompts:
    """The prompts with a second input that is 1 everywhere: to regress with an intercept."""

    def with_one(inputs: Float[Tensor, "batch _ dim"]) -> Float[Tensor, "batch _ more"]:
        return torch.cat([inputs, torch.ones_like(inputs[..., :1])], -1)

    return replace(prompts, xs=with_one(prompts.xs), queries=with_one(prompts.queries), weights=None)


def reordered(prompts: Prompts, seed: int) -> Prompts:
    """The same prompts with their examples in another order.

    This is how a subject that reads text is asked again: its numbers cannot be moved a little, and no learner that is tried
    depends on the order but for the last label.
    """
    order = torch.rand(prompts.ys.shape, generator=generator(seed, "identify/again"), dtype=torch.float64).argsort(1)
    order = order.to(prompts.ys.device)
    xs = prompts.xs.gather(1, order[..., None].expand_as(prompts.xs))
    return replace(prompts, xs=xs, ys=prompts.ys.gather(1, order))


__all__ = ("LinesSubject", "as_lines", "beside_constant", "fewer", "is_deep", "reordered")
