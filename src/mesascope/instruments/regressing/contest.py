"""The answers of a subject and of regressors to the same prompts."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mesascope.instruments.asking.applicability import NotApplicable
from mesascope.instruments.asking.collect import answers
from mesascope.instruments.asking.lines import reordered
from mesascope.models.language import Decoding, LanguageSubject, Replies, Template, published_template, replies
from mesascope.models.language.decoding import TooLong
from mesascope.models.language.regressor import Text, written_as
from mesascope.records.checks import check_count
from mesascope.regressors import REGRESSORS, regressor
from mesascope.regressors.regressor import LEAST
from mesascope.tasks.datasets import CharacterRegression
from mesascope.types import Prompts, Subject, Task

SLOW = ("random-forest-tuned", "gradient-boosting-tuned")
"""Regressors that take minutes where all others together take one or two: they compete where they are named."""
ALL = tuple(name for name in REGRESSORS if not name.startswith("algorithm:") and name not in SLOW)
"""The published regressors, and this package's but for the slow ones and those that stop before they have converged."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contest:
    """Everybody's answers to the same prompts, each from the same examples.

    Attributes:
        prompts: the problems.
        seed: of what is random in the regressors.
        subject: the subject's answers; NaN where it gives no number.
        names: the regressors.
        others: their answers.
        again: the subject's answers to the first prompts with their examples in another order, and these prompts.
        replies: what a language model wrote, with its likelihoods of the regressors' numbers; None of other subjects.
    """

    prompts: Prompts
    seed: int
    subject: Float[Tensor, "batch query"]
    names: tuple[str, ...]
    others: Float[Tensor, "member batch query"]
    again: tuple[Float[Tensor, "_ query"], Prompts]
    replies: Replies | None

    @property
    def answered(self) -> Bool[Tensor, " batch"]:
        """The prompts whose queries the subject answers with numbers."""
        return self.subject.isfinite().all(-1)


def contest(
    subject: Subject,
    task: Task,
    *,
    n: int,
    again: int,
    seed: int,
    stream: str,
    regressors: Sequence[str] = ALL,
    text: Text = "published",
    samples: int = 0,
) -> Contest:
    """Ask a subject and regressors about the same examples.

    Args:
        subject: a language model answers with the number that it writes, any other subject as it does.
        task: where the prompts come from.
        n: number of prompts.
        again: how many of them the subject is asked again, with their examples in another order.
        seed: of the prompts, the orders, and what is random in regressors and sampled answers.
        stream: of the prompts.
        regressors: names, see `mesascope.regressors.REGRESSORS`.
        text: how a language model's prompts are written.
        samples: take the median of so many sampled numbers for a language model's answer, instead of the likeliest text.

    Raises:
        NotApplicable: a language model whose context does not hold the examples.
        ValueError: an unknown regressor, or a task with fewer than two examples.
    """
    chosen = [regressor(name) for name in regressors]
    check_count("n", n)
    check_count("again", again, least=0)
    if task.examples < LEAST:
        raise ValueError(
            f"task must show at least {LEAST} examples to be regressed; got {task.examples}. Take one with more examples."
        )
    prompts = task.sample(n, seed=seed, stream=stream)
    shuffled = reordered(prompts[:again], seed)
    others = torch.stack([one.predict(prompts, seed=seed).double() for one in chosen])
    own, second, written = _asked(
        subject, prompts, shuffled, others, text_for(task, prompts, text), Decoding(samples=samples), seed
    )
    return Contest(
        prompts=prompts,
        seed=seed,
        subject=own,
        names=tuple(regressors),
        others=others,
        again=(second, shuffled),
        replies=written,
    )


def _asked(
    subject: Subject,
    prompts: Prompts,
    shuffled: Prompts,
    others: Tensor,
    text: Text | Template,
    decoding: Decoding,
    seed: int,
) -> tuple[Tensor, Tensor, Replies | None]:
    nothing = torch.empty(shuffled.targets.shape)
    if not isinstance(subject, LanguageSubject):
        return answers(subject, prompts), answers(subject, shuffled) if len(shuffled) else nothing, None
    asked = written_as(subject, prompts, text)
    with within_context(subject):
        found = replies(asked, prompts, decoding=decoding, numbers=others.movedim(0, -1), seed=seed)
        second = replies(asked, shuffled, decoding=decoding, seed=seed).answers if len(shuffled) else nothing
    return found.answers, second, found


def text_for(task: Task, prompts: Prompts, text: Text) -> Text | Template:
    """How prompts of a task are written: letters are letters."""
    if text == "published" and isinstance(task, CharacterRegression):
        return published_template(prompts, letters=True)
    return text


@contextlib.contextmanager
def within_context(subject: LanguageSubject) -> Iterator[None]:
    """Say of prompts that are too long for a model that the instrument does not apply."""
    try:
        yield
    except TooLong as error:
        raise NotApplicable(f"{subject.name} cannot be asked so much: {error}") from error


__all__ = ("ALL", "SLOW", "Contest", "contest", "text_for", "within_context")
