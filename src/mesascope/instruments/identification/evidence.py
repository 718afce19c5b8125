"""The evidence about one subject on one distribution: prompts, answers, and what is read from its layers for any candidate."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mesascope.instruments.identification.decoding import Iterates, Projection, Readers, Sight
from mesascope.instruments.identification.family import Family
from mesascope.instruments.identification.fitting import Aim, Fit, refine
from mesascope.instruments.identification.runner import Runner
from mesascope.instruments.reading.paths import Paths, Splits
from mesascope.instruments.reading.readers import noise_of
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics import discrepancy as scoring
from mesascope.instruments.statistics.discrepancy import Compared
from mesascope.instruments.statistics.scores import partners
from mesascope.types import GlmFamily

READ = 1e-9
"""The least difference between losses where readouts are fitted. What they read has any scale, so that two candidates differ less
than they would otherwise."""
FITTED = 2.0
"""Coefficients that are fitted to noise err by about its share over the number of values; a difference up to this many times that
does not count."""
Split = Literal["fitting", "scoring", "again"]


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

    def ignores_link(self, family: Family) -> bool:
        """Whether labels are binary or counts and the family minimises a squared error of linear predictors read from them."""
        return self.fitting.glm is not None and not family.raw

    @classmethod
    def of(cls, words: str, splits: Splits, seed: int, glm: GlmFamily | None = None) -> "Halves":
        """The halves of some splits.

        Args:
            words: the description of the distribution.
            splits: the prompts.
            seed: of the resampling.
            glm: the distribution of the labels (see `Runner`).

        Raises:
            ValueError: a label is impossible for this distribution.
        """
        draws = bootstrap.weights(len(splits.scoring), seed=seed, strata=splits.scoring.strata)
        return cls(
            words=words,
            fitting=Runner(splits.fitting, glm),
            scoring=Runner(splits.scoring, glm),
            again=Runner(splits.again, glm),
            draws=draws,
        )


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
        """The losses of candidates.

        Args:
            compared: the candidates on the scoring half; and where it is asked again, so that noise in what is read for them
                does not count.
            units, informative: the units of squared errors, and the layers and prompts that count.
        """
        (subject, candidates), *again = compared
        repeated = None if self.paths.streams is None or not again else again[0]
        return scoring.losses(subject, candidates, units, informative, shown=self.paths.scoring, again=repeated)

    def floor(self, losses: scoring.Losses) -> float:
        """The difference between two losses, as a share of the subject's variance, that rounding or the fit to noise can make."""
        if losses.noisy is None:
            return scoring.PRECISION
        noise = float(losses.noisy.mean(-1).min() / losses.nothing.mean())
        return max(READ, FITTED * noise / self.paths.scoring[0].numel())

    def excludes_noticeable(self, larger: Fit, smaller: Fit) -> bool:
        """Whether the smaller family describes the subject better than the larger one with a noticeable coefficient.

        Where readouts are fitted, the sizes of iterates mean nothing, and candidates differ so little that a limit on what a
        coefficient saves would not tell gradient descent from a momentum of 0.1. So the latter is fitted and compared.
        """
        least = larger.family.with_least(self.halves.fitting.size)
        if least is None:
            return False
        values = larger.family.contained(smaller.family.name, smaller.values, max(smaller.steps), 0)
        assert values is not None, "families with noticeable coefficients contain theirs at any number of steps"
        free = [v for c, v in zip(larger.family.coefficients, values, strict=True) if c.noticeable is None]
        aim = Aim.of(self.halves.fitting, self.paths.fitting, self.projection)
        compared = self.compare([smaller, refine(least, aim, smaller.steps, free)], ("scoring", "again"))
        units = self.paths.units("scoring", self.halves.scoring.prompts.target_variance)
        losses = self.losses(compared, units, torch.ones(units.shape, dtype=torch.bool))
        return scoring.confidence_set(losses, [0, 1], self.halves.draws, floor=self.floor(losses)) == [0]

    @cached_property
    def _readers(self) -> tuple[Readers, Readers]:
        """The readers for the prompts, and those for the prompts that are asked again."""
        streams = self.paths.streams
        assert streams is not None, "there are readers only where there is a stream"
        first, second = (
            Readers(
                Sight(
                    runner=Runner(sample.prompts, self.halves.fitting.glm),
                    stream=sample.stream,
                    shown=sample.answers[None],
                ),
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
        return [noise_of(*each) for each in zip(scored.stream, again.stream, scored.roots, strict=True)]

    def _sight(self, split: Split) -> Sight:
        streams = self.paths.streams
        return Sight(
            runner=getattr(self.halves, split),
            stream=() if streams is None else getattr(streams, split),
            shown=getattr(self.paths, split),
        )
