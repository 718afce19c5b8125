"""Sequences of symbols of which a part can be known from what was shown: repeated blocks, recall, alternation.

A symbol is a number; a model says which of its tokens stands for it. What can be known stands beside what cannot, as the control
of the same prompts. Prompt number i depends on the seed and on i alone.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import torch
from jaxtyping import Int
from torch import Tensor

from mesascope.records.checks import check_count
from mesascope.seeds import uniform


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sequences:
    """A batch of sequences.

    Attributes:
        symbols: what is shown.
        at: positions after which comes what can be known from the symbols before.
        targets: what comes there.
        control_at: positions after which comes what cannot be known.
        control_targets: what comes there.
        vocabulary: number of different symbols.
    """

    symbols: Int[Tensor, "batch position"]
    at: Int[Tensor, " query"]
    targets: Int[Tensor, "batch query"]
    control_at: Int[Tensor, " control"]
    control_targets: Int[Tensor, "batch control"]
    vocabulary: int

    def __len__(self) -> int:
        return len(self.symbols)

    def __getitem__(self, index: slice) -> "Sequences":
        """The chosen prompts, as a batch."""
        return replace(
            self,
            symbols=self.symbols[index],
            targets=self.targets[index],
            control_targets=self.control_targets[index],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceTask(ABC):
    """A distribution over sequences.

    Attributes:
        vocabulary: number of different symbols.

    Raises:
        ValueError: a size is too small.
    """

    vocabulary: int = 1000

    def __post_init__(self) -> None:
        check_count(
            "vocabulary", self.vocabulary, least=self.least, hint=f" These sequences need {self.least} symbols."
        )

    @property
    @abstractmethod
    def least(self) -> int:
        """The smallest vocabulary: symbols that have to differ within a sequence."""

    @abstractmethod
    def sample(self, n: int, *, seed: int, stream: str = "sample", start: int = 0) -> Sequences:
        """Sequences number ``start`` to ``start + n``."""

    def _drawn(self, n: int, seed: int, stream: str, start: int, count: int) -> Int[Tensor, "batch _"]:
        """For each prompt, ``count`` different symbols in random order."""
        check_count("n", n)
        check_count("start", start, least=0)
        return uniform(n, self.vocabulary, seed=seed, stream=f"{stream}/sequences", start=start).argsort(1)[:, :count]


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatedBlocks(SequenceTask):
    """A block of random symbols, several times: from its second symbol on, each repetition can be known.

    The first block is the control, and not the logarithm of the vocabulary's size: a model's own guess of what comes next is not
    uniform.

    Attributes:
        length: symbols of a block, all different.
        repetitions: how often the block is shown.
    """

    length: int = 32
    repetitions: int = 2

    def __post_init__(self) -> None:
        check_count("length", self.length, least=2)
        check_count("repetitions", self.repetitions, least=2)
        super(RepeatedBlocks, self).__post_init__()

    @property
    def least(self) -> int:
        """All symbols of a block differ."""
        return self.length

    def sample(self, n: int, *, seed: int, stream: str = "sample", start: int = 0) -> Sequences:
        """Sequences number ``start`` to ``start + n``."""
        symbols = self._drawn(n, seed, stream, start, self.length).repeat(1, self.repetitions)
        inside = torch.arange(self.length - 1)
        later = torch.cat([inside + self.length * k for k in range(1, self.repetitions)])
        return Sequences(
            symbols=symbols,
            at=later,
            targets=symbols[:, later + 1],
            control_at=inside,
            control_targets=symbols[:, inside + 1],
            vocabulary=self.vocabulary,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociativeRecall(SequenceTask):
    """Pairs of a key and a value, then one of the keys: its value can be known. All keys and values differ.

    The pairs that are asked for take turns from prompt to prompt. The control are the values where they are first shown.

    Attributes:
        pairs: number of pairs.
    """

    pairs: int = 20

    def __post_init__(self) -> None:
        check_count("pairs", self.pairs)
        super(AssociativeRecall, self).__post_init__()

    @property
    def least(self) -> int:
        """All keys and values differ."""
        return 2 * self.pairs

    def sample(self, n: int, *, seed: int, stream: str = "sample", start: int = 0) -> Sequences:
        """Sequences number ``start`` to ``start + n``."""
        shown = self._drawn(n, seed, stream, start, 2 * self.pairs)
        asked = 2 * (torch.arange(start, start + n) % self.pairs)[:, None]
        keys = 2 * torch.arange(self.pairs)
        return Sequences(
            symbols=torch.cat([shown, shown.gather(1, asked)], 1),
            at=torch.tensor([2 * self.pairs]),
            targets=shown.gather(1, asked + 1),
            control_at=keys,
            control_targets=shown[:, keys + 1],
            vocabulary=self.vocabulary,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternation(SequenceTask):
    """Two symbols in turn, A B A B … A: from the second A on, B can be known. The control is the first B.

    Attributes:
        times: how often A is shown.
    """

    times: int = 6

    def __post_init__(self) -> None:
        check_count("times", self.times, least=2)
        super(Alternation, self).__post_init__()

    @property
    def least(self) -> int:
        """A and B differ."""
        return 2

    def sample(self, n: int, *, seed: int, stream: str = "sample", start: int = 0) -> Sequences:
        """Sequences number ``start`` to ``start + n``."""
        both = self._drawn(n, seed, stream, start, 2)
        later = 2 * torch.arange(1, self.times)
        return Sequences(
            symbols=both.repeat(1, self.times)[:, :-1],
            at=later,
            targets=both[:, 1:].repeat(1, self.times - 1),
            control_at=torch.tensor([0]),
            control_targets=both[:, 1:],
            vocabulary=self.vocabulary,
        )


def simple_answers(sequences: Sequences) -> dict[str, Int[Tensor, "batch query"]]:
    """What simple rules answer, to stand beside a model's answers.

    Returns:
        ``followed``: what came after the same symbol last time, which solves all these tasks; ``frequent``: the most frequent
        symbol so far (of several, the smallest); ``last``: the symbol before the present one; ``constant``: the most frequent
        target of all prompts.
    """
    shown, at = sequences.symbols, sequences.at
    earlier = torch.arange(shown.shape[1])[None, :] < at[:, None]
    same = (shown[:, None] == shown[:, at, None]) & earlier
    place = (same * (1 + torch.arange(shown.shape[1]))).amax(-1) - 1
    counts = torch.nn.functional.one_hot(shown, sequences.vocabulary).cumsum(1)[:, at]
    return {
        "followed": shown.gather(1, place.clamp(min=0) + 1),
        "frequent": counts.argmax(-1),
        "last": shown[:, (at - 1).clamp(min=0)],
        "constant": torch.full_like(sequences.targets, int(sequences.targets.flatten().mode().values)),
    }
