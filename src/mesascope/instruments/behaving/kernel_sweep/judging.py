"""What `kernel sweep` measures of answers, and the class of a cell: who fails, whether it shows, and who is to blame."""

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mesascope.instruments.behaving.silent_rule import ACCEPTABLE, LESS, OWN, POOLED, RANK, SPREAD
from mesascope.instruments.statistics.ordering import constant, ranks_within
from mesascope.instruments.statistics.scores import Quantity

WORST = 4.0
"""The error over a prompt's own variance counts as this where it is larger, so that few prompts do not decide."""
PERTURBED = 0.1
"""Labels are perturbed by this share of their standard deviation."""
SINGULAR = 1e12
"""A prompt's matrix counts as singular if the one that is factorised has a larger condition number, so that less than four digits
of float64 are left."""
FEW = 0.05
"""An oracle is unstable if more than this share of its prompts have singular matrices."""

FINE = "fine"
SHOWN = "fails, and the error shows it"
SILENT = "fails silently"
UNSTABLE = "oracle unstable"
UNSOLVABLE = "unsolvable"
CLASSES = (FINE, SHOWN, SILENT, UNSTABLE, UNSOLVABLE)


def _root(means: Tensor) -> Tensor:
    return means[:, 0].sqrt()


TO_ORACLE = Quantity(name="rank correlation with the oracle's answers")
RMSE = Quantity(name="root mean squared error", combine=_root, unit="y")
NEIGHBOURS = Quantity(name="effective number of neighbours")
MOVED = Quantity(name="share of the variance by which perturbed labels move the answers")
CONDITION = Quantity(name="condition number of K + λI, log10")
LOST = Quantity(name="share of prompts with a singular matrix")
OF_ANSWERS = (RANK, TO_ORACLE, RMSE, POOLED, OWN, SPREAD)
OF_ORACLES = (MOVED, CONDITION, LOST)


def order(values: Float[Tensor, "... query"]) -> Float[Tensor, "... query"]:
    """Ranks within each prompt, centred and of length 1, so that a product of two is Spearman's correlation; 0 if constant."""
    flat = values.reshape(-1, values.shape[-1])
    ranks = ranks_within(flat) - (flat.shape[-1] + 1) / 2
    found = torch.nn.functional.normalize(ranks, dim=-1).masked_fill(constant(flat)[:, None], 0.0)
    return found.reshape(values.shape)


def sums(
    answers: Float[Tensor, "member batch query"],
    oracles: Int[Tensor, " member"],
    targets: Float[Tensor, "batch query"],
) -> dict[str, Float[Tensor, "member statistic"]]:
    """Means over the prompts of what every quantity of `OF_ANSWERS` is made of, for each learner.

    Args:
        answers: of every learner.
        oracles: the number of each learner's oracle among the learners.
        targets: the truth.
    """
    wrong, variance = (answers - targets).square().mean(-1), targets.var(-1, correction=0)
    own, truth = order(answers), order(targets)
    level = torch.stack([targets.mean(), targets.square().mean()]).expand(len(answers), 2)
    mean = wrong.mean(-1, keepdim=True)
    return {
        RANK.name: (own * truth).sum(-1).mean(-1, keepdim=True),
        TO_ORACLE.name: (own * own[oracles]).sum(-1).mean(-1, keepdim=True),
        RMSE.name: mean,
        POOLED.name: torch.cat([mean, level], -1),
        OWN.name: (wrong / variance).clamp(max=WORST).mean(-1, keepdim=True),
        SPREAD.name: (answers.var(-1, correction=0) / variance).sqrt().mean(-1, keepdim=True),
    }


def moved(
    response: Float[Tensor, "batch query"],
    labels: Float[Tensor, "batch example"],
    targets: Float[Tensor, "batch query"],
) -> Float[Tensor, " batch"]:
    """By how much answers move when the labels are perturbed, as a share of the targets' variance, at most `WORST`.

    Args:
        response: the answers to standard normal labels; the learner is linear.
        labels: the labels themselves, whose size the perturbation is a share of.
        targets: the truth.
    """
    size = PERTURBED**2 * labels.var(-1, correction=0)
    share = size * response.square().mean(-1) / targets.var(-1, correction=0)
    return share.nan_to_num(nan=WORST, posinf=WORST).clamp(max=WORST)


def classify(learner: Mapping[str, float], best: Mapping[str, float], oracle: Mapping[str, float]) -> str:
    """The class of a learner in one cell, by the values of the quantities.

    A learner fails if its error is at least half of the variance of all targets, which shows, or if its rank correlation
    with the truth is below half of that of the best answer, which does not show if its error is smaller (the rule of
    `silent failure`, without its confidence bounds). It is not blamed where the best answer itself leaves more than half of
    a prompt's variance, nor where its oracle is unstable.

    Args:
        learner: `RANK` and `POOLED`.
        best: `RANK` and `OWN` of the best answer, linear ridge with the Bayes-optimal λ.
        oracle: `MOVED` and `LOST` of the learner's own oracle.
    """
    shows = not learner[POOLED.name] < ACCEPTABLE
    lost = not learner[RANK.name] >= LESS * best[RANK.name]
    if not shows and not lost:
        return FINE
    if best[OWN.name] > ACCEPTABLE:
        return UNSOLVABLE
    if oracle[MOVED.name] > ACCEPTABLE or oracle[LOST.name] > FEW:
        return UNSTABLE
    return SHOWN if shows else SILENT
