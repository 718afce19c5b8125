"""The rule of `silent failure`: when an error looks acceptable, and when the order within a prompt is lost."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.instruments.statistics.ordering import rank_correlation
from mesascope.instruments.statistics.scores import Quantity, ratio, squared_error
from mesascope.types import Prompts

ACCEPTABLE = 0.5
"""An error below this share of a variance looks acceptable: 1 is the error of answering the mean."""
LESS = 0.5
"""The order is lost if the rank correlation is below this share of ridge regression's."""
ABLE = 0.3
"""Where ridge regression's own rank correlation is not above this, nobody can be blamed for a lost order."""
ENOUGH = 8
"""No flag is raised from fewer prompts: the bounds of so few say little, and those of a single one nothing."""
NARROW, WIDE = 0.5, 2.0
"""A spread of the answers below or above this share of the targets' would have shown a failure."""
LEVEL = 0.05
"""One-sided level of all settings of one run together; each setting gets an equal part of it."""

Bounds = tuple[float, float]


def _pooled(means: Tensor) -> Tensor:
    """Squared error over the variance of all targets, from the means of (squared error, target, squared target)."""
    return means[:, 0] / (means[:, 2] - means[:, 1].square())


def _less(means: Tensor) -> Tensor:
    """By how much the first mean is above the share `LESS` of the second."""
    return means[:, 0] - LESS * means[:, 1]


POOLED = Quantity(name="error over the pooled variance", combine=_pooled)
OWN = Quantity(name="error over each prompt's own variance")
OVER_MEAN = Quantity(name="error over that of the mean label", combine=ratio)
RANK = Quantity(name="rank correlation within a prompt")
SPREAD = Quantity(name="spread of answers over that of targets")
QUANTITIES = (POOLED, OWN, OVER_MEAN, RANK, SPREAD)
FLAG = "silent failure"


def contributions(
    answers: Float[Tensor, "batch query"], mean_label: Float[Tensor, "batch query"], prompts: Prompts
) -> dict[str, Tensor]:
    """Each prompt's contributions to every quantity, by its name, for the first ``len(answers)`` prompts.

    Args:
        answers: a subject's, or those of a control; finite.
        mean_label: the mean label of each prompt, as an answer to each query.
        prompts: whose targets vary within each prompt.
    """
    prompts, mean_label = prompts[: len(answers)], mean_label[: len(answers)]
    targets = prompts.targets.double().cpu()
    wrong, variance = squared_error(answers, prompts), targets.var(-1, correction=0)
    return {
        POOLED.name: torch.stack([wrong, targets.mean(-1), targets.square().mean(-1)], -1),
        OWN.name: wrong / variance,
        OVER_MEAN.name: torch.stack([wrong, squared_error(mean_label, prompts)], -1),
        RANK.name: rank_correlation(answers, targets),
        SPREAD.name: (answers.var(-1, correction=0) / variance).sqrt(),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The flag of one setting.

    Attributes:
        flag: whether the failure is there and silent.
        hidden: whether a failure would be silent here: the error looks acceptable.
        able: whether there is an order to lose, and enough prompts to see it: ridge regression finds one.
        words: the reason, as the second half of a sentence that begins with the setting.
    """

    flag: bool
    hidden: bool
    able: bool
    words: str


def judge(
    case: Mapping[str, Tensor],
    ridge: Mapping[str, Tensor],
    draws: Float[Tensor, "repeat batch"],
    tail: float,
    able: bool,
    lost_prompts: int = 0,
) -> Judged:
    """The flag of one setting.

    It is raised if three one-sided bounds of level ``tail`` agree: the error over the pooled variance is below 0.5; the
    mean rank correlation is below half of ridge regression's on the same prompts (paired); and ridge regression's is above
    0.3. From fewer than 8 prompts it is not raised. As all three must hold, the flag is raised wrongly with a chance of at
    most ``tail`` if any of them is not true.

    Args:
        case: from `contributions`, of the subject or a control; of the first prompts, if there are fewer than of ridge.
        ridge: the same of ridge regression.
        draws: from `bootstrap.weights`.
        tail: the level of each bound.
        able: from `finds_an_order`.
        lost_prompts: number of prompts with answers that are not finite; no such failure is silent.
    """
    few = len(case[RANK.name])
    paired = torch.stack([case[RANK.name], ridge[RANK.name][:few]], -1)
    error = bounds(case[POOLED.name], POOLED.combine, draws, tail)
    lost = bounds(paired, _less, draws, tail)[1] < 0
    hidden = error[1] < ACCEPTABLE
    flag = hidden and lost and able and not lost_prompts and few >= ENOUGH
    if lost_prompts:
        words = not_finite(lost_prompts)
    elif few < ENOUGH:
        words = f"{few} prompts are too few to judge"
    elif not able:
        words = "ridge regression finds no clear order either"
    elif not hidden:
        words = "the error is not clearly below half of the variance, so that a failure would not be silent"
    elif not lost:
        words = "the error looks acceptable, and the order is not clearly worse than half of ridge regression's"
    else:
        words = _caught(case, ridge, draws, tail)
    return Judged(flag=flag, hidden=hidden, able=able and few >= ENOUGH, words=words)


def finds_an_order(ridge: Mapping[str, Tensor], draws: Float[Tensor, "repeat batch"], tail: float) -> bool:
    """Whether ridge regression's rank correlation is clearly above `ABLE`, so that there is an order to lose."""
    return bounds(ridge[RANK.name], RANK.combine, draws, tail)[0] > ABLE


def not_finite(prompts: int) -> str:
    """Why no flag is raised where answers are not finite."""
    return f"answers are not finite in {prompts} prompts, which no average hides"


def bounds(
    sums: Tensor, combine: Callable[[Tensor], Tensor], draws: Float[Tensor, "repeat batch"], tail: float
) -> Bounds:
    """Lower and upper one-sided bootstrap bounds of a statistic, each of level ``tail``."""
    columns = sums[:, None] if sums.ndim == 1 else sums
    some = draws[:, : len(columns)]
    drawn = combine(some @ columns.double() / some.sum(1, keepdim=True))
    low, high = torch.quantile(drawn, torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
    return low, high


def _caught(
    case: Mapping[str, Tensor], ridge: Mapping[str, Tensor], draws: Float[Tensor, "repeat batch"], tail: float
) -> str:
    """A raised flag in words: the numbers, and which other observables show the failure."""
    pooled = float(POOLED.combine(case[POOLED.name].mean(0, keepdim=True))[0])
    own, spread = (bounds(case[q.name], q.combine, draws, tail) for q in (OWN, SPREAD))
    shows = {
        f"the error over each prompt's own variance ({float(case[OWN.name].mean()):.2f})": own[0] > ACCEPTABLE,
        f"the spread of the answers ({float(case[SPREAD.name].mean()):.2f} of the targets')": spread[1] < NARROW
        or spread[0] > WIDE,
    }
    seen = " and ".join(name for name, yes in shows.items() if yes)
    unseen = " and ".join(name for name, yes in shows.items() if not yes)
    told = [f"{seen} would have shown it too" if seen else "", f"{unseen} would not" if unseen else ""]
    return (
        f"the error looks acceptable ({pooled:.2f} of the variance of all targets), but the order within a prompt is lost: "
        f"rank correlation {float(case[RANK.name].mean()):.2f}, where ridge regression has {float(ridge[RANK.name].mean()):.2f}; "
        + ", ".join(filter(None, told))
    )
