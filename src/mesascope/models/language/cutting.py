"""Tokenised text in which every token belongs to a number or stands between two: found from the tokenizer, not assumed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mesascope.models.language.template import Passage
from mesascope.records.shown import shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A tokenised passage.

    Attributes:
        gaps: the tokens before each number, and after the last.
        numbers: the tokens of each number, those included that a number shares with the text around it.
    """

    gaps: tuple[tuple[int, ...], ...]
    numbers: tuple[tuple[int, ...], ...]


def cut_up(tokenizer: Any, passages: Sequence[Passage]) -> list[Cut]:
    """Tokenise passages and sort their tokens: those that touch a number, and those between numbers, in order."""
    found = tokenizer([passage.text for passage in passages], add_special_tokens=False, return_offsets_mapping=True)
    unknown = getattr(tokenizer, "unk_token_id", None)
    cuts = list[Cut]()
    for passage, ids, offsets in zip(passages, found["input_ids"], found["offset_mapping"], strict=True):
        spans, count = passage.spans, len(passage.spans)
        gaps, numbers = [list[int]() for _ in range(count + 1)], [list[int]() for _ in range(count)]
        at = 0  # numbers before this one have been passed
        for token, (start, stop) in zip(ids, offsets, strict=True):
            near = enumerate(spans[at : at + 3], at)
            touched = [i for i, (first, last) in near if start < last and stop > first]
            if len(touched) > 1:
                raise ValueError(
                    f"tokenizer must keep numbers apart; it merges two in {shown(passage.text[start:stop])}. Put other text "
                    "between them in the template."
                )
            if touched:
                at = touched[0]
                numbers[at].append(token)
            else:
                at += at < count and bool(numbers[at])
                gaps[at].append(token)
            if unknown is not None and token == unknown:
                raise ValueError(
                    f"tokenizer must have tokens for the template and the digits; it has none for "
                    f"{shown(passage.text[start:stop] or passage.text)}. Choose another template, or a model whose tokenizer "
                    "has them."
                )
        if missing := [i for i, number in enumerate(numbers) if not number]:
            first, last = spans[missing[0]]
            raise ValueError(
                f"tokenizer must have tokens for the digits; it has none for {shown(passage.text[first:last])}. Choose a model "
                "whose tokenizer has them."
            )
        cuts.append(Cut(gaps=tuple(map(tuple, gaps)), numbers=tuple(map(tuple, numbers))))
    return cuts


def check_gaps(found: Sequence[tuple[int, ...]], expected: Sequence[tuple[int, ...]], passage: Passage) -> None:
    """Check that the tokens before each number are the expected ones.

    Raises:
        ValueError: they are not: the tokenizer merges some of them with some numbers only.
    """
    for number, (own, usual) in enumerate(zip(found, expected, strict=True)):
        if own != usual:
            around = passage.text[max(0, passage.spans[number][0] - 12) : passage.spans[number][1]]
            raise ValueError(
                f"tokenizer must cut the text before a number in one way, whatever the number; it cuts {shown(around)} in "
                "another. Choose a template without a space before its numbers, or numbers without a sign."
            )


def beginning(tokenizer: Any) -> tuple[int, ...]:
    """What the tokenizer puts before a text, without the token's repetitions."""
    alone, whole = (tokenizer("0", add_special_tokens=special)["input_ids"] for special in (False, True))
    before = next((whole[:i] for i in range(len(whole)) if whole[i : i + len(alone)] == alone), None)
    if before is None:  # with the special tokens, the text itself is cut in another way
        before = whole[:1] if whole[:1] == [getattr(tokenizer, "bos_token_id", None)] else []
    return tuple(before[:1]) if len(set(before)) == 1 else tuple(before)


def without(begin: tuple[int, ...], gap: tuple[int, ...]) -> tuple[int, ...]:
    """The first tokens of a text without the one that begins it, for templates that write it out: it is not doubled."""
    return gap[len(begin) :] if begin and gap[: len(begin)] == begin else gap
