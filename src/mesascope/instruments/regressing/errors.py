"""How far a subject's answers and regressors' are from the targets, prompt by prompt: errors, differences and ranks."""

import torch
from jaxtyping import Float
from scipy.stats import rankdata
from torch import Tensor

from mesascope.instruments.regressing.contest import Contest
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.scores import Quantity, measure, partners, ratio
from mesascope.types import Measurement

SUBJECT = "the model"
"""What the subject is called among the regressors."""
ERROR = Quantity(name="absolute error", unit="y")
OVER_MEAN = Quantity(name="error over the mean label's", combine=ratio)
DIFFERENCE = Quantity(name="error less the regressor's, over the mean label's", combine=ratio)
RANK = Quantity(name="mean rank")
UNANSWERED = Quantity(name="answers without a number")
OTHERS, EXACT, CHANCE = "another prompt's answers", "exact answers", "ranks drawn by lot"
FEWEST = 2
"""Prompts behind a number, at least: of one there is no interval."""
REGRESSORS, TEXT = "the regressors", "a text without numbers"


def absolute(answers: Float[Tensor, "*member batch query"], contest: Contest) -> Float[Tensor, "*member batch"]:
    """Mean distance from the targets over a prompt's queries; NaN where an answer is none."""
    return (answers.double() - contest.prompts.targets.double()).abs().mean(-1)


def measured_errors(contest: Contest, name: str) -> list[Measurement]:
    """Errors of all, and how much larger the subject's is than each regressor's, over the prompts that both answer.

    The differences are paired: both answer the same prompts from the same examples, and are drawn together.

    Controls. Positive: the exact answers. Negative: the same answers, each given to another prompt.
    """
    prompts = contest.prompts
    mean, other = prompts.ys.double().mean(1, keepdim=True).expand_as(prompts.targets), partners(prompts)
    least, exact = absolute(mean, contest), absolute(prompts.targets, contest)
    everybody = {SUBJECT: contest.subject, **dict(zip(contest.names, contest.others, strict=True))}
    own, elsewhere = absolute(contest.subject, contest), absolute(contest.subject[other], contest)
    found = list[Measurement]()
    for who, given in everybody.items():
        error, shuffled = absolute(given, contest), absolute(given[other], contest)
        cases = {ERROR: (error, exact, shuffled), OVER_MEAN: over((error, exact, shuffled), least)}
        if who != SUBJECT:
            cases[DIFFERENCE] = over((own - error, exact - error, elsewhere - error), least)
        for quantity, each in cases.items():
            found += over_answered(name, quantity, contest, who, *each)
    return found


def measured_ranks(contest: Contest, name: str) -> list[Measurement]:
    """Everybody's rank on each prompt by its error, 1 for the least, averaged over prompts; equal errors share their ranks.

    Who gives no number comes last. Controls. Positive: who answers exactly, in the subject's place. Negative: ranks drawn by lot.
    """
    errors = absolute(torch.cat([contest.subject[None], contest.others]), contest)
    found = ranks(errors)
    best = ranks(torch.cat([torch.zeros_like(errors[:1]), errors[1:]]))[0]
    draws = bootstrap.weights(len(contest.prompts), seed=contest.seed)
    return [
        measure(
            name,
            RANK,
            row,
            draws,
            coordinates={"regressor": who, "of": len(found)},
            positive={EXACT: best},
            negative={CHANCE: (len(found) + 1) / 2},
        )
        for who, row in zip((SUBJECT, *contest.names), found, strict=True)
    ]


def ranks(errors: Float[Tensor, "member batch"]) -> Float[Tensor, "member batch"]:
    """Each member's rank on each prompt, 1 for the least error; the mean rank where errors are equal, the last for NaN."""
    return torch.from_numpy(rankdata(errors.nan_to_num(nan=torch.inf).numpy(), axis=0))


def measured_unanswered(contest: Contest, name: str) -> Measurement:
    """The share of queries that the subject does not answer with a number. They count for no error and have the last rank.

    Controls. Positive: a text without numbers, of which all are unanswered. Negative: the regressors' answers.
    """
    missing = (~contest.subject.isfinite()).double().mean(-1)
    theirs = (~contest.others.isfinite()).double().mean((0, 2))
    draws = bootstrap.weights(len(missing), seed=contest.seed)
    return measure(
        name, UNANSWERED, missing, draws, coordinates={}, positive={TEXT: 1.0}, negative={REGRESSORS: theirs}
    )


def over(cases: tuple[Tensor, Tensor, Tensor], least: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Each prompt's contributions to ratios to the mean label's error."""
    first, second, third = (torch.stack([case, least], -1) for case in cases)
    return first, second, third


def over_answered(
    name: str, quantity: Quantity, contest: Contest, who: str, sums: Tensor, exact: Tensor, shuffled: Tensor
) -> list[Measurement]:
    """A statistic over the prompts where it is defined, with its controls; nothing where these are fewer than `FEWEST`.

    Args:
        name, quantity: the instrument's name, and what is measured.
        contest: the answers.
        who: whose answers.
        sums, exact, shuffled: each prompt's contributions, those of exact answers, and those of another prompt's.
    """
    kept = _defined(sums)
    count = int(kept.sum())
    if count < FEWEST:
        return []
    there = kept & _defined(shuffled)
    return [
        measure(
            name,
            quantity,
            sums[kept],
            bootstrap.weights(count, seed=contest.seed),
            coordinates={"regressor": who},
            positive={EXACT: exact[kept & _defined(exact)]},
            negative={OTHERS: shuffled[there]} if bool(there.any()) else {},
        )
    ]


def _defined(sums: Tensor) -> Tensor:
    return sums.isfinite().view(len(sums), -1).all(-1)


__all__ = (
    "CHANCE",
    "DIFFERENCE",
    "ERROR",
    "EXACT",
    "FEWEST",
    "OTHERS",
    "OVER_MEAN",
    "RANK",
    "SUBJECT",
    "UNANSWERED",
    "absolute",
    "measured_errors",
    "measured_ranks",
    "measured_unanswered",
    "ranks",
)
