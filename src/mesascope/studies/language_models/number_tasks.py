"""What the studies of where a number is made have in common: their models, and the problems that each of them reads."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mesascope.models.language import published_template
from mesascope.studies.language_models.networks import LADDER, SHUFFLED, SMOLLM2
from mesascope.studies.measure import Measure
from mesascope.tasks import DigitRegression, FormulaRegression
from mesascope.types import Measurement, Scalar, Task

LLAMA = "Llama-3.1-8B"
"""Source D's model, which is examined where the user has it."""
SHOWN = ("ladder-small", "ladder-large")
"""Models of the ladder in pictures by layer or head."""
FRIEDMAN = FormulaRegression(formula="friedman-2")
TEXT = published_template(FRIEDMAN.sample(64, seed=0))
"""The published text for source D's data set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """A model with the problems that it reads.

    Attributes:
        name: what it is called in results.
        reference: the model.
        task: the problems.
        options: how an instrument is told to write them.
        at_smoke: whether profile ``smoke`` runs it.
    """

    name: str
    reference: str
    task: Task
    options: Mapping[str, Any] = field(default_factory=dict)
    at_smoke: bool = False

    @property
    def digits(self) -> bool:
        """Whether it reads digits in its own text."""
        return not self.options

    def measure(
        self, instrument: str, prompts: Mapping[str, int], *, label: Mapping[str, Scalar] | None = None, **options: Any
    ) -> Measure:
        """One instrument on this model; measures of the same instrument have labels that tell them apart."""
        return Measure(
            instrument=instrument,
            network=self.reference,
            label={"network": self.name, **(label or {})},
            prompts=prompts,
            options={**self.options, **options},
            task=self.task,
            at_smoke=self.at_smoke,
        )


def readers(examples: int, *, published: int) -> tuple[Reader, ...]:
    """All models: the ladder on digits; SmolLM2 and source D's on its data set.

    Args:
        examples: of each prompt, for SmolLM2.
        published: the same for source D's model, as there.
    """
    return (
        *(_of_digits(name, at_smoke=name in ("ladder-small", SHUFFLED)) for name in (*LADDER, SHUFFLED)),
        _of_numbers(SMOLLM2, SMOLLM2, examples),
        _of_numbers(LLAMA, "hf:meta-llama/Llama-3.1-8B", published),
    )


def reader(reference: str, examples: int) -> Reader:
    """Any model, by its reference; those of the ladder read digits."""
    if reference in (*LADDER, SHUFFLED):
        return _of_digits(reference, at_smoke=True)
    return _of_numbers(reference, reference, examples, at_smoke=True)


def drawn(found: Sequence[Measurement]) -> tuple[str, ...]:
    """The networks that pictures by layer or head show: of the ladder, two are enough beside others."""
    networks = tuple(dict.fromkeys(str(m.coordinates["network"]) for m in found))
    return tuple(name for name in networks if len(networks) == 1 or name in SHOWN or name not in LADDER)


def _of_digits(name: str, *, at_smoke: bool) -> Reader:
    return Reader(name=name, reference=name, task=DigitRegression(examples=7), at_smoke=at_smoke)


def _of_numbers(name: str, reference: str, examples: int, *, at_smoke: bool = False) -> Reader:
    task = dataclasses.replace(FRIEDMAN, examples=examples)
    return Reader(name=name, reference=reference, task=task, options={"template": TEXT}, at_smoke=at_smoke)


__all__ = ("LLAMA", "Reader", "drawn", "reader", "readers")
