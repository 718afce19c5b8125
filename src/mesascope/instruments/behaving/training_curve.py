"""What a training logged, as a measurement: its prompts are fresh at every step, so the loss is an error held out."""

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev

from mesascope.instruments.instrument import Instrument, sizes
from mesascope.types import Control, Measurement, Subject, Task, spec_mapping

NAME = "training"
HALF_WAY = "loss half-way"


def half_way(
    subject: Subject, task: Task, *, seed: int = 0, curve: Sequence[Mapping[str, float]]
) -> tuple[Measurement, ...]:
    """The mean loss from 45 to 55 % of the training; nothing where fewer than two lines were logged there.

    Controls. Negative: its first lines, untrained. Positive: its last.

    Args:
        subject: a network that carries the spec of its training.
        task, seed: without meaning here.
        curve: what the training logged, as `mesascope.zoo.curve` has it.
    """
    spec = spec_mapping(subject)
    around = [line["loss"] for line in curve if abs(line["step"] / spec["steps"] - 0.5) <= 0.05]
    if len(around) < 2:
        return ()
    mean, half = fmean(around), 1.96 * stdev(around) / len(around) ** 0.5
    held_out = float(spec.get("extra", {}).get("query_mse", float("inf")))
    first, last = curve[0]["loss"], curve[-1]["loss"]
    found = Measurement(
        instrument=NAME,
        quantity=HALF_WAY,
        value=mean,
        interval=(mean - half, mean + half),
        n=len(around) * spec["log_every"] * spec["batch"],
        unit="y²",
        controls=(
            Control(kind="negative", name="its first steps, untrained", value=first),
            Control(kind="positive", name=f"its last steps; held out {held_out:.2g}", value=last),
        ),
    )
    return (found,)


INSTRUMENT = Instrument(
    name=NAME,
    question="How far was its training half-way?",
    measure=half_way,
    needs="the curve of its training",
    quantities=(HALF_WAY,),
    coordinates=(),
    sizes=sizes(),
)

__all__ = ("HALF_WAY", "INSTRUMENT", "NAME", "half_way")
