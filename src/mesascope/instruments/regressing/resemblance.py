"""Whose answers a subject's are like: the identifier's rules for the question of the function, with regressors as candidates.

Answers are compared by the identifier's error D, in which answering one number to all prompts (the mean of all labels) scores 0
and equal answers score 1. The label follows the identifier's rules: *none* where the best regressor's score is not clear of 0 and
of that of its answers to other prompts, or where the part of the subject's answers that it leaves comes back when the same
examples are shown in another order; *indistinguishable* where several regressors stay in the confidence set; else *identified*.

Departs from source: in `identify` candidates are scored from the zero predictor; labels that are all positive, as those of many
data sets are, would then give everybody a high score.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.instruments.identification.remainder import REPEATED, repeated_share
from mesascope.instruments.regressing.contest import Contest
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.discrepancy import Losses, confidence_set, losses, units
from mesascope.instruments.statistics.scores import partners
from mesascope.regressors import regressor
from mesascope.types import Label, Prompts

FEWEST = 6
"""Prompts with an answer, at least, from which a label is decided."""
SAME = 0.01
"""Regressors whose answers differ by less, in standard deviations of the target, count as one: the first of them."""


Estimate = tuple[float, tuple[float, float]]
"""A number with its 95 % interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """How near some answers are to the subject's.

    Attributes:
        score: 1 − their distance over that of one number for all prompts.
        nearer: the difference of these two distances, in variances of the target. It can be averaged over data sets.
        lead: how much nearer they are than the nearest of the others that are compared, in the same unit.
    """

    score: Estimate
    nearer: Estimate
    lead: Estimate | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Resemblance:
    """Whose answers a subject's are like.

    Attributes:
        label: what the evidence supports.
        left: the regressors that remain, the best first; none for the label ``none``.
        best: the regressor with the highest score; empty if there were too few answers to compare.
        reason: why, in words.
        scores: every regressor's likeness, the best first. Those that answer alike have the same.
        control: that of the best regressor's answers to other prompts; None if nothing was compared.
        repeated: the share of the subject's variation that the best regressor leaves and that comes back, with its interval;
            None if the subject was not asked again.
        again: the likeness of the subject's own answers to the examples in another order; None likewise.
        n: number of prompts compared.
    """

    label: Label
    left: tuple[str, ...]
    best: str
    reason: str
    scores: dict[str, Likeness]
    control: Likeness | None
    repeated: Estimate | None
    again: Likeness | None
    n: int


def resemblance(contest: Contest) -> Resemblance:
    """Compare a subject's answers with every regressor's, and judge."""
    answered = contest.answered
    n = int(answered.sum())
    if n < FEWEST:
        return Resemblance(
            label="none",
            left=(),
            best="",
            reason=f"It answers with a number to {n} of {len(answered)} prompts, too few to compare.",
            scores={},
            control=None,
            repeated=None,
            again=None,
            n=n,
        )
    prompts = contest.prompts[answered]
    level = float(prompts.ys.double().mean())
    standing = representatives(contest)
    names = list(dict.fromkeys(standing.values()))
    index = [contest.names.index(name) for name in names]
    own = contest.subject[answered].double()[None] - level
    candidates = contest.others[index][:, answered][:, None].double() - level
    size = units(own, prompts.target_variance.double())
    everywhere = torch.ones(1, n, dtype=torch.bool)
    draws = bootstrap.weights(n, seed=contest.seed)
    found = losses(own, candidates, size, everywhere)
    scores = dict(zip(names, _likenesses(found, draws), strict=True))
    order = sorted(names, key=lambda name: -scores[name].score[0])
    best = order[0]  # never removed from the set: nothing has a smaller loss
    kept = [names[i] for i in confidence_set(found, list(range(len(names))), draws)]
    left = tuple(name for name in order if name in kept)
    shuffled = losses(own, candidates[[names.index(best)]][:, :, partners(prompts)], size, everywhere)
    (control,) = _likenesses(shuffled, draws)
    repeated, again = _asked_again(contest, best, level)
    reason = _none(best, n, len(answered), scores, control, repeated)
    label: Label = "none" if reason else "identified" if len(left) == 1 else "indistinguishable"
    if label == "indistinguishable":
        reason = f"{', '.join(left)} answer equally like it: more prompts would decide."
    return Resemblance(
        label=label,
        left=() if label == "none" else left,
        best=best,
        reason=reason or f"{best} answers like it, and significantly more so than every other regressor.",
        scores={name: scores[first] for first in order for name in standing if standing[name] == first},
        control=control,
        repeated=repeated,
        again=again,
        n=n,
    )


