"""Statistics over a panel of models, on numbers whose correlation is known."""

import math

import pytest
from scipy import stats

from mesascope.studies.language_models import confounds, depth_contraction, truncation
from mesascope.studies.language_models.networks import LADDER
from mesascope.studies.language_models.panel import (
    LINE,
    PANEL,
    SHUFFLED,
    Variable,
    correlated,
    mean_over,
    p_value,
)
from mesascope.studies.language_models.sequences import blocks
from mesascope.studies.rules import where
from mesascope.types import Control, Measurement

SIZES = {"a": 1.0, "b": 10.0, "c": 100.0, "d": 1000.0, "e": 1e4}
SCORES = {"a": 0.1, "b": 0.4, "c": 0.3, "d": 0.7, "e": 0.8}
NAMES = tuple(SIZES)
SIZE, SCORE = Variable(of=where("size"), name="size", log=True), Variable(of=where("score"), name="score")


def number(network: str, quantity: str, value: float) -> Measurement:
    return Measurement(
        instrument="ruler",
        quantity=quantity,
        value=value,
        interval=(value - 0.03, value + 0.04),
        n=9,
        coordinates={"network": network, "symbols": 16},
        controls=(Control(kind="negative", name="untrained", value=value / 2, interval=(0.0, 1.0)),),
    )


FOUND = [number(name, q, of[name]) for name in NAMES for q, of in (("size", SIZES), ("score", SCORES))]


def test_a_correlation_of_logarithms_is_scipys() -> None:
    (m,) = correlated(SIZE, SCORE, NAMES).among(FOUND)
    known = stats.pearsonr([math.log(v) for v in SIZES.values()], list(SCORES.values()))
    assert m.value == pytest.approx(known.statistic) and m.n == 5
    assert m.interval == pytest.approx(tuple(known.confidence_interval(0.95)))
    assert m.quantity == "correlation of log size and score" and dict(m.coordinates) == {"symbols": 16}
    controls = {c.name: c.value for c in m.controls}
    assert controls[LINE] == pytest.approx(1)
    shifted = stats.pearsonr([math.log(v) for v in SIZES.values()], [0.4, 0.3, 0.7, 0.8, 0.1]).statistic
    assert controls[SHUFFLED] == pytest.approx(shifted)
    (p,) = correlated(SIZE, SCORE, NAMES, show=p_value, words="p-value of the correlation").among(FOUND)
    assert p.value == pytest.approx(known.pvalue) and p.interval is None


def test_a_partial_correlation_holds_the_third_fixed() -> None:
    heads = {"a": 2.0, "b": 3.0, "c": 8.0, "d": 5.0, "e": 9.0}
    found = [*FOUND, *(number(name, "heads", value) for name, value in heads.items())]
    count = Variable(of=where("heads"), name="heads")
    (m,) = correlated(count, SCORE, NAMES, given=SIZE).among(found)
    logs, scores = [math.log(v) for v in SIZES.values()], list(SCORES.values())
    r = {
        name: stats.pearsonr(x, y).statistic
        for name, x, y in (
            ("hs", list(heads.values()), scores),
            ("hl", list(heads.values()), logs),
            ("sl", scores, logs),
        )
    }
    expected = (r["hs"] - r["hl"] * r["sl"]) / math.sqrt((1 - r["hl"] ** 2) * (1 - r["sl"] ** 2))
    assert m.value == pytest.approx(expected)
    assert m.quantity == "correlation of heads and score, log size held fixed"


def test_a_whole_panel_is_asked_for_or_what_is_there() -> None:
    few = [m for m in FOUND if m.coordinates["network"] != "b"]
    assert correlated(SIZE, SCORE, NAMES, whole=True).among(few) == ()
    (part,) = correlated(SIZE, SCORE, NAMES).among(few)
    assert part.n == 4
    (whole,) = correlated(SIZE, SCORE, NAMES, whole=True).among(FOUND)
    assert whole.interval is None and whole.n == 5
    (chosen,) = correlated(SIZE, SCORE, NAMES, reliable=lambda found, name: name != "c").among(FOUND)
    assert chosen.n == 4
    assert correlated(SIZE, SCORE, NAMES, reliable=lambda found, name: name in "ab").among(FOUND) == ()  # two
    assert correlated(SIZE, SCORE, NAMES).among([]) == ()


def test_a_mean_over_models_has_an_interval_over_prompts() -> None:
    (m,) = mean_over(where("score", network=NAMES), NAMES).among(FOUND)
    assert m.value == pytest.approx(0.46)
    assert m.interval == pytest.approx((0.46 - 0.03 / 5**0.5, 0.46 + 0.04 / 5**0.5))
    assert [(c.name, c.value) for c in m.controls] == [("untrained", pytest.approx(0.23))]
    assert m.coordinates["models"] == 5
    assert mean_over(where("score", network=NAMES), NAMES).among(FOUND[2:]) == ()


def test_blocks_fit_their_models() -> None:
    assert blocks("ladder-small", 24).vocabulary == 36
    assert blocks("gpt2", 16).vocabulary == 1000


@pytest.mark.parametrize("study", [depth_contraction.STUDY, truncation.STUDY, confounds.STUDY], ids=lambda s: s.name)
def test_a_model_is_loaded_once_and_only_the_ladder_is_in_smoke(study) -> None:
    networks = [m.network for m in study.measures]
    runs = [name for i, name in enumerate(networks) if i == 0 or networks[i - 1] != name]
    assert len(runs) == len(set(runs))
    smoke = {m.network for m in study.measures if m.at_smoke}
    assert {*LADDER} <= smoke and not any(name.startswith("hf:") or name == "smollm2" for name in smoke)
    assert set(PANEL.values()) <= set(networks)
