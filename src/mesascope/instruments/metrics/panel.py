"""Comparisons of the subject with a reference, together with the controls that stand beside every number."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms import Algorithm, LeastSquares
from mesascope.instruments.asking.applicability import NotApplicable, untrained
from mesascope.instruments.metrics.question import Queries
from mesascope.instruments.metrics.reference import ReferenceSubject, as_subject
from mesascope.instruments.metrics.replies import Replies
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.scores import Quantity, measure, partners
from mesascope.types import Measurement, Subject, Task, adjusted

NAME = "metrics"
AGAIN = "the reference, asked again"
OTHERS = "another prompt's reference"
ZERO = "answering zero"
UNTRAINED = "untrained network"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A measure of how similar two predictors are.

    Attributes:
        quantity: its name, its unit, and how it is computed from means over prompts.
        sums: computes each prompt's contributions; ``None`` if one of the two predictors lacks the answers for it.
    """

    quantity: Quantity
    sums: Callable[[Replies, Replies], Tensor | None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Side:
    """The subject's side of every comparison: the replies of the subject and its negative controls.

    Attributes:
        question: the contexts and queries that all predictors answer.
        subject: the subject's replies.
        idle: the replies of the negative controls (answering zero, the untrained network), by name.
        draws: the resampling weights, from `bootstrap.weights`.
    """

    question: Queries
    subject: Replies
    idle: dict[str, Replies]
    draws: Float[Tensor, "repeat batch"]

    @classmethod
    def of(cls, subject: Subject, task: Task, *, seed: int, n: int, queries: int | None) -> "Side":
        """The replies of the subject, of its untrained twin and of the zero predictor.

        Raises:
            ValueError: there are not more queries than dimensions.
            NotApplicable: some of the subject's answers are not finite.
        """
        several = adjusted(task, queries=4 * task.dim if queries is None else queries)
        question = Queries.of(several.sample(n, seed=seed, stream=NAME))
        replies = Replies.of(subject, question)
        if replies.bad:
            raise NotApplicable(
                f"{subject.name} answers {replies.bad} of {n} prompts with numbers that are not finite."
            )
        idle = {ZERO: Replies.of(ReferenceSubject(algorithm=LeastSquares(), steps=0, label="zero"), question)}
        if (fresh := untrained(subject, seed + 1)) is not None and not (said := Replies.of(fresh, question)).bad:
            idle[UNTRAINED] = said
        draws = bootstrap.weights(n, seed=seed, strata=question.prompts.strata)
        return cls(question=question, subject=replies, idle=idle, draws=draws)

    def pair(self, reference: Algorithm | Subject) -> "Comparison":
        """The comparison with a reference, which is asked twice.

        The second time the prompts are in reverse order, and an algorithm computes in single precision, as networks usually
        do. The difference between both shows the effect of rounding alone on a metric.

        Raises:
            ValueError: some of the reference's answers are not finite.
        """
        asked = as_subject(reference)
        first = Replies.of(asked, self.question)
        if first.bad:
            raise ValueError(
                f"reference must answer every prompt with finite numbers; {asked.name} does not on {first.bad} of "
                f"{len(self.question.prompts)}. Take fewer steps or a smaller step size."
            )
        rough = dataclasses.replace(asked, dtype=torch.float32) if isinstance(asked, ReferenceSubject) else asked
        backwards = torch.arange(len(self.question.prompts)).flip(0)
        return Comparison(panel=self, reference=first, again=Replies.of(rough, self.question[backwards])[backwards])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Comparison:
    """The replies of a subject and a reference.

    Attributes:
        panel: the subject's side.
        reference, again: the reference's replies the first and the second time.
    """

    panel: Side
    reference: Replies
    again: Replies

    def compare(self, metrics: Sequence[Metric], source: str) -> tuple[Measurement, ...]:
        """Each metric for which both have answers, with its controls.

        Positive: the reference against its second replies. Negative: the subject against the reference on another prompt of
        its stratum; answering zero, and the untrained network, against the reference. A control that lacks the answers for
        a metric is left out.

        Args:
            metrics: what to measure.
            source: the paper that defines the metrics.
        """
        other = self.reference[partners(self.panel.question.prompts)]
        found: list[Measurement] = []
        for metric in metrics:
            value = metric.sums(self.panel.subject, self.reference)
            if value is None:
                continue
            again = metric.sums(self.again, self.reference)
            idle = {name: metric.sums(case, self.reference) for name, case in self.panel.idle.items()}
            negative = {OTHERS: metric.sums(self.panel.subject, other), **idle}
            found.append(
                measure(
                    NAME,
                    metric.quantity,
                    value,
                    self.panel.draws,
                    coordinates={"reference": self.reference.name, "source": source},
                    positive={} if again is None else {AGAIN: again},
                    negative={name: case for name, case in negative.items() if case is not None},
                )
            )
        return tuple(found)


def cosine(a: Float[Tensor, "*#batch axis"], b: Float[Tensor, "*#batch axis"]) -> Float[Tensor, "..."]:
    """The cosine of the angle between two vectors; 0 if one of them is zero and so has no direction."""
    size = torch.linalg.vector_norm(a, dim=-1) * torch.linalg.vector_norm(b, dim=-1)
    return torch.where(size > 0, (a * b).sum(-1) / size, torch.zeros_like(size))
