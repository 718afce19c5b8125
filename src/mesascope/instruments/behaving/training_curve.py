"""A training's logged loss as a measurement. Its prompts are fresh at every step, so the loss is a held-out error."""

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev

from mesascope.instruments.instrument import Instrument, sizes
from mesascope.types import Control, Measurement, Subject, Task, spec_mapping

NAME = "training"
HALF_WAY = "loss half-way"


def half_way(
    subject: Subject, task: Task, *, seed: int = 0, curve: Sequence[Mapping[str, float]]
) -> tuple[Measurement, ...]:
    """The mean loss from 45 to 55 % of the training steps; no measurement if fewer than two lines were logged there.

    Controls. Negative: the first logged loss, that of an untrained network. Positive: the last logged loss.

    Args:
        subject: a network that carries the spec of its training.
        task, seed: not used; all instruments take them.
        curve: the lines that the training logged, as `mesascope.zoo.curve` returns them.
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
    question="How large was its loss half-way through training?",
    measure=half_way,
    needs="the logged curve of its training",
    quantities=(HALF_WAY,),
    coordinates=(),
    sizes=sizes(),
)

__all__ = ("HALF_WAY", "INSTRUMENT", "NAME", "half_way")
