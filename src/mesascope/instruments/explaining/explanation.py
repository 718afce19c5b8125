"""An explanation: every class measured on one distribution, which of them holds, the filter, its name, and the layers.

The rules:

1. A class *holds* if what it leaves beyond noise is at most 2 % of the answers (`HOLDS`), by the lower end of the 95 % interval.
   It is a share and not a test, because with enough prompts every network differs from every class. All classes are compared
   with the ceiling, what comes back when the same is asked again, and not with the next wider class, so that small losses do
   not add up.
2. A polynomial or a named function is a filter, so it must also be as good as the best filter, up to 0.5 % of the answers
   (`COSTS`), again by the lower end of the interval of the paired difference. The limit is narrower because a name says more:
   gradient flow and ridge regression differ by little more.
3. The *rung* is the narrowest class that holds, unless a wider one leaves a twentieth of it (`FEWER`): then the wider one is what
   the subject computes, and the narrower one is near it. A prompt's own polynomial lies beside this order, and is taken as wider
   than the filters: conjugate gradient is such a polynomial to the last digit, and within half a percent a filter.
4. Of named functions, the one with the fewest coefficients that is not significantly worse than the best leads.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.instruments.explaining.asked import Asked
from mesascope.instruments.explaining.filters import Quadratic, at_eigenvalues, best_filter, grid_of, powers
from mesascope.instruments.explaining.fitting import FittedFunction, fit_function
from mesascope.instruments.explaining.functions import FAMILIES, GRADIENT_FLOW
from mesascope.instruments.explaining.rungs import (
    Left,
    of_diagonal,
    of_labels,
    of_labels_and_query,
    of_own_polynomial,
    of_query,
    of_smoother,
)
from mesascope.instruments.spectral.channels import SpectralChannels
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.discrepancy import discrepancy, units
from mesascope.types import Explanation, FilterPoint, LayerFilter, NamedFunction, Rung, RungKind

HOLDS = 0.02
"""Share of the answers that an explanation may leave beyond noise."""
COSTS = 0.005
"""Share of the answers by which a polynomial or a named function may be worse than the best filter."""
FEWER = 0.05
"""Part of what a class leaves; a wider class that leaves less than that is no accident."""
DIFFER = 0.001
"""Share of the answers below which a difference between classes is of no interest: filters are interpolated."""
ROUNDING = 1e-5
"""The same between named functions, which are computed exactly."""
DEGREES = 6
OWN_DEGREES = 5
ORDER: tuple[RungKind, ...] = (
    "function",
    "polynomial",
    "filter",
    "query alone",
    "own polynomial",
    "smoother",
    "diagonal",
    "labels and query",
    "labels",
)
"""The narrowest first; the rung is the first that holds."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Sizes:
    """What shares are made of: the size of the answers and of their noise, a prompt a number."""

    answers: Float[Tensor, " batch"]
    noise: Float[Tensor, " batch"]
    draws: Float[Tensor, "repeat batch"]

    def rung(self, left: Left, holds: bool | None = None) -> Rung:
        share, interval = self.share(left.errors)
        rest, bounds = self._ratio(left.errors - left.noise * self.noise)
        return Rung(
            kind=left.kind,
            detail=left.detail,
            share=share,
            interval=interval,
            left=rest,
            left_interval=bounds,
            holds=bounds[0] <= HOLDS if holds is None else holds,
        )

    def share(self, errors: Float[Tensor, " batch"]) -> tuple[float, tuple[float, float]]:
        value, (low, high) = self._ratio(errors)
        return 1 - value, (1 - high, 1 - low)

    def costs(self, errors: Float[Tensor, " batch"], best: Float[Tensor, " batch"]) -> tuple[float, float]:
        """By how much more of the answers is left than by the best, and the lower end of its interval."""
        value, (low, _) = self._ratio(errors - best)
        return value, low

    def _ratio(self, part: Float[Tensor, " batch"]) -> tuple[float, tuple[float, float]]:
        return bootstrap.estimate(
            torch.stack([part, self.answers], -1), lambda m: m[:, 0] / m[:, 1].clamp(min=1e-300), self.draws
        )


