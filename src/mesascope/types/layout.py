"""Which of a subject's positions hold which of a prompt's tokens."""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layout:
    """The positions of inputs, labels and queries, for prompts of some number of examples and queries.

    If the queries share one context, its positions are the same for every query; if each query has a context of its own (in a
    network whose context sees the query), they differ. If an example's input and label are in the same tokens, its ``inputs``
    and ``labels`` are equal. `interleaved` makes the usual layouts.

    Attributes:
        inputs: for each query, the positions of the tokens of each example's input, in order.
        labels: the same for each example's label. Its last token has seen the whole example.
        queries: for each query, the positions of its own tokens; the stream at the last one gives the answer.
        context: for each query, all positions of its context, in order: those of the examples, and any others (separators,
            a token that begins the text).

    Raises:
        ValueError: the four tensors disagree on the number of queries or of examples, a position is negative, a token of an
            example is not in the context, or a token of a query is.
    """

    inputs: Int[Tensor, "query example _"]
    labels: Int[Tensor, "query example _"]
    queries: Int[Tensor, "query _"]
    context: Int[Tensor, "query _"]

    def __post_init__(self) -> None:
        shapes = {name: tuple(value.shape) for name, value in self._parts().items()}
        asked, shown = {shape[0] for shape in shapes.values()}, {shapes["inputs"][1], shapes["labels"][1]}
        if len(asked) > 1 or len(shown) > 1:
            raise ValueError(
                f"layout must have the same numbers of queries and of examples in all its tensors; got shapes {shapes}."
            )
        if min(int(value.min()) for value in self._parts().values()) < 0:
            raise ValueError(
                "layout must hold positions counted from 0; got a negative one. Count the context first, then queries."
            )
        context = torch.cat([self.inputs.flatten(1), self.labels.flatten(1)], 1)
        if any(not bool(torch.isin(own, known).all()) for own, known in zip(context, self.context, strict=True)):
            raise ValueError(
                "layout's context must hold the positions of all inputs and labels; some are missing. Add them."
            )
        if bool(torch.isin(self.queries, self.context).any()):
            raise ValueError("layout's queries must not be in the context; one is. Give each query its own tokens.")

    @property
    def examples(self) -> int:
        """Number of examples in a context."""
        return self.inputs.shape[1]

    @property
    def together(self) -> bool:
        """Whether an example's input and label are in the same tokens."""
        return torch.equal(self.inputs, self.labels)

    @property
    def positions(self) -> int:
        """Number of positions."""
        return int(torch.stack([value.max() for value in self._parts().values()]).max()) + 1

    @property
    def answers(self) -> Int[Tensor, " query"]:
        """The position whose stream gives each query's answer."""
        return self.queries[:, -1]

    @property
    def first(self) -> Int[Tensor, " position"]:
        """For each position, the first position of its context."""
        found = torch.arange(self.positions)
        found[self.context] = self.context[:, :1].expand_as(self.context)
        found[self.queries] = self.context[:, :1].expand_as(self.queries)
        return found

    @property
    def previous(self) -> Int[Tensor, " position"]:
        """For each position, the position before it (the first: itself; a query's first: its context's last)."""
        found = torch.arange(self.positions)
        found[self.context] = self.context[:, [0, *range(self.context.shape[1] - 1)]]
        found[self.queries] = torch.cat([self.context[:, -1:], self.queries[:, :-1]], 1)
        return found

    def columns(self) -> dict[str, Int[Tensor, "query example"]]:
        """The positions of each kind of token, example by example: ``label`` and ``input``, or both in one ``example``.

        Empty if an input or a label takes several tokens.
        """
        if self.inputs.shape[2] > 1 or self.labels.shape[2] > 1:
            return {}
        if self.together:
            return {"example": self.inputs[..., 0]}
        return {"label": self.labels[..., 0], "input": self.inputs[..., 0]}

    def names(self) -> list[str]:
        """A short name for each position: x1, y1, … and xq; numbers if a token holds both input and label."""
        found = [str(position + 1) for position in range(self.positions)]
        if not self.together:
            for letter, kind in (("x", self.inputs), ("y", self.labels)):
                for example, tokens in enumerate(kind[0].tolist()):
                    for number, position in enumerate(tokens):
                        part = f".{number + 1}" if len(tokens) > 1 else ""
                        found[position] = f"{letter}{example + 1}{part}"
        for query, tokens in enumerate(self.queries.tolist()):
            for number, position in enumerate(tokens):
                part = f".{number + 1}" if len(tokens) > 1 else ""
                found[position] = f"xq{query + 1 if len(self.queries) > 1 else ''}{part}"
        return found

    def _parts(self) -> dict[str, Tensor]:
        return {"inputs": self.inputs, "labels": self.labels, "queries": self.queries, "context": self.context}


def interleaved(
    examples: int,
    queries: int,
    *,
    input_tokens: int = 1,
    label_tokens: int = 1,
    query_tokens: int | None = None,
    own_context: bool = False,
    begin: int = 0,
) -> Layout:
    """A layout with example after example, each input before its label, and then query after query.

    Args:
        examples, queries: their numbers.
        input_tokens, label_tokens: tokens per input and per label; with 0 label tokens, the input's tokens hold both.
        query_tokens: tokens per query; by default as many as per input.
        own_context: each query has a context of its own. All contexts come first, in the queries' order.
        begin: tokens before all examples that are in every context and hold no example (a sink token).
    """
    each = input_tokens + label_tokens
    length = examples * each
    start = torch.arange(queries)[:, None] * length if own_context else torch.zeros(queries, 1, dtype=torch.long)
    context = begin + start + torch.arange(length)
    grid = context.view(queries, examples, each)
    shown = begin + length * (queries if own_context else 1)
    asked = input_tokens if query_tokens is None else query_tokens
    return Layout(
        inputs=grid[..., :input_tokens],
        labels=grid[..., input_tokens:] if label_tokens else grid,
        queries=shown + torch.arange(queries * asked).view(queries, asked),
        context=torch.cat([torch.arange(begin).expand(queries, -1), context], 1),
    )