def _likenesses(found: Losses, draws: Float[Tensor, "repeat batch"]) -> list[Likeness]:
    def mean(each: Float[Tensor, " batch"]) -> Estimate:
        return bootstrap.estimate(each[:, None], lambda m: m[:, 0], draws)

    made = list[Likeness]()
    for place, row in enumerate(found.candidates):
        others = torch.cat([found.candidates[:place], found.candidates[place + 1 :]])
        lead = mean(others[others.mean(-1).argmin()] - row) if len(others) else None
        score = (float(found.scores[place]), found.intervals(draws)[place])
        made.append(Likeness(score=score, nearer=mean(found.nothing - row), lead=lead))
    return made


def representatives(contest: Contest) -> dict[str, str]:
    """For each regressor the first one that gives the same answers to these prompts; those that never answer are left out."""
    unit = contest.prompts.target_variance.double().sqrt()[:, None]
    found = dict[str, str]()
    for place, name in enumerate(contest.names):
        given = contest.others[place]
        earlier = [
            other
            for other in dict.fromkeys(found.values())
            if float(((given - contest.others[contest.names.index(other)]) / unit).nan_to_num(nan=0).abs().max()) < SAME
        ]
        if bool(given.isfinite().any()):
            found[name] = earlier[0] if earlier else name
    return found


def _asked_again(contest: Contest, best: str, level: float) -> tuple[Estimate | None, Likeness | None]:
    """The repeated share of what the best regressor leaves, and the likeness of the subject's own second answers."""
    second, shuffled = contest.again
    count = len(second)
    both = contest.answered[:count] & second.isfinite().all(-1)
    if int(both.sum()) < FEWEST:
        return None, None
    first = contest.subject[:count][both].double()[None] - level
    second = second[both].double()[None] - level
    theirs = contest.others[contest.names.index(best), :count][both].double()[None] - level
    moved = answers_of(best, shuffled, contest.seed)[both][None] - level
    size = units(first, contest.prompts.target_variance[:count][both].double())
    everywhere = torch.ones(1, int(both.sum()), dtype=torch.bool)
    draws = bootstrap.weights(int(both.sum()), seed=contest.seed)
    repeated = repeated_share((first - theirs, second - moved), first, size, everywhere, draws)
    (itself,) = _likenesses(losses(first, second[None], size, everywhere), draws)
    return repeated, itself


def answers_of(name: str, prompts: Prompts, seed: int) -> Float[Tensor, "batch query"]:
    """A regressor's answers in double precision."""
    return regressor(name).predict(prompts, seed=seed).double()


def _none(
    best: str,
    n: int,
    asked: int,
    scores: dict[str, Likeness],
    control: Likeness,
    repeated: Estimate | None,
) -> str:
    """The reason why no regressor describes the subject; empty if one does."""
    (score, (low, _)), (other, (_, high)) = scores[best].score, control.score
    if 2 * n < asked:
        return f"It answers with a number to {n} of {asked} prompts only."
    if low <= max(0.0, high):
        return (
            f"The nearest regressor, {best} (score {score:.2f}, at least {low:.2f}), is not clearly above one number for all "
            f"prompts (0) and its own answers to other prompts ({other:.2f}, up to {high:.2f})."
        )
    if repeated is not None and repeated[1][0] > REPEATED:
        return (
            f"The nearest regressor, {best} (score {score:.2f}), leaves {repeated[0]:.0%} of the variation of its answers "
            f"({repeated[1][0]:.0%} at least) that comes back when the examples stand in another order, where chance would "
            "leave nothing."
        )
    return ""


__all__ = ("FEWEST", "Likeness", "Resemblance", "answers_of", "representatives", "resemblance")
