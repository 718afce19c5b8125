"""Numbers as text: what each kind of tokenizer makes of digits, signs, decimals, spaces and the token that begins a text."""

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mesascope.models.language import Numbers, Template
from mesascope.models.language.tokens import Tokens, places, plain, visible
from mesascope.models.language.writing import Writing, continuations, encode, layout, texts, writing
from mesascope.tasks import DigitRegression
from mesascope.types import Prompts

SPACED = Template(before_input="x: ", before_label=" y: ")


def prompts(xs: list[list[float]], ys: list[list[float]], queries: list[list[float]]) -> Prompts:
    shape = {"xs": torch.tensor(xs)[..., None], "ys": torch.tensor(ys), "queries": torch.tensor(queries)[..., None]}
    return Prompts(
        **{k: v.double() for k, v in shape.items()},
        targets=torch.zeros(len(xs), len(queries[0])).double(),
        target_variance=torch.ones(len(xs)).double(),
    )


P = prompts([[1, 2], [3, 4]], [[5, 6], [7, 8]], [[9, 0], [1, 2]])


def seen(made: Writing, tokens: Tokens, row: int, query: int) -> list[int]:
    """The tokens that the answer to one query is computed from, in order."""
    at = int(layout(made, 2, len(tokens.parents) - 1).answers[query])
    return tokens.ids[row][visible(tokens)[row, at]].tolist()


@pytest.mark.parametrize("begin", [0, 1, 2])
@pytest.mark.parametrize("cut", ["apart", "merged"])
def test_a_query_is_the_tokens_of_its_text(tiny: SimpleNamespace, cut: str, begin: int) -> None:
    """With the space before the answer, unless it is part of the answer's token; a doubled first token is single."""
    tokenizer = tiny.tokenizer(merges=tiny.MERGED if cut == "merged" else (), digits_apart=cut == "apart", begin=begin)
    made = writing(SPACED, tokenizer)
    tokens = encode(made, P)
    assert texts(made, P)[1] == ["x: 3 y: 7\nx: 4 y: 8\nx: 1 y: ", "x: 3 y: 7\nx: 4 y: 8\nx: 2 y: "]
    for row in range(2):
        for query in range(2):
            text = texts(made, P)[row][query]
            whole = tokenizer(text + "0", add_special_tokens=False)["input_ids"]
            assert seen(made, tokens, row, query) == [0] * bool(begin) + whole[:-1]
    answers = [tokenizer.convert_ids_to_tokens([token])[0] for token in made.answers]
    assert answers == [f"{'Ġ' * (cut == 'merged')}{digit}" for digit in range(10)]


def test_a_template_that_writes_the_first_token_does_not_double_it(tiny: SimpleNamespace) -> None:
    for begin in (0, 1):
        made = writing(dataclasses.replace(SPACED, opening="<s>"), tiny.tokenizer(digits_apart=True, begin=begin))
        assert seen(made, encode(made, P), 0, 0).count(0) == 1


def test_a_layout_says_where_the_numbers_stand(tiny: SimpleNamespace) -> None:
    made = writing(dataclasses.replace(SPACED, inputs=Numbers(highest=99)), tiny.tokenizer(digits_apart=True, begin=1))
    tokens, places_of = encode(made, P), layout(made, 2, 2)
    letters = made.tokenizer.convert_ids_to_tokens(tokens.ids[1].tolist())
    assert places_of.positions == tokens.ids.shape[1]
    assert [[letters[i] for i in row if tokens.real[1, i]] for row in places_of.inputs[0].tolist()] == [["3"], ["4"]]
    assert [[letters[i] for i in row] for row in places_of.labels[1].tolist()] == [["7"], ["8"]]
    assert (
        letters[int(places_of.queries[1][5])] == "2"
    )  # after a line's end, x, a colon, a space, and a gap for a second digit
    assert (~tokens.real).sum(1).tolist() == [4, 4]


