"""Newton–Schulz: the network that starts from a multiple of the identity, and the literature's start."""

from mesascope.algorithms import NewtonSchulz
from mesascope.calibration.cases.first_order import varied
from mesascope.calibration.planted import Case, Draw
from mesascope.calibration.scripted import followed
from mesascope.models.constructions import newton_schulz
from mesascope.types import Subject


def _identity(draw: Draw) -> Subject:
    return varied(draw, newton_schulz(iterations=draw.steps(), scale=draw.step_size()))


def _gram(draw: Draw) -> Subject:
    return followed("newton-schulz", NewtonSchulz(), range(1, draw.steps() + 1))


TRUTH = ("newton-schulz",)
CASES = (
    Case(name="Newton–Schulz from cI", truth=TRUTH, make=_identity, share=8),
    Case(name="Newton–Schulz from XᵀX", truth=TRUTH, make=_gram, share=6),
)
