"""Letters as inputs: each stands for a number that has nothing to do with its place in the alphabet."""

import string
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mesascope.records.checks import check_count
from mesascope.records.shown import shown
from mesascope.tasks.datasets.dataset import DataSet, Functions

ALPHABET = string.ascii_lowercase
LARGEST_WEIGHT = 10.0


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class CharacterRegression(DataSet):
    """y = Σ w_j v(x_j), where each x_j is one of a few letters and v a number from 0 to 25 for each letter.

    Letters, their numbers and the weights (uniform from 0 to 10) are drawn anew for each prompt. An input holds a letter's
    place in the alphabet, from 0 for a: a learner of numbers sees that place, and `as_letters` gives what is written.

    Attributes:
        dim: number of letters in an input.
        letters: number of different letters in a prompt.

    Raises:
        ValueError: fewer than 2 or more than 26 letters, or what `DataSet` refuses.

    Source: Vacareanu et al. 2024, appendix (5 of 5 letters).
    """

    dim: int = 5
    letters: int = 5

    def __post_init__(self) -> None:
        DataSet.__post_init__(self)
        check_count("letters", self.letters, least=2)
        if self.letters > len(ALPHABET):
            raise ValueError(f"letters must be at most {len(ALPHABET)}; got {shown(self.letters)}. There are no more.")

    def functions(self, count: int, rng: torch.Generator) -> Functions:
        def shuffled() -> Int[Tensor, "batch letter"]:
            return torch.rand(count, len(ALPHABET), generator=rng, dtype=torch.float64).argsort(-1)

        weights = LARGEST_WEIGHT * torch.rand(count, self.dim, generator=rng, dtype=torch.float64)
        return spelled(shuffled()[:, : self.letters], shuffled().double(), weights)


def spelled(
    letters: Int[Tensor, "batch used"], numbers: Float[Tensor, "batch letter"], weights: Float[Tensor, "batch dim"]
) -> Functions:
    """The functions Σ w_j v(x_j) of letters.

    Args:
        letters: the places in the alphabet of the letters used, all equally likely.
        numbers: v, for every letter of the alphabet.
        weights: w.
    """
    count, dim = weights.shape

    def inputs(number: int, rng: torch.Generator) -> Float[Tensor, "batch number dim"]:
        drawn = torch.randint(letters.shape[1], (count, number * dim), generator=rng)
        return letters.gather(1, drawn).double().unflatten(1, (number, dim))

    def values(xs: Float[Tensor, "batch number dim"]) -> Float[Tensor, "batch number"]:
        found = numbers.gather(1, xs.long().flatten(1)).view(xs.shape)
        return (found @ weights[..., None])[..., 0]

    spread = numbers.gather(1, letters).var(-1, unbiased=False)
    return Functions(inputs=inputs, values=values, variance=weights.square().sum(-1) * spread)


def as_letters(inputs: Float[Tensor, " dim"]) -> list[str]:
    """The letters of one input of `CharacterRegression`."""
    return [ALPHABET[int(place)] for place in inputs]


__all__ = ("CharacterRegression", "as_letters", "spelled")
