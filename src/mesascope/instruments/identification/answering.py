"""From a subject's path and the candidates to an answer: identified, indistinguishable, or none of these."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mesascope.instruments.identification import remainder, rivals
from mesascope.instruments.identification.candidates import (
    Fitted,
    Question,
    excluded,
    fit_all,
    fit_one,
    without_copies,
)
from mesascope.instruments.identification.evidence import Evidence, Halves
from mesascope.instruments.identification.families import Family
from mesascope.instruments.identification.fitting import Fit
from mesascope.instruments.identification.label import NO_CANDIDATE, NO_FUNCTION, NO_PATH, Grounds, judge
from mesascope.instruments.reading.paths import Paths
from mesascope.instruments.statistics import discrepancy as scoring
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
            question, nor this one where they could be any path; if none is left, nothing is fitted.
        invariances: how far the subject breaks each invariance on this distribution; a broken invariance excludes the
            candidates that imply it.
    """
    changing = len(paths.scoring) - len(paths.idle) if question == "path" else None
    if question == "function":
        paths = paths.last()
    sized = paths.streams is None  # with fitted readouts, what looks idle may only not be read
    moves = len(paths.scoring) - len(paths.idle) * sized
    families = [
        f
        for f in families
        if (f.iterative and f.says(moves, sized=sized) if question == "path" else f.variable is None)
    ]
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
        evidence=changing,
    )
    if not families:
        return found, None
    evidence = Evidence(paths, halves)
    table = _compare(question, evidence, fit_all(question, evidence, families), invariances)
    if table.kept:
        found = _judged(found, table, evidence, untrained)
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


def _compare(question: Question, evidence: Evidence, fitted: Fitted, invariances: Sequence[Measurement]) -> _Table:
    paths, halves = evidence.paths, evidence.halves
    subject = paths.scoring
    units = paths.units("scoring", halves.scoring.prompts.target_variance)
    candidates = fitted.scoring[1]
    ends = candidates[:, -1]
    variance = halves.scoring.prompts.target_variance  # in which invariances are measured
    reasons = excluded(fitted, scoring.discrepancy(subject[-1].expand_as(ends), ends, variance), invariances)
    eligible = [i for i, reason in enumerate(reasons) if not reason]
    everywhere = torch.ones(subject.shape[:2], dtype=torch.bool)
    informative = scoring.telling_apart(candidates[eligible], units) if len(eligible) > 1 else everywhere
    undecidable = not bool(informative.any())
    if undecidable:
        informative = everywhere
    losses = evidence.losses((fitted.scoring, fitted.again), units, informative)
    agreement = scoring.agreement(subject, candidates, units)
    kept = scoring.confidence_set(losses, eligible, halves.draws, floor=evidence.floor(losses))
    return _Table(
        fitted=fitted,
        units=units,
        excluded=reasons,
        informative=informative,
        undecidable=undecidable,
        losses=losses,
        intervals=losses.intervals(halves.draws),
        agreement=agreement,
        kept=without_copies(question, kept, eligible, fitted, agreement, losses, evidence),
    )


def _judged(found: Answer, table: _Table, evidence: Evidence, untrained: Paths | None) -> Answer:
    """The answer with its label, its reason and the evidence for them."""
    paths, halves = evidence.paths, evidence.halves
    best, fitted, shown = table.best, table.fitted, paths.scoring
    controls = _controls(found.question, table, evidence, untrained)
    ridges, outdone = None, False
    if found.question == "path":
        ridges, outdone = rivals.ridges(fitted, best, evidence, table.units, table.informative)
    (subject, candidates), (again, others) = fitted.scoring, fitted.again
    left = (subject[best] - candidates[best], again[best] - others[best])
    repeated = remainder.repeated_share(left, shown, table.units, table.informative, halves.draws)
    elsewhere = None
    if len(shown) > 1:
        elsewhere = remainder.beside_the_largest((shown, paths.again), left, table.units, halves.draws)
    order = [i for i in table.order if i in table.eligible]
    multiple = rivals.multiplied(fitted, [best, *order], evidence, table.units, table.informative, repeated[0])
    regressed = _regressed(table, evidence)
    eligible = table.eligible
    gain, rest, pair = remainder.switching_gain(
        (subject[eligible], candidates[eligible]),
        None if paths.streams is None else (again[eligible], others[eligible]),
        shown,
        eligible.index(best),
        table.units,
        table.informative,
    )
    prompts = halves.scoring.prompts
    advance, advance_interval = scoring.progress(shown[-1], prompts.targets, prompts.target_variance, halves.draws)
    grounds = Grounds(
        names=tuple(fitted.families[i].name for i in table.kept),
        best=fitted.families[best].name,
        flexible=fitted.families[best].variable is not None,
        ignores_link=evidence.halves.ignores_link(fitted.families[best]),
        coefficients=_row(table, best, kept=True).told,
        score=float(table.losses.scores[best]),
        low=table.intervals[best][0],
        controls=tuple(controls),
        outdone=outdone,
        multiple=multiple,
        lost=(int((~shown.isfinite()).sum()), shown.numel()),
        progress=(advance, advance_interval[0]),
        evidence=None if found.evidence is None else (found.evidence, len(shown)),
        elsewhere=elsewhere,
        repeated=repeated,
        regressed=regressed,
        switching=(gain, rest, " and ".join(fitted.families[table.eligible[i]].name for i in pair)),
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


def _controls(question: Question, table: _Table, evidence: Evidence, untrained: Paths | None) -> list[Control]:
    """The scores that the best candidate must exceed: those on another prompt's iterates and on the untrained subject."""
    halves, best = evidence.halves, table.fitted.fits[table.best]
    counted = table.informative
    pairs: list[tuple[str, Evidence, Fit, bool, Tensor]] = [
        ("another prompt's iterates", evidence, best, True, counted)
    ]
    if untrained is not None:
        idle = Evidence(untrained.last() if question == "function" else untrained, halves)
        again = fit_one(question, best.family, idle)
        pairs.append(("untrained network", idle, again, False, torch.ones_like(counted)))
    controls = []
    for name, asked, fit, paired, counted in pairs:
        compared = asked.compare([fit], ("scoring",), other_prompts=paired)  # of nonsense only noise would come back
        units = asked.paths.units("scoring", halves.scoring.prompts.target_variance)
        losses = asked.losses(compared, units, counted)
        controls.append(
            Control(
                kind="negative", name=name, value=float(losses.scores[0]), interval=losses.intervals(halves.draws)[0]
            )
        )
    return controls


def _regressed(table: _Table, evidence: Evidence) -> float:
    fitted, best, halves = table.fitted, table.best, evidence.halves
    units = evidence.paths.units("fitting", halves.fitting.prompts.target_variance)
    everywhere = torch.ones(units.shape, dtype=torch.bool)
    (subject, candidates), (other, others) = fitted.fitting, fitted.scoring
    return remainder.explained_share(
        (subject[best], candidates[best], units, everywhere),
        (other[best], others[best], table.units, table.informative),
        candidates,
        others,
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
    before = next(layer for layer, taken in enumerate(fit.steps) if taken)
    return {"steps per layer": str(fit.timing.stride), "starts after layer": before, **idle}
