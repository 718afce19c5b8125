"""Size: how many parameters a network has."""

from collections.abc import Mapping

from torch import nn

from mesascope.instruments.asking.applicability import NotApplicable
from mesascope.instruments.instrument import Instrument, sizes
from mesascope.models.language import LanguageSubject
from mesascope.types import Control, Measurement, Subject, Task

NAME = "size"
PARAMETERS = "parameters"


def size(subject: Subject, task: Task, *, seed: int = 0, beside: Mapping[str, Subject]) -> tuple[Measurement, ...]:
    """The number of a network's parameters, in millions; nothing is sampled, so there is no interval.

    Args:
        subject: a subject whose ``model`` is a PyTorch module, or a language model. Tied weights count once.
        task, seed: not used; all instruments take them.
        beside: networks to compare it with, by name, as negative controls.

    Raises:
        NotApplicable: a subject has no such module.
    """
    controls = tuple(Control(kind="negative", name=name, value=_millions(other)) for name, other in beside.items())
    found = Measurement(
        instrument=NAME,
        quantity=PARAMETERS,
        value=_millions(subject),
        interval=None,
        n=1,
        unit="millions",
        controls=controls,
    )
    return (found,)


def _millions(subject: Subject) -> float:
    model = subject.network.model if isinstance(subject, LanguageSubject) else getattr(subject, "model", None)
    if not isinstance(model, nn.Module):
        raise NotApplicable(f"{subject.name} has no PyTorch module whose parameters could be counted.")
    return sum(parameter.numel() for parameter in model.parameters()) / 1e6


INSTRUMENT = Instrument(
    name=NAME,
    question="How many parameters does it have?",
    measure=size,
    needs="a PyTorch module, and networks to compare it with",
    quantities=(PARAMETERS,),
    coordinates=(),
    sizes=sizes(),
)

__all__ = ("INSTRUMENT", "NAME", "PARAMETERS", "size")
