"""What small language models are trained on: affine maps in digits, and random blocks that are repeated."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mesascope.models.language.characters import BEGIN, CHARACTERS
from mesascope.records.checks import check_count
from mesascope.seeds import uniform
from mesascope.tasks.digits import DigitRegression
from mesascope.types import Prompts

PAIR = 4
"""Tokens of a pair: its input, a colon, its label, and the end of the line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """Passages of one length. Those with an even number are pairs of one affine map, the others a random block, again and again.

    A passage of pairs is a prompt of `DigitRegression` with its query answered, in the form of `characters.PAIRS`. Every label
    can be predicted from the pairs before it, once they determine the map. In a block, any character can follow any other: only
    its repetitions can be predicted. Blocks differ in length, from a sixth of the passage to half of it, so that what repeats
    one must look for what followed the same character before: copying from a fixed distance does not do.

    Attributes:
        pairs: number of pairs in a passage.
        steepest: the largest slope |a| of the maps.
        shuffled: put the labels of every passage into a random order, so that there is no map to be learnt: the negative
            control of everything that training on the corpus should bring about.

    Raises:
        ValueError: fewer than three pairs, or a ``steepest`` that `DigitRegression` refuses.
    """

    pairs: int = 12
    steepest: int = 2
    shuffled: bool = False

    def __post_init__(self) -> None:
        check_count("pairs", self.pairs, least=3)
        _ = self.task

    @property
    def task(self) -> DigitRegression:
        """The prompts of the passages: every second asks for an input that no pair shows."""
        return DigitRegression(examples=self.pairs - 1, queries=1, steepest=self.steepest, new_only=False)

    @property
    def length(self) -> int:
        """Tokens of a passage, with the one that begins it."""
        return 1 + PAIR * self.pairs

    @property
    def longest(self) -> int:
        """Characters of the longest blocks, which are shown just twice."""
        return PAIR * self.pairs // 2

    def sample(self, n: int, *, seed: int, stream: str = "sample", start: int = 0) -> Int[Tensor, "batch position"]:
        """The tokens of passages number ``start`` to ``start + n``, each a function of seed, stream and its number alone."""
        numbers = torch.arange(start, start + n)
        tokens = torch.full((n, self.length), BEGIN)
        even = numbers % 2 == 0
        first = (start + 1) // 2
        tokens[even, 1:] = self._maps(int(even.sum()), first, seed, stream)
        tokens[~even, 1:] = self._blocks(int((~even).sum()), start // 2, seed, stream)
        return tokens

    def _maps(self, n: int, first: int, seed: int, stream: str) -> Int[Tensor, "batch position"]:
        if n == 0:
            return torch.empty(0, self.length - 1, dtype=torch.long)
        drawn = self.task.sample(n, seed=seed, stream=f"{stream}/maps", start=first)
        labels = torch.cat([drawn.ys, drawn.targets], 1)
        if self.shuffled:
            order = uniform(n, self.pairs, seed=seed, stream=f"{stream}/shuffled", start=first).argsort(1)
            labels = labels.gather(1, order)
        return _written(torch.cat([drawn.xs, drawn.queries], 1), labels)

    def _blocks(self, n: int, first: int, seed: int, stream: str) -> Int[Tensor, "batch position"]:
        drawn = uniform(n, self.longest, seed=seed, stream=f"{stream}/blocks", start=first)
        lengths = self._lengths(n, first, seed, stream)
        places = torch.arange(PAIR * self.pairs) % lengths[:, None]
        return (drawn * len(CHARACTERS)).long().gather(1, places)

    def _lengths(self, n: int, first: int, seed: int, stream: str) -> Int[Tensor, "batch"]:
        """Characters of the blocks."""
        shortest = self.longest // 3
        drawn = uniform(n, 1, seed=seed, stream=f"{stream}/lengths", start=first)[:, 0]
        return shortest + (drawn * (self.longest - shortest + 1)).long()

    def repeats(self, n: int, *, seed: int, stream: str = "sample") -> Bool[Tensor, "batch position"]:
        """Which tokens of the passages number 0 to ``n`` repeat a block, the first of its first repetition apart.

        That first token follows nothing that was seen before. In passages of pairs there are none.
        """
        repeats = torch.zeros(n, self.length, dtype=torch.bool)
        lengths = self._lengths(n // 2, 0, seed, stream)
        repeats[1::2, 1:] = torch.arange(PAIR * self.pairs) > lengths[:, None]
        return repeats


def asked(prompts: Prompts) -> Int[Tensor, "batch position"]:
    """The tokens of prompts of `DigitRegression`, up to where the label of their one query stands."""
    last = _written(prompts.queries[:, :1], torch.zeros_like(prompts.targets[:, :1]))[:, :2]
    begin = torch.full((len(prompts), 1), BEGIN)
    return torch.cat([begin, _written(prompts.xs, prompts.ys), last], 1)


def _written(xs: Float[Tensor, "batch example 1"], ys: Float[Tensor, "batch example"]) -> Int[Tensor, "batch position"]:
    """The tokens of pairs: a digit is its own token."""
    colon, line = (torch.full_like(ys, CHARACTERS.index(c)) for c in ":\n")
    return torch.stack([xs[..., 0], colon, ys, line], -1).flatten(1).long()