def test_numbers_of_several_tokens_end_at_the_same_position(tiny: SimpleNamespace) -> None:
    template = Template(
        before_input="x:",
        before_label="y:",
        inputs=Numbers(lowest=-20, highest=120, decimals=1),
        labels=Numbers(lowest=0, highest=99),
    )
    made = writing(template, tiny.tokenizer())
    q = prompts([[1.5, -20.0], [99.94, 120.0]], [[7, 12], [99, 0]], [[0.04], [-0.04]])
    tokens = encode(made, q)
    assert texts(made, q) == [["x:1.5y:7\nx:-20.0y:12\nx:0.0y:"], ["x:99.9y:99\nx:120.0y:0\nx:0.0y:"]]
    letters = [made.tokenizer.convert_ids_to_tokens(row.tolist()) for row in tokens.ids]
    found = [
        [[w[i] for i in at if r[i]] for at in layout(made, 2, 1).inputs[0].tolist()]
        for w, r in zip(letters, tokens.real, strict=True)
    ]
    assert ["".join(number) for row in found for number in row] == ["1.5", "-20.0", "99.9", "120.0"]
    ends = layout(made, 2, 1).labels[0, :, -1]
    assert bool(tokens.real[:, ends].all())
    assert places(tokens)[0, -1] + 1 == len(texts(made, q)[0][0])  # a token for each character
    assert made.answers == ()


def test_a_branch_sees_its_own_and_what_it_continues() -> None:
    tokens = Tokens(
        ids=torch.zeros(1, 6, dtype=torch.long),
        real=torch.tensor([[True, False, True, True, True, True]]),
        branch=torch.tensor([0, 0, 1, 2, 3, 3]),
        parents=(0, 0, 0, 1),
    )
    rows = [[j for j in range(6) if visible(tokens)[0, i, j]] for i in range(6)]
    assert rows == [[0], [0], [0, 2], [0, 3], [0, 2, 4], [0, 2, 4, 5]]
    assert places(tokens).tolist() == [[0, 0, 1, 1, 2, 3]]
    assert places(plain(torch.zeros(1, 3, dtype=torch.long))).tolist() == [[0, 1, 2]]


def test_a_number_as_an_answer_ends_with_the_token_after_it(tiny: SimpleNamespace) -> None:
    made = writing(Template(before_label=":", labels=Numbers(highest=12)), tiny.tokenizer())
    words = [made.tokenizer.convert_ids_to_tokens(list(number)) for number in continuations(made, ["1", "12"])]
    assert words == [["1", "Ċ"], ["1", "2", "Ċ"]]


# ------------------------------------------------------------------------------------------- what is refused


def test_tokenizers_that_cannot_express_the_digits_are_refused(tiny: SimpleNamespace) -> None:
    with pytest.raises(
        ValueError, match=r"tokenizer must have tokens for the template and the digits; it has none for '0'"
    ):
        writing(Template(), tiny.words("Input Output :"))
    with pytest.raises(
        ValueError, match=r"it has none for 'Input'\. Choose another template, or a model whose tokenizer"
    ):
        writing(Template(), tiny.words("0 1 2 3 4 5 6 7 8 9"))
    halves = tiny.tokenizer(merges=(("Ġ", "7"),))
    with pytest.raises(
        ValueError, match=r"tokenizer must cut the text before a number in one way.*space before its numbers"
    ):
        writing(Template(), halves)
    slow = SimpleNamespace(is_fast=False)
    with pytest.raises(ValueError, match=r"tokenizer must be a fast one.*tokenizer\.json"):
        writing(Template(), slow)
    merged = tiny.tokenizer(merges=((",", "1"), ("0", ",1")), words_apart=False)
    with pytest.raises(
        ValueError, match=r"tokenizer must keep numbers apart; it merges two in '0,1'\. Put other text between"
    ):
        writing(Template(before_input="", before_label=","), merged)


