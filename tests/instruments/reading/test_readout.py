"""Readouts of a subject whose answer appears, at nine tenths of its size, after the attention."""

import dataclasses

import pytest
import torch

from mesascope.instruments.asking.applicability import NotApplicable
from mesascope.instruments.asking.collect import at_queries
from mesascope.instruments.reading.readout import figure, fit_readouts, readouts
from mesascope.types import Site

PRE, MID, POST = (f"blocks.0.hook_resid_{at}" for at in ("pre", "mid", "post"))
SIZE = {"fit": 128, "score": 128, "queries": 4}


@pytest.fixture(scope="module")
def found(planted, task):
    return readouts(planted, task, **SIZE)


@pytest.mark.parametrize("site", [MID, POST])
def test_the_answer_is_found_where_it_is(found, look, site):
    value, _ = look
    own = value(found, "normalised error", site=site, readout="own")
    assert 0.005 < own.value < 0.02  # 0.1² y² over V, and y²/V is 1 in the mean
    assert value(found, "normalised error", site=site, readout="fitted").value == pytest.approx(0, abs=1e-12)
    assert value(found, "R²", site=site, readout="fitted").value == pytest.approx(1, abs=1e-9)
    assert value(found, "R²", site=site, readout="own").value == pytest.approx(0.99, abs=0.002)


def test_it_is_not_found_where_it_is_not(found, look):
    value, _ = look
    for readout in ("own", "fitted"):
        assert value(found, "normalised error", site=PRE, readout=readout).value == pytest.approx(1, abs=0.3)
        assert value(found, "R²", site=PRE, readout=readout).value == pytest.approx(0, abs=0.1)


def test_the_controls_come_out_as_they_must(found, look):
    _, control = look
    for m in found:
        error = m.quantity == "normalised error"
        if m.coordinates["readout"] == "own":
            exact = control(m, "last site against the predictions")
            assert exact == pytest.approx(0 if error else 1, abs=1e-12)
        else:
            assert control(m, "answer written in") == pytest.approx(0 if error else 1, abs=1e-6)
            assert control(m, "another prompt's targets") == pytest.approx(1 if error else 0, abs=0.3)
        untrained = control(m, "untrained network")
        assert untrained > 0.7 if error else untrained < 0.1
        assert {c.kind for c in m.controls} == {"positive", "negative"}


def test_intervals_and_counts(found):
    for m in found:
        assert m.n == SIZE["score"]
        assert m.interval is not None
        assert m.interval[0] <= m.value <= m.interval[1]


def test_fitted_readouts_serve_others(planted, task):
    prompts = dataclasses.replace(task, queries=4).sample(64, seed=1)
    site = Site(layer=0, kind="resid_mid")
    predictions, activations = at_queries(planted, prompts, [site])
    fitted = fit_readouts(activations, predictions)[site]
    fresh = dataclasses.replace(task, queries=4).sample(16, seed=2)
    predictions, activations = at_queries(planted, fresh, [site])
    torch.testing.assert_close(fitted.predict(activations[site]), predictions, rtol=0, atol=1e-9)


def test_the_scale_of_a_prompt_divides_its_error(planted, task):
    """With one prompt's error made to count for nothing, its outlier does no harm."""
    prompts = dataclasses.replace(task, queries=4).sample(64, seed=1)
    site = Site(layer=0, kind="resid_mid")
    predictions, activations = at_queries(planted, prompts, [site])
    targets = predictions.clone()
    targets[0] += 100
    scale = torch.ones(64, dtype=torch.float64)
    scale[0] = 1e12
    spoilt = fit_readouts(activations, targets)[site].predict(activations[site])
    spared = fit_readouts(activations, targets, scale=scale)[site].predict(activations[site])
    assert (spoilt - predictions)[1:].abs().max() > 0.1
    assert (spared - predictions)[1:].abs().max() < 1e-3


def test_a_subject_without_untrained_version_has_the_other_controls(planted, task):
    class Fixed:
        name, domain, sites, path = "fixed", planted.domain, planted.sites, planted.path
        trace, readout = staticmethod(planted.trace), staticmethod(planted.readout)

    for m in readouts(Fixed(), task, **SIZE):
        assert {c.kind for c in m.controls} == {"positive", "negative"}
        assert "untrained network" not in {c.name for c in m.controls}


def test_it_needs_a_residual_stream(bare, task):
    with pytest.raises(NotApplicable, match="residual-stream"):
        readouts(bare, task)


def test_the_figure_holds_subject_and_controls(found):
    drawn = figure(found)
    series = [row["readout"] for row in drawn.rows]
    assert series[0] == "fitted readout"
    assert {"own readout", "fitted, untrained network", "fitted, another prompt's targets"} <= set(series)
    assert "fitted, answer written in" not in series  # off the scale, so in words:
    assert "where the answer is written in, the fitted readout errs by at most" in drawn.caption
    assert {row["site"] for row in drawn.rows} == {PRE, MID, POST}
