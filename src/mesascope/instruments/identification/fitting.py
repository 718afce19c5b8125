"""Fit a family to a subject's path: coefficients, steps per layer, and where it starts."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mesascope.instruments.identification.families import Family
from mesascope.instruments.identification.mixing import Products, coefficients, mixture
from mesascope.instruments.identification.refining import levenberg_marquardt, saturating
from mesascope.instruments.identification.runner import Runner
from mesascope.instruments.statistics.discrepancy import CLIP, discrepancy, units

STRIDES = (Fraction(1, 4), Fraction(1, 3), Fraction(1, 2), Fraction(1), Fraction(2), Fraction(3))
OFFSETS = (0, 1, 2)
GRID = {1: 48, 2: 16}
"""Grid points per coefficient, by the number of coefficients, where all are run at once."""
STARTS = 8
"""Local minima of the grid to refine besides the best point of every timing: the losses of an accelerated method have many
valleys."""
SLOW_GRID, SLOW_STARTS = {1: 24, 2: 8}, 0
"""The same for families that run one at a time: closed forms, of one valley each."""
SKETCH, ROUGH, FINE, SLOW_FINE = (2, 8), (8, 2), (40, 1), (10, 1)
"""Iterations of a refinement, and how many of the results go on to the next (the last is shorter where families run slowly).
Between two grid points the right number of steps easily looks worse than a wrong one, since a step size and a number of steps
nearly trade off: so two iterations rank better."""
NEAR, LITTLE = 2, 1e-3
"""How far a neighbour in the number of steps may be, and by what share it must be better."""
Start = tuple[tuple[int, ...], Sequence[float]]
"""Steps of each layer, and coefficients."""
CHUNK = 4
"""Points whose losses are computed at a time: few enough for a cache, enough to outweigh the calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Which step of an algorithm a layer is compared with: ⌊stride · (m − offset)⌋ after the m-th layer that is not idle."""

    stride: Fraction
    offset: int
    idle: tuple[int, ...] = ()

    def steps(self, layers: int) -> list[int]:
        """The step after each layer."""
        moves = itertools.accumulate(layer not in self.idle for layer in range(1, layers + 1))
        return [max(0, int(self.stride * (moved - self.offset))) for moved in moves]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A family member that was fitted: coefficients and the step compared with each layer."""

    family: Family
    values: tuple[float, ...]
    steps: tuple[int, ...]
    timing: Timing | None
    loss: float

    def answers(self, runner: Runner) -> Float[Tensor, "layer batch query"]:
        """What it answers after each layer."""
        return runner.path(self.family, self.values, self.steps)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Aim:
    """What is to be fitted, on some prompts.

    Attributes:
        runner: the prompts.
        subject: its answers there.
        units: what squared errors are divided by.
        gains: whether every layer but the last was read by a fitted readout (see `mixture`).
    """

    runner: Runner
    subject: Float[Tensor, "layer batch query"]
    units: Float[Tensor, "layer batch"]
    gains: bool

    @classmethod
    def of(cls, runner: Runner, subject: Float[Tensor, "layer batch query"], gains: bool) -> "Aim":
        """With the usual units."""
        return cls(runner=runner, subject=subject, units=units(subject, runner.prompts.target_variance), gains=gains)

    @property
    def few(self) -> "Aim":
        """The same on the first of the prompts."""
        few = self.runner.few
        return Aim(
            runner=few,
            subject=self.subject[:, : len(few.prompts)],
            units=self.units[:, : len(few.prompts)],
            gains=self.gains,
        )


def timings(layers: int, idle: Sequence[int] = ()) -> list[Timing]:
    """The strides and offsets worth telling apart for this many layers.

    Args:
        layers: how many.
        idle: layers, from 1, that leave the answer as it is: besides the usual timings there are those that pass over them.
    """
    found: dict[tuple[int, ...], Timing] = {}
    for rests in dict.fromkeys(((), tuple(idle))):
        for stride, offset in itertools.product((Fraction(1), *STRIDES), OFFSETS):
            timing = Timing(stride=stride, offset=offset, idle=rests)
            if any(steps := timing.steps(layers)):
                found.setdefault(tuple(steps), timing)
    return list(found.values())


def fit_path(
    family: Family,
    runner: Runner,
    subject: Float[Tensor, "layer batch query"],
    *,
    gains: bool,
    idle: Sequence[int] = (),
    smaller: Sequence[Fit] = (),
) -> Fit:
    """The member of the family that describes the subject's path best, over coefficients and timings.

    Args:
        family: the candidate.
        runner: the prompts.
        subject: its path on them.
        gains: whether every layer but the last was read by a fitted readout (see `mixture`).
        idle: layers, from 1, that do nothing.
        smaller: fits of other families; from those that this one contains the search starts too, so that it never ends
            below them.
    """
    options = {tuple(timing.steps(len(subject))): timing for timing in timings(len(subject), idle)}
    fit = _fit(family, Aim.of(runner, subject, gains), list(options), smaller)
    return Fit(family=family, values=fit.values, steps=fit.steps, timing=options[fit.steps], loss=fit.loss)


