"""All candidates, fitted to a subject on one half of the prompts, with their answers on both halves."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from mesascope.instruments.identification.evidence import Evidence
from mesascope.instruments.identification.families import Family
from mesascope.instruments.identification.fitting import Fit, fit_function
from mesascope.instruments.identification.path_fitting import fit_path
from mesascope.instruments.identification.remainder import EXPLAINED
from mesascope.instruments.statistics import discrepancy as scoring
from mesascope.instruments.statistics.discrepancy import Compared
from mesascope.types import Measurement

Question = Literal["function", "path"]
MOST_STEPS = 64
"""The largest number of steps that is tried for the question of the function."""
FORGIVEN = 4.0
"""If a candidate with the invariance describes the subject with error e before and after the transformation, the subject can
break the invariance by at most 4e (triangle inequality). Only a larger violation excludes the candidate."""
EQUIVALENT = 5e-4
"""A larger family's further coefficients have no effect if, with 95 % confidence, they save less than this share of the subject's
variance. (With noise they come out near the smaller family, not on it.)"""
ALIKE = 0.1
"""Losses of which neither is larger by more than this share may differ by chance, and are worth a second fit."""
FITTED_ALIKE = 1e-4
"""Two candidates for the last layer are one function if they differ by less than this share of what they leave of the subject,
since two fits of the same function do not end at exactly the same point."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fitted:
    """All candidates, fitted to one subject, with their predictions on both halves.

    Where readouts are fitted, the subject's answers are read for each candidate anew, and the candidates' predictions are in
    the units of these readings (see `decoding`).

    Attributes:
        fits: the candidates.
        fitting, scoring, again: on each half, and where the latter is asked again, the subject's answers and the candidates'.
    """

    fits: tuple[Fit, ...]
    fitting: Compared
    scoring: Compared
    again: Compared

    @property
    def families(self) -> list[Family]:
        """The candidates' families."""
        return [fit.family for fit in self.fits]


def fit_all(question: Question, evidence: Evidence, families: Sequence[Family]) -> Fitted:
    """All candidates, fitted for the question."""
    fits: list[Fit] = []
    for family in families:  # a larger family comes after those that it contains
        fits.append(fit_one(question, family, evidence, fits))
    if question == "path" and evidence.projection is None:
        fits = [_plain(fit, fits, evidence) for fit in fits]
    fitting, scoring, again = evidence.compare(fits, ("fitting", "scoring", "again"))
    return Fitted(fits=tuple(fits), fitting=fitting, scoring=scoring, again=again)


def fit_one(question: Question, family: Family, evidence: Evidence, smaller: Sequence[Fit] = ()) -> Fit:
    """One candidate, fitted for the question on the fitting half."""
    paths, runner = evidence.paths, evidence.halves.fitting
    if question == "function":
        return fit_function(family, runner, paths.fitting, most_steps=MOST_STEPS, smaller=smaller)
    return fit_path(family, runner, paths.fitting, projection=evidence.projection, idle=paths.idle, smaller=smaller)


def _plain(fit: Fit, fits: Sequence[Fit], evidence: Evidence) -> Fit:
    """The fit, or one with one step per layer where that describes the subject about as well.

    Two steps of half the size look much like one, and with noise they can come out ahead by chance. A larger family with one
    step per layer would then be better than the fit of the smaller one only because of its steps.
    """
    paths, runner = evidence.paths, evidence.halves.fitting
    larger = [
        other.steps
        for other in fits
        if other.family.variable is not None and fit.family.name in other.family.contains and other.steps != fit.steps
        if other.loss < (1 + ALIKE) * fit.loss and fit.loss < (1 + ALIKE) * other.loss
    ]
    if fit.family.variable is not None or not larger:
        return fit
    other = fit_path(fit.family, runner, paths.fitting, idle=paths.idle, only=larger[0])
    unit = scoring.units(paths.fitting, runner.prompts.target_variance)
    losses = [scoring.discrepancy(paths.fitting, f.answers(runner), unit).sum(0) for f in (other, fit)]
    saved = losses[0] - losses[1]
    return other if float(saved.mean()) <= float(saved.std()) / len(saved) ** 0.5 else fit


def excluded(fitted: Fitted, errors: Float[Tensor, "candidate batch"], invariances: Sequence[Measurement]) -> list[str]:
    """For each candidate the broken invariances that exclude it, or an empty string.

    Args:
        fitted: the candidates.
        errors: their errors at the last layer, up to four times which an invariance may be broken (`FORGIVEN`).
        invariances: how far the subject breaks each invariance.
    """
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


