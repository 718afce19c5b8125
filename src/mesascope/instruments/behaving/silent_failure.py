"""Silent failure: settings in which the error looks acceptable although the answers to one prompt are in no useful order.

Within one prompt a small error forces a good order: Pearson's correlation is at least √(1 − error/variance), with the
variance of that prompt's targets. But an error is often judged against the variance over many prompts. Where that is much
larger than the variance within one prompt, an answer that knows a prompt's level and nothing else has a small error.

Source: the write-up on silent failures of softmax attention (moderate RMSE, rank correlation near chance).
Departs from source: x, w and noise are drawn independently; errors are stated as shares of variances; and the order is
compared with that of ridge regression on the same prompts, so that a subject is not blamed for what examples do not determine.
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mesascope.algorithms import LeastSquares, MeanLabel, Ridge, run
from mesascope.instruments.asking.applicability import NotApplicable, untrained
from mesascope.instruments.asking.collect import answers
from mesascope.instruments.behaving.silent_figure import figure
from mesascope.instruments.behaving.silent_rule import (
    FLAG,
    LEVEL,
    QUANTITIES,
    Judged,
    contributions,
    finds_an_order,
    judge,
    not_finite,
)
from mesascope.instruments.behaving.silent_settings import Setting, planted_failures, settings
from mesascope.instruments.behaving.stress import REFERENCE
from mesascope.instruments.instrument import Expected, Instrument, sizes
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.ordering import Ordered, constant, statuses
from mesascope.instruments.statistics.scores import left_out, measure
from mesascope.types import Control, Measurement, Prompts, Scalar, Subject, Task, adjusted

NAME = "silent failure"
FEWEST = 3
"""Fewest queries of a prompt that can be in a wrong order in more than one way."""
PLANTED = (
    "answers shrunk to the prompt's mean",
    "the right spread in the wrong order",
    "copies of the nearest example",
)
LEAST_SQUARES, RIDGE, UNTRAINED = "least squares", "ridge", "untrained network"


def silent_failure(
    subject: Subject,
    task: Task,
    *,
    seed: int = 0,
    n: int = 128,
    queries: int = 16,
    condition: float = 100.0,
    table: Sequence[Setting] | None = None,
) -> tuple[Measurement, ...]:
    """In which settings the error looks acceptable although the order within a prompt is lost.

    Per setting: the error over the variance of all targets, pooled over prompts; over each prompt's own variance; and over
    the error of answering the mean label; the mean rank correlation (Spearman) within a prompt; the spread of a prompt's
    answers over that of its targets; and the flag ``silent failure``, 1 or 0. `silent_rule.judge` has the rule; the
    coordinate ``in words`` of the flag gives the reason. If in no setting all that the rule asks for is true of the
    subject, at most 5 % of runs raise a flag.

    Prompts whose targets do not vary, or with answers that are not finite, are left out and counted (``left out``). A prompt
    whose answers are all equal has rank correlation 0 (``constant answers``).

    Controls. Positive: three planted failures, which must raise the flag wherever their own error is acceptable. Negative:
    least squares, which must not; ridge regression, whose order the subject's is compared with; the untrained network.

    Args:
        subject: what to examine.
        task: its training task.
        seed: of the prompts, the untrained weights and the resampling.
        n: number of prompts per setting.
        queries: queries per prompt, at least 3.
        condition: condition number of the covariance in the ill-conditioned setting.
        table: the settings; by default `settings` of the task.

    Raises:
        ValueError: fewer than 3 queries, or a condition number below 1.
        NotApplicable: the targets of one prompt do not vary, in any setting.
    """
    if queries < FEWEST:
        raise ValueError(
            f"queries must be at least {FEWEST}; got {queries}. The order of a prompt's answers is judged: ask for 16."
        )
    if table is None:
        table = settings(adjusted(task, queries=queries), subject.domain, condition=condition)
    tail = LEVEL / max(1, len(table))
    fresh = untrained(subject, seed)
    found: list[Measurement] = []
    for setting in table:
        found += _measured(subject, fresh, setting, setting.sample(n, seed=seed, stream=NAME), seed, tail)
    if not found:
        raise NotApplicable(
            "the order of a prompt's answers: its targets must vary between its queries; they are constant in every prompt. "
            "Use a task with several different queries per prompt."
        )
    return tuple(found)


def _measured(
    subject: Subject, fresh: Subject | None, setting: Setting, prompts: Prompts, seed: int, tail: float
) -> list[Measurement]:
    """All quantities in one setting; none if its targets do not vary, the flag alone if no answer is finite."""
    own = answers(subject, prompts)
    status = statuses(own, prompts.targets.double().cpu())
    lost = status == Ordered.NOT_FINITE
    varied = ~constant(prompts.targets.double().cpu())
    if not bool(varied.any()):
        return []
    usable = varied & ~lost
    kept = usable if bool(usable.any()) else varied
    where: dict[str, Scalar] = {
        "setting": setting.name,
        "left out": int((~usable).sum()),
        "constant answers": int((status == Ordered.CONSTANT_ANSWERS).sum()),
    }
    failing, prompts, own = setting.failing(prompts)[kept], prompts[kept], own[kept]
    cases = _controls(setting.ridge(prompts), failing, fresh, prompts)
    draws = bootstrap.weights(len(prompts), seed=seed, strata=prompts.strata)
    mean = run(MeanLabel(), prompts).predictions[1].double().cpu()
    alike = bool(constant(cases[PLANTED[-1]][failing]).double().mean() > 0.5)
    sums = {name: contributions(case, mean, prompts) for name, case in cases.items()}
    able = finds_an_order(sums[RIDGE], draws, tail)
    judged = {name: judge(case, sums[RIDGE], draws, tail, able) for name, case in sums.items()}
    if not bool(usable.any()):
        verdict = Judged(flag=False, hidden=False, able=True, words=not_finite(int(lost.sum())))
        return [_flag(verdict, judged, where, len(prompts), alike)]
    mine = contributions(own, mean, prompts)
    positive, negative = ({name: sums[name] for name in sums if (name in PLANTED) == yes} for yes in (True, False))
    found = [
        measure(
            NAME,
            quantity,
            mine[quantity.name],
            draws,
            coordinates=where,
            positive={name: case[quantity.name] for name, case in positive.items()},
            negative={name: case[quantity.name] for name, case in negative.items()},
        )
        for quantity in QUANTITIES
    ]
    verdict = judge(mine, sums[RIDGE], draws, tail, able, int(lost.sum()))
    return [*found, _flag(verdict, judged, where, len(prompts), alike)]


def _controls(
    ridge: float, failing: Bool[Tensor, " batch"], fresh: Subject | None, prompts: Prompts
) -> dict[str, Float[Tensor, "batch query"]]:
    """The answers of every control. Planted failures are ridge's answers except in the prompts ``failing``."""
    solved = run(Ridge(ridge=ridge), prompts).predictions[1].double().cpu()
    cases = {
        name: torch.where(failing[:, None], wrong, solved)
        for name, wrong in zip(PLANTED, planted_failures(prompts), strict=True)
    }
    cases |= {LEAST_SQUARES: run(LeastSquares(), prompts).predictions[1].double().cpu(), RIDGE: solved}
    if fresh is not None:
        blank = answers(fresh, prompts[:REFERENCE])
        if not bool((statuses(blank, prompts.targets[:REFERENCE].double().cpu()) == Ordered.NOT_FINITE).any()):
            cases[UNTRAINED] = blank
    return cases


