"""How likely a language model takes regressors' numbers to be the answer: whole ones, and what first tokens alone would say."""

import torch

from mesascope.instruments.regressing.contest import Contest
from mesascope.instruments.regressing.errors import FEWEST
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.scores import Quantity, measure
from mesascope.models.language import Replies
from mesascope.types import Measurement

WHOLE, FIRST = "whole number", "first token"
LIKELIHOOD = Quantity(name="log-likelihood of the regressor's number", unit="nats")
ALIKE = Quantity(name="pairs of numbers that begin alike")
ANY, OWN, EQUAL = "any regressor's number", "the number that it writes", "pairs of equal numbers"


def measured_likelihoods(contest: Contest, replies: Replies, name: str) -> list[Measurement]:
    """The log-likelihood of every regressor's number, by all of its tokens and by its first, averaged over prompts.

    Beside it the share of pairs of regressors whose numbers differ and begin with the same token: a comparison of first tokens
    finds no difference between them.

    Controls. Positive: the number that the model writes itself. Negative: the mean over all regressors' numbers; for the share
    of pairs, the share of those whose numbers are equal, which nothing could tell apart.
    """
    found = list[Measurement]()
    for by, scores in ((WHOLE, replies.likelihoods), (FIRST, replies.first)):
        for place, who in enumerate(contest.names):
            own = scores[..., place].mean(-1)
            kept = own.isfinite()
            if int(kept.sum()) < FEWEST:
                continue
            draws = bootstrap.weights(int(kept.sum()), seed=contest.seed)
            wrote = replies.own.mean(-1)[kept]
            found.append(
                measure(
                    name,
                    LIKELIHOOD,
                    own[kept],
                    draws,
                    coordinates={"regressor": who, "by": by},
                    positive={OWN: wrote} if by == WHOLE and bool(wrote.isfinite().all()) else {},
                    negative={ANY: scores.nanmean((1, 2))[kept]},
                )
            )
    return [*found, _alike(replies, contest.seed, name)] if len(contest.names) > 1 else found


def _alike(replies: Replies, seed: int, name: str) -> Measurement:
    first, second = torch.combinations(torch.arange(replies.opening.shape[-1])).unbind(-1)
    equal = replies.likelihoods[..., first] == replies.likelihoods[..., second]  # the same number was scored once
    begin = replies.opening[..., first] == replies.opening[..., second]
    alike, same = ((where.double().mean((1, 2))) for where in (begin & ~equal, equal))
    return measure(name, ALIKE, alike, bootstrap.weights(len(alike), seed=seed), coordinates={}, negative={EQUAL: same})


__all__ = ("ALIKE", "ANY", "EQUAL", "FIRST", "LIKELIHOOD", "OWN", "WHOLE", "measured_likelihoods")
