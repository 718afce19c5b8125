"""Learning curves: a subject and regressors answer the next example's label from ever more examples of one long prompt.

The error is shown by the number of examples. Over the first examples, each of which is answered in turn, it adds up to a regret:
how much more was lost in all than by the regressor that lost least, chosen afterwards.

Source: Vacareanu et al. 2024, section 5 (regret of online learning).
Departs from source: there the comparison is with regressors fitted to all examples and asked about the same ones; here every
regressor answers, as the model does, from the examples before.
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.instruments.asking.collect import answers
from mesascope.instruments.instrument import Instrument, sizes
from mesascope.instruments.regressing.contest import text_for, within_context
from mesascope.instruments.regressing.errors import EXACT, FEWEST, OTHERS, SUBJECT
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.scores import Quantity, measure, partners
from mesascope.models.language import LanguageSubject, Template
from mesascope.models.language.regressor import Text, written_as
from mesascope.models.language.replying import replies_along
from mesascope.records.shown import shown
from mesascope.regressors import regressor
from mesascope.regressors.regressor import LEAST
from mesascope.types import Figure, Measurement, Prompts, Scalar, Subject, Task, adjusted, bounds

NAME = "learning curve"
QUICK = (
    "linear-regression",
    "ridge",
    "kernel-ridge",
    "gaussian-process",
    "polynomial-2",
    "knn-5",
    "knn-3-distance",
    "knn-1-distance",
    "svr-scaled",
    "mean",
    "last",
)
"""Regressors that are fitted in no time, since each is fitted once for every number of examples."""
COUNTS = (*range(1, 31), 35, 40, 50, 60, 70, 80, 90, 100)
"""Every number of examples up to 30, of which the regret is made, and some up to 100."""
ERROR = Quantity(name="absolute error by examples", unit="y")
UNANSWERED = Quantity(name="answers without a number by examples")
REGRET = Quantity(name="regret per answer", unit="y")
TEXT, REGRESSORS = "a text without numbers", "the regressors"


def learning_curve(
    subject: Subject,
    task: Task,
    *,
    seed: int = 0,
    n: int = 6,
    counts: Sequence[int] = COUNTS,
    regressors: Sequence[str] = QUICK,
    text: Text = "published",
) -> tuple[Measurement, ...]:
    """Errors by the number of examples, and the regret over the first ones.

    Regressors answer from two examples on. Where the subject gives no number, the prompt is left out of the error at that count,
    and what the mean label loses there is its loss in the regret: silence earns nothing.

    Controls. Positive: exact answers; for the share without a number, a text without any. Negative: another prompt's answers;
    for the share, the regressors'.

    Args:
        subject: what to examine; a language model reads one long prompt and answers along it.
        task: where the prompts come from; its number of examples is replaced.
        seed: of the prompts and the resampling.
        n: number of long prompts.
        counts: the numbers of examples, ascending.
        regressors: their names.
        text: how a language model's prompts are written.

    Raises:
        NotApplicable: a language model whose context does not hold the examples.
        ValueError: counts that are not ascending.
    """
    if list(counts) != sorted(set(counts)) or not counts or counts[0] < 1:
        raise ValueError(f"counts must be ascending, from 1; got {shown(tuple(counts))}. Sort them, each once.")
    prompts = adjusted(task, examples=counts[-1] + 1).sample(n, seed=seed, stream=NAME)
    asked = {count: shorter(prompts, count) for count in counts}
    truth = torch.stack([p.targets[:, 0] for p in asked.values()], 1).double()
    given = {SUBJECT: _along(subject, prompts, asked, text_for(task, prompts, text))}
    for name in regressors:
        one = regressor(name)
        silent = torch.full((n,), torch.nan, dtype=torch.float64)
        each = [silent if count < LEAST else one.predict(p, seed=seed)[:, 0].double() for count, p in asked.items()]
        given[name] = torch.stack(each, 1)
    other = partners(prompts)
    errors = {who: (answer - truth).abs() for who, answer in given.items()}
    shuffled = {who: (answer[other] - truth).abs() for who, answer in given.items()}
    found = list[Measurement]()
    for place, count in enumerate(counts):
        for who in given:
            found += _error(errors[who][:, place], shuffled[who][:, place], {"regressor": who, "examples": count}, seed)
        found.append(_unanswered(given, place, count, seed))
    mean = torch.stack([(p.ys.double().mean(1) - p.targets[:, 0].double()).abs() for p in asked.values()], 1)
    return (*found, *_regrets(errors, shuffled[SUBJECT], mean, counts, regressors, seed))


def shorter(prompts: Prompts, count: int) -> Prompts:
    """The problem of answering the example after so many from those before it."""
    return Prompts(
        xs=prompts.xs[:, :count],
        ys=prompts.ys[:, :count],
        queries=prompts.xs[:, count : count + 1],
        targets=prompts.ys[:, count : count + 1],
        target_variance=prompts.target_variance,
    )


def _along(
    subject: Subject, prompts: Prompts, asked: Mapping[int, Prompts], text: Text | Template
) -> Float[Tensor, "batch count"]:
    if isinstance(subject, LanguageSubject):
        with within_context(subject):
            return replies_along(written_as(subject, prompts, text), prompts, tuple(asked))
    return torch.stack([answers(subject, p)[:, 0] for p in asked.values()], 1)


def _error(own: Tensor, shuffled: Tensor, where: Mapping[str, Scalar], seed: int) -> list[Measurement]:
    kept = own.isfinite()
    count, there = int(kept.sum()), kept & shuffled.isfinite()
    if count < FEWEST:
        return []
    draws = bootstrap.weights(count, seed=seed)
    negative = {OTHERS: shuffled[there]} if bool(there.any()) else {}
    return [measure(NAME, ERROR, own[kept], draws, coordinates=where, positive={EXACT: 0.0}, negative=negative)]


def _unanswered(given: Mapping[str, Tensor], place: int, count: int, seed: int) -> Measurement:
    missing = {who: (~answer[:, place].isfinite()).double() for who, answer in given.items()}
    own = missing.pop(SUBJECT)
    draws = bootstrap.weights(len(own), seed=seed)
    theirs = {REGRESSORS: torch.stack(list(missing.values())).mean(0)} if count >= LEAST and missing else {}
    where = {"examples": count}
    return measure(NAME, UNANSWERED, own, draws, coordinates=where, positive={TEXT: 1.0}, negative=theirs)


def _regrets(
    errors: Mapping[str, Tensor],
    shuffled: Tensor,
    mean: Tensor,
    counts: Sequence[int],
    regressors: Sequence[str],
    seed: int,
) -> list[Measurement]:
    """The regret per answer after each number of examples of the first run, from the second answer that all can give."""
    begin = next((place for place, count in enumerate(counts) if count >= LEAST), len(counts))
    end = begin
    while end < len(counts) and counts[end] - counts[begin] == end - begin:
        end += 1
    run = slice(begin, end)
    if end - begin < 1 or not regressors:
        return []

    def total(loss: Tensor) -> Tensor:
        return torch.where(loss.isfinite(), loss, mean)[:, run].cumsum(1)

    number = torch.arange(1, end - begin + 1, dtype=torch.float64)
    best = torch.stack([total(errors[name]) for name in regressors]).amin(0)
    own, elsewhere, exact = (((lost - best) / number) for lost in (total(errors[SUBJECT]), total(shuffled), 0 * best))
    draws = bootstrap.weights(len(mean), seed=seed)
    return [
        measure(
            NAME,
            REGRET,
            own[:, place],
            draws,
            coordinates={"examples": counts[begin + place]},
            positive={EXACT: exact[:, place]},
            negative={OTHERS: elsewhere[:, place]},
        )
        for place in range(end - begin)
    ]


def figure(measurements: Sequence[Measurement]) -> Figure:
    """Errors by the number of examples, a line for the subject and for each regressor."""
    rows = tuple(
        {
            "answers": m.coordinates["regressor"],
            "examples": m.coordinates["examples"],
            "error": m.value,
            **bounds(m.interval),
        }
        for m in measurements
        if m.quantity == ERROR.name
    )
    return Figure(
        name="learning-curve",
        section="Regressors",
        title="Error by the number of examples",
        caption="Mean distance of the answer from the next example's label, from the examples before it. 95 % intervals over "
        "prompts.",
        kind="lines",
        rows=rows,
        x="examples",
        y="error",
        series="answers",
        low="low",
        high="high",
    )


INSTRUMENT = Instrument(
    name=NAME,
    question="How does its error fall with the number of examples, beside that of regressors?",
    measure=learning_curve,
    needs="a task whose number of examples can be changed; of a language model, a context that holds them",
    quantities=(ERROR.name, UNANSWERED.name, REGRET.name),
    coordinates=("regressor", "examples"),
    sizes=sizes(n=(2, 6, 30)),
    figure=figure,
)

__all__ = (
    "COUNTS",
    "ERROR",
    "INSTRUMENT",
    "NAME",
    "QUICK",
    "REGRET",
    "UNANSWERED",
    "figure",
    "learning_curve",
    "shorter",
)
