"""Fit a family with a fixed number of coefficients: the coefficients, and which of some steps after each layer."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mesascope.instruments.identification.decoding import Projection
from mesascope.instruments.identification.families import Family
from mesascope.instruments.identification.refining import levenberg_marquardt, saturating
from mesascope.instruments.identification.runner import Runner
from mesascope.instruments.statistics.discrepancy import CLIP, discrepancy, units

STRIDES = (Fraction(1, 4), Fraction(1, 3), Fraction(1, 2), Fraction(1), Fraction(2), Fraction(3))
OFFSETS = (0, 1, 2)
EARLY = tuple((stride, 1 - 1 / stride) for stride in STRIDES if stride < 1)
"""Strides below 1 with the offsets that let the first of the layers of each step take it, not the last."""
GRID = {1: 48, 2: 16}
"""Grid points per coefficient, by the number of coefficients, for families whose members all run at once."""
STARTS = 8
"""The number of local minima on the grid that are refined besides the best point of every timing: the loss of an accelerated
method has many."""
SLOW_GRID, SLOW_STARTS = {1: 24, 2: 8}, 0
"""The same for families whose members run one at a time: closed forms, whose loss has one minimum."""
SKETCH, ROUGH, FINE, SLOW_FINE = (2, 8), (8, 2), (40, 1), (10, 1)
"""For each refinement, the number of iterations and of the results that go on to the next; `SLOW_FINE` replaces `FINE` for
closed forms. A step size and a number of steps can nearly replace each other, so between two grid points the right number of
steps easily looks worse than a wrong one; two iterations (`SKETCH`) already rank them better."""
SKETCH_READ, ROUGH_READ = (3, 12), (8, 3)
"""The same where readouts are fitted: sizes then say nothing, and more timings look alike."""
ROUNDING = 1e-12
"""A difference between two losses that is rounding."""
NEAR, LITTLE = 2, 1e-3
"""How far a neighbouring number of steps may be, and by which share of the loss it must be better."""
Start = tuple[tuple[int, ...], Sequence[float]]
"""The steps at each layer, and the coefficients, from which a refinement starts."""
CHUNK = 4
"""The number of points whose losses are computed at a time: few enough for the cache, enough to outweigh the cost of a call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The step of an algorithm that each layer is compared with: ⌊stride · (m − offset)⌋ after the m-th layer that is not idle.

    Attributes:
        stride: steps per layer.
        offset: the number of layers before the first step; below 0 if the first of several layers takes each step.
        idle: the layers, counted from 1, that take no step.
    """

    stride: Fraction
    offset: int | Fraction
    idle: tuple[int, ...] = ()

    def steps(self, layers: int) -> list[int]:
        """The step after each layer."""
        moves = itertools.accumulate(layer not in self.idle for layer in range(1, layers + 1))
        return [max(0, int(self.stride * (moved - self.offset))) for moved in moves]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A fitted member of a family.

    Attributes:
        family: the family.
        values: the coefficients.
        steps: the number of steps after each layer.
        timing: the timing that gives these steps; ``None`` for the question of the function.
        loss: the sum over layers of the mean discrepancy.
    """

    family: Family
    values: tuple[float, ...]
    steps: tuple[int, ...]
    timing: Timing | None
    loss: float

    @property
    def coefficients(self) -> dict[str, float]:
        """The coefficients by their names in results."""
        if self.family.told is not None:
            return self.family.told(self.values)
        return {c.words: value for c, value in zip(self.family.numbers(self.steps, 0), self.values, strict=True)}

    def answers(self, runner: Runner) -> Float[Tensor, "layer batch query"]:
        """The member's answers after each layer."""
        return runner.path(self.family, self.values, self.steps)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Aim:
    """The subject's answers to which candidates are fitted, on some prompts.

    Attributes:
        runner: the prompts.
        subject: the subject's answers to them.
        units: the divisors of squared errors.
        projection: where the layers but the last are read by readouts that are fitted to each candidate, what these read; else
            None.
    """

    runner: Runner
    subject: Float[Tensor, "layer batch query"]
    units: Float[Tensor, "layer batch"]
    projection: Projection | None = None

    @classmethod
    def of(
        cls, runner: Runner, subject: Float[Tensor, "layer batch query"], projection: Projection | None = None
    ) -> "Aim":
        """The aim with the units of `discrepancy.units`; where readouts are fitted, the last layer's."""
        shown = subject if projection is None else subject[-1:]
        unit = units(shown, runner.prompts.target_variance).expand(len(subject), -1)
        return cls(runner=runner, subject=subject, units=unit, projection=projection)

    def few(self, family: Family) -> "Aim":
        """The same on the first prompts only, for a coarse search in a family."""
        few = None if self.projection is None else self.projection.some
        own = self.runner.fewer if family.examples else self.runner.few
        runner = own if few is None else few.sight.runner
        return Aim(
            runner=runner,
            subject=self.subject[:, : len(runner.prompts)],
            units=self.units[:, : len(runner.prompts)],
            projection=few,
        )

    def residuals(
        self, path: Float[Tensor, "*any layer batch query"], steps: Int[Tensor, "*any layer"]
    ) -> tuple[Float[Tensor, "*any value"], Float[Tensor, " value"]]:
        """Numbers whose squares, each times its sign, sum to the prompts' errors (see `saturating`); and the signs."""
        found = saturating(self.subject[self.sized] - path[..., self.sized, :, :], self.units[self.sized], CLIP)
        signs = torch.ones(found.shape[-1], dtype=found.dtype)
        if self.projection is None:
            return found, signs
        middle, others = self.projection.residuals(path, steps)
        return torch.cat([found, middle], -1), torch.cat([signs, others])

    def loss(
        self, path: Float[Tensor, "*any layer batch query"], steps: Int[Tensor, "*any layer"]
    ) -> Float[Tensor, "*any"]:
        """The sum over layers of the mean error of a path."""
        whole = path[..., self.sized, :, :]
        found = discrepancy(self.subject[self.sized].expand_as(whole), whole, self.units[self.sized]).sum(-2).mean(-1)
        if self.projection is None:
            return found
        middle, signs = self.projection.residuals(path, steps)
        return found + middle.square() @ signs / path.shape[-2]

    @property
    def sized(self) -> slice:
        """The layers whose answers have a scale: the last only, where readouts are fitted."""
        return slice(0 if self.projection is None else len(self.subject) - 1, None)

    def factor(self, path: Float[Tensor, "*any layer batch query"]) -> Float[Tensor, "*any"]:
        """The factor by which a path comes closest to the subject, over the layers that have a scale."""
        subject, path, unit = self.subject[self.sized], path[..., self.sized, :, :], self.units[self.sized]
        weighted = path / unit[..., None]
        across, own = (
            torch.nan_to_num(weighted * other, posinf=0, neginf=0).sum((-1, -2, -3)) for other in (subject, path)
        )
        return torch.where(own > 0, across / own.clamp(min=1e-300), torch.ones_like(own))


