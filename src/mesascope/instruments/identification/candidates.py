"""All candidates, fitted to a subject on one half of the prompts, with their answers on both halves."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mesascope.instruments.identification.decoding import Compared, Iterates, Projection, Readers, Sight
from mesascope.instruments.identification.families import Family
from mesascope.instruments.identification.fitting import Aim, Fit, fit_function, fit_path, refine
from mesascope.instruments.identification.remainder import EXPLAINED
from mesascope.instruments.identification.runner import Runner
from mesascope.instruments.reading.paths import Paths, Splits
from mesascope.instruments.reading.readers import noise_of
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics import discrepancy as scoring
from mesascope.instruments.statistics.scores import partners
from mesascope.types import Measurement

Question = Literal["function", "path"]
Split = Literal["fitting", "scoring", "again"]
MOST_STEPS = 64
"""The largest number of steps that is tried for the question of the function."""
FORGIVEN = 4.0
"""If a candidate with the invariance describes the subject with error e before and after the transformation, the subject can
break the invariance by at most 4e (triangle inequality). Only a larger violation excludes the candidate."""
EQUIVALENT = 5e-4
"""A larger family's further coefficients have no effect if, with 95 % confidence, they save less than this share of the subject's
variance. (With noise they come out near the smaller family, not on it.)"""
FITTED_ALIKE = 1e-4
"""Two candidates for the last layer are one function if they differ by less than this share of what they leave of the subject,
since two fits of the same function do not end at exactly the same point."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Halves:
    """The two halves of the prompts of one distribution, with everything that is computed from them once.

    Attributes:
        words: the description of the distribution.
        fitting, scoring: the half to fit candidates on and the half to score them on.
        again: the scoring half with slightly moved queries.
        draws: the resampling weights of the scoring half, from `bootstrap.weights`.
    """

    words: str
    fitting: Runner
    scoring: Runner
    again: Runner
    draws: Float[Tensor, "repeat batch"]

    @classmethod
    def of(cls, words: str, splits: Splits, seed: int) -> "Halves":
        """The halves of some splits; ``words`` describes the distribution, ``seed`` is that of the resampling."""
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


class Evidence:
    """One subject's answers to the prompts of one distribution, and what reads them for any candidate.

    Args:
        paths: the subject's answers.
        halves: the prompts.
    """

    def __init__(self, paths: Paths, halves: Halves) -> None:
        self.paths, self.halves = paths, halves

    @cached_property
    def projection(self) -> Projection | None:
        """Where readouts are fitted, what they read on the fitting half; None with the subject's own readout."""
        return None if self.paths.streams is None else Projection(self._sight("fitting"), self._noise)

    def compare(
        self,
        fits: Sequence[Fit],
        on: Sequence[Split],
        *,
        other_prompts: bool = False,
    ) -> list[Compared]:
        """The subject's answers as read for each candidate on some prompts, and the candidates' answers.

        Args:
            fits: the candidates.
            on: the prompts.
            other_prompts: whether to take another prompt's iterates, for a control.
        """

        def iterates(runner: Runner) -> Float[Tensor, "candidate layer batch query"]:
            found = torch.stack([fit.answers(runner) for fit in fits])
            return found[:, :, partners(runner.prompts)] if other_prompts else found

        return self.read(iterates, torch.tensor([fit.steps for fit in fits]), on)

    def read(self, iterates: Iterates, steps: Int[Tensor, "candidate layer"], on: Sequence[Split]) -> list[Compared]:
        """As `compare`, for any iterates."""
        sights = {split: self._sight(split) for split in on}
        if self.paths.streams is None:
            here = [(sight.shown, iterates(sight.runner)) for sight in sights.values()]
            return [(shown.expand_as(each), each) for shown, each in here]
        found: dict[Split, Compared] = {}
        for readers, again in zip(self._readers, (False, True), strict=True):
            splits: list[Split] = [split for split in on if (split == "again") is again]
            if splits:
                there = [sights[split] for split in splits]
                found.update(zip(splits, readers.decode(iterates, steps, there), strict=True))
        return [found[split] for split in on]

    def losses(
        self,
        compared: Sequence[Compared],
        units: Float[Tensor, "layer batch"],
        informative: Bool[Tensor, "layer batch"],
    ) -> scoring.Losses:
        """The losses of candidates, compared on the scoring half and where it is asked again."""
        (subject, candidates), again = compared
        repeated = None if self.paths.streams is None else again
        return scoring.losses(subject, candidates, units, informative, shown=self.paths.scoring, again=repeated)

    def excludes_noticeable(self, larger: Fit, smaller: Fit) -> bool:
        """Whether the smaller family describes the subject better than the larger one with a noticeable coefficient.

        Where readouts are fitted, the sizes of iterates mean nothing, and candidates differ so little that a limit on what a
        coefficient saves would not tell gradient descent from a momentum of 0.1. So the latter is fitted and compared.
        """
        least = larger.family.with_least(self.halves.fitting.size)
        if least is None:
            return False
        values = larger.family.contains[smaller.family.name](*smaller.values)
        free = [v for c, v in zip(larger.family.coefficients, values, strict=True) if c.noticeable is None]
        aim = Aim.of(self.halves.fitting, self.paths.fitting, self.projection)
        compared = self.compare([smaller, refine(least, aim, smaller.steps, free)], ("scoring", "again"))
        subject = self.paths.scoring
        units = self.paths.units(subject, self.halves.scoring.prompts.target_variance)
        losses = self.losses(compared, units, torch.ones(units.shape, dtype=torch.bool))
        return scoring.confidence_set(losses, [0, 1], self.halves.draws, floor=self.paths.floor) == [0]

    @cached_property
    def _readers(self) -> tuple[Readers, Readers]:
        """The readers for the prompts, and those for the prompts that are asked again."""
        streams = self.paths.streams
        assert streams is not None, "there are readers only where there is a stream"
        first, second = (
            Readers(
                Sight(runner=Runner(sample.prompts), stream=sample.stream, shown=sample.answers[None]),
                self._sight("fitting"),
                self._noise,
            )
            for sample in (streams.first, streams.second)
        )
        return first, second

    @cached_property
    def _noise(self) -> list[Float[Tensor, "width width"]]:
        """The covariance of the noise in the stream after each layer but the last."""
        scored, again = self._sight("scoring"), self._sight("again")
        return [noise_of(*pair, scored.root) for pair in zip(scored.stream, again.stream, strict=True)]

    def _sight(self, split: Split) -> Sight:
        streams = self.paths.streams
        return Sight(
            runner=getattr(self.halves, split),
            stream=() if streams is None else getattr(streams, split),
            shown=getattr(self.paths, split),
        )


