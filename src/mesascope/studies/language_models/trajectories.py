"""The shape of a quantity over training: plateau, valley, zero crossing, half-maximum, peak, final value, decay.

All are functions of measurements at the steps of one network. Intervals come from 1,000 curves drawn around the measured one,
each value by its own interval, independently: the values of one run share their prompts, so this is rather too wide. Each
number stands beside what the same function gives for the curve of a negative control, and for a planted curve on the same steps
with a known answer.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mesascope.instruments.statistics.bootstrap import interval
from mesascope.instruments.statistics.ordering import rank_correlation
from mesascope.seeds import generator
from mesascope.studies.rules import Derived, Where, known
from mesascope.types import Control, Measurement, Scalar

REPEATS = 1000
WIDE = 3.92
"""Standard errors in a 95 % interval."""
KNOTS = ((0.0, 0.0), (0.25, 0.0), (0.4, -0.5), (0.7, 1.0), (1.0, 0.6))
"""The planted curve: its values at shares of the way from the first step to the last, on a logarithmic scale."""
Values = Float[Tensor, "repeat step"]
Own = Float[Tensor, "#repeat step"]
Steps = Float[Tensor, " step"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """What is read off a curve.

    Attributes:
        name: what it is called in reports.
        of: computes it, curve by curve, from the values, the steps and the curves that say where peak and valley are; NaN for a
            curve without it. Those are the measured one for all curves that are drawn around it: the largest of noisy values is
            too large, and an interval of largest values would not hold the measured one.
        planted: its value for the planted curve: a value, or a share of the way along the steps.
        is_step: whether it is a step of training, and not a value of the quantity.
    """

    name: str
    of: Callable[[Values, Steps, Own], Float[Tensor, " repeat"]] = field(repr=False)
    planted: float
    is_step: bool = False


def _first(reached: Tensor, level: Tensor, values: Values, steps: Steps) -> Float[Tensor, " repeat"]:
    """Where each curve passes a level, on a line in the logarithm of the step: ``reached`` marks the first step beyond it."""
    at = reached.long().argmax(1)
    before = (at - 1).clamp(min=0)
    rows = torch.arange(len(values))
    low, high = values[rows, before], values[rows, at]
    share = torch.where(at > 0, (level - low) / torch.where(high > low, high - low, 1.0), 1.0)
    logs = steps.log()
    found = (logs[before] + share * (logs[at] - logs[before])).exp()
    return torch.where(reached.any(1), found, torch.nan)


def _half(values: Values, steps: Steps, own: Own) -> Float[Tensor, " repeat"]:
    """The first step at which half of the peak is reached, if the peak is above 0."""
    top = own.amax(1).expand(len(values))
    return torch.where(top > 0, _first(values >= top[:, None] / 2, top / 2, values, steps), torch.nan)


def _half_rise(values: Values, steps: Steps, own: Own) -> Float[Tensor, " repeat"]:
    """The first step that is half of the way from the first value to the peak, if the peak is above the first value."""
    return _half(values - own[:, :1], steps, own - own[:, :1])


def _crossing(values: Values, steps: Steps, own: Own) -> Float[Tensor, " repeat"]:
    """The step from which on the values stay above 0, if they end there and did not begin there."""
    stays = (values > 0).flip(1).long().cumprod(1).flip(1).bool()
    found = _first(stays, torch.zeros(len(values), dtype=values.dtype), values, steps)
    return torch.where(stays[:, 0], torch.nan, found)


def _lowest(values: Values) -> Int[Tensor, " repeat"]:
    """Where each curve is lowest before its peak."""
    before = torch.arange(values.shape[1]) <= values.argmax(1, keepdim=True)
    return torch.where(before, values, torch.inf).argmin(1)


def _there(values: Values, at: Int[Tensor, " #repeat"]) -> Float[Tensor, " repeat"]:
    return values.gather(1, at[:, None].expand(len(values), 1))[:, 0]


def _peak(values: Values, steps: Steps, own: Own) -> Float[Tensor, " repeat"]:
    return _there(values, own.argmax(1))


PEAK = Feature(name="peak", of=_peak, planted=1.0)
PEAK_STEP = Feature(name="step of the peak", of=lambda v, s, own: s[v.argmax(1)], planted=0.7, is_step=True)
FINAL = Feature(name="final value", of=lambda v, s, own: v[:, -1], planted=0.6)
DECAY = Feature(name="share lost after the peak", of=lambda v, s, own: 1 - v[:, -1] / _peak(v, s, own), planted=0.4)
VALLEY = Feature(name="valley", of=lambda v, s, own: _there(v, _lowest(own)), planted=-0.5)
VALLEY_STEP = Feature(name="step of the valley", of=lambda v, s, own: s[_lowest(v)], planted=0.4, is_step=True)
CROSSING = Feature(name="step of the zero crossing", of=_crossing, planted=0.5, is_step=True)
HALF = Feature(name="step of the half-maximum", of=_half, planted=0.6, is_step=True)
HALF_RISE = Feature(name="step of half the rise", of=_half_rise, planted=0.6, is_step=True)
PLATEAU = "last step of the plateau"


def feature(of: Where, feature: Feature, null: str, *, seed: int = 0) -> Derived:
    """A feature of the curve of a quantity of one network, as evidence; nothing where the curve has no such feature.

    Args:
        of: the quantity and the network; its measurements have a coordinate ``step``.
        feature: what is read off.
        null: the negative control whose curve stands beside it.
        seed: of the drawn curves.
    """
    return Derived(
        words=f"{feature.name} of {of}", of=lambda found: read(of.among(found), feature, null, seed=seed), uses=(of,)
    )


def read(found: Sequence[Measurement], feature: Feature, null: str, *, seed: int = 0) -> list[Measurement]:
    """A feature of one network's curve: see `feature`. Empty if there are fewer than three steps, or no such feature."""
    if len(found) < 3:
        return []
    steps, values, errors = _curve(found)
    noise = torch.randn(REPEATS, len(steps), dtype=torch.float64, generator=generator(seed, "trajectories"))
    value = float(feature.of(values[None], steps, values[None])[0])
    if not math.isfinite(value):
        return []
    _, other, _ = _curve([known(m, null) for m in found])
    truth = _at(feature.planted, steps) if feature.is_step else feature.planted
    planted = _planted(steps)
    cases = (
        ("negative", null, other),
        ("positive", f"planted at {truth:.4g}", planted),
    )
    controls = [
        Control(kind=kind, name=name, value=v)  # type: ignore[arg-type]
        for kind, name, curve in cases
        if math.isfinite(v := float(feature.of(curve[None], steps, curve[None])[0]))
    ]
    if feature is DECAY:  # the largest of noisy values is too large by itself
        level = values[-1] + errors * noise
        flat = feature.of(level, steps, level)
        low, high = interval(flat)
        controls.append(
            Control(kind="negative", name="noise alone, no decay", value=float(flat.nanmedian()), interval=(low, high))
        )
    return [
        Measurement(
            instrument=found[0].instrument,
            quantity=f"{feature.name}, {found[0].quantity}",
            value=value,
            interval=interval(feature.of(values + errors * noise, steps, values[None])),
            n=found[0].n,
            unit="step" if feature.is_step else "1" if feature is DECAY else found[0].unit,
            coordinates=_common(found),
            controls=tuple(controls),
        )
    ]


