"""From prompts to tokens and back: what a tokenizer makes of a template is found by asking the tokenizer.

Nothing is assumed of digits, signs, spaces or the token that begins a text. A prompt is tokenised as one text, as the model would
get it, together with an answer; the tokens that touch a number belong to it, and the prompt ends before the answer's first token.
So a space before the answer is part of the prompt where the tokenizer has digits without a space, and of the answer where it
has not.
"""

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch

from mesascope.models.language.cutting import Cut, beginning, check_gaps, cut_up, without
from mesascope.models.language.template import Numbers, Passage, Template, compose
from mesascope.models.language.tokens import Tokens
from mesascope.records.shown import shown
from mesascope.types import Layout, Prompts


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Writing:
    """A template in the tokens of one tokenizer. `writing` makes it.

    Attributes:
        template: the template.
        tokenizer: a fast tokenizer of transformers.
        begin: the token that begins every text, or nothing.
        first, before, after: the tokens before the first input, before a label, and from a label to the next input.
        within: the tokens before each input of an example but the first.
        end: the first token after a label, which shows that a number has ended; nothing if the next number follows at once.
        input_width, label_width: the largest numbers of tokens that inputs and labels take.
        answers: for labels that are single digits, the token of each; otherwise nothing.
        values: the numbers that these tokens stand for.
    """

    template: Template
    tokenizer: Any
    begin: tuple[int, ...]
    first: tuple[int, ...]
    within: tuple[tuple[int, ...], ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    end: tuple[int, ...]
    input_width: int
    label_width: int
    answers: tuple[int, ...]
    values: tuple[float, ...]


def writing(template: Template, tokenizer: Any) -> Writing:
    """What a tokenizer makes of a template.

    Raises:
        ValueError: it is not a fast tokenizer, it can't express the digits or the template, or it merges two numbers.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise ValueError(
            f"tokenizer must be a fast one, which says where in the text its tokens are; got a {type(tokenizer).__name__}. "
            "Load it from a directory with a tokenizer.json."
        )
    return _found(template, tokenizer)


@functools.lru_cache(maxsize=16)  # a model may be asked again and again with one template
def _found(template: Template, tokenizer: Any) -> Writing:
    inputs, labels = _samples(template.inputs), _samples(template.labels)
    plain = [inputs[0]] * template.dim
    example = (plain, labels[0])
    asked = [compose(template, [example, example], plain, label) for label in labels]
    asked += [
        compose(template, [(plain, labels[-1]), ([text] * template.dim, labels[0])], plain, labels[0])
        for text in inputs
    ]
    cuts = cut_up(tokenizer, asked)
    gaps = cuts[0].gaps
    for passage, cut in zip(asked, cuts, strict=True):
        check_gaps(cut.gaps[:-1], gaps[:-1], passage)
    each = template.dim + 1
    longest = [max(len(number) for cut in cuts for number in cut.numbers[place::each]) for place in range(each)]
    made = Writing(
        template=template,
        tokenizer=tokenizer,
        begin=beginning(tokenizer),
        first=gaps[0],
        within=gaps[1 : template.dim],
        before=gaps[template.dim],
        after=gaps[each],
        end=gaps[each][:1],
        input_width=_width(template.inputs, inputs, max(longest[:-1])),
        label_width=_width(template.labels, labels, longest[-1]),
        answers=_answers(template, [cut.numbers[-1] for cut in cuts[: len(labels)]], tokenizer),
        values=tuple(map(float, labels)) if template.labels.digits_only else (),
    )
    return dataclasses.replace(made, first=without(made.begin, made.first))


def layout(writing: Writing, examples: int, queries: int) -> Layout:
    """The positions of inputs, labels and queries for prompts with these numbers of examples and queries."""
    position = len(writing.begin)
    inputs, labels = list[list[int]](), list[list[int]]()
    for example in range(examples):
        position += len(writing.after if example else writing.first)
        mine = list[int]()
        for which in range(writing.template.dim):
            position += len(writing.within[which - 1]) if which else 0
            mine += range(position, position + writing.input_width)
            position += writing.input_width
        position += len(writing.before)
        inputs.append(mine)
        labels.append(list(range(position, position + writing.label_width)))
        position += writing.label_width
    each = query_length(writing)
    return Layout(
        inputs=torch.tensor(inputs).repeat(queries, 1, 1),
        labels=torch.tensor(labels).repeat(queries, 1, 1),
        queries=position + torch.arange(queries * each).view(queries, each),
        context=torch.arange(position).repeat(queries, 1),
    )


def query_length(writing: Writing) -> int:
    """Number of positions of one query."""
    between = sum(map(len, writing.within))
    return len(writing.after) + writing.template.dim * writing.input_width + between + len(writing.before)


def example_length(writing: Writing) -> int:
    """Number of positions of one example after the first."""
    return query_length(writing) + writing.label_width


def texts(writing: Writing, prompts: Prompts) -> list[list[str]]:
    """Each prompt as text, up to where the answer would begin: one text per query."""
    return [[passage.text[: passage.spans[-1][0]] for passage in row] for row in _passages(writing.template, prompts)]


def encode(writing: Writing, prompts: Prompts) -> Tokens:
    """The tokens of prompts: the context once, and each query as a continuation that sees the context only.

    Raises:
        ValueError: a value is outside its range, or the tokenizer cuts the text between two numbers in another way than it did
            for the template.
    """
    passages = [passage for row in _passages(writing.template, prompts) for passage in row]
    cuts = cut_up(writing.tokenizer, passages)
    batch, queries = prompts.queries.shape[:2]
    ids, real = list[list[int]](), list[list[bool]]()
    for prompt in range(batch):
        mine = list[tuple[int, bool]]()
        for query in range(queries):
            at = prompt * queries + query
            context, asked = _fill(writing, cuts[at], passages[at])
            mine += asked if query else context + asked
        ids.append([token for token, _ in mine])
        real.append([there for _, there in mine])
    shown = len(ids[0]) - queries * query_length(writing)
    branch = torch.cat(
        [torch.zeros(shown), torch.arange(1, queries + 1).repeat_interleave(query_length(writing))]
    ).long()
    return Tokens(ids=torch.tensor(ids), real=torch.tensor(real), branch=branch, parents=(0, *[0] * queries))


def continuations(writing: Writing, numbers: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """The tokens of each number as an answer, with the token that ends it.

    Raises:
        ValueError: two numbers have the same tokens.
    """
    plain = [_samples(writing.template.inputs)[0]] * writing.template.dim
    shown = (plain, _samples(writing.template.labels)[0])
    cuts = cut_up(writing.tokenizer, [compose(writing.template, [shown], plain, number) for number in numbers])
    found = tuple((*cut.numbers[-1], *writing.end) for cut in cuts)
    if len(set(found)) < len(found):
        raise ValueError("numbers must have tokens of their own; two have the same. Choose fewer decimals.")
    return found


# --------------------------------------------------------------------------------------------- tokenising


def _passages(template: Template, prompts: Prompts) -> list[list[Passage]]:
    if prompts.dim != template.dim:
        raise ValueError(
            f"prompts must have dim={template.dim}, as the template has; got {prompts.dim}. Sample from a task of that dimension."
        )
    batch, examples, dim = prompts.xs.shape
    queries = prompts.queries.shape[1]
    xs = template.inputs.write("xs", prompts.xs.flatten())
    asked = template.inputs.write("queries", prompts.queries.flatten())
    ys = template.labels.write("ys", prompts.ys.flatten())
    last = _samples(template.labels)[0]
    rows = list[list[Passage]]()
    for i in range(batch):
        pairs = [(xs[(at := (i * examples + j) * dim) : at + dim], ys[i * examples + j]) for j in range(examples)]
        starts = [(i * queries + k) * dim for k in range(queries)]
        rows.append([compose(template, pairs, asked[at : at + dim], last) for at in starts])
    return rows


def _fill(writing: Writing, cut: Cut, passage: Passage) -> tuple[list[tuple[int, bool]], list[tuple[int, bool]]]:
    """The positions of the context and of the query, each with its token and whether there is one."""
    dim = writing.template.dim
    expected = [writing.first, *writing.within, writing.before]
    later = [writing.after, *expected[1:]]
    count = len(cut.numbers) // (dim + 1)
    own = (without(writing.begin, cut.gaps[0]), *cut.gaps[1:-1])
    check_gaps(own, [*expected, *later * (count - 1)], passage)
    parts = [[(token, True) for token in writing.begin]]
    for i, (gap, number) in enumerate(zip(own, cut.numbers, strict=True)):
        width = writing.label_width if i % (dim + 1) == dim else writing.input_width
        assert len(number) <= width, "a number takes more tokens than any of its range"
        slot = [(0, False)] * (width - len(number)) + [(token, True) for token in number]
        parts += [[(token, True) for token in gap], slot]
    begun = 1 + 2 * (count - 1) * (dim + 1)
    return list(chain.from_iterable(parts[:begun])), list(chain.from_iterable(parts[begun:-1]))


def _samples(numbers: Numbers) -> list[str]:
    """All numbers of the range, if they are few; otherwise some of every length and sign."""
    whole = round((numbers.highest - numbers.lowest) * 10**numbers.decimals) + 1
    if whole <= 1000:
        return numbers.all()
    steps = torch.linspace(0, 1, 1000, dtype=torch.float64) * (numbers.highest - numbers.lowest) + numbers.lowest
    return sorted(set(numbers.spelled(steps.round(decimals=numbers.decimals))))


def _width(numbers: Numbers, samples: list[str], found: int) -> int:
    """The most tokens that a number takes: as found, if all were tried; otherwise at most one per character and one more."""
    whole = round((numbers.highest - numbers.lowest) * 10**numbers.decimals) + 1
    return found if whole <= 1000 else max(found, max(map(len, samples)) + 1)


def _answers(template: Template, labels: list[tuple[int, ...]], tokenizer: Any) -> tuple[int, ...]:
    """The token of each digit as a label; nothing if labels may be other numbers.

    Raises:
        ValueError: a digit takes several tokens, or two digits have the same.
    """
    if not template.labels.digits_only:
        return ()
    shown_as = list(zip(_samples(template.labels), labels, strict=True))
    for digit, tokens in shown_as:
        if len(tokens) > 1:
            words = tokenizer.convert_ids_to_tokens(list(tokens))
            raise ValueError(
                f"tokenizer must have one token for each digit; {digit!r} takes {len(tokens)} ({shown(words)}). Choose another "
                "text before the label, such as one that ends with a space."
            )
    if len({tokens[0] for _, tokens in shown_as}) < len(shown_as):
        raise ValueError(
            f"tokenizer must have a token of its own for each digit; two of {shown_as[0][0]} to {shown_as[-1][0]} have the same. "
            "Choose a model whose tokenizer has them."
        )
    return tuple(tokens[0] for _, tokens in shown_as)


__all__ = ("Writing", "continuations", "encode", "example_length", "layout", "query_length", "texts", "writing")