def fit_all(question: Question, evidence: Evidence, families: Sequence[Family]) -> Fitted:
    """All candidates, fitted for the question."""
    fits: list[Fit] = []
    for family in families:  # a larger family comes after those that it contains
        fits.append(fit_one(question, family, evidence, fits))
    fitting, scoring, again = evidence.compare(fits, ("fitting", "scoring", "again"))
    return Fitted(fits=tuple(fits), fitting=fitting, scoring=scoring, again=again)


def fit_one(question: Question, family: Family, evidence: Evidence, smaller: Sequence[Fit] = ()) -> Fit:
    """One candidate, fitted for the question on the fitting half."""
    paths, runner = evidence.paths, evidence.halves.fitting
    if question == "function":
        return fit_function(family, runner, paths.fitting, most_steps=MOST_STEPS, smaller=smaller)
    return fit_path(family, runner, paths.fitting, projection=evidence.projection, idle=paths.idle, smaller=smaller)


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


def without_copies(
    question: Question,
    kept: Sequence[int],
    fitted: Fitted,
    agreement: Float[Tensor, "candidate candidate"],
    losses: scoring.Losses,
    evidence: Evidence,
) -> list[int]:
    """The candidates in ``kept`` without those that give the same answer as a simpler candidate in ``kept``.

    A candidate is dropped in two cases: it is a larger family whose further coefficients have no effect at the same steps
    (heavy ball without momentum); or, for the question of the function, it computes the same function as the simpler one.
    Two different paths that agree on these prompts are both kept, since the prompts cannot tell which one the subject takes.
    """
    fits = fitted.fits
    different: list[int] = []

    def copied(i: int, j: int) -> bool:
        if fits[j].family.name in fits[i].family.contains and fits[i].steps == fits[j].steps:
            if evidence.projection is None:
                return losses.saving(i, j) <= EQUIVALENT
            return evidence.excludes_noticeable(fits[i], fits[j])
        limit = max(10 * scoring.PRECISION, FITTED_ALIKE * (1 - float(losses.scores[j])))
        return question == "function" and 1 - float(agreement[i, j]) <= limit

    for i in sorted(kept, key=lambda i: (len(fits[i].family.coefficients), i)):
        if not any(copied(i, j) for j in different):
            different.append(i)
    return different
