"""A table of one's own as a task."""

import math
from dataclasses import dataclass
from typing import final

import torch

from mesascope.machine.memory import check_memory
from mesascope.records.checks import check_count
from mesascope.records.shown import shown
from mesascope.seeds import generator
from mesascope.tasks.datasets.dataset import CHUNK, check_numbers, in_chunks
from mesascope.types import Prompts


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class TableRegression:
    """Rows of a table: every prompt is a random split of its own into examples and the rows that its queries come from.

    Nothing is known beside the labels, so they are the targets too, with whatever noise they have.

    Attributes:
        inputs: the rows' inputs.
        labels: the rows' labels.
        examples: number of rows shown per prompt.
        queries: number of other rows asked for.

    Raises:
        ValueError: rows of different lengths, a number that is not finite, labels that are all equal, or too few rows: there must
            be two more than examples, and as many as examples and queries together.
    """

    inputs: tuple[tuple[float, ...], ...]
    labels: tuple[float, ...]
    examples: int = 20
    queries: int = 1

    def __post_init__(self) -> None:
        check_count("examples", self.examples)
        check_count("queries", self.queries)
        if len(self.inputs) != len(self.labels):
            raise ValueError(
                f"inputs must have one row for each label; got {len(self.inputs)} rows and {len(self.labels)} labels. Pass "
                "both of the same rows."
            )
        if len(self.labels) < (least := self.examples + max(2, self.queries)):
            raise ValueError(
                f"labels must be at least {least} for examples={self.examples} and queries={self.queries}; got "
                f"{len(self.labels)}. Show fewer examples, or pass more rows."
            )
        for row, (values, label) in enumerate(zip(self.inputs, self.labels, strict=True)):
            if len(values) != self.dim or not values:
                raise ValueError(
                    f"inputs must have rows of one length, 1 or more; row {row} has {len(values)} numbers, and the first has "
                    f"{self.dim}. Fill in or drop such rows."
                )
            for name, numbers in (("inputs", values), ("labels", (label,))):
                if wrong := [number for number in numbers if not math.isfinite(number)]:
                    raise ValueError(
                        f"{name} must be finite; row {row} holds {shown(wrong[0])}. Fill in or drop such rows."
                    )
        if len(set(self.labels)) == 1:
            raise ValueError(
                f"labels must differ; all are {shown(self.labels[0])}. There is nothing to learn from them."
            )

    @property
    def dim(self) -> int:
        """The number of inputs in a row."""
        return len(self.inputs[0])

    @property
    def most_queries(self) -> int:
        """The number of rows that are no examples."""
        return len(self.labels) - self.examples

    def sample(
        self, n: int, *, seed: int, stream: str = "sample", start: int = 0, dtype: torch.dtype = torch.float64
    ) -> Prompts:
        """Prompts number ``start`` to ``start + n``. See `mesascope.types.Task`.

        Raises:
            ValueError: ``n`` below 1, ``start`` below 0, more prompts than this machine can hold, or a prompt whose rows left for
                queries all have one label, so that errors have no unit.
        """
        check_numbers(n, start)
        self.check_memory(n)
        inputs, labels = (torch.tensor(values, dtype=torch.float64) for values in (self.inputs, self.labels))
        shown_rows, asked = slice(0, self.examples), slice(self.examples, self.examples + self.queries)

        def draw(chunk: int) -> dict[str, torch.Tensor]:
            rng = generator(seed, f"{stream}/splits", chunk)
            order = torch.rand(CHUNK, len(labels), generator=rng, dtype=torch.float64).argsort(-1)
            return {
                "xs": inputs[order[:, shown_rows]],
                "ys": labels[order[:, shown_rows]],
                "queries": inputs[order[:, asked]],
                "targets": labels[order[:, asked]],
                "target_variance": labels[order[:, self.examples :]].var(-1, unbiased=False),
            }

        return in_chunks(n, start, dtype, draw)

    def check_memory(self, n: int) -> None:
        """Check that this machine has the memory to draw and hold ``n`` prompts.

        Raises:
            ValueError: it does not; the message says how much memory is needed.
        """
        held = (self.examples + self.queries) * (self.dim + 1) + 4 * len(self.labels)
        what = f"drawing {n} prompts of examples={self.examples} and queries={self.queries}"
        check_memory(what, 8 * 3 * held * CHUNK * -(-n // CHUNK), "Reduce the largest of these numbers.")


__all__ = ("TableRegression",)
