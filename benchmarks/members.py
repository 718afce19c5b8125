"""Training many small networks: together as one batched program, against one after the other.

Thirty-six networks of source C's controlled ablation in eight dimensions (six variants, six seeds), a few steps each. What a user
would do otherwise is `train` in a loop. Both write the same run directories, with checkpoints and metrics. They take turns;
ratios are of neighbours, and their median is quoted with the extremes. With ``--workers N`` the batched programs are shared out
over N processes with one thread each, as the engine of a sweep does.

    python benchmarks/members.py [--pairs 3] [--steps 100] [--workers 2]
"""

import argparse
import functools
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from mesascope.plans import Here, Plan, Processes, Work, execute
from mesascope.plans.work import Say, Shared
from mesascope.records.journal import Journal
from mesascope.training import Recipe, train, train_together
from mesascope.training.alike import grouped
from mesascope.types import Measured

GOAL = 4.0


def prepare(items: Sequence[tuple[Path, Recipe]], say: Say) -> None:
    """Train several networks together."""
    train_together(dict(items), resume=True, progress=False)


def finished(where: Path, spec: Recipe, say: Say) -> Measured:
    """Train one network, if that has not been done."""
    train(spec, where, resume=True, progress=False)
    return Measured()


def together(specs: Sequence[Recipe], out: Path, workers: int) -> None:
    """All as batched programs."""
    runs = {out / spec.name: spec for spec in specs}
    key = {where: str(number) for number, group in enumerate(grouped(runs)) for where in group}
    works = tuple(
        Work(
            name=where.name,
            key=where.name,
            result=Measured,
            run=functools.partial(finished, where, spec),
            shared=Shared(key=key[where], item=(where, spec), prepare=prepare),
        )
        for where, spec in runs.items()
    )
    engine = Here() if workers == 1 else Processes(workers=workers)
    execute(Plan(words="members", works=works), Journal(None), engine=engine)


def one_by_one(specs: Sequence[Recipe], out: Path) -> None:
    """The same one after the other."""
    for spec in specs:
        train(spec, out / spec.name, progress=False)


def seconds(do: Callable[[Path], None]) -> float:
    """Wall-clock seconds, with a fresh directory."""
    with tempfile.TemporaryDirectory() as out:
        start = time.perf_counter()
        do(Path(out))
        return time.perf_counter() - start


def main() -> None:
    """Print the ratio."""
    from mesascope.studies.controlled.networks import controlled_ablation  # here, as workers do not need it

    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--threads", type=int, help="of the runs one by one; default: torch's own")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    specs = [
        replace(cell.spec, steps=options.steps, checkpoint_every=options.steps)
        for cell in controlled_ablation()
        if cell.group == "8 dimensions"
    ]
    pairs = []
    for _ in range(options.pairs):
        alone = seconds(lambda out: one_by_one(specs, out))
        batched = seconds(lambda out: together(specs, out, options.workers))
        pairs.append((alone, batched))
        print(f"one by one {alone:.1f} s, together {batched:.1f} s: {alone / batched:.2f} times", flush=True)
    ratios = [a / b for a, b in pairs]
    print(
        f"{len(specs)} networks, {options.steps} steps, {options.workers} workers against {torch.get_num_threads()} threads, "
        f"{platform.processor() or platform.machine()}, torch {torch.__version__}: median {statistics.median(ratios):.2f} "
        f"[{min(ratios):.2f}, {max(ratios):.2f}] times as fast (goal {GOAL:g})"
    )


if __name__ == "__main__":
    main()