class Doubled:
    """A tokenizer that cuts every digit in two."""

    is_fast = True

    def __init__(self, inner: Any, same: bool) -> None:
        self.inner, self.same = inner, same

    def __call__(self, texts: Any, **kwargs: Any) -> Any:
        found = self.inner(texts, **kwargs)
        if isinstance(texts, str):
            return found
        rows = zip(texts, found["input_ids"], found["offset_mapping"], strict=True)
        ids, spans = [], []
        for text, tokens, offsets in rows:
            extra = [
                (t, s)
                for t, s in zip(tokens, offsets, strict=True)
                for _ in range(1 + text[s[0]].isdigit() * (not self.same))
            ]
            ids.append([5 if self.same and text[s[0]].isdigit() else t for t, s in extra])
            spans.append([s for _, s in extra])
        return {"input_ids": ids, "offset_mapping": spans}

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
        return self.inner.convert_ids_to_tokens(ids)


def test_a_digit_needs_a_token_of_its_own(tiny: SimpleNamespace) -> None:
    with pytest.raises(ValueError, match=r"one token for each digit; '0' takes 2 .*text before the label"):
        writing(Template(), Doubled(tiny.tokenizer(), same=False))
    with pytest.raises(ValueError, match=r"a token of its own for each digit; two of 0 to 9 have the same"):
        writing(Template(), Doubled(tiny.tokenizer(), same=True))


@pytest.mark.usefixtures("unchecked")
def test_values_outside_the_range_are_refused_or_saturate(tiny: SimpleNamespace) -> None:
    made = writing(Template(), tiny.tokenizer(digits_apart=True))
    with pytest.raises(
        ValueError, match=r"ys must lie between 0 and 9 once written as text; got 12\. .*ms\.tasks\.DigitRegression"
    ):
        encode(made, prompts([[1.0]], [[12.0]], [[1.0]]))
    with pytest.raises(ValueError, match=r"queries must lie between 0 and 9 .* got -1"):
        encode(made, prompts([[1.0]], [[1.0]], [[-1.0]]))
    with pytest.raises(ValueError, match=r"prompts must have dim=1, as the template has; got 2"):
        encode(made, dataclasses.replace(P, xs=P.xs.repeat(1, 1, 2), queries=P.queries.repeat(1, 1, 2)))
    assert Numbers(saturate=True).write("ys", torch.tensor([-3.0, 12.0, 4.5])) == ["0", "9", "4"]
    assert Numbers(scale=2, offset=1).read(torch.tensor([5.0])).tolist() == [2.0]


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Numbers(lowest=3, highest=3), r"lowest must be below highest, both finite; got 3 and 3"),
        (lambda: Numbers(decimals=7), r"decimals must be at most 6; got 7"),
        (lambda: Numbers(decimals=-1), r"decimals must be a whole number of at least 0; got -1"),
        (lambda: Numbers(scale=0.0), r"scale must be finite and not 0.*got 0\.0"),
        (lambda: Template(dim=0), r"dim must be a whole number of at least 1; got 0"),
        (lambda: Template(after_label=""), r"after_label must not be empty: two numbers would stand side by side"),
        (lambda: Numbers(highest=9999).all(), r"numbers must be at most 1000 to list them all; got 10000"),
    ],
)
def test_impossible_templates_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_inputs_of_several_dimensions(tiny: SimpleNamespace) -> None:
    made = writing(Template(dim=3, before_input="(", before_label=") = "), tiny.tokenizer(digits_apart=True))
    xs = torch.arange(6.0).view(1, 2, 3).double()
    p = Prompts(
        xs=xs,
        ys=torch.tensor([[7.0, 8.0]]).double(),
        queries=xs[:, :1],
        targets=torch.zeros(1, 1).double(),
        target_variance=torch.ones(1).double(),
    )
    assert texts(made, p) == [["(0, 1, 2) = 7\n(3, 4, 5) = 8\n(0, 1, 2) = "]]
    assert layout(made, 2, 1).inputs.shape == (1, 2, 3)
    assert seen(made, encode(made, p), 0, 0) == made.tokenizer(texts(made, p)[0][0])["input_ids"]


def test_wide_numbers_of_a_task_fit(tiny: SimpleNamespace) -> None:
    task = DigitRegression(spreads=(1, 10))
    made = writing(Template(inputs=Numbers(highest=99)), tiny.tokenizer(digits_apart=True))
    assert encode(made, task.sample(4, seed=0)).real.shape[0] == 4
