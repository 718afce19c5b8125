"""A subject under inspection, with the prompts it is shown."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mesascope.instruments.tokens import asked
from mesascope.tasks import LinearRegression
from mesascope.testing.comparison import changed, copy, distance, rounding
from mesascope.testing.faults import Inspection
from mesascope.types import Intervention, Prompts, Site, Subject, Task, Trace

PROMPTS, QUERIES = 5, 3
ORDINARY = LinearRegression(dim=4, examples=12, queries=3, noise=0.5)
"""The problems that algorithms are tried on."""


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """What all checks of one subject share.

    Attributes:
        subject: under inspection.
        prompts: a handful, each with several queries.
        report: where faults go.
        plain: the predictions on these prompts when nothing is captured or edited.
        tolerance: what `distance` may be between results that are equal but for rounding.
    """

    subject: Subject
    prompts: Prompts
    report: Inspection
    plain: Float[Tensor, "batch query"]
    tolerance: float

    @classmethod
    def of(cls, subject: Subject, prompts: Prompts, report: Inspection) -> "View":
        """The view, once the subject has shown that it can be traced at all.

        Raises:
            Violation: it can't.
        """
        promise = "trace(prompts) gives a Trace with one finite answer a query"
        with report.keeping(
            promise,
            "take the prompts of a task as they come: in double precision, on the CPU, and with "
            "several queries each; convert them with prompts.to(device=..., dtype=...)",
        ):
            trace = subject.trace(copy(prompts))
            check_trace(trace, prompts, report, promise)
        report.close(early=True)
        plain = trace.predictions.clone()
        view = cls(subject=subject, prompts=prompts, report=report, plain=plain, tolerance=0.0)
        shown = [plain]
        promise = "every site in sites can be captured"
        with report.keeping(promise, "list in sites what trace can show, and nothing else"):
            shown += view.trace(capture=subject.path).activations.values()
        return dataclasses.replace(view, tolerance=rounding(shown))

    @property
    def queries(self) -> int:
        return self.prompts.queries.shape[1]

    @property
    def answered(self) -> Int[Tensor, " query"]:
        """The positions whose stream gives the answers, as the subject states them, or the last ones."""
        return asked(self.subject, self.prompts)[:, -1]

    def trace(
        self,
        prompts: Prompts | None = None,
        capture: Sequence[Site] = (),
        interventions: Sequence[Intervention] = (),
    ) -> Trace:
        """Trace a copy of the prompts, and see that it stays as it was."""
        given = copy(self.prompts if prompts is None else prompts)
        kept = copy(given)
        try:
            return self.subject.trace(given, capture=capture, interventions=interventions)
        finally:
            if fields := changed(kept, given):
                self.report.broken(
                    "a trace leaves the prompts as they were",
                    f"it wrote into {', '.join(fields)}",
                    "work on copies; operations that end in an underscore, and +=, write into the prompts' own memory",
                )

    def same(self, promise: str, expected: Tensor, found: Tensor, what: str, remedy: str) -> bool:
        """Whether two results are equal but for rounding; if not, that is a fault. ``what`` begins its description."""
        apart = distance(expected, found)
        if apart > self.tolerance:
            size = f"shape {tuple(found.shape)} instead of {tuple(expected.shape)}"
            if expected.shape == found.shape:
                size = f"a difference of {apart:.2g} of the largest value, where rounding explains {self.tolerance:.1g}"
            self.report.broken(promise, f"{what}: {size}", remedy)
        return apart <= self.tolerance


def check_trace(trace: object, prompts: Prompts, report: Inspection, promise: str) -> None:
    """Note what is wrong with a trace's answers."""
    if not isinstance(trace, Trace) or not isinstance(trace.predictions, Tensor):
        report.broken(promise, f"trace returned {_name(trace)}", "return Trace(predictions=..., activations={...})")
        return
    answers, shape = trace.predictions, tuple(prompts.targets.shape)
    if tuple(answers.shape) != shape:
        report.broken(
            promise,
            f"predictions have shape {tuple(answers.shape)} for {shape[0]} prompts with {shape[1]} queries each",
            "answer every query: predictions have the axes (batch, query), as prompts.targets has",
        )
    if not answers.is_floating_point():
        report.broken(promise, f"predictions of type {answers.dtype}", "return floating-point numbers")
    elif not bool(answers.isfinite().all()):
        report.broken(promise, "predictions that are NaN or infinite", "look for a division by zero or an overflow")
    if answers.requires_grad:
        report.broken(promise, "predictions that carry gradients", "decorate trace with @torch.no_grad()")


def several_queries(prompts: Prompts, queries: int = QUERIES) -> Prompts:
    """The prompts with more queries each, taken from one another, where a task gives too few to tell them apart."""
    if prompts.queries.shape[1] >= queries:
        return prompts
    turns = range(queries)
    return dataclasses.replace(
        prompts,
        queries=torch.cat([prompts.queries.roll(turn, 0) for turn in turns], 1)[:, :queries],
        targets=torch.cat([prompts.targets.roll(turn, 0) for turn in turns], 1)[:, :queries],
    )


def fitting_task(subject: Subject, dim: int = 5, examples: int = 20) -> Task:
    """A task inside the subject's domain, as near to the given size as it allows."""
    domain = subject.domain
    return LinearRegression(
        dim=_nearest(domain.dims, dim), examples=_nearest(domain.examples, examples), queries=QUERIES
    )


def _nearest(allowed: Sequence[int] | None, wanted: int) -> int:
    return wanted if allowed is None else min(allowed, key=lambda value: abs(value - wanted))


def _name(value: object) -> str:
    return f"a {type(value).__name__}" if value is not None else "nothing"