def timings(layers: int, idle: Sequence[int] = ()) -> list[Timing]:
    """All timings with different steps for this many layers.

    Args:
        layers: the number of layers.
        idle: the layers, counted from 1, that leave the answer unchanged; timings that skip these layers are added.
    """
    found: dict[tuple[int, ...], Timing] = {}
    for rests in dict.fromkeys(((), tuple(idle), tuple(layer for layer in idle if layer != layers))):
        for stride, offset in (*itertools.product((Fraction(1), *STRIDES), OFFSETS), *EARLY):
            timing = Timing(stride=stride, offset=offset, idle=rests)
            if any(steps := timing.steps(layers)):
                found.setdefault(tuple(steps), timing)
    return list(found.values())


def fit_function(
    family: Family,
    runner: Runner,
    subject: Float[Tensor, "1 batch query"],
    *,
    most_steps: int,
    smaller: Sequence[Fit] = (),
) -> Fit:
    """The member that describes the last layer best, over coefficients and the number of steps (up to ``most_steps``)."""
    most = min(most_steps, family.longest or most_steps)
    options = [(k,) for k in range(1, (most if family.counted else 1) + 1)]
    aim = Aim.of(runner, subject)
    best = fit_options(family, aim, options, smaller)
    while (
        family.coefficients and family.counted
    ):  # from there to its neighbours in the number of steps, as long as that helps
        around = [(k,) for k in range(best.steps[0] - NEAR, best.steps[0] + NEAR + 1) if (k,) in options]
        rough = refined(family, aim.few(family), [(k, best.values) for k in around if k != best.steps], ROUGH[0])
        near = min(rough, key=lambda fit: fit.loss)
        [near] = refined(family, aim, [(near.steps, near.values)], FINE[0])
        if not near.loss < best.loss * (1 - LITTLE):
            break
        best = near
    return best


