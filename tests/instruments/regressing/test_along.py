"""Learning curves: what is known of a regressor in the subject's place, and of a subject that falls silent."""

import functools

import pytest
import torch

from mesascope.instruments.regressing.along import ERROR, REGRET, UNANSWERED, figure, learning_curve, shorter
from mesascope.instruments.regressing.errors import EXACT, SUBJECT
from mesascope.models.scripted import Scripted
from mesascope.regressors import regressor
from mesascope.studies.rules import pick
from mesascope.tasks import DATASETS
from mesascope.testing import check_instrument
from mesascope.types import Prompts

TASK = DATASETS["linear-1-of-1"]
COUNTS = (1, 2, 3, 4, 5, 10)
MEASURE = functools.partial(learning_curve, n=4, counts=COUNTS, regressors=("linear-regression", "mean", "last"))


def scripted(name: str, silent_from: int = 1000) -> Scripted:
    def script(prompts: Prompts) -> torch.Tensor:
        if prompts.examples >= silent_from:
            return torch.full((1, *prompts.targets.shape), torch.nan, dtype=torch.float64)
        if prompts.examples < 2:
            return prompts.ys[None, :, :1]
        return regressor(name).predict(prompts)[None]

    return Scripted(name=name, layers=1, script=script)


def test_who_answers_as_a_regressor_has_its_curve() -> None:
    found = MEASURE(scripted("linear-regression"), TASK)
    for count in COUNTS[1:]:
        own, its = (pick(found, ERROR.name, regressor=who, examples=count) for who in (SUBJECT, "linear-regression"))
        assert own.value == pytest.approx(its.value, abs=1e-6)
    prompts = TASK.sample(1, seed=0)
    assert torch.equal(shorter(prompts, 3).targets, prompts.ys[:, 3:4])
    regrets = [m for m in found if m.quantity == REGRET.name]
    assert [m.coordinates["examples"] for m in regrets] == [2, 3, 4, 5]  # the run of counts that all can answer
    assert regrets[-1].value == pytest.approx(0, abs=1e-6)
    assert {row["answers"] for row in figure(found).rows} == {SUBJECT, "linear-regression", "mean", "last"}


def test_regret_is_the_loss_above_the_best_ones() -> None:
    found = MEASURE(scripted("mean"), TASK)
    errors = {
        who: [pick(found, ERROR.name, regressor=who, examples=c).value for c in (2, 3, 4, 5)]
        for who in ("mean", "linear-regression")
    }
    last = [m for m in found if m.quantity == REGRET.name][-1]
    assert last.value == pytest.approx((sum(errors["mean"]) - sum(errors["linear-regression"])) / 4, rel=1e-6)
    exact = next(c for c in last.controls if c.name == EXACT)
    assert exact.value == pytest.approx(-sum(errors["linear-regression"]) / 4, rel=1e-6)


def test_silence_is_reported_and_earns_nothing() -> None:
    found = MEASURE(scripted("linear-regression", silent_from=4), TASK)
    shares = [pick(found, UNANSWERED.name, examples=count).value for count in COUNTS]
    assert shares == [0, 0, 0, 1, 1, 1]
    assert not [m for m in found if m.quantity == ERROR.name and m.coordinates == {"regressor": SUBJECT, "examples": 5}]
    assert [m for m in found if m.quantity == REGRET.name][-1].value > 0


def test_its_measurements_are_sound() -> None:
    check_instrument(MEASURE, scripted("last"), TASK)


@pytest.mark.usefixtures("unchecked")
def test_counts_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match=r"counts must be ascending, from 1; got \(3, 2\)"):
        MEASURE(scripted("mean"), TASK, counts=(3, 2))
