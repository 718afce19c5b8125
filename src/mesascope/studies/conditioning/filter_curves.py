"""How near a measured filter is to the curves of known methods, each with one free number and a factor."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.studies.pictures import only
from mesascope.types import Control, Measurement, Scalar

FLOW, DESCENT, RIDGE, CG, FLAT = "gradient flow", "gradient descent", "ridge", "conjugate gradient", "a flat line"
CURVES = (FLOW, DESCENT, RIDGE, CG)
DISTANCE = "distance to the curve"
Curve = Float[Tensor, " knot"]
PLACES, REFINED = 40, 3
"""Values of the free number that are tried, and how often the interval around the best is divided again."""
MORE = 5
"""So many more steps of conjugate gradient are tried than layers are measured."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Filter:
    """A measured filter after one layer.

    Attributes:
        eigenvalues: where it was measured.
        gains: the share resolved there.
        weights: of each place, the inverse square of its interval's width; they sum to 1.
    """

    eigenvalues: Curve
    gains: Curve
    weights: Curve

    def distance(self, curve: Curve) -> float:
        """The weighted root mean square distance to the best multiple of a curve."""
        return float((self.weights * (self.gains - self.factor(curve) * curve).square()).sum().sqrt())

    def factor(self, curve: Curve) -> float:
        """The best multiple."""
        return float(
            (self.weights * self.gains * curve).sum() / (self.weights * curve.square()).sum().clamp(min=1e-300)
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Near:
    """The nearest curve of a method.

    Attributes:
        curve: its values, times the best factor.
        number: its free number: a time, a step size, one over λ/n, or a number of steps; NaN for a flat line.
    """

    curve: Curve
    number: float


def filter_after(found: Sequence[Measurement], layer: int, *, network: str, condition: float) -> Filter | None:
    """The filter after a layer, from measurements of the spectral response; None if it was not measured."""
    at = only(found, quantity="response", layer=layer, network=network, condition=condition)
    if not at:
        return None
    widths = torch.tensor([m.interval[1] - m.interval[0] if m.interval else 1.0 for m in at], dtype=torch.float64)
    weights = widths.clamp(min=1e-3) ** -2
    return Filter(
        eigenvalues=torch.tensor([float(m.coordinates["eigenvalue"] or 0) for m in at], dtype=torch.float64),
        gains=torch.tensor([m.value for m in at], dtype=torch.float64),
        weights=weights / weights.sum(),
    )


def nearest(measured: Filter, layer: int, steps: Sequence[Filter]) -> Mapping[str, Near]:
    """The nearest curve of each method, times its factor.

    Args:
        measured: the filter.
        layer: of the network; gradient descent takes as many steps, with the best step size.
        steps: the filters of conjugate gradient after each step, measured in the same way, because it has no fixed one.
    """
    at = measured.eigenvalues
    one: dict[str, Callable[[float], Curve]] = {
        FLOW: lambda size: 1 - torch.exp(-at * size),
        DESCENT: lambda size: 1 - (1 - size * at) ** layer,
        RIDGE: lambda size: at / (at + 1 / size),
    }
    found = {name: _best(measured, curve, descending=name == DESCENT) for name, curve in one.items()}
    if steps:
        best = min(range(len(steps)), key=lambda k: measured.distance(steps[k].gains))
        found[CG] = (best + 1.0, steps[best].gains)
    found[FLAT] = (math.nan, torch.ones_like(at))
    return {name: Near(number=x, curve=measured.factor(curve) * curve) for name, (x, curve) in found.items()}


def _best(measured: Filter, curve: Callable[[float], Curve], *, descending: bool) -> tuple[float, Curve]:
    """The best free number and its curve, in units of one over an eigenvalue; step sizes end at 2 over the largest."""
    high = 2 / float(measured.eigenvalues[-1]) if descending else 1e3 / float(measured.eigenvalues[0])
    low = 1e-3 / float(measured.eigenvalues[-1])
    ends = torch.tensor([low, high], dtype=torch.float64).log()
    for _ in range(REFINED):
        tried = torch.linspace(float(ends[0]), float(ends[1]), PLACES, dtype=torch.float64)
        best = min(range(PLACES), key=lambda place: measured.distance(curve(float(tried[place].exp()))))
        ends = tried[[max(best - 1, 0), min(best + 1, PLACES - 1)]]
    number = float(tried[best].exp())
    return number, curve(number)


def distances(
    found: Sequence[Measurement], layers: Sequence[int], planted: str, *, network: str, condition: float
) -> list[Measurement]:
    """How far a network's filter is from each method's nearest curve, on average over layers.

    Control: the distance of the nearest flat line.

    Args:
        found: measurements of the spectral response.
        layers: the layers.
        planted: the name of planted conjugate gradient, measured at the same condition number.
        network, condition: which filter.
    """

    def of(name: str, layer: int) -> Filter | None:
        return filter_after(found, layer, network=name, condition=condition)

    steps = [f for k in range(1, max(layers) + MORE) if (f := of(planted, k))]
    measured = {layer: f for layer in layers if (f := of(network, layer))}
    if len(measured) < len(layers) or not steps:
        return []
    curves = {layer: nearest(f, layer, steps) for layer, f in measured.items()}
    gaps = {
        name: sum(f.distance(curves[layer][name].curve) for layer, f in measured.items()) / len(measured)
        for name in (*CURVES, FLAT)
    }
    where: dict[str, Scalar] = {"network": network, "condition": condition, "layers": f"{layers[0]} to {layers[-1]}"}
    return [
        Measurement(
            instrument="spectrum",
            quantity=DISTANCE,
            value=gaps[name],
            interval=None,
            n=only(found, quantity="response", network=network, condition=condition)[0].n,
            coordinates={**where, "curve": name},
            controls=(Control(kind="negative", name=FLAT, value=gaps[FLAT]),),
        )
        for name in CURVES
    ]


__all__ = (
    "CG",
    "CURVES",
    "DESCENT",
    "DISTANCE",
    "FLAT",
    "FLOW",
    "RIDGE",
    "Filter",
    "distances",
    "filter_after",
    "nearest",
)