def fit_function(
    family: Family,
    runner: Runner,
    subject: Float[Tensor, "1 batch query"],
    *,
    most_steps: int,
    smaller: Sequence[Fit] = (),
) -> Fit:
    """The member that describes the last layer best, over coefficients and the number of steps."""
    options = [(k,) for k in range(1, (most_steps if family.iterative else 1) + 1)]
    aim = Aim.of(runner, subject, gains=False)
    best = _fit(family, aim, options, smaller)
    while (
        family.coefficients and family.iterative
    ):  # from there to its neighbours in the number of steps, as long as that helps
        around = [(k,) for k in range(best.steps[0] - NEAR, best.steps[0] + NEAR + 1) if (k,) in options]
        rough = _refined(family, aim.few, [(k, best.values) for k in around if k != best.steps], ROUGH[0])
        near = min(rough, key=lambda fit: fit.loss)
        [near] = _refined(family, aim, [(near.steps, near.values)], FINE[0])
        if not near.loss < best.loss * (1 - LITTLE):
            break
        best = near
    return best


def fit_multiple(fit: Fit, aim: Aim) -> tuple[Fit, float]:
    """The member that describes the subject best if its answers may be multiplied by one number, and that number.

    The number is the same for all layers; where readouts were fitted, it applies to the last one, the others having gains.
    """
    [found] = _refined(fit.family, aim, [(fit.steps, fit.values)], FINE[0], multiple=True)
    path = found.answers(aim.runner)
    if aim.gains:
        return found, float(_factor(aim.subject[-1:], path[-1:], aim.units[-1:]))
    return found, float(_factor(aim.subject, path, aim.units))


def _factor(
    subject: Float[Tensor, "layer batch query"],
    path: Float[Tensor, "*point layer batch query"],
    units: Float[Tensor, "layer batch"],
) -> Float[Tensor, "*point"]:
    """The best number to multiply a path by."""
    weighted = path / units[..., None]
    across, own = (
        torch.nan_to_num(weighted * other, posinf=0, neginf=0).sum((-1, -2, -3)) for other in (subject, path)
    )
    return torch.where(own > 0, across / own.clamp(min=1e-300), torch.ones_like(own))


def _fit(family: Family, aim: Aim, options: list[tuple[int, ...]], smaller: Sequence[Fit]) -> Fit:
    """A grid over the coefficients finds promising points and timings; those are refined, fewer and fewer of them, at last on all
    prompts.
    """
    if not family.coefficients:
        table = option_losses(aim.runner.grid(family, [()], _most(options)), aim, options)[0]
        best = int(table.argmin())
        return Fit(family=family, values=(), steps=options[best], timing=None, loss=float(table[best]))
    few = aim.few
    begin = _promising(family, few, options)
    begin += [
        (fit.steps, family.contains[fit.family.name](*fit.values))
        for fit in smaller
        if fit.family.name in family.contains and fit.steps in options
    ]
    for prompts, iterations, count in ((few, *SKETCH), (few, *ROUGH), (aim, *(FINE if family.filter else SLOW_FINE))):
        fits = sorted(_refined(family, prompts, begin, iterations), key=lambda fit: fit.loss)[:count]
        begin = [(fit.steps, fit.values) for fit in fits]
    return fits[0]


