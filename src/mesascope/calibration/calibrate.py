"""The identifier against subjects whose answer is known: confusion matrix, coverage and power."""

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from tqdm import tqdm

from mesascope.calibration import curves, summary
from mesascope.calibration.coverage import coverage
from mesascope.calibration.judging import Judged, judge
from mesascope.calibration.masking import causal_mask
from mesascope.calibration.panel import SHIPPED, panel, panel_name, planted
from mesascope.calibration.stability import stability
from mesascope.machine.processes import in_processes
from mesascope.records.directories import claim
from mesascope.records.journal import Journal
from mesascope.records.provenance import provenance
from mesascope.types import Figure, Findings, Measurement

Profile = Literal["smoke", "laptop", "full"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How many subjects, prompts in each half, and repetitions."""

    subjects: int
    prompts: int
    repetitions: int


BUDGETS: Mapping[str, Budget] = {
    "smoke": Budget(subjects=8, prompts=60, repetitions=20),
    "laptop": Budget(subjects=200, prompts=300, repetitions=500),
    "full": Budget(subjects=1000, prompts=300, repetitions=2000),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """What was said of one subject, as it is kept on disk: as it is, and with its own readout withheld."""

    judged: tuple[Judged, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one experiment beside the panel found, as it is kept on disk."""

    measurements: tuple[Measurement, ...]
    figures: tuple[Figure, ...] = ()


def calibrate(
    *,
    panel_seed: int = SHIPPED,
    profile: Profile = "laptop",
    withheld: bool = True,
    journal: Path | str | None = None,
    workers: int | None = None,
    progress: bool = False,
) -> Findings:
    """Judge a panel of planted subjects, with their own readouts and without, and measure coverage and power.

    Args:
        panel_seed: which panel; 3 is T (thresholds), 4 is S, 5 is H (see `mesascope.calibration.panel`).
        profile: ``smoke`` (8 subjects), ``laptop`` (200, a quarter of an hour on two cores) or ``full`` (1,000).
        withheld: whether to judge every subject a second time, with its own readout withheld.
        journal: a directory that keeps each finished subject, so that a calibration that was cut off goes on there.
        workers: processes, one thread each; as many as torch has threads by default.
        progress: show a progress bar on stderr.

    Raises:
        ValueError: an unknown profile, a negative seed, or a journal directory that is not ours.
    """
    if profile not in BUDGETS:
        raise ValueError(f"profile must be one of {', '.join(BUDGETS)}; got {profile!r}.")
    if panel_seed < 0:
        raise ValueError(f"panel_seed must be 0 or more; got {panel_seed}. {SHIPPED} is the panel that ships.")
    budget, began = BUDGETS[profile], time.perf_counter()
    key = {"panel": panel_seed, "profile": profile, "withheld": withheld, "code": provenance()}
    parts = _parts(panel_seed, budget)
    with (
        contextlib.nullcontext() if journal is None else claim(journal, "findings"),
        tqdm(total=budget.subjects + len(parts), disable=not progress, unit="subject", dynamic_ncols=True) as bar,
    ):
        done = Journal(journal, key)
        panel: list[Verdicts] = []
        for verdicts in _panel(panel_seed, budget, withheld, done, workers or torch.get_num_threads()):
            panel.append(verdicts)
            bar.update()
        found: dict[str, Part] = {}
        for name, make in parts.items():
            bar.set_description(name)
            found[name] = done.keep(name, Part, make)
            bar.update()
    judged = summary.by_readout([verdicts.judged for verdicts in panel])
    shares = summary.measurements(judged)
    return Findings(
        title=f"Calibration, panel {panel_name(panel_seed)}",
        sentences=summary.sentences(panel_name(panel_seed), shares, found["coverage"].measurements),
        measurements=(*shares, *(m for part in found.values() for m in part.measurements)),
        figures=(
            *summary.figures(judged),
            *(figure for part in found.values() for figure in part.figures),
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


def _parts(seed: int, budget: Budget) -> dict[str, Callable[[], Part]]:
    """What is measured beside the panel."""

    def power() -> Part:
        found = curves.power_curves(seed=seed, repetitions=max(20, budget.repetitions // 5))
        return Part(measurements=found, figures=(curves.figure(found),))

    def experiment(run: Callable[[int], tuple[tuple[Measurement, ...], Figure]]) -> Part:
        found, figure = run(seed)
        return Part(measurements=found, figures=(figure,))

    return {
        "coverage": lambda: Part(measurements=coverage(seed=seed, repetitions=budget.repetitions)),
        "power": power,
        "causal mask": lambda: experiment(causal_mask),
        "stability": lambda: experiment(stability),
    }


def _panel(seed: int, budget: Budget, withheld: bool, done: Journal, workers: int) -> Iterator[Verdicts]:
    """Every subject's verdicts, in order; those that a journal holds are not judged again."""
    held = [done.get(f"subject {i}", Verdicts) for i in range(budget.subjects)]
    missing = [i for i, verdicts in enumerate(held) if verdicts is None]
    work = functools.partial(_judge, seed, budget, withheld)
    fresh = in_processes(work, missing, workers) if workers > 1 and len(missing) > 1 else map(work, missing)
    for index, verdicts in enumerate(held):
        if verdicts is None:
            verdicts = next(fresh)
            done.put(f"subject {index}", verdicts)
        yield verdicts


def _judge(seed: int, budget: Budget, withheld: bool, index: int) -> Verdicts:
    subject = planted(panel(seed), index, budget.subjects)
    return Verdicts(judged=judge(subject, seed=1000 * seed + index, prompts=budget.prompts, withheld=withheld))
