"""Whole numbers as answers, against the model's own log-probabilities of one text at a time."""

from types import SimpleNamespace

import pytest
import torch

from mesascope.models.language import Numbers, NumberScores, Template, score_numbers
from mesascope.models.language.writing import texts
from mesascope.tasks import DigitRegression

TEMPLATE = Template(before_input="", before_label=":", labels=Numbers(highest=30, scale=3))
P = DigitRegression(examples=3, queries=2).sample(2, seed=0)


def test_scores_are_those_of_the_model_alone_on_each_text(tiny: SimpleNamespace, kind: str) -> None:
    subject = tiny.subject(kind, TEMPLATE, tiny.tokenizer(begin=1))
    numbers = ("3", "30", "12")
    found = score_numbers(subject, P, numbers)
    assert found.values.tolist() == pytest.approx([1.0, 10.0, 4.0])
    for row in range(2):
        for query in range(2):
            text = texts(subject.writing, P)[row][query]
            start = len(subject.writing.tokenizer(text)["input_ids"])
            for member, number in enumerate(numbers):
                ids = torch.tensor(subject.writing.tokenizer(f"{text}{number}\n")["input_ids"])
                with torch.no_grad():
                    logs = subject.network.model(ids[None], use_cache=False).logits[0].log_softmax(-1)
                expected = sum(float(logs[i - 1, ids[i]]) for i in range(start, len(ids)))
                assert float(found.scores[row, query, member]) == pytest.approx(expected, abs=2e-4)


def test_all_numbers_of_the_range_by_default(tiny: SimpleNamespace) -> None:
    found = score_numbers(tiny.subject("llama", TEMPLATE, tiny.tokenizer()), P)
    assert found.numbers == tuple(map(str, range(31)))
    assert found.scores.shape == (2, 2, 31)
    probabilities = found.scores.exp().sum(-1)
    assert bool((probabilities > 0).all()) and bool(
        (probabilities < 1).all()
    )  # distinct texts: a part of all that may follow


def test_the_best_number_and_its_ties() -> None:
    scores = torch.tensor([[[-1.0, -2.0, -1.0], [-3.0, -1.0, -2.0]]])
    found = NumberScores(numbers=("1", "2", "5"), values=torch.tensor([1.0, 2.0, 5.0]), scores=scores)
    assert found.best.tolist() == [[1.0, 2.0]]
    assert found.tied.tolist() == [[2, 1]]
    weights = scores.exp() / scores.exp().sum(-1, keepdim=True)
    torch.testing.assert_close(found.expected, (weights * torch.tensor([1.0, 2.0, 5.0])).sum(-1))


@pytest.mark.usefixtures("unchecked")
def test_a_subject_whose_labels_are_no_digits_says_what_to_do(tiny: SimpleNamespace) -> None:
    with pytest.raises(ValueError, match=r"labels must be single digits .*0 to 30 with 0 decimals.*score_numbers"):
        tiny.subject("llama", TEMPLATE, tiny.tokenizer()).trace(P)


def test_numbers_with_the_same_tokens_are_refused(tiny: SimpleNamespace) -> None:
    with pytest.raises(ValueError, match=r"numbers must have tokens of their own; two have the same"):
        score_numbers(tiny.subject("llama", TEMPLATE, tiny.tokenizer()), P, ("1", "1"))