def plateau(of: Where, null: str) -> Derived:
    """The last step of the plateau: up to there, every interval overlaps that of the null. Nothing where the first does not."""
    return Derived(words=f"{PLATEAU} of {of}", of=lambda found: flat(of.among(found), null), uses=(of,))


def flat(found: Sequence[Measurement], null: str) -> list[Measurement]:
    """The plateau of one network's curve: see `plateau`."""
    if len(found) < 3:
        return []
    steps, values, errors = _curve(found)
    _, other, spread = _curve([known(m, null) for m in found])
    last = _plateau(values, errors, other, spread, steps)
    planted = _plateau(_planted(steps), errors, torch.zeros_like(other), spread, steps)
    if math.isnan(last):
        return []
    known_at = f"planted at {_at(KNOTS[1][0], steps):.4g}"
    return [
        Measurement(
            instrument=found[0].instrument,
            quantity=f"{PLATEAU}, {found[0].quantity}",
            value=last,
            interval=None,
            n=found[0].n,
            unit="step",
            coordinates=_common(found),
            controls=() if math.isnan(planted) else (Control(kind="positive", name=known_at, value=planted),),
        )
    ]


def _plateau(values: Tensor, errors: Tensor, other: Tensor, spread: Tensor, steps: Steps) -> float:
    inside = ((values - other).abs() <= WIDE / 2 * (errors + spread)).long().cumprod(0)
    count = int(inside.sum())
    return float(steps[count - 1]) if count else math.nan


