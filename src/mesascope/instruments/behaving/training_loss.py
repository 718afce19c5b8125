"""The training loss of a checkpoint, from what its training logged."""

from collections.abc import Mapping, Sequence
from statistics import fmean

from mesascope.instruments.instrument import Instrument, sizes
from mesascope.types import Control, Measurement, Subject, Task, spec_mapping

NAME = "training loss"
LOSS = "training loss"
ENDS = 5
"""Logged lines at either end of the training that the controls average over."""


def loss_at(
    subject: Subject, task: Task, *, seed: int = 0, curve: Sequence[Mapping[str, float]]
) -> tuple[Measurement, ...]:
    """The loss that was logged nearest to the step at which a network was kept.

    Controls. Negative: the first lines of the log, from a network that is hardly trained. Positive: the last lines.

    Args:
        subject: a network that carries the spec of its training.
        task, seed: not used; all instruments take them.
        curve: the lines that the training logged, as `mesascope.zoo.curve` returns them.
    """
    spec = spec_mapping(subject)
    line = min(curve, key=lambda line: abs(line["step"] - spec["step"]))
    first, last = (fmean(each["loss"] for each in part) for part in (curve[:ENDS], curve[-ENDS:]))
    found = Measurement(
        instrument=NAME,
        quantity=LOSS,
        value=line["loss"],
        interval=None,
        n=spec["log_every"] * spec["batch"],
        unit="y²",
        controls=(
            Control(kind="negative", name="the first lines of the log", value=first),
            Control(kind="positive", name="the last lines of the log", value=last),
        ),
    )
    return (found,)


INSTRUMENT = Instrument(
    name=NAME,
    question="How low was the training loss when this checkpoint was kept?",
    measure=loss_at,
    needs="the logged curve of its training",
    quantities=(LOSS,),
    coordinates=(),
    sizes=sizes(),
)

__all__ = ("INSTRUMENT", "LOSS", "NAME", "loss_at")
