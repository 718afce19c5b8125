"""What the studies of where a number is made have in common: their models, and the problems that each of them reads."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mesascope.models.language import published_template
from mesascope.studies.language_models.networks import LADDER, SHUFFLED, SMOLLM2
from mesascope.studies.measure import Measure
from mesascope.tasks import DigitRegression, FormulaRegression
from mesascope.types import Task

LLAMA = "Llama-3.1-8B"
"""Source D's model, which is examined where the user has it."""
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

    def measure(self, instrument: str, prompts: Mapping[str, int], **options: Any) -> Measure:
        """One instrument on this model."""
        return Measure(
            instrument=instrument,
            network=self.reference,
            label={"network": self.name},
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
    shown = {SMOLLM2: (SMOLLM2, examples), LLAMA: ("hf:meta-llama/Llama-3.1-8B", published)}
    return (
        *(
            Reader(
                name=name, reference=name, task=DigitRegression(examples=7), at_smoke=name in ("ladder-small", SHUFFLED)
            )
            for name in (*LADDER, SHUFFLED)
        ),
        *(
            Reader(
                name=name,
                reference=reference,
                task=dataclasses.replace(FRIEDMAN, examples=count),
                options={"template": TEXT},
            )
            for name, (reference, count) in shown.items()
        ),
    )


__all__ = ("LLAMA", "Reader", "readers")
