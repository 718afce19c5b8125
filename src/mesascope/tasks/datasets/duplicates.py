"""Data sets that are others under another name."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from mesascope.types import Prompts


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate:
    """A data set whose numbers are those of another.

    Attributes:
        name: the data set.
        of: the earlier one.
        prompts: number of prompts, all of which are equal.
    """

    name: str
    of: str
    prompts: int

    def __str__(self) -> str:
        return (
            f"{self.name} is {self.of} under another name: the same numbers in all {self.prompts} prompts. Counting both would "
            "give one data set two votes."
        )


def duplicates(samples: Mapping[str, Prompts]) -> tuple[Duplicate, ...]:
    """The data sets that hold exactly the examples, queries and targets of an earlier one, in the order of the mapping.

    Args:
        samples: of each data set some prompts, drawn with the same seeds.
    """
    found: list[Duplicate] = []
    different: list[str] = []
    for name, prompts in samples.items():
        same = next((earlier for earlier in different if _equal(samples[earlier], prompts)), None)
        if same is None:
            different.append(name)
        else:
            found.append(Duplicate(name=name, of=same, prompts=len(prompts)))
    return tuple(found)


def _equal(a: Prompts, b: Prompts) -> bool:
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in ("xs", "ys", "queries", "targets"))


__all__ = ("Duplicate", "duplicates")
