"""Affine maps y = ax + b between whole numbers, with single-digit labels: regression that fits into text."""

from dataclasses import dataclass

import torch

from mesascope.machine.memory import check_memory
from mesascope.records.checks import check_count
from mesascope.records.shown import shown
from mesascope.seeds import generator
from mesascope.tasks.linear import LAST
from mesascope.types import Prompts

STRATA = ("new query", "query among the examples")
LEAST = 4
"""The smallest number of inputs whose label has one digit; a map with fewer is not drawn."""
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
        drawn = [self._prompt(number, seed, stream) for number in range(start, start + n)]
        columns = {name: torch.stack([one[name] for one in drawn]) for name in drawn[0]}
        strata = columns.pop("strata")
        return Prompts(
            **{name: values.to(dtype) for name, values in columns.items()}, strata=strata, stratum_names=STRATA
        )

    def check_memory(self, n: int) -> None:
        """Check that this machine has the memory to draw and hold ``n`` prompts.

        Raises:
            ValueError: it does not; the message says how much memory is needed.
        """
        points = self.examples + self.queries
        what = f"drawing {n} prompts of examples={self.examples} and queries={self.queries}"
        check_memory(what, 32 * n * points, "Reduce the largest of these numbers.")

    def _prompt(self, number: int, seed: int, stream: str) -> dict[str, torch.Tensor]:
        rng = generator(seed, f"{stream}/digits", number)
        strata = 1 if self.new_only else len(STRATA)
        stratum, turn = number % strata, number // strata
        slopes = self.spreads or range(1, self.steepest + 1)
        size, sign = slopes[turn % len(slopes)], 1 - 2 * (turn // len(slopes) % 2)
        xs, ys = _map(size, sign, bool(self.spreads), rng)
        half = len(xs) // 2
        first = int(torch.randint(half, (), generator=rng))
        pair = torch.tensor([first, first + half])
        others = torch.tensor([i for i in range(len(xs)) if stratum or i not in (first, first + half)])
        shown_at = others[torch.randint(len(others), (self.examples,), generator=rng)]
        places = torch.randperm(self.examples, generator=rng)[:2]
        asked = pair[torch.randint(2, (self.queries,), generator=rng)]
        if stratum:
            shown_at[places] = pair
        return {
            "xs": xs[shown_at, None],
            "ys": ys[shown_at],
            "queries": xs[asked, None],
            "targets": ys[asked],
            "target_variance": ys[pair].var(unbiased=False),
            "strata": torch.tensor(stratum),
        }


def _map(size: int, sign: int, wide: bool, rng: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """All inputs of one map with a label of one digit, and their labels."""
    if wide:
        ys = torch.arange(10, dtype=torch.float64)
        shift = torch.randint(10, (), generator=rng)
        return size * (ys if sign > 0 else 9 - ys) + shift, ys
    xs = torch.arange(10, dtype=torch.float64)
    maps = [size * xs + b for b in range(-9 * size, 10)]
    inside = [(ys >= 0) & (ys <= 9) for ys in maps]
    enough = [i for i, good in enumerate(inside) if int(good.sum()) >= LEAST]
    chosen = enough[int(torch.randint(len(enough), (), generator=rng))]
    ys = maps[chosen][inside[chosen]]
    return xs[inside[chosen]], ys if sign > 0 else 9 - ys
