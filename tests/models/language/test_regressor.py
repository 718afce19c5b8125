"""A language model as a regressor: what it writes is what plain generation writes, and what is no number is none."""

import dataclasses
from types import SimpleNamespace

import pytest
import torch

from mesascope.models.language import Decoding, LanguageRegressor, Numbers, Template, replies, score_numbers
from mesascope.models.language.replying import _text, _value, replies_along
from mesascope.models.language.writing import texts
from mesascope.tasks import DATASETS, DigitRegression
from mesascope.testing import check_regressor

TEMPLATE = Template(before_input="", before_label=":", labels=Numbers(highest=30))


def parsed(subject, text: str) -> float:
    return _value(subject.writing, _text(subject.writing, subject.writing.tokenizer(text)["input_ids"]))


def test_only_what_is_a_number_as_published_is_one(tiny: SimpleNamespace) -> None:
    subject = tiny.subject(template=TEMPLATE)
    assert parsed(subject, " 12.5\nFeature") == 12.5
    assert parsed(subject, "\n\n-3") == -3
    assert parsed(subject, "7") == 7  # a text that ends without its line's end
    for text in ("about 12", "", "1,5", "nan", "inf", "12 13"):
        assert parsed(subject, text) != parsed(subject, text), text


def test_it_writes_what_generation_writes(tiny: SimpleNamespace) -> None:
    subject = tiny.subject(template=TEMPLATE)
    prompts = DigitRegression(examples=3, queries=2).sample(3, seed=0)
    found = replies(subject, prompts)
    for row, mine in zip(texts(subject.writing, prompts), found.texts, strict=True):
        for text, answer in zip(row, mine, strict=True):
            ids = subject.writing.tokenizer(text, return_tensors="pt")["input_ids"]
            made = subject.network.model.generate(
                ids, max_new_tokens=12, do_sample=False, pad_token_id=1, eos_token_id=None
            )
            assert _text(subject.writing, made[0, ids.shape[1] :].tolist()) == answer


def test_numbers_are_scored_whole_and_by_their_beginning(tiny: SimpleNamespace) -> None:
    subject = tiny.subject(template=TEMPLATE)
    prompts = DigitRegression(examples=3).sample(2, seed=0)
    wanted = ["7", "12", "1"]
    numbers = torch.tensor([[7.0, 12.0, 1.2, torch.nan]]).expand(2, 1, 4)
    found = replies(subject, prompts, numbers=numbers)
    known = score_numbers(subject, prompts, wanted).scores
    torch.testing.assert_close(found.likelihoods[..., :3].float(), known, atol=1e-4, rtol=1e-4)
    assert bool(found.likelihoods[..., 3].isnan().all()) and bool((found.opening[..., 3] == -1).all())
    assert bool((found.first[..., :3] >= found.likelihoods[..., :3]).all())
    assert torch.equal(found.first[..., 1], found.first[..., 2])  # 12 and 1 begin alike
    assert torch.equal(found.opening[..., 1], found.opening[..., 2])


def test_samples_depend_on_the_seed_and_the_prompt_alone(tiny: SimpleNamespace) -> None:
    subject = tiny.subject(template=TEMPLATE)
    prompts = DigitRegression(examples=3).sample(3, seed=0)
    how = Decoding(samples=9, longest=3)
    found = replies(subject, prompts, decoding=how, seed=1)
    again = replies(subject, prompts[1:2], decoding=how, seed=1)
    assert found.sampled.shape == (9, 3, 1)
    assert torch.equal(found.sampled[:, 1:2].nan_to_num(), again.sampled.nan_to_num())


def test_samples_follow_the_models_probabilities(tiny: SimpleNamespace) -> None:
    """Of digits with known probabilities, as many are drawn as there should be."""
    subject = tiny.subject(template=TEMPLATE)
    prompts = DigitRegression(examples=2).sample(1, seed=0)
    words = subject.writing.tokenizer.convert_tokens_to_ids([str(digit) for digit in range(10)])
    head = subject.network.unembedding
    with torch.no_grad():
        head.weight.zero_()
        head.weight[words[3]] = 0  # all tokens alike
    sampled = replies(subject, prompts, decoding=Decoding(samples=400, longest=1)).sampled
    share = float(sampled.isfinite().double().mean())
    assert share == pytest.approx(10 / head.weight.shape[0], abs=0.03)


def test_along_a_prompt_it_answers_as_from_a_prompt_of_so_many(tiny: SimpleNamespace) -> None:
    subject = tiny.subject(template=TEMPLATE)
    prompts = DigitRegression(examples=5).sample(2, seed=0)
    along = replies_along(subject, prompts, (1, 3, 4))
    for place, count in enumerate((1, 3, 4)):
        shorter = dataclasses.replace(
            prompts, xs=prompts.xs[:, :count], ys=prompts.ys[:, :count], queries=prompts.xs[:, count, None]
        )
        alone = replies(subject, shorter).values[:, 0]
        assert torch.equal(along[:, place].nan_to_num(), alone.nan_to_num())
    with pytest.raises(ValueError, match=r"counts must be ascending, from 1 to below the number of examples, 5"):
        replies_along(subject, prompts, (2, 5))


def test_it_is_a_regressor(tiny: SimpleNamespace) -> None:
    """Of a model that writes nothing but digits, so that there are numbers to compare."""
    subject = tiny.writing_digits()
    prompts = dataclasses.replace(DATASETS["linear-1-of-2"], examples=4, queries=2).sample(3, seed=0)
    for decoding in (Decoding(longest=4), Decoding(longest=4, samples=3, temperature=0.02)):
        asked = LanguageRegressor(subject=subject, decoding=decoding)
        assert bool(asked.predict(prompts).isfinite().any())
        check_regressor(asked, prompts=prompts)


@pytest.mark.usefixtures("unchecked")
def test_too_few_examples_and_too_many_are_refused(tiny: SimpleNamespace) -> None:
    asked = LanguageRegressor(subject=tiny.subject())
    prompts = dataclasses.replace(DATASETS["original-1"], examples=1).sample(1, seed=0)
    with pytest.raises(ValueError, match="prompts must show at least 2 examples to a regressor; got 1"):
        asked.predict(prompts)
    with pytest.raises(ValueError, match=r"prompts must have at most 512 tokens, which is this model's context"):
        asked.predict(dataclasses.replace(DATASETS["original-1"], examples=60).sample(1, seed=0))
    with pytest.raises(ValueError, match="temperature must be positive and finite; got 0"):
        Decoding(temperature=0.0)