def _superfluous(larger: tuple[int, Fit], smaller: tuple[int, Fit], losses: scoring.Losses, dim: int) -> bool:
    """Whether a candidate with coefficients for every layer or a matrix saves too little over a smaller candidate.

    They imitate many paths, so with noise they come near any. They are dropped if they save nothing that matters over the
    smaller candidate. If their family contains that one, they are also dropped where so little may be chance: for these, a
    second name would say no more than the first.

    Args:
        larger, smaller: both candidates, by their indices and as fitted.
        losses: the losses of all.
        dim: the dimension of the prompts.
    """
    (i, one), (j, other) = larger, smaller
    if one.family.contained(other.family.name, other.values, max(other.steps), dim) is not None:
        mean, error = losses.saved(i, j)
        if mean <= min(error, EQUIVALENT):
            return True
    return losses.saving(i, j) <= EQUIVALENT


def _negligible(larger: int, losses: scoring.Losses) -> float:
    """How much a larger candidate may save over a smaller one that still describes the subject as well.

    At most what it leaves itself: one that leaves nothing is exact, and keeps its name.
    """
    left = 1 - float(losses.scores[larger])
    return min(EQUIVALENT, max(10 * scoring.PRECISION, left))


def _plainer(i: int, eligible: Sequence[int], fits: Sequence[Fit], losses: scoring.Losses, dim: int) -> int:
    """The candidate itself, or a smaller one that its family contains and over which it saves nothing that matters.

    Without noise every saving is significant, so the smaller one may be outside the confidence set.
    """
    least = _negligible(i, losses)

    def plain(j: int) -> bool:
        inside = fits[i].family.contained(fits[j].family.name, fits[j].values, max(fits[j].steps), dim)
        return inside is not None and losses.saving(i, j) <= least

    if fits[i].family.variable is None:
        return i
    return min((j for j in eligible if plain(j)), default=i, key=lambda j: (len(fits[j].values), j))


def _without_effect(i: int, fits: Sequence[Fit], losses: scoring.Losses) -> int:
    """The smaller family, if a method for a generalised linear model equals it but for coefficients that save nothing.

    Two fits that hardly differ leave losses that hardly differ, so that a momentum of 0.004 can be significant through noise.
    """
    larger = fits[i]
    for j, smaller in enumerate(fits):
        contained = larger.family.generalised and smaller.family.name in larger.family.contains
        if contained and smaller.steps == larger.steps and losses.saving(i, j) <= _negligible(i, losses):
            return j
    return i


def without_copies(
    question: Question,
    kept: Sequence[int],
    eligible: Sequence[int],
    fitted: Fitted,
    agreement: Float[Tensor, "candidate candidate"],
    losses: scoring.Losses,
    evidence: Evidence,
) -> list[int]:
    """The candidates in ``kept`` without those that give the same answer as a simpler candidate in ``kept``.

    A candidate is dropped in three cases: it is a larger family whose further coefficients have no effect at the same steps
    (heavy ball without momentum); it has coefficients for every layer, or a matrix, and they save too little (`_superfluous`);
    or, for the question of the function, it computes the same function as the simpler one. One with coefficients for every
    layer also gives way to a simpler one of ``eligible`` that its family contains, where they save too little.
    Two other paths that agree on these prompts are both kept, since the prompts cannot tell which one the subject takes.
    """
    fits, dim = fitted.fits, evidence.halves.fitting.prompts.dim
    different: list[int] = []

    def size(i: int) -> tuple[bool, int, int]:
        return fits[i].family.variable is not None, len(fits[i].values), i

    def copied(i: int, j: int) -> bool:
        if fits[i].family.variable is not None:
            return size(j)[:2] < size(i)[:2] and _superfluous((i, fits[i]), (j, fits[j]), losses, dim)
        if fits[j].family.name in fits[i].family.contains and fits[i].steps == fits[j].steps:
            if evidence.projection is None:
                return losses.saving(i, j) <= _negligible(i, losses)
            return evidence.excludes_noticeable(fits[i], fits[j])
        limit = max(10 * scoring.PRECISION, FITTED_ALIKE * (1 - float(losses.scores[j])))
        return question == "function" and 1 - float(agreement[i, j]) <= limit

    if evidence.projection is None:
        kept = list(dict.fromkeys(_without_effect(i, fits, losses) for i in kept))
    for i in sorted(kept, key=size):
        if not any(copied(i, j) for j in different):
            different.append(i)
    return list(dict.fromkeys(_plainer(i, eligible, fits, losses, dim) for i in different))
