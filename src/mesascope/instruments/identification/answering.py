"""From a subject's path and the candidates to an answer: identified, indistinguishable, or none of these."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mesascope.instruments.identification import remainder, rivals
from mesascope.instruments.identification.candidates import (
    EQUIVALENT,
    EQUIVALENT_READ,
    Fitted,
    Halves,
    Question,
    excluded,
    fit_all,
    fit_one,
    predict,
    without_copies,
)
from mesascope.instruments.identification.families import Family
from mesascope.instruments.identification.fitting import Fit
from mesascope.instruments.identification.label import NO_CANDIDATE, NO_FUNCTION, NO_PATH, Grounds, judge
from mesascope.instruments.reading.paths import Paths
from mesascope.instruments.statistics import discrepancy as scoring
from mesascope.instruments.statistics.scores import partners
from mesascope.types import Answer, CandidateScore, Control, Measurement, Scalar


def answer(
    question: Question,
    paths: Paths,
    untrained: Paths | None,
    halves: Halves,
    families: Sequence[Family],
    invariances: Sequence[Measurement],
) -> tuple[Answer, Fitted | None]:
    """The answer to one question on one distribution, and all candidates as they were fitted.

    Args:
        question: ``function`` is about the last layer only, ``path`` about all layers.
        paths: the subject's answers after each layer.
        untrained: those of the subject with random weights, a control that the best candidate must beat.
        halves: the prompts.
        families: the candidates. Those without steps have no path, and those with coefficients per layer answer no other
            question; if none is left, nothing is fitted.
        invariances: how far the subject breaks each invariance on this distribution; a broken invariance excludes the
            candidates that imply it.
    """
    evidence = len(paths.scoring) - len(paths.idle) if question == "path" else None
    if question == "function":
        paths = paths.last()
    families = [f for f in families if (f.iterative if question == "path" else f.variable is None)]
    found = Answer(
        question=question,
        distribution=halves.words,
        label="none",
        algorithms=(),
        reason=NO_CANDIDATE if families else NO_PATH if question == "path" else NO_FUNCTION,
        readout=paths.readout,
        scores=(),
        controls=(),
        remainder=None,
        n=len(halves.scoring.prompts),
        evidence=evidence,
    )
    if not families:
        return found, None
    table = _compare(question, paths, halves, fit_all(question, paths, halves, families), invariances)
    if table.kept:
        found = _judged(found, table, paths, untrained, halves)
    names = [f.name for f in families]
    rows = tuple(_row(table, i, kept=names[i] in found.algorithms) for i in table.order)
    agreement = {a: dict(zip(names, row, strict=True)) for a, row in zip(names, table.agreement.tolist(), strict=True)}
    return replace(found, scores=rows, agreement=agreement), table.fitted


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Table:
    """The comparison of all candidates on the scoring half.

    Attributes:
        fitted: the candidates.
        units: the divisors of squared errors.
        excluded: for each candidate, the broken invariances that exclude it, or an empty string.
        informative: the layers and prompts that tell the eligible candidates apart, or all if none does (``undecidable``).
        losses, intervals: the losses over those, and the intervals of the scores.
        agreement: the agreement of each two candidates.
        kept: the candidates in the confidence set, without copies of others in it.
    """

    fitted: Fitted
    units: Float[Tensor, "layer batch"]
    excluded: list[str]
    informative: Bool[Tensor, "layer batch"]
    undecidable: bool
    losses: scoring.Losses
    intervals: list[tuple[float, float]]
    agreement: Float[Tensor, "candidate candidate"]
    kept: list[int]

    @property
    def order(self) -> list[int]:
        """The indices of the candidates, best first."""
        return sorted(range(len(self.excluded)), key=lambda i: -float(self.losses.scores[i]))

    @property
    def eligible(self) -> list[int]:
        """The indices of the candidates that no broken invariance excludes."""
        return [i for i, reason in enumerate(self.excluded) if not reason]

    @property
    def best(self) -> int:
        """The index of the best candidate in the confidence set."""
        return next(i for i in self.order if i in self.kept)


def _compare(
    question: Question, paths: Paths, halves: Halves, fitted: Fitted, invariances: Sequence[Measurement]
) -> _Table:
    subject = paths.scoring
    units = scoring.units(subject, halves.scoring.prompts.target_variance)
    ends = fitted.scoring[:, -1]
    reasons = excluded(fitted, scoring.discrepancy(subject[-1].expand_as(ends), ends, units[-1]), invariances)
    eligible = [i for i, reason in enumerate(reasons) if not reason]
    everywhere = torch.ones(subject.shape[:2], dtype=torch.bool)
    informative = scoring.telling_apart(fitted.scoring[eligible], units) if len(eligible) > 1 else everywhere
    undecidable = not bool(informative.any())
    if undecidable:
        informative = everywhere
    losses = scoring.losses(subject, fitted.scoring, units, informative)
    floor, equivalent = (scoring.BLUR, EQUIVALENT_READ) if paths.gains else (scoring.PRECISION, EQUIVALENT)
    agreement = scoring.agreement(subject, fitted.scoring, units)
    kept = scoring.confidence_set(losses, eligible, halves.draws, floor=floor)
    return _Table(
        fitted=fitted,
        units=units,
        excluded=reasons,
        informative=informative,
        undecidable=undecidable,
        losses=losses,
        intervals=losses.intervals(halves.draws),
        agreement=agreement,
        kept=without_copies(question, kept, fitted, agreement, losses, equivalent),
    )


def _judged(found: Answer, table: _Table, paths: Paths, untrained: Paths | None, halves: Halves) -> Answer:
    """The answer with its label, its reason and the evidence for them."""
    best, fitted, subject = table.best, table.fitted, paths.scoring
    controls = _controls(found.question, table, paths, untrained, halves)
    ridges, outdone = None, False
    if found.question == "path":
        flexible = fitted.families[best].variable is not None
        ridges, outdone = rivals.ridges(
            fitted.scoring[best], paths, halves, table.units, table.informative, flexible=flexible
        )
    there = predict(fitted.fits[best], halves.again, paths, halves.fitting)
    repeated = _repeated(table, paths, there, halves)
    elsewhere = None
    if len(subject) > 1:
        elsewhere = remainder.beside_the_largest(
            subject, paths.again, fitted.scoring[best], there, table.units, halves.draws
        )
    order = [i for i in table.order if i in table.eligible]
    multiple = rivals.multiplied(fitted, [best, *order], paths, halves, table.units, table.informative, repeated[0])
    regressed = _regressed(table, paths, halves)
    gain, left, pair = remainder.switching_gain(
        subject, fitted.scoring[table.eligible], table.eligible.index(best), table.units, table.informative
    )
    prompts = halves.scoring.prompts
    advance, advance_interval = scoring.progress(subject[-1], prompts.targets, prompts.target_variance, halves.draws)
    grounds = Grounds(
        names=tuple(fitted.families[i].name for i in table.kept),
        best=fitted.families[best].name,
        coefficients=_row(table, best, kept=True).told,
        score=float(table.losses.scores[best]),
        low=table.intervals[best][0],
        controls=tuple(controls),
        outdone=outdone,
        multiple=multiple,
        lost=(int((~subject.isfinite()).sum()), subject.numel()),
        progress=(advance, advance_interval[0]),
        evidence=None if found.evidence is None else (found.evidence, len(subject)),
        elsewhere=elsewhere,
        repeated=repeated,
        regressed=regressed,
        switching=(gain, left, " and ".join(fitted.families[table.eligible[i]].name for i in pair)),
        undecidable=table.undecidable,
    )
    label, reason = judge(grounds)
    kept = [] if label == "none" else [i for i in table.order if i in table.kept]
    return replace(
        found,
        label=label,
        reason=reason,
        algorithms=tuple(fitted.families[i].name for i in kept),
        controls=tuple(control for control in (*controls, ridges) if control is not None),
        remainder=repeated[0],
        remainder_interval=repeated[1],
        remainder_regressed=regressed,
    )


def _controls(
    question: Question, table: _Table, paths: Paths, untrained: Paths | None, halves: Halves
) -> list[Control]:
    """The scores that the best candidate must exceed: those on another prompt's iterates and on the untrained subject."""
    prompts, best = halves.scoring.prompts, table.best
    other = table.fitted.scoring[best][:, partners(prompts)]
    pairs = [("another prompt's iterates", paths.scoring, other, table.informative)]
    if untrained is not None:
        idle = untrained.last() if question == "function" else untrained
        again = fit_one(question, table.fitted.families[best], idle, halves.fitting)
        everywhere = torch.ones_like(table.informative)
        pairs.append(
            ("untrained network", idle.scoring, predict(again, halves.scoring, idle, halves.fitting), everywhere)
        )
    controls = []
    for name, path, candidate, counted in pairs:
        units = scoring.units(path, prompts.target_variance)
        losses = scoring.losses(path, candidate[None], units, counted)
        controls.append(
            Control(
                kind="negative", name=name, value=float(losses.scores[0]), interval=losses.intervals(halves.draws)[0]
            )
        )
    return controls