def refine(family: Family, aim: Aim, steps: tuple[int, ...], values: Sequence[float]) -> Fit:
    """The member with these steps that describes the subject best, found from these coefficients."""
    return refined(family, aim, [(steps, values)], FINE[0])[0]


def fit_multiple(fit: Fit, aim: Aim, steps: tuple[int, ...]) -> tuple[Fit, float]:
    """The member that describes the subject best if its answers may be multiplied by one factor, and that factor.

    The factor is the same for all layers; where readouts are fitted it applies to the last layer only, since these have any
    scale.

    Args:
        fit: the member that describes it best without a factor.
        aim: the subject.
        steps: other steps after each layer that are tried too: without the factor another timing can seem better.
    """
    begin = [
        (timing, fit.values) for timing in dict.fromkeys((fit.steps, steps if fit.family.iterative else fit.steps))
    ]
    found = min(refined(fit.family, aim, begin, FINE[0], multiple=True), key=lambda each: each.loss)
    return found, float(aim.factor(found.answers(aim.runner)))


def fit_options(family: Family, aim: Aim, options: list[tuple[int, ...]], smaller: Sequence[Fit]) -> Fit:
    """The best member over coefficients and options of steps.

    A grid over the coefficients finds promising points and options. These are refined in several rounds, with fewer in each
    round and on all prompts in the last.
    """
    if not family.coefficients:
        path = aim.runner.grid(family, [()], _most(options))
        table = option_losses(path, aim, options)[0]
        if aim.projection is not None:  # exactly, since there is only one member
            steps = torch.tensor(options)
            table = aim.loss(path[0][steps], steps)
        best = int(table.argmin())
        return Fit(family=family, values=(), steps=options[best], timing=None, loss=float(table[best]))
    few = aim.few(family)
    known: list[Start] = [
        (fit.steps, values)
        for fit in smaller
        if fit.steps in options
        and (values := family.contained(fit.family.name, fit.values, max(fit.steps), few.runner.prompts.dim))
        is not None
    ]
    near: list[Start] = [
        (fit.steps, family.near[fit.family.name](*fit.values))
        for fit in smaller
        if fit.family.name in family.near and fit.steps in options
    ]
    begin = [*_promising(family, few, options), *near, *known]
    sketch, rough = (SKETCH, ROUGH) if aim.projection is None else (SKETCH_READ, ROUGH_READ)
    fine = SLOW_FINE if family.slow and not family.examples else FINE
    for prompts, iterations, count in ((few, *sketch), (few, *rough), (aim, *fine)):
        fits = sorted(refined(family, prompts, begin, iterations), key=lambda fit: fit.loss)[:count]
        begin = [(fit.steps, fit.values) for fit in fits]
    # Of equal fits the smaller family's: others can have other steps, where the iteration is over.
    equal = [fit for fit in refined(family, aim, known, 0) if fit.loss <= fits[0].loss + ROUNDING] if known else []
    return (*equal, fits[0])[0]