def _flag(
    verdict: Judged, judged: Mapping[str, Judged], where: Mapping[str, Scalar], n: int, alike: bool
) -> Measurement:
    """The flag with those of the controls. A planted failure that would not be silent here says why, and is left out."""
    flag = Measurement(
        instrument=NAME,
        quantity=FLAG,
        value=float(verdict.flag),
        interval=None,
        n=n,
        coordinates={**where, "in words": f"{where['setting']}: {verdict.words}."},
        controls=tuple(
            Control(kind="positive" if name in PLANTED else "negative", name=name, value=float(each.flag))
            for name, each in judged.items()
        ),
    )
    why = {name: each.words for name, each in judged.items() if name in PLANTED and not (each.hidden and each.able)}
    if not alike:
        why[PLANTED[-1]] = "queries have different nearest examples in most prompts, so copies of them can be in order"
    return left_out(flag, why)


INSTRUMENT = Instrument(
    name=NAME,
    question="Is there a setting in which its error looks acceptable although the order of its answers is lost?",
    measure=silent_failure,
    quantities=(*(quantity.name for quantity in QUANTITIES), FLAG),
    coordinates=("setting", "left out", "constant answers", "in words"),
    through_origin=True,
    sizes=sizes(n=(64, 128, 512)),
    figure=figure,
    expected=(
        *(Expected(quantity=FLAG, control=name, words="raised (1)", holds=lambda v: v == 1) for name in PLANTED),
        Expected(quantity=FLAG, control=LEAST_SQUARES, words="not raised (0)", holds=lambda v: v == 0),
    ),
)