def _repeated(
    table: _Table, paths: Paths, there: Float[Tensor, "layer batch query"], halves: Halves
) -> tuple[float, tuple[float, float]]:
    return remainder.repeated_share(
        paths.scoring - table.fitted.scoring[table.best],
        paths.again - there,
        paths.scoring,
        table.units,
        table.informative,
        halves.draws,
    )


def _regressed(table: _Table, paths: Paths, halves: Halves) -> float:
    fitted, best = table.fitted, table.best
    units = scoring.units(paths.fitting, halves.fitting.prompts.target_variance)
    everywhere = torch.ones(paths.fitting.shape[:2], dtype=torch.bool)
    return remainder.explained_share(
        (paths.fitting, fitted.fitting[best], units, everywhere),
        (paths.scoring, fitted.scoring[best], table.units, table.informative),
        fitted.fitting,
        fitted.scoring,
        halves.fitting.channels,
        halves.scoring.channels,
    )


def _row(table: _Table, i: int, *, kept: bool) -> CandidateScore:
    fit = table.fitted.fits[i]
    return CandidateScore(
        candidate=fit.family.name,
        score=float(table.losses.scores[i]),
        interval=table.intervals[i],
        coefficients=fit.coefficients,
        timing=_timing(fit),
        excluded=table.excluded[i],
        kept=kept,
        steps=fit.steps,
    )


def _timing(fit: Fit) -> dict[str, Scalar]:
    """The steps of a fitted candidate, for reports; nothing for closed forms."""
    if fit.timing is None:
        return {"steps": fit.steps[0]} if fit.family.iterative else {}
    idle = {"idle layers": ", ".join(map(str, fit.timing.idle))} if fit.timing.idle else {}
    return {"steps per layer": str(fit.timing.stride), "starts after layer": fit.timing.offset, **idle}