def _promising(family: Family, aim: Aim, options: list[tuple[int, ...]]) -> list[Start]:
    """The best point of every option on a grid over the coefficients, and the lowest of the other local minima."""
    slow = family.slow
    per_side = (SLOW_GRID if slow else GRID)[len(family.coefficients)]
    sides = [c.grid(per_side * c.density) for c in aim.runner.coefficients(family)]
    points = list(itertools.product(*sides))
    table = torch.cat(
        [option_losses(part, aim, options) for part in aim.runner.grid(family, points, _most(options)).split(CHUNK)]
    )  # (point, option)
    lowest = table.argmin(0)
    further = _is_lowest(table.reshape(*(len(side) for side in sides), -1), len(sides)).reshape(table.shape)
    further[lowest, torch.arange(len(options))] = False
    ranked = torch.where(further, table, torch.inf).flatten()
    chosen = [
        i for i in ranked.argsort(stable=True)[: SLOW_STARTS if slow else STARTS].tolist() if ranked[i] < torch.inf
    ]
    return [(option, points[i]) for option, i in zip(options, lowest.tolist(), strict=True)] + [
        (options[i % len(options)], points[i // len(options)]) for i in chosen
    ]


def _is_lowest(values: Float[Tensor, "*point option"], sides: int) -> Bool[Tensor, "*point option"]:
    """The points of which no neighbour on the grid is lower."""
    pool = torch.nn.functional.max_pool1d if sides == 1 else torch.nn.functional.max_pool2d
    first = values.movedim(-1, 0)[:, None]
    return (first <= -pool(-first, 3, stride=1, padding=1))[:, 0].movedim(0, -1)


def option_losses(
    predictions: Float[Tensor, "point step batch query"], aim: Aim, options: list[tuple[int, ...]]
) -> Float[Tensor, "point option"]:
    """Σ_ℓ mean_p min(D_p, 4) for each option at each point, from one table of every step with every layer."""
    queries = aim.subject.shape[-1]
    weight = (1 / (aim.units[aim.sized] * queries)).T[:, None]  # (batch, 1, layer)
    a, y = predictions.transpose(1, 2), aim.subject[aim.sized].transpose(0, 1)  # (…batch, step | layer, query)
    across, own = (a @ y.mT) * weight, a.square().sum(-1)[..., None] * weight
    size = y.square().sum(-1)[:, None] * weight
    table = torch.nan_to_num(size - 2 * across + own, nan=CLIP, posinf=CLIP, neginf=CLIP).clamp(0, CLIP).mean(1)
    if aim.projection is not None:
        table = torch.cat([aim.projection.losses(predictions), table], -1)
    return table[:, torch.tensor(options), torch.arange(len(aim.subject))].sum(-1)


def _most(options: list[tuple[int, ...]]) -> int:
    return max(max(option) for option in options)


def refined(
    family: Family,
    aim: Aim,
    begin: Sequence[Start],
    iterations: int,
    *,
    multiple: bool = False,
) -> list[Fit]:
    """The members found by least squares over the coefficients from each start.

    Without this, a subject whose step size lies between two grid points would be labelled *none*. All starts are refined
    together, since one run of a few steps on a few prompts is mostly overhead. With ``multiple``, each path may be multiplied
    by its best factor (see `fit_multiple`).
    """
    box = aim.runner.coefficients(family, begin[0][0])  # of a variable family, all starts have the same steps
    steps = torch.tensor([timing for timing, _ in begin])

    def decode(unit: Sequence[float]) -> tuple[float, ...]:
        return tuple(c.decode(u) for c, u in zip(box, unit, strict=True))

    def paths(
        which: Int[Tensor, " start"], points: Float[Tensor, "start point coefficient"]
    ) -> tuple[Float[Tensor, "start point layer batch query"], Int[Tensor, "start point layer"]]:
        values = [decode(u) for u in points.flatten(0, 1).tolist()]
        index = steps[which].repeat_interleave(points.shape[1], 0)
        path, index = (each.unflatten(0, points.shape[:2]) for each in (aim.runner.at(family, values, index), index))
        if multiple:
            factor = aim.factor(path)[..., None, None, None]
            path = torch.cat([path[:, :, : aim.sized.start], factor * path[:, :, aim.sized]], 2)
        return path, index

    def residuals(
        which: Int[Tensor, " start"], points: Float[Tensor, "start point coefficient"]
    ) -> tuple[Float[Tensor, "start point value"], Float[Tensor, " value"]]:
        return aim.residuals(*paths(which, points))

    encoded = [[c.encode(v) for c, v in zip(box, values, strict=True)] for _, values in begin]
    first = torch.tensor(encoded, dtype=torch.float64)
    points = torch.stack([levenberg_marquardt(residuals, first, iterations=iterations), first], 1)
    losses = aim.loss(*paths(torch.arange(len(begin)), points))
    best = losses.argmin(1).tolist()
    return [
        Fit(family=family, values=decode(points[i, b].tolist()), steps=timing, timing=None, loss=float(losses[i, b]))
        for i, (b, (timing, _)) in enumerate(zip(best, begin, strict=True))
    ]
