"""The published text, character by character, and what tokenizers make of it."""

import dataclasses
from types import SimpleNamespace

import pytest
import torch

from mesascope.instruments.regressing.contest import text_for
from mesascope.models.language import Numbers, published_template
from mesascope.models.language.writing import continuations, encode, layout, texts, writing
from mesascope.tasks import DATASETS
from mesascope.tasks.datasets import as_letters
from mesascope.types import Prompts

P = Prompts(
    xs=torch.tensor([[[0.5, -12.0], [1.25, 3.1]]]).double(),
    ys=torch.tensor([[-7.0, 10.25]]).double(),
    queries=torch.tensor([[[0.0, 99.99]]]).double(),
    targets=torch.zeros(1, 1).double(),
    target_variance=torch.ones(1).double(),
)
TEXT = """The task is to provide your best estimate for "Output". Please provide that and only that, without any additional text.




Feature 0: 0.5
Feature 1: -12.0
Output: -7.0

Feature 0: 1.25
Feature 1: 3.1
Output: 10.25

Feature 0: 0.0
Feature 1: 99.99
Output:"""


@pytest.mark.parametrize("cut", ["characters", "digits apart", "minus joined"])
def test_the_text_is_the_published_one_whatever_the_tokenizer(tiny: SimpleNamespace, cut: str) -> None:
    """A tokenizer that joins a minus with the space before it is one of those: SmolLM2's does."""
    joined = (("Ġ", "-"), ("Ġ", "0")) if cut == "minus joined" else ()
    tokenizer = tiny.tokenizer(merges=joined, digits_apart=cut == "digits apart")
    made = writing(published_template(P), tokenizer)
    assert texts(made, P) == [[TEXT]]
    tokens = encode(made, P)
    assert tokens.ids[0][tokens.real[0]].tolist() == tokenizer(TEXT)["input_ids"]
    assert layout(made, 2, 1).positions == tokens.ids.shape[1]
    (answer,) = continuations(made, [" -3.5"])
    assert [*tokenizer(TEXT)["input_ids"], *answer] == tokenizer(TEXT + " -3.5\n")["input_ids"]


@pytest.mark.parametrize("name", ["friedman-2", "linear-3-of-3", "network-5"])
def test_other_problems_of_the_task_fit(tiny: SimpleNamespace, name: str) -> None:
    task = dataclasses.replace(DATASETS[name], examples=3)
    made = writing(published_template(task.sample(64, seed=0)), tiny.tokenizer(digits_apart=True))
    assert encode(made, task.sample(8, seed=1)).real.shape[0] == 8
    assert made.answers == ()


def test_letters_are_written_as_letters(tiny: SimpleNamespace) -> None:
    task = dataclasses.replace(DATASETS["characters"], examples=2, dim=2)
    prompts = task.sample(1, seed=0)
    made = writing(published_template(prompts, letters=True), tiny.tokenizer())
    (text,) = texts(made, prompts)[0]
    first, second = as_letters(prompts.xs[0, 0])
    assert f"\nFeature 0: {first}\nFeature 1: {second}\nOutput: {float(prompts.ys[0, 0])}\n" in text
    tokens = encode(made, prompts)
    assert tokens.ids[0][tokens.real[0]].tolist() == tiny.tokenizer()(text)["input_ids"]
    assert text_for(task, prompts, "own") == "own"
    assert text_for(task, prompts, "published") == published_template(prompts, letters=True)
    with pytest.raises(ValueError, match="letters must stand for whole numbers from 0 to 25; got 0 to 26"):
        Numbers(highest=26, letters=True)
