"""Tests the identifier on subjects whose answer is known: confusion matrix, coverage and power."""

import contextlib
import functools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from mesascope.calibration import curves, described, summary
from mesascope.calibration.coverage import coverage
from mesascope.calibration.judging import Verdicts, judge
from mesascope.calibration.panel import SHIPPED, panel, panel_name, planted
from mesascope.instruments.identification import PROMPTS
from mesascope.instruments.instrument import Profile
from mesascope.plans import Engine, Here, Plan, Processes, Work, execute
from mesascope.plans.work import Say
from mesascope.records.directories import claim
from mesascope.records.journal import Journal
from mesascope.records.provenance import provenance
from mesascope.types import Findings, Measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Numbers of subjects, of prompts in each of the two halves, and of repetitions."""

    subjects: int
    prompts: int
    repetitions: int


BUDGETS: Mapping[str, Budget] = {
    "smoke": Budget(subjects=8, prompts=60, repetitions=20),
    "laptop": Budget(subjects=200, prompts=300, repetitions=500),
    "full": Budget(subjects=1000, prompts=300, repetitions=2000),
}


def calibrate(
    *,
    panel_seed: int = SHIPPED,
    profile: Profile = "laptop",
    withheld: bool = True,
    journal: Path | str | None = None,
    engine: Engine | None = None,
    progress: bool = False,
) -> Findings:
    """Judge a panel of planted subjects, with and without their own readouts, and measure coverage and power.

    Args:
        panel_seed: the seed of the panel; three seeds are those of panels T, S and H (see `mesascope.calibration.panel`).
        profile: ``smoke`` (8 subjects), ``laptop`` (200, three quarters of an hour on two cores) or ``full`` (1,000).
        withheld: whether to judge every subject a second time, with its own readout withheld.
        journal: a directory that keeps the result of each finished subject, so that an interrupted calibration resumes.
        engine: an engine of `mesascope.plans`, which judges subjects; by default as many processes as torch has threads.
        progress: show a progress bar on stderr.

    Raises:
        ValueError: an unknown profile, a negative seed, or a journal directory with other files or parts of another run.
    """
    if profile not in BUDGETS:
        raise ValueError(f"profile must be one of {', '.join(BUDGETS)}; got {profile!r}.")
    if panel_seed < 0:
        raise ValueError(f"panel_seed must be 0 or more; got {panel_seed}. {SHIPPED} is the default panel.")
    budget, began = BUDGETS[profile], time.perf_counter()
    plan = calibration(panel_seed, profile, withheld)
    threads = torch.get_num_threads()
    with contextlib.nullcontext() if journal is None else claim(journal, "findings"):
        by_default = Processes(workers=threads) if threads > 1 else Here()
        found = execute(plan, Journal(journal), engine=engine or by_default, progress=progress)
    panel = [each for each in found.values() if isinstance(each, Verdicts)]
    beside = [each for each in found.values() if isinstance(each, Measured)]
    descriptions = [each for each in found.values() if isinstance(each, described.Described)]
    right = described.measurements(descriptions)
    judged = summary.by_readout([verdicts.judged for verdicts in panel])
    shares = summary.measurements(judged)
    return Findings(
        title=f"Calibration, panel {panel_name(panel_seed)}",
        sentences=(
            *summary.sentences(panel_name(panel_seed), shares, found["coverage"].measurements),
            described.sentence(right),
        ),
        measurements=(*shares, *right, *(m for each in beside for m in each.measurements)),
        figures=(
            *summary.figures(judged),
            described.figure(descriptions),
            *(figure for each in beside for figure in each.figures),
            summary.everything(judged),
        ),
        provenance=provenance(
            command="calibrate",
            panel=panel_name(panel_seed),
            seed=panel_seed,
            profile=profile,
            subjects=budget.subjects,
            prompts=budget.prompts,
            seconds={"total": round(time.perf_counter() - began, 1)},
        ),
    )


def calibration(seed: int, profile: Profile, withheld: bool) -> Plan:
    """The plan: the subjects of a panel, as many that are described, and the measurements besides."""
    budget = BUDGETS[profile]
    what = {"panel": seed, "profile": profile, "withheld": withheld}
    subjects = [
        Work(
            name=f"subject {i}",
            key={**what, "subject": i},
            result=Verdicts,
            run=functools.partial(_judge, seed, budget, withheld, i),
        )
        for i in range(budget.subjects)
    ]
    descriptions = [
        Work(
            name=f"description {i}",
            key={"panel": seed, "description": i, "prompts": PROMPTS},
            result=described.Described,
            run=functools.partial(_describe, seed, i),
        )
        for i in range(budget.subjects)
    ]
    beside = [
        Work(name=name, key={**what, "beside": name}, result=Measured, run=functools.partial(measure, seed, budget))
        for name, measure in BESIDE.items()
    ]
    return Plan(
        words=f"calibrate, panel {panel_name(seed)}, profile {profile}", works=(*subjects, *descriptions, *beside)
    )


def _judge(seed: int, budget: Budget, withheld: bool, index: int, say: Say) -> Verdicts:
    subject = planted(panel(seed), index, budget.subjects)
    return Verdicts(judged=judge(subject, seed=1000 * seed + index, prompts=budget.prompts, withheld=withheld))


def _describe(seed: int, index: int, say: Say) -> described.Described:
    return described.described(seed, index, prompts=PROMPTS)


def _coverage(seed: int, budget: Budget, say: Say) -> Measured:
    return Measured(measurements=coverage(seed=seed, repetitions=budget.repetitions))


def _power(seed: int, budget: Budget, say: Say) -> Measured:
    found = curves.power_curves(seed=seed, repetitions=max(20, budget.repetitions // 5))
    return Measured(measurements=found, figures=(curves.figure(found),))


BESIDE: Mapping[str, Callable[[int, Budget, Say], Measured]] = {
    "coverage": _coverage,
    "power": _power,
}
"""The measurements besides the panel."""
