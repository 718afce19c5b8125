"""What is left of a number when that of a negative control is taken away."""

from collections.abc import Sequence
from dataclasses import replace

from mesascope.instruments.statistics.contrast import difference
from mesascope.studies.rules import Derived, Where, known
from mesascope.types import Measurement


def beyond(of: Where | Derived, control: str) -> Derived:
    """Each measurement less the value of its control, and its other controls less the same.

    The interval is that of two independent estimates: too wide rather than too narrow, because both come from the same prompts.
    """

    def among(found: Sequence[Measurement]) -> list[Measurement]:
        return [less(m, control) for m in of.among(found)]

    return Derived(words=f"{of}, beyond {control}", of=among, uses=of.uses if isinstance(of, Derived) else (of,))


def less(measurement: Measurement, control: str) -> Measurement:
    """A measurement less the value of one of its controls.

    Raises:
        LookupError: there is no control of that name.
    """
    null = known(measurement, control)
    return replace(
        measurement,
        quantity=f"{measurement.quantity}, beyond {control}",
        value=measurement.value - null.value,
        interval=difference(measurement, null).interval,
        controls=tuple(replace(c, value=c.value - null.value, interval=None) for c in null.controls),
    )
