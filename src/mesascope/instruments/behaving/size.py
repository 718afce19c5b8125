"""Size: how many parameters a network has, and a language model's number of heads."""

from collections.abc import Mapping

from torch import nn

from mesascope.instruments.asking.applicability import NotApplicable
from mesascope.instruments.instrument import Instrument, sizes
from mesascope.models.language import LanguageSubject
from mesascope.types import Control, Measurement, Subject, Task

NAME = "size"
PARAMETERS, HEADS = "parameters", "attention heads of a layer"


def size(subject: Subject, task: Task, *, seed: int = 0, beside: Mapping[str, Subject]) -> tuple[Measurement, ...]:
    """The number of a network's parameters, in millions, and of a language model also the heads of a layer.

    Nothing is sampled, so there is no interval. Parameters that are used twice, as in tied embeddings, are counted once.

    Args:
        subject: a language model, or a subject whose ``model`` is a PyTorch module.
        task, seed: not used; all instruments take them.
        beside: networks to compare it with, by name, as negative controls.

    Raises:
        NotApplicable: a subject has no such module.
    """
    counted = [(PARAMETERS, "millions", _millions)]
    if isinstance(subject, LanguageSubject):
        counted.append((HEADS, "1", _heads))
    return tuple(
        Measurement(
            instrument=NAME,
            quantity=quantity,
            value=count(subject),
            interval=None,
            n=1,
            unit=unit,
            controls=tuple(Control(kind="negative", name=name, value=count(other)) for name, other in beside.items()),
        )
        for quantity, unit, count in counted
    )


def _millions(subject: Subject) -> float:
    model = subject.network.model if isinstance(subject, LanguageSubject) else getattr(subject, "model", None)
    if not isinstance(model, nn.Module):
        raise NotApplicable(f"{subject.name} has no PyTorch module whose parameters could be counted.")
    return sum(parameter.numel() for parameter in model.parameters()) / 1e6


def _heads(subject: Subject) -> float:
    """The heads of a layer; 0 for a network that has none."""
    if isinstance(subject, LanguageSubject):
        return float(subject.network.heads)
    return float(getattr(getattr(getattr(subject, "model", None), "config", None), "heads", 0))


INSTRUMENT = Instrument(
    name=NAME,
    question="How many parameters does it have?",
    measure=size,
    needs="a PyTorch module, and networks to compare it with",
    quantities=(PARAMETERS, HEADS),
    coordinates=(),
    sizes=sizes(),
)

__all__ = ("HEADS", "INSTRUMENT", "NAME", "PARAMETERS", "size")
