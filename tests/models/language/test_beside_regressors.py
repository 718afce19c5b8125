"""Language models beside regressors: one that writes no number, one whose context is too short, and the likelihoods."""

import dataclasses
from types import SimpleNamespace

import pytest
import torch

from mesascope.instruments import NotApplicable
from mesascope.instruments.regressing import errors, likelihood, verdicts
from mesascope.instruments.regressing.along import ERROR, UNANSWERED, learning_curve
from mesascope.instruments.regressing.beside import beside_regressors
from mesascope.instruments.regressing.contest import contest
from mesascope.studies.language_models.regressors_pictures import sentences
from mesascope.studies.rules import labelled, pick
from mesascope.tasks import DATASETS

TASK = dataclasses.replace(DATASETS["linear-1-of-1"], examples=4)
FEW = ("linear-regression", "knn-1-distance", "mean")


def test_a_model_that_writes_no_number_is_reported_as_such(tiny: SimpleNamespace) -> None:
    found = beside_regressors(tiny.subject(), TASK, n=7, again=2, regressors=FEW)
    share = pick(found, errors.UNANSWERED.name)
    assert (share.value, share.n) == (1, 7)
    left = pick(found, verdicts.LEFT)
    assert (left.value, left.coordinates["label"], left.n) == (0, "none", 7)
    assert not [m for m in found if m.quantity == errors.ERROR.name and m.coordinates["regressor"] == errors.SUBJECT]
    assert pick(found, errors.RANK.name, regressor=errors.SUBJECT).value == len(FEW) + 1
    (sentence,) = sentences(labelled(found, network="tiny", **{"data set": "a"}))
    assert "tiny writes no number in 100% of its answers" in sentence
    curve = learning_curve(tiny.subject(), TASK, n=2, counts=(1, 2, 3), regressors=FEW)
    assert [pick(curve, UNANSWERED.name, examples=count).value for count in (1, 2, 3)] == [1, 1, 1]
    assert {m.coordinates["regressor"] for m in curve if m.quantity == ERROR.name} == set(FEW)


@pytest.mark.usefixtures("unchecked")
def test_a_context_that_is_too_short_is_no_error_of_the_model(tiny: SimpleNamespace) -> None:
    long = dataclasses.replace(TASK, examples=60)
    with pytest.raises(
        NotApplicable, match=r"tiny llama cannot be asked so much: prompts must have at most 512 tokens"
    ):
        beside_regressors(tiny.subject(), long, n=2, again=1, regressors=FEW)
    with pytest.raises(NotApplicable, match="cannot be asked so much"):
        learning_curve(tiny.subject(), TASK, n=2, counts=(1, 60), regressors=FEW)


def test_likelihoods_are_of_each_prompts_own_numbers(tiny: SimpleNamespace) -> None:
    asked = contest(
        tiny.writing_digits(), TASK, n=6, again=0, seed=0, stream="x", regressors=("mean", "last", "random-label")
    )
    assert asked.replies is not None and bool(asked.replies.own.isfinite().all())
    found = likelihood.measured_likelihoods(asked, asked.replies, "x")
    for place, name in enumerate(asked.names):
        whole, first = (
            pick(found, likelihood.LIKELIHOOD.name, regressor=name, by=by)
            for by in (likelihood.WHOLE, likelihood.FIRST)
        )
        assert whole.value == pytest.approx(float(asked.replies.likelihoods[..., place].mean()))
        assert first.value > whole.value
    opening, whole = asked.replies.opening, asked.replies.likelihoods
    pairs = [(0, 1), (0, 2), (1, 2)]
    alike = [
        (opening[i, 0, a] == opening[i, 0, b]) and (whole[i, 0, a] != whole[i, 0, b])
        for i in range(6)
        for a, b in pairs
    ]
    assert pick(found, likelihood.ALIKE.name).value == pytest.approx(sum(map(float, alike)) / 18)


def test_the_median_of_samples_is_an_answer(tiny: SimpleNamespace) -> None:
    subject = tiny.writing_digits()
    greedy, sampled = (
        contest(subject, TASK, n=3, again=0, seed=0, stream="x", regressors=FEW, samples=samples) for samples in (0, 5)
    )
    assert torch.equal(greedy.subject, greedy.replies.values)  # type: ignore[union-attr]
    assert torch.equal(sampled.subject.nan_to_num(), sampled.replies.sampled.nanmedian(0).values.nan_to_num())  # type: ignore[union-attr]
