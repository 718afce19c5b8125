"""Affine maps y = ax + b between whole numbers, with single-digit labels: regression that fits into text."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mesascope.machine.memory import check_memory
from mesascope.records.checks import check_count
from mesascope.records.shown import shown
from mesascope.seeds import uniform
from mesascope.tasks.linear import LAST
from mesascope.types import Prompts

STRATA = ("new query", "query among the examples")
LEAST = 4
"""The smallest number of inputs whose label has one digit; a map with fewer is not drawn."""
VALUES = 10
"""Labels are the digits below this."""
SPREAD = 10
"""The largest spread of wide inputs: x = 10·9 + 9 still has two digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DigitRegression:
    """Affine maps y = ax + b with a ≠ 0, drawn anew for each prompt; all numbers are whole, and labels are digits from 0 to 9.

    With narrow inputs (no ``spreads``), x is a digit and a is a whole number. With wide inputs, x = s·y + c or x = s·(9 − y) + c,
    with s from ``spreads`` and a digit c, so that a = ±1/s: from prompt to prompt, Σx² changes by about the square of s.

    Prompts are balanced: every combination of stratum, slope and sign takes its turn. A new query is an input that no example
    shows, so that no answer can be copied. A prompt's queries are one of two inputs, half the range apart, so that the
    variance of its targets is never small. Prompt number i depends on the seed and on i alone.

    Attributes:
        examples: number of pairs shown per prompt; inputs are drawn with replacement.
        queries: number of queries per prompt, all of one stratum.
        steepest: the largest |a| of narrow inputs.
        spreads: the values of s for wide inputs; empty for narrow ones.
        new_only: ask for new queries only; otherwise every second prompt asks for inputs among its examples (`STRATA`).

    Raises:
        ValueError: a size below 1, a single example that would have to show two inputs, a ``steepest`` above 3, or a spread
            that is not from 1 to 10.
    """

    examples: int = 8
    queries: int = 1
    steepest: int = 2
    spreads: tuple[int, ...] = ()
    new_only: bool = True

    def __post_init__(self) -> None:
        for name in ("examples", "queries", "steepest"):
            check_count(name, getattr(self, name))
        if self.steepest > 3:
            raise ValueError(
                f"steepest must be at most 3; got {self.steepest}. A steeper map has fewer than four inputs with a label of one "
                "digit."
            )
        if not self.new_only and self.examples < 2:
            raise ValueError(
                f"examples must be at least 2 where queries are among them; got {self.examples}. Show two, "
                "or ask for new ones only."
            )
        if wrong := [s for s in self.spreads if not isinstance(s, int) or not 1 <= s <= SPREAD]:
            raise ValueError(
                f"spreads must be whole numbers from 1 to {SPREAD}; got {shown(wrong[0])}. Inputs have two digits at most."
            )

    @property
    def dim(self) -> int:
        """One input."""
        return 1

    @property
    def noise(self) -> float:
        """Labels are exact."""
        return 0.0

    def sample(
        self, n: int, *, seed: int, stream: str = "sample", start: int = 0, dtype: torch.dtype = torch.float64
    ) -> Prompts:
        """Prompts number ``start`` to ``start + n``. See `mesascope.types.Task`.

        Raises:
            ValueError: ``n`` below 1, ``start`` below 0, or more prompts than this machine can hold.
        """
        check_count("n", n)
        check_count("start", start, least=0)
        if start + n > LAST:
            raise ValueError(
                f"start must leave room for n prompts below number {LAST:,}; got {shown(start)}. Begin at 0."
            )
        self.check_memory(n)
        found = self._draw(n, start, seed, stream)
        strata = found.pop("strata")
        return Prompts(
            **{name: values.to(dtype) for name, values in found.items()}, strata=strata, stratum_names=STRATA
        )

    def check_memory(self, n: int) -> None:
        """Check that this machine has the memory to draw and hold ``n`` prompts.

        Raises:
            ValueError: it does not; the message says how much memory is needed.
        """
        points = self.examples + self.queries
        what = f"drawing {n} prompts of examples={self.examples} and queries={self.queries}"
        check_memory(what, 32 * n * points, "Reduce the largest of these numbers.")

    def _draw(self, n: int, start: int, seed: int, stream: str) -> dict[str, Tensor]:
        number = torch.arange(start, start + n)
        strata = 1 if self.new_only else len(STRATA)
        stratum, turn = number % strata, number // strata
        slopes = torch.tensor(self.spreads or range(1, self.steepest + 1))
        size, rising = slopes[turn % len(slopes)], turn // len(slopes) % 2 == 0
        # Random numbers of a prompt: for its map, its two queries and their two places, then one per example and query.
        drawn = uniform(n, 4 + self.examples + self.queries, seed=seed, stream=f"{stream}/digits", start=start)
        which, at, shown_at, asked_at = drawn.split([1, 1, 2 + self.examples, self.queries], 1)
        xs, ys, there = (_wide if self.spreads else _narrow)(size, rising, which)
        count = there.sum(1, keepdim=True)
        low = (at * (count // 2)).long()
        pair = torch.cat([low, low + count // 2], 1)  # counted from the first input whose label is a digit
        new = stratum[:, None] == 0
        shown = (shown_at[:, 2:] * (count - 2 * new)).long()
        for query in pair.split(1, 1):  # a new query is skipped
            shown = shown + (new & (shown >= query))
        places = _two_places(shown_at[:, :2], self.examples)
        shown = torch.where(new, shown, shown.scatter(1, places, pair))
        first = there.long().argmax(1, keepdim=True)
        shown, asked = first + shown, first + pair.gather(1, (asked_at * 2).long())
        return {
            "xs": xs.gather(1, shown)[..., None],
            "ys": ys.gather(1, shown),
            "queries": xs.gather(1, asked)[..., None],
            "targets": ys.gather(1, asked),
            "target_variance": ys.gather(1, first + pair).var(1, unbiased=False),
            "strata": stratum,
        }


def _two_places(drawn: Float[Tensor, "batch 2"], among: int) -> Int[Tensor, "batch 2"]:
    """Two different places of so many; of one, only that."""
    first = (drawn[:, :1] * among).long()
    second = (drawn[:, 1:] * max(1, among - 1)).long()
    return torch.cat([first, (second + (second >= first)) % among], 1)


Maps = tuple[Float[Tensor, "batch input"], Float[Tensor, "batch input"], Bool[Tensor, "batch input"]]
"""For each prompt all inputs that there could be, their labels, and whether the label has one digit."""


def _narrow(size: Int[Tensor, " batch"], rising: Bool[Tensor, " batch"], which: Float[Tensor, "batch 1"]) -> Maps:
    xs = torch.arange(VALUES, dtype=torch.float64)
    found: list[tuple[Tensor, Tensor]] = []
    for slope in range(int(size.max()) + 1):
        ys = slope * xs + torch.arange(-9 * slope, VALUES)[:, None]
        there = (ys >= 0) & (ys < VALUES)
        enough = there.sum(1) >= LEAST
        found.append((ys[enough], there[enough]))
    ys, there = (torch.nn.utils.rnn.pad_sequence(list(parts), batch_first=True) for parts in zip(*found, strict=True))
    many = torch.tensor([len(ys) for ys, _ in found])
    chosen = (which[:, 0] * many[size]).long()
    labels = ys[size, chosen]
    return xs.expand_as(labels), torch.where(rising[:, None], labels, VALUES - 1 - labels), there[size, chosen]


def _wide(size: Int[Tensor, " batch"], rising: Bool[Tensor, " batch"], which: Float[Tensor, "batch 1"]) -> Maps:
    ys = torch.arange(VALUES, dtype=torch.float64).expand(len(size), -1)
    xs = size[:, None] * torch.where(rising[:, None], ys, VALUES - 1 - ys) + (which * VALUES).floor()
    return xs, ys, torch.ones_like(ys, dtype=torch.bool)
