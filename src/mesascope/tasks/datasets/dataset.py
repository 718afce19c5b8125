"""What all data sets have in common: numbers with few decimals, and a function per prompt that the labels come from."""

import abc
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.machine.memory import check_memory
from mesascope.records.checks import check_choices, check_count
from mesascope.records.shown import shown
from mesascope.seeds import generator
from mesascope.types import Prompts

CHUNK = 64  # prompts drawn from one generator; a change would change the prompts of every seed
LAST = 2**62  # prompts are numbered in 64 bits
MOST_DECIMALS = 12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Functions:
    """The functions of some prompts, one each, and where their inputs come from.

    Attributes:
        inputs: that many inputs for each prompt.
        values: the functions at inputs, exact.
        variance: of each function over its inputs.
        weights: w, where the functions are wᵀx.
    """

    inputs: Callable[[int, torch.Generator], Float[Tensor, "batch number dim"]]
    values: Callable[[Float[Tensor, "batch number dim"]], Float[Tensor, "batch number"]]
    variance: Float[Tensor, " batch"]
    weights: Float[Tensor, "batch dim"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet(abc.ABC):
    """A data set as a task: every prompt is a split of its own, examples and queries of a sample drawn for it alone.

    Inputs are rounded first. A label is the function's value at the rounded input, with its noise, rounded too: what is
    shown is what a text of these numbers shows. Targets are the exact values at the rounded queries.

    Attributes:
        examples: number of pairs shown per prompt.
        queries: number of queries per prompt.
        noise: standard deviation of the label noise, before rounding.
        decimals: the number of decimals of inputs and labels; ``None`` for no rounding.

    Raises:
        ValueError: a size below 1, negative noise, or a number of decimals that is not 0 to 12.

    Source: Vacareanu et al. 2024, section 3 (50 examples, one query, no noise, two decimals).
    """

    examples: int = 50
    queries: int = 1
    noise: float = 0.0
    decimals: int | None = 2

    def __post_init__(self) -> None:
        check_choices(self)
        for name in ("dim", "examples", "queries"):
            check_count(name, getattr(self, name))
        if not 0 <= self.noise < math.inf:
            raise ValueError(
                f"noise must be a standard deviation, 0 or more and finite; got {shown(self.noise)}. Pass 0 for exact labels."
            )
        if self.decimals is not None:
            check_count("decimals", self.decimals, least=0, hint=" Pass None for numbers that are not rounded.")
            if self.decimals > MOST_DECIMALS:
                raise ValueError(
                    f"decimals must be at most {MOST_DECIMALS}; got {shown(self.decimals)}. "
                    "Pass None for numbers that are not rounded."
                )

    @abc.abstractmethod
    def functions(self, count: int, rng: torch.Generator) -> Functions:
        """The functions of ``count`` prompts, with all that is random in them drawn from ``rng``."""

    def sample(
        self, n: int, *, seed: int, stream: str = "sample", start: int = 0, dtype: torch.dtype = torch.float64
    ) -> Prompts:
        """Prompts number ``start`` to ``start + n``. See `mesascope.types.Task`.

        Raises:
            ValueError: ``n`` below 1, ``start`` below 0, or more prompts than this machine can hold.
        """
        check_numbers(n, start)
        self.check_memory(n)
        return in_chunks(n, start, dtype, lambda chunk: self._chunk(seed, stream, chunk))

    def check_memory(self, n: int) -> None:
        """Check that this machine has the memory to draw and hold ``n`` prompts.

        Raises:
            ValueError: it does not; the message says how much memory is needed.
        """
        points = (self.examples + self.queries) * (getattr(self, "dim") + 2)  # noqa: B009 (a field or a property of each)
        what = f"drawing {n} prompts of examples={self.examples} and queries={self.queries}"
        check_memory(what, 8 * 3 * points * CHUNK * -(-n // CHUNK), "Reduce the largest of these numbers.")

    def rounded(self, values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The values with this data set's number of decimals."""
        return values if self.decimals is None else values.round(decimals=self.decimals)

    def _chunk(self, seed: int, stream: str, chunk: int) -> dict[str, Tensor]:
        def rng(name: str) -> torch.Generator:
            return generator(seed, f"{stream}/{name}", chunk)

        functions = self.functions(CHUNK, rng("functions"))
        xs = self.rounded(functions.inputs(self.examples, rng("inputs")))
        queries = self.rounded(functions.inputs(self.queries, rng("queries")))
        ys = functions.values(xs)
        if self.noise:
            ys = ys + self.noise * torch.randn(ys.shape, generator=rng("noise"), dtype=torch.float64)
        drawn = {
            "xs": xs,
            "ys": self.rounded(ys),
            "queries": queries,
            "targets": functions.values(queries),
            "target_variance": functions.variance,
        }
        return drawn if functions.weights is None else {**drawn, "weights": functions.weights}


def check_numbers(n: int, start: int) -> None:
    """Check that prompts number ``start`` to ``start + n`` can be numbered.

    Raises:
        ValueError: ``n`` below 1, ``start`` below 0, or too large a number.
    """
    check_count("n", n)
    check_count("start", start, least=0)
    if start + n > LAST:
        raise ValueError(f"start must leave room for n prompts below number {LAST:,}; got {shown(start)}. Begin at 0.")


def in_chunks(n: int, start: int, dtype: torch.dtype, draw: Callable[[int], dict[str, Tensor]]) -> Prompts:
    """Prompts number ``start`` to ``start + n``, from whole chunks of `CHUNK` of them.

    Args:
        n, start: which prompts.
        dtype: the precision of the result.
        draw: the parts of a chunk's prompts in double precision, by the chunk's number.
    """
    first, last = start // CHUNK, (start + n - 1) // CHUNK
    chunks = [draw(chunk) for chunk in range(first, last + 1)]
    chosen = slice(start - first * CHUNK, start - first * CHUNK + n)
    drawn: dict[str, Any] = {name: torch.cat([c[name] for c in chunks])[chosen].to(dtype) for name in chunks[0]}
    return Prompts(**drawn)


__all__ = ("CHUNK", "DataSet", "Functions", "check_numbers", "in_chunks")
