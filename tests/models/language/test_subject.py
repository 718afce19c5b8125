"""A language model as a subject: text in, the expected digit out, at every depth."""

from types import SimpleNamespace

import pytest
import torch

from mesascope.models.language import LanguageSubject, Numbers, Template, answers_by_layer
from mesascope.models.language.writing import texts
from mesascope.tasks import DigitRegression, LinearRegression
from mesascope.testing import check_subject
from mesascope.types import Prompts

TASK = DigitRegression(examples=4, queries=2)
BARE = Template(before_input="", before_label=": ")
GAUSSIAN = Template(
    before_input="",
    before_label=":",
    inputs=Numbers(lowest=10, highest=99, scale=20, offset=50, saturate=True),
    labels=Numbers(scale=2, offset=4.5, saturate=True),
)


def own_answers(subject: LanguageSubject, prompts: Prompts, *, merged: bool) -> torch.Tensor:
    """The expected digit from the model's own logits, one text at a time."""
    found = []
    for text in [text for row in texts(subject.writing, prompts) for text in row]:
        ids = subject.writing.tokenizer(text.rstrip() if merged else text)["input_ids"]
        with torch.no_grad():
            logits = subject.network.model(torch.tensor([ids]), use_cache=False).logits[0, -1]
        words = [subject.writing.tokenizer(f" {d}" if merged else f"{d}")["input_ids"][-1] for d in range(10)]
        found.append(float(logits[words].softmax(-1) @ torch.arange(10.0)))
    return torch.tensor(found).view(len(prompts), -1)


@pytest.mark.parametrize("merged", [False, True])
def test_answers_are_those_of_the_model_alone_on_the_text(tiny: SimpleNamespace, kind: str, merged: bool) -> None:
    """One query at a time, and a space before the digit or in one token with it."""
    tokenizer = tiny.tokenizer(merges=tiny.MERGED, begin=1) if merged else tiny.tokenizer(digits_apart=True)
    subject = tiny.subject(kind, BARE, tokenizer)
    prompts = TASK.sample(2, seed=0)
    expected = own_answers(subject, prompts, merged=merged)
    torch.testing.assert_close(subject.trace(prompts).predictions, expected, rtol=1e-4, atol=1e-4)


def test_the_answer_after_every_layer(tiny: SimpleNamespace, kind: str) -> None:
    subject = tiny.subject(kind)
    prompts = TASK.sample(3, seed=1)
    by_layer = answers_by_layer(subject, prompts)
    trace = subject.trace(prompts, capture=subject.path)
    assert by_layer.shape == (len(subject.path) + 1, 3, 2)
    torch.testing.assert_close(by_layer[-1], trace.predictions)
    at = subject.layout(4, 2).answers
    for layer, site in enumerate(subject.path):
        torch.testing.assert_close(by_layer[layer + 1], subject.readout(trace[site][:, at], site))
    assert float(by_layer.diff(dim=0).abs().max()) > 1e-3  # random models: layers change it


def test_every_family_keeps_the_promises_of_a_subject(tiny: SimpleNamespace, kind: str) -> None:
    """On Gaussian problems, which the template maps to digits: these can be changed in every way that the suite tries."""
    check_subject(tiny.subject(kind, GAUSSIAN), LinearRegression(dim=1, examples=4, queries=3))
