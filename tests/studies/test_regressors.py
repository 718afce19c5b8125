"""The comparison with regressors over several data sets, on subjects whose answers are known."""

import dataclasses
from functools import cache
from pathlib import Path

import pytest
import torch

from mesascope.instruments.regressing.along import REGRET, learning_curve
from mesascope.instruments.regressing.beside import beside_regressors
from mesascope.instruments.regressing.errors import RANK, SUBJECT, UNANSWERED
from mesascope.instruments.regressing.likelihood import FIRST, LIKELIHOOD, WHOLE
from mesascope.instruments.regressing.verdicts import LEAD
from mesascope.instruments.statistics.ranking import critical_difference
from mesascope.models.scripted import Scripted
from mesascope.regressors import regressor
from mesascope.studies import run_study
from mesascope.studies.bench import Bench
from mesascope.studies.language_models import regressors_pictures as pictures
from mesascope.studies.language_models.pooling import ANSWERS, change, over_sets, pooled
from mesascope.studies.measure import Measure, works
from mesascope.studies.rules import labelled, where
from mesascope.tasks import DATASETS, DigitRegression
from mesascope.types import Control, Measurement

SETS = ("linear-1-of-2", "friedman-2")
FEW = ("linear-regression", "knn-5", "knn-1-distance", "mean")


def test_the_study_can_be_about_another_model(tmp_path: Path) -> None:
    result = run_study("regressors", tmp_path, profile="smoke", model="ladder-small")
    assert result.title == "Which regressor is ladder-small like that reads numbers in its prompt?"
    networks = {m.coordinates["network"] for m in result.measurements}
    assert networks == {"ladder-small"}
    with pytest.raises(
        ValueError, match=r"model must be left out for the study depth-loss.*Studies of any model: .*regressors"
    ):
        run_study("depth-loss", tmp_path / "other", model="ladder-small")


def test_what_a_context_does_not_hold_is_left_out_and_said(tmp_path: Path) -> None:
    bench = Bench(profile="smoke", seed=0, directory=tmp_path, networks=tmp_path / "networks")
    long = Measure(
        instrument="regressors",
        network="ladder-small",
        label={"network": "ladder-small", "data set": "digits"},
        prompts={"n": 2, "again": 1},
        options={"text": "own", "regressors": FEW},
        task=DigitRegression(examples=200),
    )
    (work,) = works(long, bench)
    found = work.run(lambda words: None)
    assert not found.measurements and "ladder-small cannot be asked so much" in found.skipped


@cache
def measured(name: str) -> tuple[Measurement, ...]:
    subject = Scripted(name=name, layers=1, script=lambda p: regressor(name).predict(p)[None])
    return tuple(
        m
        for data in SETS
        for m in labelled(
            beside_regressors(subject, dataclasses.replace(DATASETS[data], examples=10), n=12, again=8, regressors=FEW),
            **{"network": name, "data set": data},
        )
    )


def test_over_data_sets_the_disguised_regressor_leads() -> None:
    found = measured("knn-5")
    (first, *others) = pooled(found, ANSWERS, "knn-5", SETS)
    assert first.coordinates["regressor"] == "knn-5" and first.value > others[0].value
    assert first.n == 12 and first.interval is not None
    (ahead,) = over_sets(where(LEAD, network="knn-5", regressor="knn-5"), SETS).among(found)
    (behind,) = over_sets(where(LEAD, network="knn-5", regressor="mean"), SETS).among(found)
    assert ahead.value > 0 > behind.value and ahead.interval is not None and ahead.interval[0] > 0
    assert not pooled(found, ANSWERS, "knn-5", (*SETS, "original-1"))  # one was not measured
    (silent,) = over_sets(where(UNANSWERED, network="knn-5"), SETS).among(found)
    assert silent.value == 0 and silent.coordinates["data sets"] == 2


def test_the_words_name_it_and_what_first_tokens_would_have_said() -> None:
    found = list(measured("linear-regression"))

    def likelihood(data: str, who: str, by: str, value: float) -> Measurement:
        return Measurement(
            instrument="regressors",
            quantity=LIKELIHOOD.name,
            value=value,
            interval=(value - 1, value + 1),
            n=12,
            coordinates={"network": "linear-regression", "data set": data, "regressor": who, "by": by},
        )

    for data in SETS:
        found += [likelihood(data, who, WHOLE, -i) for i, who in enumerate(FEW)]
        found += [likelihood(data, who, FIRST, i) for i, who in enumerate(FEW)]
        found.append(
            Measurement(
                instrument="regressors",
                quantity="pairs of numbers that begin alike",
                value=0.25,
                interval=(0.2, 0.3),
                n=12,
                coordinates={"network": "linear-regression", "data set": data},
            )
        )
    (sentence,) = pictures.sentences(found)
    assert "2 identified; most like linear-regression, nearer than one number by" in sentence
    assert "likeliest from linear-regression; first tokens alone would have named mean" in sentence
    assert "cannot tell 25% of the pairs" in sentence
    rows = pictures.verdicts(found).rows
    assert [row["verdict"] for row in rows] == ["identified", "identified"]
    assert {row[pictures.NAMED[FIRST]] for row in rows} == {"mean"}


def test_bars_reach_half_a_critical_difference() -> None:
    found = measured("mean")
    ranked, members, blocks = pictures.mean_ranks(found, "mean")
    assert (members, blocks) == (len(FEW) + 1, 24)
    assert sum(rank for _, rank in ranked) == pytest.approx(members * (members + 1) / 2)
    each = [m.value for m in found if m.quantity == RANK.name and m.coordinates["regressor"] == SUBJECT]
    assert dict(ranked)[SUBJECT] == pytest.approx(sum(each) / 2)
    for row in pictures.critical_differences(found).rows:
        assert row["high"] - row["low"] == pytest.approx(critical_difference(members, blocks))
    for draw in (pictures.errors, pictures.differences, pictures.likeness):
        assert draw(found).rows


def test_a_learning_curve_is_drawn_with_its_regret() -> None:
    subject = Scripted(name="knn", layers=1, script=lambda p: p.ys.mean(1, keepdim=True)[None])
    found = learning_curve(subject, DATASETS["original-1"], n=3, counts=(2, 3, 4), regressors=FEW)
    curve, regret = pictures.learning(labelled(found, network="knn"))
    assert {row["answers"] for row in curve.rows} == {SUBJECT, *FEW} and len(curve.rows) == 3 * (len(FEW) + 1)
    assert [row["examples"] for row in regret.rows] == [2, 3, 4]
    assert pictures.learning(()) == ()


def test_a_change_is_the_later_less_the_earlier() -> None:
    def regret(examples: int, value: float) -> Measurement:
        control = Control(kind="negative", name="x", value=2 * value)
        return Measurement(
            instrument="learning curve",
            quantity=REGRET.name,
            value=value,
            interval=(value - 0.3, value + 0.4),
            n=6,
            coordinates={"network": "a", "examples": examples},
            controls=(control,),
        )

    fallen = change("fall", lambda count: where(REGRET, network="a", examples=count), 10, 30)
    (found,) = fallen.among([regret(10, 3.0), regret(30, 1.0)])
    assert found.value == -2 and found.controls[0].value == -4
    assert torch.tensor(found.interval).tolist() == pytest.approx([-2.5, -1.5])
    assert not fallen.among([regret(10, 3.0)])
