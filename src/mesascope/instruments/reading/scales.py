"""The learnt scale of every block: how far it goes along what its attention and MLP compute."""

from mesascope.instruments.asking.applicability import NotApplicable
from mesascope.instruments.instrument import Instrument, sizes
from mesascope.models import Transformer
from mesascope.types import Control, Measurement, Subject, Task

NAME = "layer scales"
SCALE = "layer scale"
SAME, START = "the last layer over itself", "before training"


def scales(subject: Subject, task: Task, *, seed: int = 0) -> tuple[Measurement, ...]:
    """The scale of every block, as it was learnt.

    Controls. Positive: a scale over itself (exactly 1). Negative: the scale before training, which is 1, too: a scale says
    something only where it is not 1.

    Args:
        subject: a `mesascope.models.TransformerSubject` with ``layer_scale``.
        task, seed: not used; all instruments take them.

    Raises:
        NotApplicable: the subject has no scales.
    """
    model = getattr(subject, "model", None)
    if not isinstance(model, Transformer) or not model.config.layer_scale:
        raise NotApplicable("it reads the scales of a transformer that has layer_scale")
    values = [float(model.get_parameter(f"blocks.{layer}.scale").detach()) for layer in range(model.config.layers)]
    return tuple(
        Measurement(
            instrument=NAME,
            quantity=SCALE,
            value=value,
            interval=None,
            n=1,
            coordinates={"layer": layer},
            controls=(
                Control(kind="positive", name=SAME, value=values[-1] / values[-1]),
                Control(kind="negative", name=START, value=1.0),
            ),
        )
        for layer, value in enumerate(values)
    )


INSTRUMENT = Instrument(
    name=NAME,
    question="How far does each block go along what it computes?",
    measure=scales,
    needs="a transformer with layer_scale",
    quantities=(SCALE,),
    coordinates=("layer",),
    sizes=sizes(),
)

__all__ = ("INSTRUMENT", "NAME", "SCALE", "scales")
