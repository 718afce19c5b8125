"""A predictor's replies: everything that the metrics of the literature need from one side of a comparison.

A network and a reference algorithm are asked in the same way (`mesascope.instruments.metrics.reference` gives an algorithm
the interface of a subject), so a metric is a function of two `Replies` and cannot treat the two sides differently.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.instruments.asking.collect import answers
from mesascope.instruments.metrics.question import Queries, asking
from mesascope.types import Subject, answering_everywhere


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Replies:
    """The replies of one predictor, in float64.

    Attributes:
        name: the predictor's name.
        predictions: its answers at the fresh queries.
        weights: the weights that these answers induce.
        sensitivity: the gradient of its answer with respect to the first fresh query.
        errors: prediction minus label at every input of the prompt, each answered from the examples before it, and
            prediction minus target at the first query; ``None`` if the predictor cannot answer at every position.
        shorter: the weights induced at the shorter contexts of `Queries.lengths`; ``None`` if it cannot take these.
    """

    name: str
    predictions: Float[Tensor, "batch query"]
    weights: Float[Tensor, "batch dim"]
    sensitivity: Float[Tensor, "batch dim"]
    errors: Float[Tensor, "batch position"] | None
    shorter: Float[Tensor, "batch length dim"] | None

    @classmethod
    def of(cls, subject: Subject, question: Queries) -> "Replies":
        """A subject's replies.

        The sensitivity is computed by central differences in the subject's own precision ε, with all of a prompt's moved
        queries in one pass. The step is ε^⅓ of the queries' root mean square, where the errors of truncation and rounding
        are about equal. The relative error is about 1e-10 in double and 1e-4 in single precision, if the prediction is
        smooth on that scale.
        """
        p = question.prompts
        fresh, dim = p.queries.shape[1], p.dim
        precision = subject.trace(p[:1]).predictions.dtype
        step = torch.finfo(precision).eps ** (1 / 3) * float(p.queries.square().mean().sqrt())
        around = p.queries[:, :1] + step * torch.cat([torch.eye(dim), -torch.eye(dim)]).to(p.queries)
        around = around.to(precision).to(p.queries)  # rounded to the subject's precision
        said = answers(subject, asking(p, torch.cat([p.queries, around], 1)))
        ahead, behind = around.double().chunk(2, 1)
        width = (ahead - behind).diagonal(dim1=1, dim2=2)
        errors, shorter = _from_prefixes(subject, question, said[:, 0])
        return cls(
            name=subject.name,
            predictions=said[:, :fresh],
            weights=question.induced(said[:, :fresh]),
            sensitivity=(said[:, fresh : fresh + dim] - said[:, fresh + dim :]) / width,
            errors=errors,
            shorter=shorter,
        )

    def __getitem__(self, index: Tensor) -> "Replies":
        """The replies to some of the prompts, or to all in another order."""
        return Replies(
            name=self.name,
            predictions=self.predictions[index],
            weights=self.weights[index],
            sensitivity=self.sensitivity[index],
            errors=None if self.errors is None else self.errors[index],
            shorter=None if self.shorter is None else self.shorter[index],
        )

    @property
    def bad(self) -> int:
        """The number of prompts for which some reply is not finite."""
        said = [self.predictions, self.sensitivity, *(v for v in (self.errors, self.shorter) if v is not None)]
        return int((~torch.cat([v.flatten(1) for v in said], 1).isfinite().all(1)).sum())


def _from_prefixes(
    subject: Subject, question: Queries, last: Float[Tensor, " batch"]
) -> tuple[Float[Tensor, "batch position"] | None, Float[Tensor, "batch length dim"] | None]:
    """The errors at every position, and the weights induced at shorter contexts; ``None`` for what cannot be asked.

    A subject that answers at every position is run once. Any other is run on each prefix, if its domain allows every length,
    and its answer before the first example counts as zero.
    """
    p, everywhere = question.prompts, answering_everywhere(subject)
    allowed = subject.domain.examples
    any_length = allowed is None or all(length in allowed for length in range(1, p.examples))
    if everywhere is None and not any_length:
        return None, None
    said: list[Tensor] = [torch.zeros(len(p), dtype=torch.float64)]
    weights: list[Tensor] = []
    for length in range(1, p.examples) if any_length else ():
        upcoming = p.xs[:, length : length + 1][:, : everywhere is None]
        queries = torch.cat([upcoming, p.queries if length in question.lengths else p.queries[:, :0]], 1)
        if not queries.shape[1]:
            continue
        replies = answers(subject, asking(p, queries, length))
        said += list(replies[:, : upcoming.shape[1]].T)
        if length in question.lengths:
            weights.append(question.induced(replies[:, upcoming.shape[1] :]))
    one = asking(p, p.queries[:, :1])
    context = torch.stack(said, 1) if everywhere is None else everywhere.answer_everywhere(one).double().cpu()
    at_inputs = context - p.ys.double().cpu()
    errors = torch.cat([at_inputs, (last - p.targets[:, 0].double().cpu())[:, None]], 1)
    return errors, torch.stack(weights, 1) if weights else None
