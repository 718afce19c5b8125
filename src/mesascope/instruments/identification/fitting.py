"""Fit a family to a subject's path: coefficients, steps per layer, and where it starts."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mesascope.algorithms import Problem, run
from mesascope.instruments.channels import SpectralChannels, response
from mesascope.instruments.identification.families import Family
from mesascope.instruments.identification.scoring import CLIP, discrepancy
from mesascope.types import Prompts

STRIDES = (Fraction(1, 4), Fraction(1, 3), Fraction(1, 2), Fraction(1), Fraction(2), Fraction(3))
OFFSETS = (0, 1, 2)
GRID = {1: 48, 2: 12}
"""Grid points per coefficient, by the number of coefficients, where all are run at once."""
SLOW_GRID = {1: 24, 2: 8}
"""The same for families that run one at a time."""
FEW = 96
"""Prompts that the grid looks at; the refinement looks at all."""
REFINED = 8
"""Timings (or numbers of steps) that are refined: the grid's best may well be overtaken, since a step size and a number
of steps nearly trade off."""
ROUGH, FINE = 6, 14
"""Iterations of the refinement on few prompts, and of the last one on all."""
CHUNK = 4
"""Points whose losses are computed at a time: few enough for a cache, enough to outweigh the calls."""
WORST = 1e3


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Which step of an algorithm a layer is compared with: ⌊stride · (ℓ − offset)⌋ after layer ℓ = 1, 2, …, or one step."""

    stride: Fraction
    offset: int

    def steps(self, layers: int) -> list[int]:
        """The step after each layer."""
        return [max(0, int(self.stride * (layer - self.offset))) for layer in range(1, layers + 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A family member that was fitted: coefficients and the step compared with each layer."""

    family: Family
    values: tuple[float, ...]
    steps: tuple[int, ...]
    timing: Timing | None
    loss: float


class Runner:
    """Predictions of any family member on one set of prompts, made as cheaply as the family allows."""

    def __init__(self, prompts: Prompts) -> None:
        self.prompts = prompts
        self.problem = Problem.of(prompts)
        self.channels = SpectralChannels.of(prompts)
        self._grids: dict[tuple[str, int], Tensor] = {}

    @cached_property
    def few(self) -> "Runner":
        """The first of the prompts, for a coarse look."""
        return Runner(self.prompts[:FEW])

    @cached_property
    def scaled_channels(self) -> SpectralChannels:
        """The channels of the inputs divided by their root mean squares; gradient descent there is Jacobi's."""
        prompts = self.prompts
        scale = prompts.xs.square().mean(1, keepdim=True).rsqrt()
        return SpectralChannels.of(replace(prompts, xs=prompts.xs * scale, queries=prompts.queries * scale))

    def predictions(self, family: Family, values: Sequence[float], steps: int) -> Float[Tensor, "step batch query"]:
        """Every iterate's answers, 0 … steps."""
        return self.many(family, [values], steps)[0]

    def path(self, fit: Fit) -> Float[Tensor, "layer batch query"]:
        """What a fitted member answers after each layer."""
        steps = torch.tensor(fit.steps)
        return self.predictions(fit.family, fit.values, int(steps.max()))[steps]

    def many(
        self, family: Family, values: Sequence[Sequence[float]], steps: int
    ) -> Float[Tensor, "choice step batch query"]:
        """The same for several choices of the coefficients; in one run where the family allows it."""
        if family.filter is None:
            return torch.stack([run(family.algorithm(v), self.problem, steps).predictions for v in values])
        channels = self.scaled_channels if family.scaled else self.channels
        at = channels.eigenvalues.expand(len(values), -1, -1)
        columns = torch.tensor(values, dtype=torch.float64).T[..., None].repeat_interleave(at[0].numel(), 1)
        response_at = response(family.filtering(list(columns)), at, steps)  # (step, choice, batch, dim)
        return channels.predictions(response_at).transpose(0, 1)

    def grid(
        self, family: Family, points: Sequence[Sequence[float]], steps: int
    ) -> Float[Tensor, "point step batch query"]:
        """As `many`, kept: the same points are looked at for every readout of a subject."""
        key = (family.name, steps)
        if key not in self._grids:
            self._grids[key] = self.many(family, points, steps)
        return self._grids[key]


def timings(layers: int) -> list[Timing]:
    """The strides and offsets worth telling apart for this many layers."""
    found: dict[tuple[int, ...], Timing] = {}
    for stride, offset in itertools.product((Fraction(1), *STRIDES), OFFSETS):
        timing = Timing(stride=stride, offset=offset)
        if offset < layers and any(steps := timing.steps(layers)):
            found.setdefault(tuple(steps), timing)
    return list(found.values())


def fit_path(
    family: Family,
    runner: Runner,
    subject: Float[Tensor, "layer batch query"],
    *,
    gains: bool,
    smaller: Sequence[Fit] = (),
) -> Fit:
    """The member of the family that describes the subject's path best, over coefficients and timings.

    Args:
        family: the candidate.
        runner: the prompts.
        subject: its path on them.
        gains: whether every layer but the last was read by a fitted readout (see `mixture`).
        smaller: fits of other families; from those that this one contains the search starts too, so that it never ends
            below them.
    """
    options = timings(len(subject))
    return _fit(family, runner, subject, [tuple(t.steps(len(subject))) for t in options], options, gains, smaller)


def fit_function(
    family: Family, runner: Runner, subject: Float[Tensor, "1 batch query"], *, most_steps: int, gains: bool
) -> Fit:
    """The member that describes the last layer best, over coefficients and the number of steps."""
    steps = [(k,) for k in range(1, most_steps + 1)] if family.iterative else [(1,)]
    return _fit(family, runner, subject, steps, [None] * len(steps), gains)


def _fit(
    family: Family,
    runner: Runner,
    subject: Float[Tensor, "layer batch query"],
    options: list[tuple[int, ...]],
    names: Sequence[Timing | None],
    gains: bool,
    smaller: Sequence[Fit] = (),
) -> Fit:
    """A grid over the coefficients finds the promising options; those are refined continuously."""
    if not family.coefficients:
        [loss] = _option_losses(runner.grid(family, [()], _most(options)), subject, runner, options, gains)
        best = int(loss.argmin())
        return Fit(family=family, values=(), steps=options[best], timing=names[best], loss=float(loss[best]))
    few = runner.few
    some = subject[:, : len(few.prompts)]
    counts = SLOW_GRID if family.filter is None else GRID
    points = list(itertools.product(*(c.grid(counts[len(family.coefficients)]) for c in family.coefficients)))
    table = torch.cat(
        [
            _option_losses(part, some, few, options, gains)
            for part in few.grid(family, points, _most(options)).split(CHUNK)
        ]
    )  # (point, option)
    promising = table.min(0).values.argsort()[:REFINED].tolist()
    starts = [points[i] for i in table[:, promising].argmin(0).tolist()]
    for fit in smaller:
        if fit.family.name in family.contains:
            promising.append(options.index(fit.steps))
            starts.append(family.contains[fit.family.name](*fit.values))
    rough = _refine(family, few, some, [options[o] for o in promising], starts, gains, iterations=ROUGH)
    found = min(range(len(rough)), key=lambda i: rough[i][1])
    best = promising[found]
    [(values, loss)] = _refine(family, runner, subject, [options[best]], [rough[found][0]], gains, iterations=FINE)
    return Fit(family=family, values=values, steps=options[best], timing=names[best], loss=loss)


def _option_losses(
    predictions: Float[Tensor, "point step batch query"],
    subject: Float[Tensor, "layer batch query"],
    runner: Runner,
    options: list[tuple[int, ...]],
    gains: bool,
) -> Float[Tensor, "point option"]:
    """Σ_ℓ mean_p min(D_p, 4) of each option at each point, from one table of all steps against all layers."""
    scale = (runner.prompts.target_variance * subject.shape[-1]).rsqrt()[:, None]
    a, y = (predictions * scale).transpose(1, 2), (subject * scale).transpose(0, 1)  # (…batch, step | layer, query)
    across, own, size = a @ y.mT, a.square().sum(-1)[..., None], y.square().sum(-1)[:, None]
    if gains:
        before = [torch.nn.functional.pad(t[:, :, :-1], (0, 0, 1, 0)) for t in (a, across, own)]
        both = (a * before[0]).sum(-1)[..., None]
        terms = (t.nan_to_num(posinf=0, neginf=0).sum(1) for t in (across, before[1], own, before[2], both))
        now, then = (coefficient[:, None] for coefficient in _mixture(*terms))
        across = now * across + then * before[1]
        own = now.square() * own + then.square() * before[2] + 2 * now * then * both
    table = torch.nan_to_num(size - 2 * across + own, nan=CLIP, posinf=CLIP, neginf=CLIP).clamp(0, CLIP).mean(1)
    return table[:, torch.tensor(options), torch.arange(len(subject))].sum(-1)


def _most(options: list[tuple[int, ...]]) -> int:
    return max(max(option) for option in options)


def _refine(
    family: Family,
    runner: Runner,
    subject: Float[Tensor, "layer batch query"],
    options: Sequence[tuple[int, ...]],
    starts: Sequence[Sequence[float]],
    gains: bool,
    iterations: int,
) -> list[tuple[tuple[float, ...], float]]:
    """Least squares over the coefficients from a grid point for each option: a grid alone would call an off-grid step
    size *none*. All options go together, since one run of a few steps on a few prompts is mostly overhead.
    """
    steps = torch.tensor(options)
    scale = (runner.prompts.target_variance * subject[0].numel()).rsqrt()[:, None]

    def decode(unit: Sequence[float]) -> tuple[float, ...]:
        return tuple(c.decode(u) for c, u in zip(family.coefficients, unit, strict=True))

    def paths(
        which: Int[Tensor, " option"], units: Float[Tensor, "option point coefficient"]
    ) -> Float[Tensor, "option point layer batch query"]:
        values = [decode(u) for u in units.flatten(0, 1).tolist()]
        index = steps[which]
        found = runner.many(family, values, int(index.max())).unflatten(0, units.shape[:2])
        rows = torch.arange(len(which))[:, None]
        chosen = found.transpose(1, 2)[rows, index].transpose(1, 2)
        if not gains:
            return chosen
        before = found.transpose(1, 2)[rows, (index - 1).clamp(min=0)].transpose(1, 2)  # step 0 is zero anyhow
        return mixture(subject, chosen, before, runner.prompts.target_variance)(chosen, before)

    def residuals(
        which: Int[Tensor, " option"], units: Float[Tensor, "option point coefficient"]
    ) -> Float[Tensor, "option point value"]:
        left = (subject - paths(which, units)) * scale
        return torch.nan_to_num(left, nan=WORST, posinf=WORST, neginf=-WORST).clamp(-WORST, WORST).flatten(2)

    encoded = [[c.encode(v) for c, v in zip(family.coefficients, start, strict=True)] for start in starts]
    first = torch.tensor(encoded, dtype=torch.float64).clamp(0, 1)
    units = torch.stack([levenberg_marquardt(residuals, first, iterations=iterations), first], 1)
    everything = paths(torch.arange(len(starts)), units)
    losses = discrepancy(subject.expand_as(everything), everything, runner.prompts.target_variance).sum(2).mean(-1)
    best = losses.argmin(1).tolist()
    return [(decode(units[i, b].tolist()), float(losses[i, b])) for i, b in enumerate(best)]


def levenberg_marquardt(
    residuals: Callable[
        [Int[Tensor, " start"], Float[Tensor, "start point unknown"]], Float[Tensor, "start point value"]
    ],
    starts: Float[Tensor, "start unknown"],
    *,
    iterations: int,
    difference: float = 1e-7,
) -> Float[Tensor, "start unknown"]:
    """Least squares over a few numbers in [0, 1], from several starts at once, with Jacobians by differences.

    Args:
        residuals: given which starts are meant, their residuals at several points each.
        starts: one problem a row.
        iterations: at most.
        difference: of the Jacobian.

    Source: Marquardt 1963; three dampings are tried at once.
    """
    found, going = starts.clone(), torch.arange(len(starts))
    for _ in range(iterations):
        unit = found[going]
        ahead = torch.where(unit < 0.5, difference, -difference)
        values = residuals(going, torch.cat([unit[:, None], unit[:, None] + torch.diag_embed(ahead)], 1))
        here, beside = values[:, :1], values[:, 1:]
        jacobian = (beside - here) / ahead[..., None]
        gram, slope = (jacobian @ jacobian.mT)[:, None], (jacobian @ here.mT)[:, None]
        # The floor keeps an unknown without effect where it is. (lstsq would too, but differs in its last bits by the call.)
        damping = (
            torch.tensor([[1e-12], [1e-2], [10.0]], dtype=torch.float64) * gram.diagonal(dim1=-2, dim2=-1) + 1e-300
        )
        damped = gram + torch.diag_embed(damping)
        steps = torch.linalg.solve(damped, slope.expand(*damped.shape[:-1], 1))[..., 0]
        tries = (unit[:, None] - steps).clamp(0, 1)
        sizes, before = residuals(going, tries).square().sum(-1), here[:, 0].square().sum(-1)
        size, best = sizes.min(1)
        better = size < before
        found[going[better]] = tries[better, best[better]]
        going = going[size < before * (1 - 1e-5)]
        if not len(going):
            break
    return found


def mixture(
    subject: Float[Tensor, "layer batch query"],
    path: Float[Tensor, "*option layer batch query"],
    before: Float[Tensor, "*option layer batch query"],
    variance: Float[Tensor, " batch"],
) -> Callable[[Tensor, Tensor], Tensor]:
    """The best mix of an iterate and the one before it at each layer, as a function of both.

    A readout that was fitted to the labels reads whatever of the state says most about them: it rescales a layer that has taken
    one small step, and where the state holds the last step too, it goes further along it. The last layer is what
    the subject answers; there the iterate stands alone.
    """
    weight = 1 / variance[:, None]

    def total(left: Tensor, right: Tensor) -> Tensor:
        return torch.nan_to_num(left * right * weight, posinf=0, neginf=0).sum((-1, -2))

    now, then = _mixture(
        total(path, subject), total(before, subject), total(path, path), total(before, before), total(path, before)
    )
    return lambda path, before: now[..., None, None] * path + then[..., None, None] * before


def _mixture(
    now_subject: Tensor, then_subject: Tensor, now: Tensor, then: Tensor, both: Tensor
) -> tuple[Float[Tensor, "*option layer"], Float[Tensor, "*option layer"]]:
    """The two coefficients from inner products; the second is 0 where the two iterates are one."""
    now, then, both = torch.broadcast_tensors(now, then, both)
    determinant = now * then - both.square()
    apart = determinant > 1e-9 * now * then
    safe = torch.where(apart, determinant, torch.ones_like(determinant))
    alone = torch.where(now > 0, now_subject / now.clamp(min=1e-300), torch.ones_like(now_subject))
    first = torch.where(apart, (then * now_subject - both * then_subject) / safe, alone)
    second = torch.where(apart, (now * then_subject - both * now_subject) / safe, torch.zeros_like(safe))
    first[..., -1], second[..., -1] = 1.0, 0.0
    return first, second
