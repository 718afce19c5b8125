"""Are descriptions right? Subjects on every class of explanation, with coefficients drawn at random, are described."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from mesascope.calibration.counting import share
from mesascope.calibration.disguise import Disguised
from mesascope.instruments.explaining import planted
from mesascope.instruments.explaining.asked import ask
from mesascope.instruments.explaining.explanation import explain
from mesascope.instruments.explaining.functions import FAMILIES, FunctionFamily
from mesascope.instruments.explaining.intervals import TOLERANCE
from mesascope.instruments.identification.prompts import standard
from mesascope.instruments.spectral.channels import SpectralChannels
from mesascope.seeds import generator
from mesascope.types import Control, Figure, Measurement, NamedFunction, RungKind, Scalar

NOISE = 0.03
"""Variance of the noise in every second subject's answers, as a share of the target's."""
TIMES, PENALTIES, CUTS = (1.0, 300.0), (1e-3, 1.0), (3e-3, 0.3)
"""Where these coefficients are drawn, evenly in their logarithm, in units of the largest eigenvalue."""
RANGES: Mapping[str, tuple[float, float]] = {
    "time": TIMES,
    "penalty": PENALTIES,
    "smallest eigenvalue": CUTS,
    "step size": (0.3, 1.6),
    "scale": (0.3, 1.6),
    "momentum": (0.1, 0.7),
    "width": (0.6, 1.1),
    "curvature": (0.05, 0.25),
}
OTHERS: tuple[RungKind, ...] = (
    "filter",
    "polynomial",
    "diagonal",
    "own polynomial",
    "labels and query",
    "smoother",
    "query alone",
)


Bound = Literal["interval", "tolerance", "set"]
"""Kinds of a coefficient's interval. ``interval``: 95 % over prompts, which noise makes differ; it should hold 95 of 100
coefficients. ``tolerance``: of answers without noise, all values that give the same answers up to rounding; it should hold all.
``set``: the counts, or the gaps between eigenvalues, that fit as well as the best; it should hold 95 of 100 or more.
"""
BOUNDS: Mapping[Bound, str] = {
    "interval": "coefficients inside their 95 % intervals",
    "tolerance": "coefficients within the numerical tolerance",
    "set": "counts and cut-offs in the sets that fit as well",
}
BY_NAME = {family.name: family for family in FAMILIES}


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """The description of one subject, beside the truth.

    Attributes:
        case: what the subject is, in words.
        truth: its class; None if it is in none.
        rung: the class that was found.
        coefficients: its coefficients, if it is a function with a name.
        named: the name that was found; empty if no function holds.
        intervals: the coefficients' intervals that were found; empty unless the name is the right one.
        noise: variance of the noise in its answers, as a share of the target's.
    """

    case: str
    truth: RungKind | None
    rung: RungKind | None
    coefficients: Mapping[str, float]
    named: str
    intervals: Mapping[str, tuple[float, float]]
    noise: float

    def inside(self, kind: Bound | None = None) -> dict[str, bool]:
        """For each coefficient with an interval, whether the interval holds it.

        Args:
            kind: only intervals of this kind; by default all.
        """
        return {
            name: low <= self.coefficients[name] <= high
            for name, (low, high) in self.intervals.items()
            if kind in (None, self.bound(name))
        }

    def bound(self, name: str) -> Bound:
        """The kind of a coefficient's interval."""
        family = BY_NAME[self.case]
        if name == family.count or not family.smooth:
            return "set"
        return "interval" if self.noise else "tolerance"


