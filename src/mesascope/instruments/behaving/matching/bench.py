"""The prompts to choose a member on and to score it on, and the answers of the subject and its controls to both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms import Algorithm, run
from mesascope.instruments.asking.applicability import NotApplicable, untrained
from mesascope.instruments.asking.collect import answers
from mesascope.instruments.behaving.matching.families import Learners
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.discrepancy import discrepancy
from mesascope.instruments.statistics.scores import Quantity, explained, measure, partners
from mesascope.types import Control, Measurement, Prompts, Scalar, Subject, Task, adjusted

NAME = "matching"
CURVE = Quantity(name="R² of the match", combine=explained)
AT_BEST = Quantity(name="R² at the best value", combine=explained)
BEST = "best value"

SUBJECT = "subject"
ITSELF = "this member itself, in single precision"
OTHERS = "answers to another prompt"
UNTRAINED = "untrained network"

AnswerHalves = tuple[Float[Tensor, "batch query"], Float[Tensor, "batch query"]]
"""Answers to the prompts to choose on, and answers to the prompts to score on."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Match:
    """The result of matching some answers with a family.

    Attributes:
        value: the best value.
        replicates: the best value in each repetition of the bootstrap.
        sums: for each prompt to score on, the difference from the member at the best value and that from zero.
    """

    value: float
    replicates: Float[Tensor, " repeat"]
    sums: Float[Tensor, "batch 2"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sampled:
    """The prompts of one task and their resampling weights.

    Attributes:
        splits: the prompts to choose on, and those to score on.
        draws: the resampling weights, from `bootstrap.weights`.
        seed: of the prompts, the untrained weights and the resampling.
    """

    splits: tuple[Prompts, Prompts]
    draws: Float[Tensor, "repeat batch"]
    seed: int

    @classmethod
    def of(cls, task: Task, *, seed: int, n: int, queries: int) -> "Sampled":
        """``n`` prompts to choose on, and as many to score on."""
        many = adjusted(task, queries=queries)
        fit, score = (many.sample(n, seed=seed, stream=f"{NAME}/{use}") for use in ("fit", "score"))
        return cls(splits=(fit, score), draws=bootstrap.weights(n, seed=seed, strata=score.strata), seed=seed)

    def answered(self, who: Subject | Algorithm) -> AnswerHalves:
        """A subject's answers, or an algorithm's after one step."""
        first, second = (
            run(who, p).predictions[1] if isinstance(who, Algorithm) else answers(who, p) for p in self.splits
        )
        return first, second

    def cases(self, subject: Subject | Algorithm) -> dict[str, AnswerHalves]:
        """The answers of the subject and of its negative controls; an untrained network that answers zero is left out.

        Raises:
            NotApplicable: the subject answers zero everywhere, or some answers are not finite.
        """
        own = self.answered(subject)
        if not _speaks(own):
            raise NotApplicable(
                "the subject answers zero throughout, or not with finite numbers: nothing can be matched."
            )
        fit, score = (a[partners(p)] for a, p in zip(own, self.splits, strict=True))
        cases = {SUBJECT: own, OTHERS: (fit, score)}
        fresh = None if isinstance(subject, Algorithm) else untrained(subject, self.seed)
        if fresh is not None and _speaks(idle := self.answered(fresh)):
            cases[UNTRAINED] = idle
        return cases

    def match(self, family: Learners, cases: Mapping[str, AnswerHalves]) -> tuple[dict[str, Match], list[Measurement]]:
        """The match of each case; and the subject's curve, R² at every value, with its controls."""
        fitting, scoring = self.splits
        table = torch.stack([run(family.member(value), fitting).predictions[1] for value in family.grid])
        fits: dict[str, Match] = {}
        for name, (chosen_on, scored_on) in cases.items():
            differences = discrepancy(chosen_on.expand_as(table), table, fitting.target_variance)  # (value, batch)
            value = float(best_values(differences.mean(-1), family.grid))
            fits[name] = Match(
                value=value,
                replicates=best_values(self.draws @ differences.T / len(fitting), family.grid),
                sums=_sums(scored_on, run(family.member(value), scoring).predictions[1], scoring),
            )
        curve: list[Measurement] = []
        for value in family.values:
            member = run(family.member(value), scoring).predictions[1]
            rough = run(family.member(value), scoring, dtype=torch.float32).predictions[1].double()
            curve.append(
                measure(
                    NAME,
                    CURVE,
                    _sums(cases[SUBJECT][1], member, scoring),
                    self.draws,
                    coordinates={**_where(family), "value": value},
                    positive={ITSELF: _sums(rough, member, scoring)},
                    negative={n: _sums(cases[n][1], member, scoring) for n in (OTHERS, UNTRAINED) if n in cases},
                )
            )
        return fits, curve

    def chosen(self, family: Learners, fits: Mapping[str, Match], *, positive: str) -> list[Measurement]:
        """The subject's best value and R² there, beside those of the controls."""
        negative = [name for name in (OTHERS, UNTRAINED) if name in fits]
        own = fits[SUBJECT]
        best = Measurement(
            instrument=NAME,
            quantity=BEST,
            value=own.value,
            interval=bootstrap.interval(own.replicates),
            n=len(own.sums),
            coordinates=_where(family),
            controls=tuple(
                Control(
                    kind="positive" if name == positive else "negative",
                    name=name,
                    value=fits[name].value,
                    interval=bootstrap.interval(fits[name].replicates),
                )
                for name in (positive, *negative)
            ),
        )
        r2 = measure(
            NAME,
            AT_BEST,
            own.sums,
            self.draws,
            coordinates={**_where(family), "value": own.value},
            positive={positive: fits[positive].sums},
            negative={name: fits[name].sums for name in negative},
        )
        return [best, r2]


def best_values(differences: Float[Tensor, "*repeat value"], values: Sequence[float]) -> Float[Tensor, "*repeat"]:
    """The value with the least difference: the minimum of a parabola in log value through the least one and its neighbours.

    If the least difference is at an end of the grid, that end is returned.
    """
    grid = torch.tensor(values, dtype=torch.float64).log()
    least = differences.argmin(-1)
    inside = least.clamp(1, len(values) - 2)
    x0, x1, x2 = (grid[inside + k] for k in (-1, 0, 1))
    y0, y1, y2 = (differences.gather(-1, (inside + k)[..., None])[..., 0] for k in (-1, 0, 1))
    left, right = (y1 - y0) / (x1 - x0), (y2 - y1) / (x2 - x1)
    bend = (right - left) / (x2 - x0)
    bottom = (x0 + x1) / 2 - left / (2 * torch.where(bend > 0, bend, torch.ones_like(bend)))
    # Three equal differences make no parabola: the grid value is taken.
    return torch.where((bend > 0) & (inside == least), bottom, grid[least]).exp()


def _where(family: Learners) -> dict[str, Scalar]:
    return {"family": family.name, "parameter": family.parameter}


def _sums(own: Tensor, other: Tensor, prompts: Prompts) -> Float[Tensor, "batch 2"]:
    variance = prompts.target_variance
    return torch.stack([discrepancy(own, other, variance), discrepancy(own, torch.zeros_like(own), variance)], -1)


def _speaks(answered: AnswerHalves) -> bool:
    return all(bool(a.isfinite().all()) and bool(a.any()) for a in answered)
