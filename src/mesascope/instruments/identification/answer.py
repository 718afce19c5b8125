"""From a subject's path and the candidates to an answer: identified, indistinguishable, or none of these."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.instruments import bootstrap
from mesascope.instruments.identification import remainder, scoring
from mesascope.instruments.identification.families import Family
from mesascope.instruments.identification.fitting import Fit, Runner, fit_function, fit_path, mixture
from mesascope.instruments.identification.label import judge
from mesascope.instruments.identification.paths import Paths, Splits
from mesascope.instruments.identification.remainder import EXPLAINED
from mesascope.instruments.identification.rivals import ridge_path
from mesascope.instruments.scores import partners
from mesascope.types import Answer, CandidateScore, Control, Measurement

MOST_STEPS = 24
"""Steps that the question of the function tries for an iteration."""
FORGIVEN = 4.0
"""A candidate that errs by e on both sides of a transformation can break its invariance by at most 4e (triangle
inequality); only more than that speaks against it."""
EQUIVALENT, EQUIVALENT_READ = 5e-4, 5e-5
"""A larger family's coefficients have no effect if, with 95 % confidence, they save less than this share of the subject's
variance: with noise its fit lands near the smaller family, not on it. The second is for fitted readouts, whose mixing of
iterates can stand in for a momentum."""
FITTED_ALIKE = 1e-4
"""How far apart two candidates for the last layer may be and still be one function, as a share of what they leave of the
subject: two fits of the same function stop a little apart."""
RIVAL = 0.002
"""By how much a rival's score must be better, besides significantly, for the best candidate to be called a mimic of it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Halves:
    """The two halves of the prompts of one distribution, with everything derived from them once."""

    words: str
    fitting: Runner
    scoring: Runner
    again: Runner
    draws: Float[Tensor, "repeat batch"]

    @classmethod
    def of(cls, words: str, splits: Splits, seed: int) -> "Halves":
        """Ready to fit on one half and to score on the other."""
        draws = bootstrap.weights(len(splits.scoring), seed=seed, strata=splits.scoring.strata)
        return cls(
            words=words,
            fitting=Runner(splits.fitting),
            scoring=Runner(splits.scoring),
            again=Runner(splits.again),
            draws=draws,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fitted:
    """All candidates, fitted to one subject, with their predictions on both halves."""

    fits: tuple[Fit, ...]
    fitting: Float[Tensor, "candidate layer batch query"]
    scoring: Float[Tensor, "candidate layer batch query"]


def answer(
    question: Literal["function", "path"],
    paths: Paths,
    untrained: Paths | None,
    halves: Halves,
    families: Sequence[Family],
    invariances: Sequence[Measurement],
) -> tuple[Answer, Fitted]:
    """Answer one question on one distribution; also every candidate as it was fitted.

    Args:
        question: ``function`` looks at the last layer only, ``path`` at all of them.
        paths: the subject's.
        untrained: the same subject with random weights, the control that the winner must beat.
        halves: the prompts.
        families: the candidates.
        invariances: how far the subject breaks each invariance on this distribution; a broken one excludes the candidates
            that imply it.
    """
    if question == "function":
        paths = paths.last()
    families = [f for f in families if question == "function" or f.iterative]
    prompts, subject = halves.scoring.prompts, paths.scoring
    variance = prompts.target_variance
    fitted = _fit_all(question, paths, halves, families)
    everywhere = torch.ones(subject.shape[:2], dtype=torch.bool)
    ends = fitted.scoring[:, -1]
    excluded = _excluded(fitted, scoring.discrepancy(subject[-1].expand_as(ends), ends, variance), invariances)
    eligible = [i for i, reason in enumerate(excluded) if not reason]
    informative = scoring.telling_apart(fitted.scoring[eligible], variance) if len(eligible) > 1 else everywhere
    undecidable = not bool(informative.any())
    if undecidable:
        informative = everywhere
    losses = scoring.losses(subject, fitted.scoring, variance, informative)
    scores, intervals = losses.scores, losses.intervals(halves.draws)
    order = sorted(range(len(families)), key=lambda i: -float(scores[i]))
    floor, equivalent = (scoring.BLUR, EQUIVALENT_READ) if paths.gains else (scoring.PRECISION, EQUIVALENT)
    kept = scoring.confidence_set(losses, eligible, halves.draws, floor=floor) if eligible else []
    agreement = scoring.agreement(subject, fitted.scoring, variance)
    kept = _without_copies(question, kept, fitted, agreement, losses, equivalent)
    best = next((i for i in order if i in kept), None)

    controls: list[Control] = []
    outdone = False
    repeated: tuple[float, tuple[float, float]] | None = None
    regressed = None
    rival: Control | None = None
    if best is None:
        label, reason = "none", "every candidate implies an invariance that the subject breaks"
    else:
        controls = _controls(fitted, best, subject, untrained, halves, question, informative)
        if question == "path":
            rival, outdone = _rival(paths, fitted, best, halves, informative)
            controls.append(rival)
        repeated = _repeated(paths, fitted, best, halves, informative)
        regressed = _regressed(paths, fitted, best, halves, informative)
        gain, other = remainder.switching_gain(
            subject, fitted.scoring[eligible], eligible.index(best), variance, informative
        )
        advance, advance_interval = scoring.progress(subject[-1], prompts.targets, variance, halves.draws)
        label, reason = judge(
            names=[families[i].name for i in kept],
            best=families[best].name,
            score=float(scores[best]),
            low=intervals[best][0],
            controls=[control for control in controls if control is not rival],
            outdone=outdone,
            lost=1 - float(subject[-1].isfinite().double().mean()),
            progress=(advance, advance_interval[0]),
            repeated=repeated,
            regressed=regressed,
            switching=(gain, families[eligible[other]].name),
            undecidable=undecidable,
        )
    if label == "none":
        kept = []
    rows = tuple(
        CandidateScore(
            candidate=families[i].name,
            score=float(scores[i]),
            interval=intervals[i],
            detail=_detail(fitted.fits[i]),
            excluded=excluded[i],
            kept=i in kept,
        )
        for i in order
    )
    names = [f.name for f in families]
    found = Answer(
        question=question,
        distribution=halves.words,
        label=label,
        algorithms=tuple(families[i].name for i in order if i in kept),
        reason=reason,
        readout=paths.readout,
        scores=rows,
        controls=tuple(controls),
        remainder=None if repeated is None else repeated[0],
        remainder_interval=None if repeated is None else repeated[1],
        remainder_regressed=regressed,
        n=len(prompts),
        agreement={a: dict(zip(names, row, strict=True)) for a, row in zip(names, agreement.tolist(), strict=True)},
    )
    return found, fitted


def _fit_all(question: str, paths: Paths, halves: Halves, families: Sequence[Family]) -> Fitted:
    fits: list[Fit] = []
    for family in families:  # a larger family comes after those that it contains
        fits.append(_fit_one(question, family, paths, halves.fitting, fits))
    return Fitted(
        fits=tuple(fits),
        fitting=torch.stack([_predict(f, halves.fitting, paths, halves.fitting) for f in fits]),
        scoring=torch.stack([_predict(f, halves.scoring, paths, halves.fitting) for f in fits]),
    )


def _fit_one(question: str, family: Family, paths: Paths, runner: Runner, smaller: Sequence[Fit] = ()) -> Fit:
    if question == "function":
        return fit_function(family, runner, paths.fitting, most_steps=MOST_STEPS, gains=paths.gains)
    return fit_path(family, runner, paths.fitting, gains=paths.gains, smaller=smaller)


def _predict(fit: Fit, on: Runner, paths: Paths, fitted_on: Runner) -> Float[Tensor, "layer batch query"]:
    """The candidate's answers after each layer, mixed as the fitting half asks for where readouts were fitted."""
    if not paths.gains:
        return on.path(fit)
    now = torch.tensor(fit.steps)
    then = (now - 1).clamp(min=0)
    path = on.predictions(fit.family, fit.values, int(now.max()))
    there = path if on is fitted_on else fitted_on.predictions(fit.family, fit.values, int(now.max()))
    return mixture(paths.fitting, there[now], there[then], fitted_on.prompts.target_variance)(path[now], path[then])


def _excluded(
    fitted: Fitted, errors: Float[Tensor, "candidate batch"], invariances: Sequence[Measurement]
) -> list[str]:
    """For each candidate, the broken invariance that rules it out, given its errors at the last layer."""
    reasons = []
    for fit, error in zip(fitted.fits, errors.mean(-1).tolist(), strict=True):
        implied = fit.family.algorithm(fit.values).implies
        broken = [
            m
            for m in invariances
            if m.coordinates["invariance"] in implied
            and m.interval is not None
            and m.interval[0] > FORGIVEN * error + EXPLAINED
        ]
        reasons.append(
            "; ".join(
                f"the subject breaks {m.coordinates['invariance']} (by {m.value:.2g} of the variance)" for m in broken
            )
        )
    return reasons


def _without_copies(
    question: str,
    kept: list[int],
    fitted: Fitted,
    agreement: Float[Tensor, "candidate candidate"],
    losses: scoring.Losses,
    equivalent: float,
) -> list[int]:
    """Drop what is no other answer than a simpler candidate that is kept.

    That is a larger family whose coefficients have no effect at the same steps (heavy ball without momentum), and, where only
    the last layer is asked about, another way to the same function. Two paths that agree on these prompts stay two: to drop
    one would name an algorithm that the prompts cannot tell from another.
    """
    fits = fitted.fits
    different: list[int] = []

    def copied(i: int, j: int) -> bool:
        if fits[j].family.name in fits[i].family.contains and fits[i].steps == fits[j].steps:
            return losses.saving(i, j) <= equivalent
        limit = max(10 * scoring.PRECISION, FITTED_ALIKE * (1 - float(losses.scores[j])))
        return question == "function" and 1 - float(agreement[i, j]) <= limit

    for i in sorted(kept, key=lambda i: (len(fits[i].family.coefficients), i)):
        if not any(copied(i, j) for j in different):
            different.append(i)
    return different


def _controls(
    fitted: Fitted,
    best: int,
    subject: Float[Tensor, "layer batch query"],
    untrained: Paths | None,
    halves: Halves,
    question: str,
    informative: Tensor,
) -> list[Control]:
    """Scores that the best candidate must clear: another prompt's iterates, and the untrained subject."""
    prompts = halves.scoring.prompts
    other = fitted.scoring[best][:, partners(prompts)]
    pairs = [("another prompt's iterates", subject, other, informative)]
    if untrained is not None:
        paths = untrained
        if question == "function":
            paths = paths.last()
        again = _fit_one(question, fitted.fits[best].family, paths, halves.fitting)
        everywhere = torch.ones_like(informative)
        pairs.append(
            ("untrained network", paths.scoring, _predict(again, halves.scoring, paths, halves.fitting), everywhere)
        )
    controls = []
    for name, path, candidate, counted in pairs:
        losses = scoring.losses(path, candidate[None], prompts.target_variance, counted)
        controls.append(
            Control(
                kind="negative", name=name, value=float(losses.scores[0]), interval=losses.intervals(halves.draws)[0]
            )
        )
    return controls


def _rival(paths: Paths, fitted: Fitted, best: int, halves: Halves, informative: Tensor) -> tuple[Control, bool]:
    """The score of a path of ridge solutions, and whether it outdoes the best candidate."""
    path = ridge_path(halves.fitting, halves.scoring, paths.fitting, gains=paths.gains)
    both = torch.stack([fitted.scoring[best], path])
    losses = scoring.losses(paths.scoring, both, halves.scoring.prompts.target_variance, informative)
    better = float(losses.scores[1] - losses.scores[0]) > RIVAL
    control = Control(
        kind="negative",
        name="a path of ridge solutions",
        value=float(losses.scores[1]),
        interval=losses.intervals(halves.draws)[1],
    )
    return control, better and 0 not in scoring.confidence_set(losses, [0, 1], halves.draws)


def _repeated(
    paths: Paths, fitted: Fitted, best: int, halves: Halves, informative: Tensor
) -> tuple[float, tuple[float, float]]:
    there = _predict(fitted.fits[best], halves.again, paths, halves.fitting)
    return remainder.repeated_share(
        paths.scoring - fitted.scoring[best],
        paths.again - there,
        paths.scoring,
        halves.scoring.prompts.target_variance,
        informative,
        halves.draws,
    )


def _regressed(paths: Paths, fitted: Fitted, best: int, halves: Halves, informative: Tensor) -> float:
    fit_variance = halves.fitting.prompts.target_variance
    everywhere = torch.ones(paths.fitting.shape[:2], dtype=torch.bool)
    return remainder.explained_share(
        (paths.fitting, fitted.fitting[best], fit_variance, everywhere),
        (paths.scoring, fitted.scoring[best], halves.scoring.prompts.target_variance, informative),
        fitted.fitting,
        fitted.scoring,
        halves.fitting.channels,
        halves.scoring.channels,
    )


def _detail(fit: Fit) -> dict[str, str | int | float]:
    detail: dict[str, str | int | float] = {
        c.name: value for c, value in zip(fit.family.coefficients, fit.values, strict=True)
    }
    if fit.timing is not None:
        detail |= {"steps per layer": str(fit.timing.stride), "starts after layer": fit.timing.offset}
    elif fit.family.iterative:
        detail["steps"] = fit.steps[0]
    return detail
