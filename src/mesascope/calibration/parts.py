"""The parts of a calibration: the pieces of work that each is made of, and what is said, measured and drawn of them."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mesascope.calibration import coverage, curves, described, designs, silent, summary
from mesascope.calibration.judging import Verdicts, judge
from mesascope.calibration.panel import PANELS, planted
from mesascope.instruments.identification import PROMPTS
from mesascope.instruments.identification.design import TRIALS
from mesascope.plans import Work
from mesascope.plans.work import Say
from mesascope.types import Figure, Measured, Measurement


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The sizes of a calibration.

    Attributes:
        subjects: in each of the panels ``mixed`` and ``exact``, and how many are described.
        few: subjects in each of the panels ``kernels`` and ``generalised``.
        prompts: in each of the two halves, when a subject is judged.
        repetitions: of coverage; power has a fifth of them, at least 20.
        runs: of the silent-failure check, for each subject.
        trials: of a search for prompts that tell two candidates apart.
    """

    subjects: int
    few: int
    prompts: int
    repetitions: int
    runs: int
    trials: int


Pieces = Mapping[str, Callable[[], tuple[Measurement, ...]]]
"""Functions that measure, with their arguments, by the names of the works."""

BUDGETS: Mapping[str, Budget] = {
    "smoke": Budget(subjects=8, few=2, prompts=60, repetitions=20, runs=1, trials=2),
    "laptop": Budget(subjects=200, few=30, prompts=300, repetitions=500, runs=20, trials=TRIALS),
    "full": Budget(subjects=1000, few=150, prompts=300, repetitions=2000, runs=100, trials=TRIALS),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What came out of a part."""

    sentences: tuple[str, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    figures: tuple[Figure, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a calibration.

    Attributes:
        works: its pieces of work, from the seed, the sizes, and whether subjects are judged a second time.
        found: what came out, from the seed and the results of the works in their order.
    """

    works: Callable[[int, Budget, bool], Sequence[Work[Any]]]
    found: Callable[[int, Sequence[Any]], Found]


def _judged(kind: str) -> Part:
    """A panel of subjects that are judged. Only those of the mixed panel are judged a second time."""

    def works(seed: int, budget: Budget, withheld: bool) -> list[Work[Verdicts]]:
        size = budget.subjects if kind in ("mixed", "exact") else budget.few
        again = withheld and kind == "mixed"
        key = {"panel": kind, "seed": seed, "subjects": size, "prompts": budget.prompts, "withheld": again}
        return [
            Work(
                name=f"{kind}, subject {i}",
                key={**key, "subject": i},
                result=Verdicts,
                run=functools.partial(_judge, kind, seed, i, size, budget.prompts, again),
            )
            for i in range(size)
        ]

    def found(seed: int, results: Sequence[Verdicts]) -> Found:
        name, judged = PANELS[kind](seed).name, summary.by_readout([verdicts.judged for verdicts in results])
        shares = summary.measurements(judged, kind)
        return Found(
            sentences=summary.sentences(name, shares), measurements=shares, figures=summary.figures(judged, kind, name)
        )

    return Part(works=works, found=found)


def _judge(kind: str, seed: int, index: int, size: int, prompts: int, withheld: bool, say: Say) -> Verdicts:
    subject = planted(PANELS[kind](seed), index, size)
    return Verdicts(judged=judge(subject, seed=1000 * seed + index, prompts=prompts, withheld=withheld))


def _descriptions(seed: int, budget: Budget, withheld: bool) -> list[Work[described.Described]]:
    return [
        Work(
            name=f"description {i}",
            key={"panel": seed, "description": i, "prompts": PROMPTS},
            result=described.Described,
            run=functools.partial(_describe, seed, i),
        )
        for i in range(budget.subjects)
    ]


def _describe(seed: int, index: int, say: Say) -> described.Described:
    return described.described(seed, index, prompts=PROMPTS)


def _of_descriptions(seed: int, results: Sequence[described.Described]) -> Found:
    right = described.measurements(results)
    return Found(sentences=(described.sentence(right),), measurements=right, figures=(described.figure(results),))


def _measured(
    pieces: Callable[[int, Budget], Pieces],
    told: Callable[[tuple[Measurement, ...]], Found],
) -> Part:
    """What is measured besides, in pieces, and what the numbers of all of them say."""

    def works(seed: int, budget: Budget, withheld: bool) -> list[Work[Measured]]:
        sizes = {"seed": seed, "repetitions": budget.repetitions, "runs": budget.runs, "trials": budget.trials}
        return [
            Work(name=name, key={"measured": name, **sizes}, result=Measured, run=functools.partial(_measure, call))
            for name, call in pieces(seed, budget).items()
        ]

    def found(seed: int, results: Sequence[Measured]) -> Found:
        return told(tuple(m for each in results for m in each.measurements))

    return Part(works=works, found=found)


def _measure(call: Callable[[], tuple[Measurement, ...]], say: Say) -> Measured:
    return Measured(measurements=call())


def _silent(seed: int, budget: Budget) -> Pieces:
    return {
        f"silent failure, {known.name}": functools.partial(
            silent.checked, known.name, seed=1000 * seed, runs=budget.runs
        )
        for known in silent.SUBJECTS
    }


def _coverage(seed: int, budget: Budget) -> Pieces:
    return {"coverage": functools.partial(coverage.coverage, seed=seed, repetitions=budget.repetitions)}


def _power(seed: int, budget: Budget) -> Pieces:
    return {"power": functools.partial(curves.power_curves, seed=seed, repetitions=max(20, budget.repetitions // 5))}


def _designs(seed: int, budget: Budget) -> Pieces:
    return {
        f"designs, {', '.join(pair)}, noise {noise}": functools.partial(
            designs.bought, pair, noise, seed=seed, trials=budget.trials
        )
        for pair in designs.PAIRS
        for noise in designs.NOISES
    }


def _of_silent(found: tuple[Measurement, ...]) -> Found:
    rows = silent.totals(found)
    return Found(sentences=(silent.sentence(rows),), measurements=rows, figures=(silent.figure(rows),))


def _of_coverage(found: tuple[Measurement, ...]) -> Found:
    return Found(sentences=coverage.sentences(found), measurements=found)


def _of_power(found: tuple[Measurement, ...]) -> Found:
    return Found(measurements=found, figures=(curves.figure(found),))


def _of_designs(found: tuple[Measurement, ...]) -> Found:
    return Found(sentences=(designs.sentence(found),), measurements=found, figures=(designs.figure(found),))


PARTS: Mapping[str, Part] = {
    **{kind: _judged(kind) for kind in PANELS},
    "descriptions": Part(works=_descriptions, found=_of_descriptions),
    "silent": _measured(_silent, _of_silent),
    "coverage": _measured(_coverage, _of_coverage),
    "power": _measured(_power, _of_power),
    "designs": _measured(_designs, _of_designs),
}
"""What can be asked for, in the order in which it is done and told."""