def together(words: str, a: Where, b: Where, *, seed: int = 0) -> Derived:
    """Spearman's correlation of two quantities over the steps of one network."""
    return Derived(
        words=words, of=lambda found: correlated(words, a.among(found), b.among(found), seed=seed), uses=(a, b)
    )


def correlated(words: str, a: Sequence[Measurement], b: Sequence[Measurement], *, seed: int = 0) -> list[Measurement]:
    """The correlation over the steps that both have, beside what shuffled steps and equal curves give."""
    at = {m.coordinates["step"]: m for m in b}
    a = [m for m in a if m.coordinates["step"] in at]
    if len(a) < 4:
        return []
    _, x, of_x = _curve(a)
    _, y, of_y = _curve([at[m.coordinates["step"]] for m in a])
    rng = generator(seed, "trajectories/together")
    draws = [
        v + e * torch.randn(REPEATS, len(v), dtype=torch.float64, generator=rng) for v, e in ((x, of_x), (y, of_y))
    ]
    order = torch.rand(REPEATS, len(y), generator=rng).argsort(1)
    shuffled = rank_correlation(x.expand(REPEATS, -1).contiguous(), y[order])
    return [
        Measurement(
            instrument=a[0].instrument,
            quantity=words,
            value=float(rank_correlation(x[None], y[None])[0]),
            interval=interval(rank_correlation(*draws)),
            n=len(a),
            coordinates=_common(a),
            controls=(
                Control(
                    kind="positive", name="a curve with itself", value=float(rank_correlation(x[None], x[None])[0])
                ),
                Control(
                    kind="negative",
                    name="shuffled steps",
                    value=float(shuffled.mean()),
                    interval=interval(shuffled),
                ),
            ),
        )
    ]


def at_peak(of: Where, by: Where) -> Derived:
    """One quantity at the step at which another of the same network is largest."""

    def among(found: Sequence[Measurement]) -> list[Measurement]:
        curve = by.among(found)
        step = max(curve, key=lambda m: m.value).coordinates["step"] if curve else None
        return [m for m in of.among(found) if m.coordinates["step"] == step]

    return Derived(words=f"{of}, at the peak of {by}", of=among, uses=(of, by))


def at_end(of: Where) -> Derived:
    """A quantity at the last step at which it was measured."""

    def among(found: Sequence[Measurement]) -> list[Measurement]:
        curve = of.among(found)
        last = max((int(m.coordinates["step"]) for m in curve), default=0)  # type: ignore[arg-type]
        return [m for m in curve if m.coordinates["step"] == last]

    return Derived(words=f"{of}, at the end", of=among, uses=(of,))


def _curve(found: Sequence[Measurement]) -> tuple[Steps, Tensor, Tensor]:
    """Steps (the untrained network's, 0, as 1), values and standard errors, in the order of the steps."""
    ordered = sorted(found, key=lambda m: int(m.coordinates["step"]))  # type: ignore[arg-type]
    steps = torch.tensor([max(1, int(m.coordinates["step"])) for m in ordered], dtype=torch.float64)  # type: ignore[arg-type]
    ends = [m.interval or (m.value, m.value) for m in ordered]
    values = torch.tensor([m.value for m in ordered], dtype=torch.float64)
    return steps, values, torch.tensor([(high - low) / WIDE for low, high in ends], dtype=torch.float64)


def _at(share: float, steps: Steps) -> float:
    first, last = steps[[0, -1]].log().tolist()
    return math.exp(first + share * (last - first))


def _planted(steps: Steps) -> Tensor:
    """The planted curve at these steps, a broken line through `KNOTS`."""
    logs = steps.log()
    along = (logs - logs[0]) / (logs[-1] - logs[0])
    made = torch.zeros_like(along)
    for (left, low), (right, high) in itertools.pairwise(KNOTS):
        inside = (along >= left) & (along <= right)
        made = torch.where(inside, low + (along - left) / (right - left) * (high - low), made)
    return made


def _common(found: Sequence[Measurement]) -> dict[str, Scalar]:
    first = found[0].coordinates
    return {k: v for k, v in first.items() if k != "step" and all(m.coordinates.get(k) == v for m in found)}
