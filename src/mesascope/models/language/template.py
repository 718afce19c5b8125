"""How regression problems are written as text: the numbers, and the words around them. Templates are data."""

import math
from dataclasses import dataclass, field
from string import ascii_lowercase

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.records.checks import check_count
from mesascope.records.shown import shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """How values are written as numbers: ``scale`` times the value plus ``offset``, rounded to ``decimals`` places.

    Attributes:
        lowest, highest: the range of the written numbers.
        decimals: places after the point.
        scale, offset: from a value to the written number.
        saturate: write a number outside the range as the nearer end of the range, instead of refusing it.
        shortest: leave out zeros at the end, but for the first decimal, as Python writes a float: 3.0, 3.1, 3.14.
        spaced: a space stands before every number and belongs to it, so that a prompt ends before that space.
        letters: write a whole number from 0 to 25 as the letter at that place of the alphabet.

    Raises:
        ValueError: an empty range, a scale of 0, a number of decimals that is not 0 to 6, or letters outside the alphabet.
    """

    lowest: float = 0.0
    highest: float = 9.0
    decimals: int = 0
    scale: float = 1.0
    offset: float = 0.0
    saturate: bool = False
    shortest: bool = False
    spaced: bool = False
    letters: bool = False

    def __post_init__(self) -> None:
        check_count("decimals", self.decimals, least=0)
        if self.decimals > 6:
            raise ValueError(f"decimals must be at most 6; got {self.decimals}. A float has no more places to show.")
        if not -math.inf < self.lowest < self.highest < math.inf:
            raise ValueError(
                f"lowest must be below highest, both finite; got {shown(self.lowest)} and {shown(self.highest)}. "
                "Pass 0 and 9 for single digits."
            )
        if not math.isfinite(self.scale) or not self.scale or not math.isfinite(self.offset):
            raise ValueError(
                f"scale must be finite and not 0, and offset finite; got {shown(self.scale)} and {shown(self.offset)}. "
                "Pass 1 and 0 to write values as they are."
            )
        if self.letters and (self.decimals or self.lowest < 0 or self.highest >= len(ascii_lowercase)):
            raise ValueError(
                f"letters must stand for whole numbers from 0 to {len(ascii_lowercase) - 1}; got {self.lowest:g} to "
                f"{self.highest:g} with {self.decimals} decimals. Narrow the range."
            )

    @property
    def digits_only(self) -> bool:
        """Whether every number is a single digit."""
        return (
            not self.decimals
            and not self.spaced
            and not self.letters
            and round(self.lowest) >= 0
            and round(self.highest) <= 9
        )

    def write(self, name: str, values: Float[Tensor, " batch"]) -> list[str]:
        """The values as text.

        Raises:
            ValueError: a number is outside the range; the message names the argument ``name``.
        """
        numbers = (values.double() * self.scale + self.offset).round(decimals=self.decimals)
        low, high = round(self.lowest, self.decimals), round(self.highest, self.decimals)
        if self.saturate:
            numbers = numbers.clamp(low, high)
        outside = numbers[(numbers < low) | (numbers > high)]
        if len(outside):
            raise ValueError(
                f"{name} must lie between {low:g} and {high:g} once written as text; got {float(outside[0]):g}. Take a task with "
                "such numbers (ms.tasks.DigitRegression), or a template with another range, scale or offset."
            )
        return self.spelled(numbers)

    def spelled(self, numbers: Float[Tensor, " batch"]) -> list[str]:
        """Numbers, which are rounded already, as text."""
        if self.letters:
            return [" " * self.spaced + ascii_lowercase[int(number)] for number in numbers.tolist()]
        texts = [f"{number:.{self.decimals}f}" for number in (numbers + 0.0).tolist()]  # + 0.0 makes -0 a 0
        if self.shortest and self.decimals:
            texts = [text.rstrip("0") for text in texts]
            texts = [text + "0" * text.endswith(".") for text in texts]
        return [" " * self.spaced + text for text in texts]

    def read(self, numbers: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """The values that numbers stand for."""
        return (numbers - self.offset) / self.scale

    def all(self, most: int = 1000) -> list[str]:
        """Every number of the range as text.

        Raises:
            ValueError: there are more than ``most``.
        """
        step = 10.0**-self.decimals
        count = round((self.highest - self.lowest) / step) + 1
        if count > most:
            raise ValueError(
                f"numbers must be at most {most} to list them all; got {count} from {self.lowest:g} to {self.highest:g}. Choose "
                "a smaller range or fewer decimals."
            )
        values = (self.lowest + step * torch.arange(count, dtype=torch.float64)).round(decimals=self.decimals)
        return self.spelled(values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """The text of a prompt: an opening, then the examples, then the query up to where its label would begin.

    Spaces may stand anywhere: whether a tokenizer merges a space with the digit after it is found from the tokenizer.

    Attributes:
        opening: the text before the first example.
        before_input: the text before an example's (or the query's) first input.
        between_inputs: the text between the inputs of one example, if there are several. ``{}`` in it stands for the number of
            the input that follows, counted from 0.
        before_label: the text between inputs and label. A prompt ends with it.
        after_label: the text after an example's label.
        dim: number of inputs of one example.
        inputs, labels: how inputs and labels are written.

    Raises:
        ValueError: a ``dim`` below 1, or nothing between two numbers.
    """

    opening: str = ""
    before_input: str = "Input: "
    between_inputs: str = ", "
    before_label: str = " Output: "
    after_label: str = "\n"
    dim: int = 1
    inputs: Numbers = field(default_factory=Numbers)
    labels: Numbers = field(default_factory=Numbers)

    def __post_init__(self) -> None:
        check_count("dim", self.dim)
        for name in ("between_inputs", "before_label", "after_label"):
            if not getattr(self, name):
                raise ValueError(
                    f"{name} must not be empty: two numbers would stand side by side; got ''. Put a space or a comma there."
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A piece of text in which the places of all numbers are known.

    Attributes:
        text: the text.
        spans: for each number, its first character and the one after its last.
    """

    text: str
    spans: tuple[tuple[int, int], ...]


def compose(template: Template, examples: list[tuple[list[str], str]], query: list[str], label: str) -> Passage:
    """The text of one prompt, with an answer.

    Args:
        template: the words around the numbers.
        examples: the inputs and the label of each example, as they are written.
        query: the query's inputs.
        label: its label.
    """
    text, spans = template.opening, list[tuple[int, int]]()
    for inputs, output in (*examples, (query, label)):
        between = [template.between_inputs.replace("{}", str(place)) for place in range(1, len(inputs))]
        words = [template.before_input, *between, template.before_label]
        for word, number in zip(words, (*inputs, output), strict=True):
            text += word
            spans.append((len(text), len(text) + len(number)))
            text += number
        text += template.after_label
    return Passage(text=text, spans=tuple(spans))
