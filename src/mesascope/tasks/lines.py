"""Lines in digits as a linear regression: what the identifier asks a subject that reads numbers as text."""

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.records.checks import check_count
from mesascope.seeds import generator
from mesascope.tasks.digits import VALUES, DigitRegression
from mesascope.types import Prompts

MIDDLE, UNIT = 4.5, 3.0
"""A digit's value is (digit − 4.5)/3: the digits have mean 0, and a standard deviation near 1."""
STEPS = torch.tensor([0, 2, 1, 3])
"""How many quarters of the range the queries are above the lower new input, which the second is half the range above."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DigitLines:
    """The prompts of `DigitRegression` with narrow inputs, as a linear regression in two dimensions.

    An input is ((x − 4.5)/3, 1), a label (y − 4.5)/3: so an affine map of digits is linear, its weights are known, and answering
    zero is answering the middle of the digits. The constant is not written.

    The queries are different inputs, a quarter of the range apart. The first two are new: no example shows them.

    Attributes:
        digits: where the maps and the examples come from; its own queries are not used.
        queries: number of queries per prompt, at most 4: a map has no more inputs with a digit as its label for certain.

    Raises:
        ValueError: wide inputs, queries among the examples, or a number of queries that is not 1 to 4.
    """

    digits: DigitRegression = field(default_factory=DigitRegression)
    queries: int = 4

    def __post_init__(self) -> None:
        check_count("queries", self.queries)
        if self.queries > self.most_queries:
            raise ValueError(
                f"queries must be at most {self.most_queries}; got {self.queries}. Some maps have no more inputs whose label is "
                "a digit."
            )
        if self.digits.spreads or not self.digits.new_only:
            raise ValueError(
                "digits must have narrow inputs and ask for new ones, so that its numbers are all digits; got "
                f"spreads={self.digits.spreads}, new_only={self.digits.new_only}. Pass a DigitRegression without them."
            )

    @property
    def dim(self) -> int:
        """The input and the constant."""
        return 2

    @property
    def examples(self) -> int:
        """Number of pairs shown."""
        return self.digits.examples

    @property
    def noise(self) -> float:
        """Labels are exact."""
        return 0.0

    @property
    def most_queries(self) -> int:
        """The largest number of queries."""
        return 4

    def sample(
        self, n: int, *, seed: int, stream: str = "sample", start: int = 0, dtype: torch.dtype = torch.float64
    ) -> Prompts:
        """Prompts number ``start`` to ``start + n``. See `mesascope.types.Task`."""
        drawn = replace(self.digits, queries=1).sample(n, seed=seed, stream=stream, start=start)
        slope, intercept = _line(drawn)
        inputs = torch.arange(VALUES, dtype=torch.float64).expand(n, -1)
        labels = slope[:, None] * inputs + intercept[:, None]
        there = (labels >= 0) & (labels < VALUES)
        first, count = there.long().argmax(1, keepdim=True), there.sum(1, keepdim=True)
        new = drawn.queries[:, 0].long() - first  # and so is the input half the range away
        four = first + (new % (count // 2) + STEPS * count // 4) % count
        asked, could = four[:, : self.queries], labels.gather(1, four)
        weights = torch.stack([slope, (slope * MIDDLE + intercept - MIDDLE) / UNIT], 1)
        return Prompts(
            xs=values(drawn.xs),
            ys=(drawn.ys - MIDDLE) / UNIT,
            queries=values(asked[..., None].double()),
            targets=(could[:, : self.queries] - MIDDLE) / UNIT,
            target_variance=could.var(1, unbiased=False) / UNIT**2,
            weights=weights,
        ).to(dtype=dtype)

    def check_memory(self, n: int) -> None:
        """Check that this machine has the memory to draw and hold ``n`` prompts.

        Raises:
            ValueError: it does not; the message says how much memory is needed.
        """
        self.digits.check_memory(n)

    def other_labels(self, prompts: Prompts, *, seed: int, place: int) -> Float[Tensor, "batch example"]:
        """The labels that another map of slope ±1 gives the same inputs, all of them digits."""
        xs = prompts.xs[..., 0] * UNIT + MIDDLE
        rng = generator(seed, "lines/labels", place)
        sign, at = torch.rand(2, len(xs), 1, generator=rng, dtype=torch.float64).to(xs)
        turned = torch.where(sign < 0.5, xs, -xs)
        low, high = turned.amin(1, keepdim=True), turned.amax(1, keepdim=True)
        shift = (at * (VALUES - (high - low).round())).floor() - low
        return ((turned + shift).round() - MIDDLE) / UNIT


def values(digits: Float[Tensor, "batch number 1"]) -> Float[Tensor, "batch number 2"]:
    """The inputs of the regression: a digit's value and the constant."""
    return torch.cat([(digits - MIDDLE) / UNIT, torch.ones_like(digits)], -1)


def as_values(prompts: Prompts) -> Prompts:
    """Prompts of digits in the units of `DigitLines`, with the constant."""
    return replace(
        prompts,
        xs=values(prompts.xs),
        ys=(prompts.ys - MIDDLE) / UNIT,
        queries=values(prompts.queries),
        targets=(prompts.targets - MIDDLE) / UNIT,
        target_variance=prompts.target_variance / UNIT**2,
        weights=None,
    )


def as_digits(prompts: Prompts) -> Prompts:
    """Prompts of `DigitLines` as those of `DigitRegression`: whole numbers, without the constant."""

    def digits(values: Tensor) -> Tensor:
        return (values * UNIT + MIDDLE).round()

    return replace(
        prompts,
        xs=digits(prompts.xs[..., :1]),
        ys=digits(prompts.ys),
        queries=digits(prompts.queries[..., :1]),
        targets=digits(prompts.targets),
        target_variance=prompts.target_variance * UNIT**2,
        weights=None,
    )


def _line(prompts: Prompts) -> tuple[Float[Tensor, " batch"], Float[Tensor, " batch"]]:
    """Slope and intercept, from two points: the first example, and the query, which no example shows."""
    x, y = prompts.xs[:, 0, 0], prompts.ys[:, 0]
    slope = ((prompts.targets[:, 0] - y) / (prompts.queries[:, 0, 0] - x)).round()
    return slope, (y - slope * x).round()


__all__ = ("MIDDLE", "UNIT", "DigitLines", "as_digits", "as_values", "values")