def explain(asked: Asked, words: str) -> Explanation:
    """The explanation of a subject's answers on one distribution.

    Args:
        asked: the answers.
        words: the distribution, in words.
    """
    zero = torch.zeros_like(asked.answers)
    sizes = _Sizes(
        answers=discrepancy(asked.answers, zero, asked.units),
        noise=discrepancy(asked.answers, asked.paths.again[-1], asked.units) / 2,
        draws=asked.draws,
    )
    ceiling, _ = sizes.share(sizes.noise)
    if why := _unusable(asked, sizes):
        return _nothing(asked, words, ceiling, why)
    spectra = _Spectra.of(asked)
    fitted = _Filter.of(spectra, len(asked.paths.scoring) - 1, asked)
    filters, functions = _filters(spectra, fitted, asked, sizes)
    scored = spectra.scoring
    gains = at_eigenvalues(scored.eigenvalues, spectra.at, fitted.gains)
    wide = [of_query(asked), of_labels(asked), of_labels_and_query(asked)]
    wide += [of_diagonal(asked, scored, gains, fitted.errors)]
    wide += [left for left in [_own(asked, sizes)] if left is not None]
    missing: dict[str, str] = {}
    if fitted.good(sizes) or any(sizes.rung(left).holds for left in wide[2:]):
        missing["smoother"] = "not looked for, because the answers are linear in the query"
    else:
        wide.append(of_smoother(asked))
    lefts = sorted([*wide, *(left for left, _ in filters)], key=lambda left: ORDER.index(left.kind))
    holding = {left.kind: holds for left, holds in filters}
    rungs = [sizes.rung(left, holds=holding.get(left.kind)) for left in lefts]
    chosen = narrowest(lefts, [rung.holds for rung in rungs], sizes)
    return Explanation(
        distribution=words,
        rung=None if chosen is None else chosen.kind,
        rungs=tuple(reversed(rungs)),
        ceiling=ceiling,
        filter=fitted.points,
        functions=functions,
        layers=tuple(_layer(spectra, layer, asked) for layer in range(len(asked.paths.scoring))),
        readout=asked.paths.readout,
        n=len(asked.scoring),
        missing=missing,
    )


def narrowest(lefts: Sequence[Left], holds: Sequence[bool], sizes: "_Sizes") -> Left | None:
    """The first class that holds, unless a later one leaves a twentieth of it; None if none holds.

    Args:
        lefts: what classes leave, the narrowest first.
        holds: which of them hold.
        sizes: what shares are made of.
    """
    chosen: Left | None = None
    for left in (left for left, good in zip(lefts, holds, strict=True) if good):
        if chosen is None:
            chosen = left
            continue
        fewer = sizes.rung(left).left <= FEWER * sizes.rung(chosen).left
        if fewer and sizes.costs(chosen.errors, left.errors + (chosen.noise - left.noise) * sizes.noise)[1] > DIFFER:
            chosen = left
    return chosen


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Spectra:
    """The channels of both halves, where the filter is given, and the largest eigenvalue."""

    fitting: SpectralChannels
    scoring: SpectralChannels
    at: Float[Tensor, " knot"]

    @classmethod
    def of(cls, asked: Asked) -> "_Spectra":
        fitting, scoring = SpectralChannels.of(asked.fitting), SpectralChannels.of(asked.scoring)
        return cls(fitting=fitting, scoring=scoring, at=grid_of(fitting.eigenvalues))

    @property
    def unit(self) -> float:
        return float(self.at[-1])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Filter:
    """The best filter after a layer: the error as a function of the filter, its gains at the knots, what it leaves."""

    quadratic: Quadratic
    scored: Quadratic
    gains: Float[Tensor, " knot"]
    points: tuple[FilterPoint, ...]
    errors: Float[Tensor, " batch"]

    @classmethod
    def of(cls, spectra: _Spectra, layer: int, asked: Asked) -> "_Filter":
        def quadratic(channels: SpectralChannels, path: Tensor, variance: Tensor) -> Quadratic:
            answers = path[layer].double()
            return Quadratic.of(channels, answers, units(answers[None], variance.double())[0])

        fitting = quadratic(spectra.fitting, asked.paths.fitting, asked.fitting.target_variance)
        scored = quadratic(spectra.scoring, asked.paths.scoring, asked.scoring.target_variance)
        gains, points = best_filter(fitting, spectra.at, asked.fitting_draws)
        errors = scored.errors(at_eigenvalues(scored.eigenvalues, spectra.at, gains))
        return cls(quadratic=fitting, scored=scored, gains=gains, points=points, errors=errors)

    def good(self, sizes: _Sizes) -> bool:
        """Whether it holds."""
        return sizes.rung(Left(kind="filter", errors=self.errors)).holds


