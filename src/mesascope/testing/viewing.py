"""A subject under inspection, with the test prompts."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mesascope.instruments.asking.tokens import asked
from mesascope.tasks import LinearRegression
from mesascope.testing.comparison import changed, copy, distance, rounding
from mesascope.testing.faults import Inspection
from mesascope.types import Intervention, Prompts, Site, Subject, Task, Trace

PROMPTS, QUERIES = 5, 3
ORDINARY = LinearRegression(dim=4, examples=12, queries=3, noise=0.5)
"""The problems on which algorithms are tested."""


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """Values that all checks of one subject share.

    Attributes:
        subject: the subject under inspection.
        prompts: a few prompts, each with several queries.
        report: collects faults.
        plain: the predictions on these prompts when nothing is captured or edited.
        tolerance: the largest `distance` between results that are equal up to rounding.
    """

    subject: Subject
    prompts: Prompts
    report: Inspection
    plain: Float[Tensor, "batch query"]
    tolerance: float

    @classmethod
    def of(cls, subject: Subject, prompts: Prompts, report: Inspection) -> "View":
        """Make the view, after a test that the subject can be traced at all.

        Raises:
            Violation: the subject can't be traced.
        """
        promise = "trace(prompts) gives a Trace with one finite answer per query"
        with report.keeping(
            promise,
            "accept prompts as a task samples them: in double precision, on the CPU, and with several queries each; "
            "convert them with prompts.to(device=..., dtype=...)",
        ):
            trace = subject.trace(copy(prompts))
            check_trace(trace, prompts, report, promise)
        report.close(early=True)
        plain = trace.predictions.clone()
        view = cls(subject=subject, prompts=prompts, report=report, plain=plain, tolerance=0.0)
        shown = [plain]
        promise = "every site in sites can be captured"
        with report.keeping(promise, "list in sites exactly the sites that trace can capture"):
            shown += view.trace(capture=subject.path).activations.values()
        return dataclasses.replace(view, tolerance=rounding(shown))

    @property
    def queries(self) -> int:
        return self.prompts.queries.shape[1]

    @property
    def answered(self) -> Int[Tensor, " query"]:
        """The positions whose stream gives the answers: those that the subject states, or else the last ones."""
        return asked(self.subject, self.prompts)[:, -1]

    def trace(
        self,
        prompts: Prompts | None = None,
        capture: Sequence[Site] = (),
        interventions: Sequence[Intervention] = (),
    ) -> Trace:
        """Trace a copy of the prompts, and check that the copy does not change."""
        given = copy(self.prompts if prompts is None else prompts)
        kept = copy(given)
        try:
            return self.subject.trace(given, capture=capture, interventions=interventions)
        finally:
            if fields := changed(kept, given):
                self.report.broken(
                    "a trace does not change the prompts",
                    f"it wrote into {', '.join(fields)}",
                    "work on copies; operations that end in an underscore, and +=, write into the prompts' own memory",
                )

    def same(self, promise: str, expected: Tensor, found: Tensor, what: str, remedy: str) -> bool:
        """Whether two results are equal up to rounding; if not, record a fault whose description begins with ``what``."""
        apart = distance(expected, found)
        if apart > self.tolerance:
            size = f"shape {tuple(found.shape)} instead of {tuple(expected.shape)}"
            if expected.shape == found.shape:
                size = f"a difference of {apart:.2g} of the largest value; rounding explains {self.tolerance:.1g}"
            self.report.broken(promise, f"{what}: {size}", remedy)
        return apart <= self.tolerance


def check_trace(trace: object, prompts: Prompts, report: Inspection, promise: str) -> None:
    """Record the faults of a trace's answers."""
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
    """The prompts with at least this many queries each; if a task gives fewer, prompts take queries from one another."""
    if prompts.queries.shape[1] >= queries:
        return prompts
    turns = range(queries)
    return dataclasses.replace(
        prompts,
        queries=torch.cat([prompts.queries.roll(turn, 0) for turn in turns], 1)[:, :queries],
        targets=torch.cat([prompts.targets.roll(turn, 0) for turn in turns], 1)[:, :queries],
    )


def fitting_task(subject: Subject, dim: int = 5, examples: int = 20) -> Task:
    """A task inside the subject's domain, as near to the given sizes as the domain allows."""
    domain = subject.domain
    return LinearRegression(
        dim=_nearest(domain.dims, dim), examples=_nearest(domain.examples, examples), queries=QUERIES
    )


def _nearest(allowed: Sequence[int] | None, wanted: int) -> int:
    return wanted if allowed is None else min(allowed, key=lambda value: abs(value - wanted))


def _name(value: object) -> str:
    return f"a {type(value).__name__}" if value is not None else "nothing"
