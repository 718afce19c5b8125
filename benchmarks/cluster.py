"""Several workers against one, in one run: a panel of planted subjects, and what a piece of work costs that does nothing.

Run as ``python benchmarks/cluster.py [--subjects 40] [--empty 1000] [--rounds 3]``. Local processes and a Dask cluster of local
processes are each asked with one worker and with two, in turn. Efficiency is the time of one over twice that of two, with the
workers started beforehand: each first does a piece of work that is not counted. The overhead is the time of empty work over the
number of pieces.
"""

import argparse
import functools
import statistics
import time

import distributed

from mesascope.calibration.judging import Verdicts
from mesascope.calibration.parts import _judge
from mesascope.plans import Engine, Here, Plan, Processes, Work, execute
from mesascope.plans.cluster import Cluster
from mesascope.plans.work import Say
from mesascope.records.journal import Journal
from mesascope.types import Measured

SUBJECTS, PROMPTS, SEED = 200, 60, 4


def nothing(say: Say) -> Measured:
    """No work at all."""
    return Measured()


def seconds(plan: Plan, engine: Engine) -> float:
    """How long a plan takes, from the first result on: until then workers start."""
    marks: list[float] = []

    for _ in engine.results(plan.works, lambda words: None):
        marks.append(time.perf_counter())
    return marks[-1] - marks[0]


def main() -> None:
    """Print a line per engine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subjects", type=int, default=40)
    parser.add_argument("--empty", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    judging = Plan(
        words="panel",
        works=tuple(
            Work(
                name=f"{i}",
                key=i,
                result=Verdicts,
                run=functools.partial(_judge, "mixed", SEED, i, SUBJECTS, PROMPTS, False),
            )
            for i in range(0, 5 * options.subjects, 5)
        ),
    )
    empty = Plan(
        words="empty",
        works=tuple(Work(name=f"{i}", key=i, result=Measured, run=nothing) for i in range(options.empty)),
    )
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None, host="127.0.0.1") as one,
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1") as two,
    ):
        pairs: dict[str, tuple[Engine, Engine]] = {
            "local processes": (Processes(workers=1), Processes(workers=2)),
            "Dask cluster": (Cluster(scheduler=one.scheduler_address), Cluster(scheduler=two.scheduler_address)),
        }
        for name, (single, double) in pairs.items():
            ratios = []
            for _ in range(options.rounds):
                alone, together = seconds(judging, single), seconds(judging, double)
                ratios.append(alone / (2 * together))
                print(f"{name}: {alone:.1f} s with one worker, {together:.1f} s with two: {ratios[-1]:.2f}", flush=True)
            each = min(seconds(empty, double) for _ in range(options.rounds)) / options.empty
            print(
                f"{name}: efficiency {statistics.median(ratios):.2f} (median); {1000 * each:.2f} ms per empty piece of work"
            )
    began = time.perf_counter()
    execute(empty, Journal(None), engine=Here())
    print(f"this process: {1000 * (time.perf_counter() - began) / options.empty:.2f} ms per empty piece of work")


if __name__ == "__main__":
    main()
