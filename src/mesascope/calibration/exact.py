"""Judges exact subjects: a wrong name, or "none", for one of them shows an error of the identifier.

python -c "from mesascope.calibration.exact import judge_exact; judge_exact(101)"
"""

import functools
from collections import Counter
from collections.abc import Callable, Sequence

from mesascope.calibration.judging import Judged, Verdicts, judge
from mesascope.calibration.panel import exact, planted
from mesascope.calibration.summary import by_readout, distinguishable
from mesascope.instruments.identification import PROMPTS
from mesascope.plans import Here, Plan, Processes, Work, execute
from mesascope.plans.work import Say
from mesascope.records.journal import Journal

COLUMNS = ("subjects", "wrong", "none", "undecided", "identified", "distinguishable", "of them identified")


def judge_exact(
    seed: int,
    *,
    subjects: int = 200,
    chosen: Sequence[int] | None = None,
    prompts: int = PROMPTS,
    withheld: bool = False,
    workers: int = 2,
    say: Callable[[str], None] = print,
) -> tuple[tuple[Judged, ...], ...]:
    """Judge a seed's panel of exact subjects; print the outcome of every subject that is not identified, and a table by truth.

    Args:
        seed: the seed of the panel (`mesascope.calibration.panel.exact`).
        subjects: number of subjects in the panel.
        chosen: numbers of the subjects to judge; by default all.
        prompts: number of prompts in each of the two halves.
        withheld: whether to judge each subject a second time, with its own readout withheld.
        workers: number of processes.
        say: prints a line.

    Returns:
        For each subject, the verdict with its own readout and, if ``withheld``, the verdict without it.
    """
    numbers = range(subjects) if chosen is None else chosen
    works = tuple(
        Work(
            name=str(number),
            key=number,
            result=Verdicts,
            run=functools.partial(_judge, seed, subjects, prompts, withheld, number),
        )
        for number in numbers
    )
    engine = Processes(workers=workers) if workers > 1 else Here()
    done = execute(
        Plan(words=f"exact subjects of seed {seed}", works=works), Journal(None), engine=engine, progress=True
    )
    found = {int(name): each.judged for name, each in done.items()}
    for number, verdicts in found.items():
        for j in verdicts:
            if j.outcome != "identified":
                say(_line(number, j))
    for readout, judged in by_readout(list(found.values())).items():
        say(f"\n{readout}\n{table(judged)}")
    return tuple(found.values())


def table(judged: Sequence[Judged]) -> str:
    """Counts of outcomes by truth, and their totals, as text."""
    truths = sorted({" or ".join(j.truth) for j in judged})
    rows = [(truth, _counts([j for j in judged if " or ".join(j.truth) == truth])) for truth in truths]
    rows.append(("all", _counts(judged)))
    width = max(len(name) for name, _ in rows)
    head = f"{'':{width}}  " + "  ".join(COLUMNS)
    lines = [
        f"{name:{width}}  " + "  ".join(f"{counts[column]:>{len(column)}}" for column in COLUMNS)
        for name, counts in rows
    ]
    return "\n".join([head, *lines])


def _judge(seed: int, size: int, prompts: int, withheld: bool, index: int, say: Say) -> Verdicts:
    subject = planted(exact(seed), index, size)
    return Verdicts(judged=judge(subject, seed=1000 * seed + index, prompts=prompts, withheld=withheld))


def _counts(judged: Sequence[Judged]) -> Counter[str]:
    able = [j for j in judged if distinguishable(j)]
    counts = Counter({"missed": "none"}.get(j.outcome, j.outcome) for j in judged)
    return counts + Counter(
        {
            "subjects": len(judged),
            "distinguishable": len(able),
            "of them identified": sum(j.outcome == "identified" for j in able),
        }
    )


def _line(number: int, j: Judged) -> str:
    power = "unknown" if j.power is None else f"{j.power:.3f}"
    made = ", ".join(f"{key} {value}" for key, value in j.settings.items())
    return (
        f"{number} {j.case} ({j.readout}): {j.outcome}, said {', '.join(j.algorithms) or 'none'}; score {j.score:.4f}, "
        f"power {power} (hardest: {j.hardest}); {made}; {j.reason}"
    )
