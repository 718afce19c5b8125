"""A subject beside regressors that are shown the same examples: errors, ranks, and whose answers its own are like.

Each prompt is a split of its own into examples and a query; everybody answers from the same examples. A language model reads the
published text and answers with the number that it writes; a text that is no number counts as no answer, never as 0.

Source: Vacareanu et al. 2024 (the data sets, the text, the regressors, errors and ranks).
Departs from source: the model and the regressors see the same examples (G-structure/optim-hunt gives the regressors 50 where the
model sees 25); differences are paired and have intervals; and which regressor a model is like is judged by its numbers, where
optim-hunt compares the logits of first tokens.
"""

from collections.abc import Sequence

from mesascope.instruments.instrument import Expected, Instrument, sizes
from mesascope.instruments.regressing.contest import ALL, contest
from mesascope.instruments.regressing.errors import (
    CHANCE,
    DIFFERENCE,
    ERROR,
    EXACT,
    OVER_MEAN,
    RANK,
    SUBJECT,
    UNANSWERED,
    measured_errors,
    measured_ranks,
    measured_unanswered,
)
from mesascope.instruments.regressing.likelihood import ALIKE, FIRST, LIKELIHOOD, WHOLE, measured_likelihoods
from mesascope.instruments.regressing.verdicts import (
    ITSELF,
    LEAD,
    LEFT,
    NEARER,
    REMAINDER,
    SCORE,
    measured_resemblance,
)
from mesascope.models.language.regressor import Text
from mesascope.types import Figure, Measurement, Subject, Task, bounds

NAME = "regressors"


def beside_regressors(
    subject: Subject,
    task: Task,
    *,
    seed: int = 0,
    n: int = 20,
    again: int = 10,
    regressors: Sequence[str] = ALL,
    text: Text = "published",
    samples: int = 0,
) -> tuple[Measurement, ...]:
    """Compare a subject with regressors on the same examples.

    Args:
        subject: what to examine; a language model answers with the number that it writes.
        task: where the prompts come from.
        seed: of the prompts, of what is random in regressors, and of the resampling.
        n: number of prompts.
        again: how many of them are asked a second time with their examples in another order, to see what comes back.
        regressors: their names; by default all but the slow ones.
        text: how a language model's prompts are written.
        samples: take the median of so many sampled numbers for a language model's answer, instead of the likeliest text.

    Raises:
        NotApplicable: a language model whose context does not hold the examples.
        ValueError: an unknown regressor, or a task with fewer than two examples.
    """
    found = contest(
        subject,
        task,
        n=n,
        again=min(again, n),
        seed=seed,
        stream=NAME,
        regressors=regressors,
        text=text,
        samples=samples,
    )
    likelihoods = [] if found.replies is None else measured_likelihoods(found, found.replies, NAME)
    return (
        measured_unanswered(found, NAME),
        *measured_errors(found, NAME),
        *measured_ranks(found, NAME),
        *measured_resemblance(found, NAME),
        *likelihoods,
    )


def figure(measurements: Sequence[Measurement]) -> Figure:
    """Everybody's mean rank, best first."""
    ranks = sorted((m for m in measurements if m.quantity == RANK.name), key=lambda m: m.value)
    return Figure(
        name=NAME,
        section="Regressors",
        title="Errors beside regressors on the same examples",
        caption="Mean rank over prompts, 1 for the least error; who gives no number comes last.",
        kind="bars",
        rows=tuple(
            {"regressor": m.coordinates["regressor"], "mean rank": m.value, **bounds(m.interval), "n": m.n}
            for m in ranks
        ),
        x="regressor",
        y="mean rank",
        low="low",
        high="high",
    )


INSTRUMENT = Instrument(
    name=NAME,
    question="How does it compare with regressors on the same examples, and whose answers are its own like?",
    measure=beside_regressors,
    needs="a task with at least two examples; of a language model, a context that holds them",
    quantities=(
        UNANSWERED.name,
        ERROR.name,
        OVER_MEAN.name,
        DIFFERENCE.name,
        RANK.name,
        LEFT,
        SCORE,
        NEARER,
        LEAD,
        REMAINDER,
        LIKELIHOOD.name,
        ALIKE.name,
    ),
    coordinates=("regressor", "of", "label", "nearest", "by"),
    values={"regressor": (SUBJECT, *ALL), "by": (WHOLE, FIRST)},
    sizes=sizes(n=(8, 20, 100), again=(6, 10, 50)),
    figure=figure,
    expected=(
        Expected(
            quantity=LEFT,
            control=ITSELF,
            words="at least 1: a regressor in the subject's place is among those left",
            holds=lambda value: value >= 1,
        ),
    ),
)

__all__ = ("CHANCE", "EXACT", "INSTRUMENT", "NAME", "beside_regressors", "figure")