def _promising(family: Family, aim: Aim, options: list[tuple[int, ...]]) -> list[Start]:
    """For every option its best point on a grid over the coefficients; besides, the lowest of the other local minima."""
    slow = family.filter is None
    per_side = (SLOW_GRID if slow else GRID)[len(family.coefficients)]
    sides = [c.grid(per_side) for c in aim.runner.coefficients(family)]
    points = list(itertools.product(*sides))
    table = torch.cat(
        [option_losses(part, aim, options) for part in aim.runner.grid(family, points, _most(options)).split(CHUNK)]
    )  # (point, option)
    lowest = table.argmin(0)
    further = _is_lowest(table.reshape(*(per_side for _ in sides), -1), len(sides)).reshape(table.shape)
    further[lowest, torch.arange(len(options))] = False
    ranked = torch.where(further, table, torch.inf).flatten()
    chosen = [
        i for i in ranked.argsort(stable=True)[: SLOW_STARTS if slow else STARTS].tolist() if ranked[i] < torch.inf
    ]
    return [(option, points[i]) for option, i in zip(options, lowest.tolist(), strict=True)] + [
        (options[i % len(options)], points[i // len(options)]) for i in chosen
    ]


def _is_lowest(values: Float[Tensor, "*point option"], sides: int) -> Bool[Tensor, "*point option"]:
    """Where no neighbour on the grid is lower."""
    pool = torch.nn.functional.max_pool1d if sides == 1 else torch.nn.functional.max_pool2d
    first = values.movedim(-1, 0)[:, None]
    return (first <= -pool(-first, 3, stride=1, padding=1))[:, 0].movedim(0, -1)


def option_losses(
    predictions: Float[Tensor, "point step batch query"], aim: Aim, options: list[tuple[int, ...]]
) -> Float[Tensor, "point option"]:
    """Σ_ℓ mean_p min(D_p, 4) of each option at each point, from one table of all steps against all layers."""
    queries = aim.subject.shape[-1]
    weight = (1 / (aim.units * queries)).T[:, None]  # (batch, 1, layer)
    a, y = predictions.transpose(1, 2), aim.subject.transpose(0, 1)  # (…batch, step | layer, query)
    across, own = (a @ y.mT) * weight, a.square().sum(-1)[..., None] * weight
    size = y.square().sum(-1)[:, None] * weight
    if aim.gains:
        t = aim.runner.prompts.targets[:, None]
        target = (a * t).sum(-1)[..., None] * weight
        before = [torch.nn.functional.pad(term[:, :, :-1], (0, 0, 1, 0)) for term in (a, across, own, target)]
        both = (a * before[0]).sum(-1)[..., None] * weight
        whole = (t.square().sum(-1)[..., None] * weight).expand_as(own)

        def total(term: Tensor) -> Tensor:
            return term.nan_to_num(posinf=0, neginf=0).sum(1)

        now, then = coefficients(
            Products(
                now_now=total(own),
                then_then=total(before[2]),
                now_then=total(both),
                now_subject=total(across),
                then_subject=total(before[1]),
                now_target=total(target),
                then_target=total(before[3]),
                target_target=total(whole),
            )
        )
        now, then = now[:, None], then[:, None]
        across, own = (
            now * across + then * before[1],
            now.square() * own + then.square() * before[2] + 2 * now * then * both,
        )
    table = torch.nan_to_num(size - 2 * across + own, nan=CLIP, posinf=CLIP, neginf=CLIP).clamp(0, CLIP).mean(1)
    return table[:, torch.tensor(options), torch.arange(len(aim.subject))].sum(-1)


def _most(options: list[tuple[int, ...]]) -> int:
    return max(max(option) for option in options)


def _refined(
    family: Family,
    aim: Aim,
    begin: Sequence[Start],
    iterations: int,
    *,
    multiple: bool = False,
) -> list[Fit]:
    """Least squares over the coefficients from each start: a grid alone would call an off-grid step size *none*.

    All starts go together, since one run of a few steps on a few prompts is mostly overhead. ``multiple`` lets each
    path be multiplied by its best factor (see `fit_multiple`).
    """
    box = aim.runner.coefficients(family)
    steps = torch.tensor([timing for timing, _ in begin])

    def decode(unit: Sequence[float]) -> tuple[float, ...]:
        return tuple(c.decode(u) for c, u in zip(box, unit, strict=True))

    def paths(
        which: Int[Tensor, " start"], points: Float[Tensor, "start point coefficient"]
    ) -> Float[Tensor, "start point layer batch query"]:
        values = [decode(u) for u in points.flatten(0, 1).tolist()]
        index = steps[which].repeat_interleave(points.shape[1], 0)
        if not aim.gains:
            path = aim.runner.at(family, values, index).unflatten(0, points.shape[:2])
            return path * _factor(aim.subject, path, aim.units)[..., None, None, None] if multiple else path
        found = aim.runner.at(family, values, torch.cat([index, (index - 1).clamp(min=0)], 1))  # step 0 is zero anyhow
        now, then = found.unflatten(0, points.shape[:2]).chunk(2, 2)
        path = mixture(aim.subject, now, then, aim.runner.prompts.targets, aim.units)(now, then)
        if multiple:
            last = path[:, :, -1:]
            factor = _factor(aim.subject[-1:], last, aim.units[-1:])[..., None, None, None]
            path = torch.cat([path[:, :, :-1], factor * last], 2)
        return path

    def residuals(
        which: Int[Tensor, " start"], points: Float[Tensor, "start point coefficient"]
    ) -> Float[Tensor, "start point value"]:
        return saturating(aim.subject - paths(which, points), aim.units, CLIP)

    encoded = [[c.encode(v) for c, v in zip(box, values, strict=True)] for _, values in begin]
    first = torch.tensor(encoded, dtype=torch.float64)
    points = torch.stack([levenberg_marquardt(residuals, first, iterations=iterations), first], 1)
    everything = paths(torch.arange(len(begin)), points)
    losses = discrepancy(aim.subject.expand_as(everything), everything, aim.units).sum(2).mean(-1)
    best = losses.argmin(1).tolist()
    return [
        Fit(family=family, values=decode(points[i, b].tolist()), steps=timing, timing=None, loss=float(losses[i, b]))
        for i, (b, (timing, _)) in enumerate(zip(best, begin, strict=True))
    ]