def described(seed: int, index: int, *, prompts: int) -> Described:
    """Draw one subject and describe it on the discriminating prompts.

    Args:
        seed: the seed of the panel.
        index: the number of the subject: which class it is in, and whether its answers have noise.
        prompts: number of prompts in each half.
    """
    task = standard().task
    rng = generator(seed, "described", index)
    unit = float(SpectralChannels.of(task.sample(100, seed=seed, stream="described/unit")).eigenvalues.max())
    noise = NOISE * (index % 2)
    family, kind = None, _kind(index // 2)
    if kind == "function":
        family = FAMILIES[int(torch.randint(len(FAMILIES), (), generator=rng))]
        count, values = _drawn(family, unit, rng)
        answering = planted.filtering(lambda at: family.gains(at, count, *values) * (at > 0))
    else:
        answering = _answering(kind, float(task.sample(8, seed=seed).xs.square().mean()), rng)
    case = kind or "not linear in the labels" if family is None else family.name
    subject = Disguised(subject=planted.planted(case, answering), seed=1000 * seed + index, noise=noise)
    found = explain(ask(subject, task, seed=1000 * seed + index, prompts=prompts), "discriminating")
    best = found.functions[0] if found.rung == "function" else None
    truth = {} if family is None else _named(family, count, values)
    return Described(
        case=case,
        truth=kind,
        rung=found.rung,
        coefficients=truth,
        named="" if best is None else best.name,
        intervals={}
        if best is None or family is None or best.name != family.name
        else _known(best, truth, family.count),
        noise=noise,
    )


def _known(found: NamedFunction, truth: Mapping[str, float], count: str) -> dict[str, tuple[float, float]]:
    """The intervals that can be compared: where another count was found, only the count's, because the others go with it."""
    same = not count or found.coefficients[count] == truth[count]
    return dict(found.intervals) if same else {count: found.intervals[count]}


def _kind(number: int) -> RungKind | None:
    """Every second pair of subjects is a function with a name; the others take turns."""
    if number % 2:
        return "function"
    turns = (*OTHERS, None)
    return turns[number // 2 % len(turns)]


def _drawn(family: FunctionFamily, unit: float, rng: torch.Generator) -> tuple[int, list[torch.Tensor]]:
    count = family.counts[int(torch.randint(math.ceil(len(family.counts) / 2), (), generator=rng))]
    values = []
    for c in family.coefficients:
        low, high = (math.log(bound) for bound in RANGES[c.name])
        at = low + (high - low) * torch.rand((), generator=rng, dtype=torch.float64)
        values.append(at.exp() * unit**c.power)
    return count, values


def _named(family: FunctionFamily, count: int, values: Sequence[torch.Tensor]) -> dict[str, float]:
    counted = {family.count: float(count)} if family.count else {}
    return counted | {c.name: float(v) for c, v in zip(family.coefficients, values, strict=True)}


def _answering(kind: RungKind | None, unit: float, rng: torch.Generator) -> planted.Answering:
    """A subject of a class other than a function with a name. ``unit`` is the mean square of an input's coordinate."""
    number = int(torch.randint(2**30, (), generator=rng))
    size = 2.0 ** float(torch.rand((), generator=rng, dtype=torch.float64) - 0.5)
    match kind:
        case "filter":
            return planted.random_filter(number, unit)
        case "polynomial":  # of degree 1, many are two steps of damped gradient descent, so that either answer is right
            return planted.random_polynomial(number, 2 + number % 2, unit)
        case "diagonal":
            return planted.by_condition(size * unit)
        case "own polynomial":
            return planted.conjugate_gradient(1 + number % 3)
        case "labels and query":
            return planted.across(size * unit)
        case "smoother":
            return planted.smoothing(size * unit**0.5)
        case "query alone":
            return planted.of_the_query(number)
        case _:
            return planted.bending()


def measurements(found: Sequence[Described]) -> tuple[Measurement, ...]:
    """The share of subjects whose class is found, and of coefficients that lie inside their intervals, by the kind of interval.

    Controls. Negative: a class drawn at random, each with the frequency with which it is the truth; and the share of intervals
    that hold the coefficient of the next subject instead.
    """
    made = []
    for noise in sorted({d.noise for d in found}):
        group = [d for d in found if d.noise == noise]
        truths = [d.truth for d in group]
        chance = sum(truths.count(t) ** 2 for t in set(truths)) / len(truths) ** 2
        drawn = Control(kind="negative", name="a class drawn at random", value=chance)
        made.append(_counted("class found", [d.rung == d.truth for d in group], drawn, "share of subjects", noise))
        for kind, quantity in BOUNDS.items():
            held = [each for d in group for each in d.inside(kind).values()]
            if kind == "set" or (kind == "interval") == bool(noise):
                made.append(_counted(quantity, held, _swapped(group, kind), "share of coefficients", noise))
    return tuple(made)


def _counted(quantity: str, hits: Sequence[bool], control: Control, unit: str, noise: float) -> Measurement:
    value, interval = share(sum(hits), len(hits))
    return Measurement(
        instrument="descriptions",
        quantity=quantity,
        value=value,
        interval=interval,
        n=len(hits),
        unit=unit,
        coordinates={"noise": noise},
        controls=(control,),
    )


def _swapped(group: Sequence[Described], kind: Bound) -> Control:
    """The share of intervals that hold the next coefficient of the group instead of their own."""
    bounds = [i for d in group for name, i in d.intervals.items() if d.bound(name) == kind]
    known = [d.coefficients[name] for d in group for name in d.intervals if d.bound(name) == kind]
    others = sum(low <= other <= high for (low, high), other in zip(bounds, known[1:] + known[:1], strict=True))
    return Control(
        kind="negative",
        name="the next subject's coefficients",
        value=others / len(known) if known else 0.0,
        degenerate="" if len(known) > 1 else "there are no two coefficients",
    )


def figure(found: Sequence[Described]) -> Figure:
    """A row per kind of subject: how many there are, how many were found, and what the others were taken for."""
    rows: list[dict[str, Scalar]] = []
    for case in dict.fromkeys(d.case for d in found):
        group = [d for d in found if d.case == case]
        missed = [d for d in group if d.rung != d.truth]
        inside = [held for d in group for held in d.inside().values()]
        rows.append(
            {
                "subject": case,
                "class": group[0].truth or "none",
                "subjects": len(group),
                "class found": len(group) - len(missed),
                "taken for": ", ".join(sorted({str(d.rung or "none") for d in missed})) or None,
                "named rightly": sum(d.named == d.case for d in group) if group[0].truth == "function" else None,
                "coefficients inside": f"{sum(inside)} of {len(inside)}" if inside else None,
            }
        )
    return Figure(
        name="descriptions",
        section="Descriptions",
        title="Descriptions of subjects on every class",
        caption="Subjects with coefficients drawn at random, described on discriminating prompts; every "
        f"second one has noise of {NOISE:.0%} of the target's variance in its answers. Where two functions agree there, "
        "either name is right. Counts and cut-offs have the sets that fit as well, and answers without noise a numerical "
        f"tolerance (values that change the answers by a mean square of at most {TOLERANCE:g} of the target's variance).",
        kind="table",
        rows=tuple(rows),
    )


def sentence(found: Sequence[Measurement]) -> str:
    """The result in a sentence."""
    told = [
        f"{m.value:.1%} of {m.n} {m.unit.removeprefix('share of ')} ({m.quantity}, noise {m.coordinates['noise']})"
        for m in found
        if m.n
    ]
    return f"Descriptions of subjects on every class: {'; '.join(told)}."


__all__ = ("Described", "described", "figure", "measurements", "sentence")