def _filters(
    spectra: _Spectra, fitted: _Filter, asked: Asked, sizes: _Sizes
) -> tuple[list[tuple[Left, bool]], tuple[NamedFunction, ...]]:
    """The classes below the diagonal, and whether they hold: any filter, the smallest polynomial, the nearest named function."""
    best = Left(kind="filter", errors=fitted.errors)
    polynomials = []
    for degree in range(DEGREES):
        basis, scored = (
            powers(q.eigenvalues, degree + 1, spectra.unit) * (q.eigenvalues > 0)[..., None]
            for q in (fitted.quadratic, fitted.scored)
        )
        errors = fitted.scored.errors(scored @ fitted.quadratic.solve(basis)[0])
        polynomials.append(Left(kind="polynomial", errors=errors, detail=f"degree {degree}"))
    good = [_as_good(sizes, left, fitted.errors) for left in polynomials]
    polynomial = narrowest(polynomials, good, sizes)
    found = [fit_function(family, fitted.quadratic, spectra.unit, asked.fitting_draws) for family in FAMILIES]
    left = {id(f): fitted.scored.errors(f.gains(fitted.scored.eigenvalues)) for f in found}
    named = _ordered(found, left, sizes)
    lead = Left(kind="function", errors=left[id(named[0])], detail=named[0].family.name)
    functions = []
    for each in named:
        share, interval = sizes.share(left[id(each)])
        functions.append(
            NamedFunction(
                name=each.family.name,
                coefficients=dict(each.coefficients),
                intervals={c.name: i for c, i in zip(each.family.coefficients, each.intervals, strict=True)},
                share=share,
                interval=interval,
                distance=sizes.costs(left[id(each)], fitted.errors)[0],
            )
        )
    return [
        (lead, _as_good(sizes, lead, fitted.errors)),
        (polynomial or polynomials[-1], polynomial is not None),
        (best, fitted.good(sizes)),
    ], tuple(functions)


def _as_good(sizes: _Sizes, left: Left, best: Float[Tensor, " batch"]) -> bool:
    """Whether a filter of a kind holds: it leaves little, and hardly more than the best filter."""
    return sizes.rung(left).holds and sizes.costs(left.errors, best)[1] <= COSTS


def _ordered(
    found: Sequence[FittedFunction], left: Mapping[int, Float[Tensor, " batch"]], sizes: _Sizes
) -> list[FittedFunction]:
    """Best first; but of those that fit as well as the best the one with the fewest coefficients leads."""
    ranked = sorted(found, key=lambda f: float(left[id(f)].mean()))
    best = left[id(ranked[0])]
    equal = [f for f in ranked if sizes.costs(left[id(f)], best)[1] <= ROUNDING]
    lead = min(equal, key=lambda f: (f.family.size, FAMILIES.index(f.family)))
    return [lead, *(f for f in ranked if f is not lead)]


def _own(asked: Asked, sizes: _Sizes) -> Left | None:
    """The smallest polynomial of each prompt's own that holds, or the largest one tried; None in two dimensions or one."""
    tried = [of_own_polynomial(asked, degree) for degree in range(min(OWN_DEGREES, asked.scoring.dim - 2) + 1)]
    found = narrowest(tried, [sizes.rung(left).holds for left in tried], sizes)
    return found or (tried[-1] if tried else None)


def _layer(spectra: _Spectra, layer: int, asked: Asked) -> LayerFilter:
    fitted = _Filter.of(spectra, layer, asked)
    if float(fitted.scored.size.mean()) <= NOTHING:
        none = (0.0, 0.0)
        return LayerFilter(layer=layer + 1, share=0.0, interval=none, time=0.0, time_interval=none, flow_share=0.0)
    flow = fit_function(GRADIENT_FLOW, fitted.quadratic, spectra.unit, asked.fitting_draws)
    sizes = _Sizes(answers=fitted.scored.size.clamp(max=4), noise=fitted.errors * 0, draws=asked.draws)
    share, interval = sizes.share(fitted.errors)
    return LayerFilter(
        layer=layer + 1,
        share=share,
        interval=interval,
        time=flow.values[0],
        time_interval=flow.intervals[0],
        flow_share=sizes.share(fitted.scored.errors(flow.gains(fitted.scored.eigenvalues)))[0],
    )


def _unusable(asked: Asked, sizes: _Sizes) -> str:
    """Why answers cannot be explained, or nothing."""
    broken = 1 - float(asked.answers.isfinite().all(-1).double().mean())
    if broken > MOST_BROKEN:
        return f"its answers are not finite on {broken:.0%} of the prompts"
    if float(asked.answers.nan_to_num().square().mean()) <= NOTHING * float(asked.scoring.targets.square().mean()):
        return "its answers are zero, whatever it is shown"
    return ""


MOST_BROKEN = 0.05
"""Largest share of prompts whose answers are not finite."""
NOTHING = 1e-8
"""Mean square below which answers are none, as a share of the targets'."""


def _nothing(asked: Asked, words: str, ceiling: float, why: str) -> Explanation:
    return Explanation(
        distribution=words,
        rung=None,
        rungs=(),
        ceiling=ceiling,
        filter=(),
        functions=(),
        layers=(),
        readout=asked.paths.readout,
        n=len(asked.scoring),
        missing=dict.fromkeys(ORDER, why),
    )


__all__ = ("COSTS", "HOLDS", "ORDER", "explain")
