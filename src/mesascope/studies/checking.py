"""Whether some measure of a study can produce the evidence that its rules are about."""

from collections.abc import Sequence

from mesascope.instruments.catalogue import BY_NAME
from mesascope.records.codec import nearest
from mesascope.studies.measure import Measure
from mesascope.studies.rules import Addressed, Derived, Where
from mesascope.types import Scalar, Site


def check(evidence: Addressed, measures: Sequence[Measure]) -> None:
    """Raise where no measure can produce the evidence, or what it is derived from.

    Raises:
        ValueError: with what is wrong, and the nearest that is right.
    """
    for part in evidence.uses if isinstance(evidence, Derived) else (evidence,):
        assert isinstance(part, Where), "evidence is addressed, or derived from what is addressed"
        quantities = list(dict.fromkeys(q for m in measures for q in BY_NAME[m.instrument].quantities))
        if part.quantity not in quantities:
            raise ValueError(
                f"evidence must be something that a measure can produce; none measures {part.quantity!r}, but "
                f"{', '.join(quantities)}.{nearest(part.quantity, quantities)}"
            )
        able = [m for m in measures if part.quantity in BY_NAME[m.instrument].quantities]
        for name, values in part.coordinates.items():
            _check_coordinate(part.quantity, name, values, able)


def _check_coordinate(quantity: str, name: str, values: Sequence[Scalar], able: Sequence[Measure]) -> None:
    """Raise where none of the measures of a quantity has a coordinate, or one of these values of it."""
    if not any(name in m.label or name in m.coordinates() for m in able):
        places = list(dict.fromkeys(p for m in able for p in (*m.label, *m.coordinates())))
        raise ValueError(
            f"no measure of {quantity!r} says a coordinate {name!r}; they say {', '.join(places)}.{nearest(name, places)}"
        )
    possible = [_possible(m, name) for m in able]
    said = list(dict.fromkeys(str(value) for some in possible for value in some or ()))
    for value in values:
        if name == "site" and not said:
            Site.parse(str(value))
        elif None not in possible and str(value) not in said:
            raise ValueError(
                f"{name} must be one of {', '.join(said)} where {quantity!r} is measured; got "
                f"{value!r}.{nearest(str(value), said)}"
            )


def _possible(measure: Measure, name: str) -> tuple[Scalar, ...] | None:
    """The values that a measure can give a coordinate; None if they are not known before it is run."""
    if name in measure.label:
        return (measure.label[name],)
    if name not in measure.coordinates():
        return ()
    return BY_NAME[measure.instrument].values.get(name)
