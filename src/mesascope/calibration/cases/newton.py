"""Newton–Schulz: the network that starts from a multiple of the identity, and the starts from the literature."""

from typing import Literal

from mesascope.algorithms import NewtonSchulz
from mesascope.calibration.cases.first_order import varied
from mesascope.calibration.coefficients import member, numbers
from mesascope.calibration.drawing import Draw
from mesascope.calibration.planted import Case
from mesascope.models.constructions import newton_schulz
from mesascope.models.scripted import followed
from mesascope.types import Subject


def _identity(draw: Draw) -> Subject:
    steps = draw.steps(most=DOUBLINGS)
    return varied(draw, newton_schulz(iterations=steps, **numbers(member(draw, NewtonSchulz(start="identity"), steps))))


def _gram(draw: Draw) -> Subject:
    return followed("newton-schulz", NewtonSchulz(), range(1, draw.steps(most=DOUBLINGS) + 1))


def _scaled(draw: Draw) -> Subject:
    """The starts whose scale is computed from each prompt by another norm than the spectral one of XᵀX."""
    start, scale = STARTS[draw.choice("start", tuple(STARTS))]
    algorithm = NewtonSchulz(start=start, scale=scale)
    return followed(algorithm.name, algorithm, range(1, draw.steps(most=DOUBLINGS) + 1))


Start = tuple[Literal["gram", "identity"], Literal["norm", "frobenius", "trace"]]
STARTS: dict[str, Start] = {
    "S/‖S‖²_F": ("gram", "frobenius"),
    "I/‖S‖₂": ("identity", "norm"),
    "I/tr S": ("identity", "trace"),
}
DOUBLINGS = 8
"""Largest number of steps; 8 steps equal 256 steps of gradient descent."""
TRUTH = ("newton-schulz",)
CASES = (
    Case(name="Newton–Schulz from cI", truth=TRUTH, make=_identity, share=6),
    Case(name="Newton–Schulz from XᵀX", truth=TRUTH, make=_gram, share=4),
    Case(name="Newton–Schulz, other scales per prompt", truth=TRUTH, make=_scaled, share=5),
)
