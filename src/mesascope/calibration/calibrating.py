"""Tests the identifier on subjects whose answer is known: confusion matrix, descriptions, silent failure, coverage and power."""

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from mesascope.calibration.panel import SHIPPED, panel_name
from mesascope.calibration.parts import BUDGETS, PARTS
from mesascope.calibration.summary import EVERYTHING
from mesascope.instruments.instrument import Profile
from mesascope.plans import Engine, Here, Plan, Processes, execute
from mesascope.records.directories import claim
from mesascope.records.journal import Journal
from mesascope.records.provenance import provenance
from mesascope.records.shown import shown
from mesascope.types import Findings


def calibrate(
    *,
    panel_seed: int = SHIPPED,
    profile: Profile = "laptop",
    parts: Sequence[str] | None = None,
    withheld: bool = True,
    journal: Path | str | None = None,
    engine: Engine | None = None,
    progress: bool = False,
) -> Findings:
    """Judge and describe planted subjects whose answer is known, and measure coverage and power.

    Args:
        panel_seed: the seed of the panels; three seeds are those of panels T, S and H (see `mesascope.calibration.panel`).
        profile: ``smoke`` (8 subjects), ``laptop`` (200, more than an hour on two cores) or ``full`` (1,000).
        parts: what is measured; by default everything. ``mixed`` is the panel that the confusion matrix is of; ``exact``,
            ``kernels`` and ``generalised`` are panels, too; ``descriptions``, ``silent`` (failure), ``coverage``, ``power`` and
            ``designs`` (of prompts) are measured beside them.
        withheld: whether to judge every subject of the mixed panel a second time, with its own readout withheld.
        journal: a directory that keeps the result of each finished subject, so that an interrupted calibration resumes.
        engine: an engine of `mesascope.plans`, which judges subjects; by default as many processes as torch has threads.
        progress: show a progress bar on stderr.

    Raises:
        ValueError: an unknown profile or part, a negative seed, or a journal directory with other files or parts of another
            run.
    """
    if profile not in BUDGETS:
        raise ValueError(f"profile must be one of {', '.join(BUDGETS)}; got {profile!r}.")
    if panel_seed < 0:
        raise ValueError(f"panel_seed must be 0 or more; got {panel_seed}. {SHIPPED} is the default panel.")
    wanted = tuple(PARTS) if parts is None else tuple(name for name in PARTS if name in parts)
    if parts is not None and (not parts or set(parts) - set(PARTS)):
        raise ValueError(
            f"parts must be names out of {', '.join(PARTS)}; got {shown(', '.join(map(str, parts)))}. Leave it out for all."
        )
    budget, name, began = BUDGETS[profile], panel_name(panel_seed), time.perf_counter()
    works = {part: tuple(PARTS[part].works(panel_seed, budget, withheld)) for part in wanted}
    only = "" if wanted == tuple(PARTS) else f", parts {', '.join(wanted)}"
    plan = Plan(
        words=f"calibrate, panel {name}, profile {profile}{only}",
        works=tuple(work for each in works.values() for work in each),
    )
    threads = torch.get_num_threads()
    with contextlib.nullcontext() if journal is None else claim(journal, "findings"):
        by_default = Processes(workers=threads) if threads > 1 else Here()
        done = execute(plan, Journal(journal), engine=engine or by_default, progress=progress)
    found = [PARTS[part].found(panel_seed, [done[w.name] for w in each]) for part, each in works.items()]
    figures = [figure for each in found for figure in each.figures]
    return Findings(
        title=f"Calibration, panel {name}",
        sentences=tuple(sentence for each in found for sentence in each.sentences),
        measurements=tuple(m for each in found for m in each.measurements),
        figures=tuple(sorted(figures, key=lambda figure: figure.section == EVERYTHING)),
        provenance=provenance(
            command="calibrate",
            panel=name,
            seed=panel_seed,
            profile=profile,
            parts=list(wanted),
            subjects=budget.subjects,
            prompts=budget.prompts,
            seconds={"total": round(time.perf_counter() - began, 1)},
        ),
    )
