"""The scores that source A prints for six solvers, at both sizes of its networks."""

from collections.abc import Sequence
from dataclasses import replace

from mesascope.instruments.metrics.named_solvers import CG, CHEBYSHEV, GD, HEAVY, PCG, PGD
from mesascope.studies.rules import Derived, Where
from mesascope.studies.study import published
from mesascope.types import Measurement

SOURCE = "A"
PRINTED = {GD: "gd", CG: "cg", PGD: "preconditioned_gd", HEAVY: "heavy_ball", CHEBYSHEV: "chebyshev", PCG: "pcg"}
"""What the six solvers are called in its figures."""
SMALL, LARGE = "small", "large"
"""Its two sizes of networks."""


def scores(size: str) -> dict[str, tuple[float, float]]:
    """The scores and half-widths at a size, by solver."""
    held = published(SOURCE)
    return {solver: (held[score], held[half]) for solver, (score, half) in _places(size).items()}


def paths(size: str) -> tuple[str, ...]:
    """The paths of all figures of a size."""
    return tuple(path for pair in _places(size).values() for path in pair)


def beyond(six: Where, size: str) -> Derived:
    """Each of the six scores less the printed one, at a size of the source's networks."""

    def of(found: Sequence[Measurement]) -> list[Measurement]:
        return [
            replace(
                m,
                quantity="score less the printed one",
                value=m.value - shift,
                interval=m.interval and (m.interval[0] - shift, m.interval[1] - shift),
                controls=tuple(replace(c, value=c.value - shift, interval=None) for c in m.controls),
            )
            for m in six.among(found)
            for shift in (scores(size)[str(m.coordinates["solver"])][0],)
        ]

    return Derived(words=f"score less the printed one ({size})", of=of, uses=(six,))


def _places(size: str) -> dict[str, tuple[str, str]]:
    place = f"identification_weighted_r2/{size}"
    return {solver: (f"{place}/{name}/0", f"{place}/{name}/1") for solver, name in PRINTED.items()}
