"""The classes below the diagonal, fitted: the best filter, the smallest polynomial, the nearest function with a name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from mesascope.instruments.explaining.asked import Asked
from mesascope.instruments.explaining.filters import Quadratic, at_eigenvalues, best_filter, grid_of, powers
from mesascope.instruments.explaining.fitting import FittedFunction, fit_function
from mesascope.instruments.explaining.functions import FAMILIES
from mesascope.instruments.explaining.rungs import Left, of_diagonal, of_own_polynomial
from mesascope.instruments.explaining.shares import ROUNDING, Shares, as_good, narrowest
from mesascope.instruments.spectral.channels import SpectralChannels
from mesascope.instruments.statistics.discrepancy import units
from mesascope.types import FilterPoint, NamedFunction

DEGREES = 6
OWN_DEGREES = 5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spectra:
    """The channels of both halves, where the filter is given, and the largest eigenvalue."""

    fitting: SpectralChannels
    scoring: SpectralChannels
    at: Float[Tensor, " knot"]

    @classmethod
    def of(cls, asked: Asked) -> "Spectra":
        fitting, scoring = SpectralChannels.of(asked.fitting), SpectralChannels.of(asked.scoring)
        return cls(fitting=fitting, scoring=scoring, at=grid_of(fitting.eigenvalues))

    @property
    def unit(self) -> float:
        return float(self.at[-1])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerFit:
    """The best filter after a layer: the error as a function of the filter, its gains at the knots, what it leaves."""

    quadratic: Quadratic
    scored: Quadratic
    gains: Float[Tensor, " knot"]
    points: tuple[FilterPoint, ...]
    errors: Float[Tensor, " batch"]

    @classmethod
    def of(cls, spectra: Spectra, layer: int, asked: Asked) -> "LayerFit":
        def quadratic(channels: SpectralChannels, path: Tensor, variance: Tensor) -> Quadratic:
            answers = path[layer].double()
            return Quadratic.of(channels, answers, units(answers[None], variance.double())[0])

        fitting = quadratic(spectra.fitting, asked.paths.fitting, asked.fitting.target_variance)
        scored = quadratic(spectra.scoring, asked.paths.scoring, asked.scoring.target_variance)
        gains, points = best_filter(fitting, spectra.at, asked.fitting_draws)
        errors = scored.errors(at_eigenvalues(scored.eigenvalues, spectra.at, gains))
        return cls(quadratic=fitting, scored=scored, gains=gains, points=points, errors=errors)

    def good(self, shares: Shares) -> bool:
        """Whether it holds."""
        return shares.rung(Left(kind="filter", errors=self.errors)).holds


def polynomial(spectra: Spectra, fitted: LayerFit, shares: Shares) -> tuple[Left, bool]:
    """The smallest polynomial that is as good as the best filter, or the largest one tried; and whether it holds."""
    polynomials = []
    for degree in range(DEGREES):
        basis, scored = (
            powers(q.eigenvalues, degree + 1, spectra.unit) * (q.eigenvalues > 0)[..., None]
            for q in (fitted.quadratic, fitted.scored)
        )
        errors = fitted.scored.errors(scored @ fitted.quadratic.solve(basis)[0])
        polynomials.append(Left(kind="polynomial", errors=errors, detail=f"degree {degree}"))
    good = [as_good(shares, left, fitted.errors) for left in polynomials]
    found = narrowest(polynomials, good, shares)
    return found or polynomials[-1], found is not None


def filters(
    spectra: Spectra, fitted: LayerFit, asked: Asked, shares: Shares
) -> tuple[list[tuple[Left, bool]], tuple[NamedFunction, ...]]:
    """The classes below the diagonal, and whether they hold: any filter, the smallest polynomial, the nearest named function."""
    found = [fit_function(family, fitted.quadratic, spectra.unit, asked.fitting_draws) for family in FAMILIES]
    left = {id(f): fitted.scored.errors(f.gains(fitted.scored.eigenvalues)) for f in found}
    named = _ordered(found, left, shares)
    lead = Left(kind="function", errors=left[id(named[0])], detail=named[0].family.name)
    functions = []
    for each in named:
        share, interval = shares.share(left[id(each)])
        functions.append(
            NamedFunction(
                name=each.family.name,
                coefficients=dict(each.coefficients),
                intervals=dict(each.coefficient_intervals),
                share=share,
                interval=interval,
                distance=shares.costs(left[id(each)], fitted.errors)[0],
            )
        )
    return [
        (lead, as_good(shares, lead, fitted.errors)),
        polynomial(spectra, fitted, shares),
        (Left(kind="filter", errors=fitted.errors), fitted.good(shares)),
    ], tuple(functions)


def _ordered(
    found: Sequence[FittedFunction], left: Mapping[int, Float[Tensor, " batch"]], shares: Shares
) -> list[FittedFunction]:
    """Best first; but of those that fit as well as the best the one with the fewest coefficients leads."""
    ranked = sorted(found, key=lambda f: float(left[id(f)].mean()))
    best = left[id(ranked[0])]
    equal = [f for f in ranked if shares.costs(left[id(f)], best)[1] <= ROUNDING]
    lead = min(equal, key=lambda f: (f.family.size, f.error))
    return [lead, *(f for f in ranked if f is not lead)]


def diagonal(spectra: Spectra, fitted: LayerFit, asked: Asked) -> Left:
    """Each prompt's own gains, beside the best filter of all prompts."""
    gains = at_eigenvalues(spectra.scoring.eigenvalues, spectra.at, fitted.gains)
    return of_diagonal(asked, spectra.scoring, gains, fitted.errors)


def own_polynomial(asked: Asked, shares: Shares) -> Left | None:
    """The smallest polynomial of each prompt's own that holds, or the largest one tried; None in two dimensions or one."""
    tried = [of_own_polynomial(asked, degree) for degree in range(min(OWN_DEGREES, asked.scoring.dim - 2) + 1)]
    found = narrowest(tried, [shares.rung(left).holds for left in tried], shares)
    return found or (tried[-1] if tried else None)


__all__ = ("LayerFit", "Spectra", "diagonal", "filters", "own_polynomial", "polynomial")
