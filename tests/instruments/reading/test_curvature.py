"""Rates and curvatures: gradient descent with a known step size, and what other prompts' targets give."""

import math
from functools import partial

import pytest
import torch
from scipy.stats import pearsonr, spearmanr

import mesascope as ms
from mesascope.instruments import NotApplicable
from mesascope.instruments.reading import curvature as module
from mesascope.instruments.reading.curvature import (
    ALIKE,
    BEYOND,
    DESCENT,
    INSTRUMENT,
    PEARSON,
    RATE,
    RATIO,
    SHARE,
    SPEARMAN,
    curvature,
    curvatures,
    figure,
    mean_ranks,
    rates,
    strangers,
)
from mesascope.instruments.reading.refinement import FRESH, OTHERS, SHOWN
from mesascope.models.constructions import gradient_descent
from mesascope.models.language import Template
from mesascope.models.scripted import Scripted
from mesascope.tasks import Diagonal, DigitRegression, Gaussian, LinearRegression
from mesascope.testing import check_instrument

ONE = LinearRegression(dim=1, examples=16, queries=4, inputs=Gaussian(covariance=Diagonal(condition=1.0)))
"""One input, whose Σx² varies by chance."""
WIDE = DigitRegression(spreads=(1, 2, 4, 10))


def of(found, quantity, rate=None):
    (m,) = (m for m in found if m.quantity == quantity and m.coordinates.get("rate") == rate)
    return m


def controls(m):
    return {c.name: c.value for c in m.controls}


def descending(step, layers=4):
    """A subject that answers −1 first, and then takes away the share ``step`` of the curvature in every layer."""

    def script(prompts):
        left = 1 - step * curvatures(prompts)[None, :, None].to(prompts.targets)
        return prompts.targets - (prompts.targets + 1) * left ** torch.arange(layers)[:, None, None]

    return Scripted(name="descends", layers=layers, script=script)


def test_gradient_descent_built_by_hand_has_rates_that_fall_with_the_curvature():
    """In one dimension a step multiplies the error by 1 − ηa/n exactly, so that all is known from the prompts alone."""
    found = curvature(gradient_descent(layers=4, step_size=0.3), ONE, n=64)
    prompts = ms.types.adjusted(ONE, queries=8).sample(64, seed=0, stream="curvature")
    left = 1 - 0.3 * prompts.xs.square().mean((1, 2))
    assert of(found, RATE, "global").value == pytest.approx(float(left.log().mean().exp()), abs=1e-5)
    for rate in ("local", "global"):
        assert of(found, PEARSON, rate).value == pytest.approx(-1, abs=1e-5)
        assert of(found, SPEARMAN, rate).value == pytest.approx(-1, abs=1e-3)
        assert of(found, SHARE, rate).value == 1
        assert of(found, SHARE + BEYOND, rate).value > 0.3


def test_the_local_rate_is_one_minus_the_slope_of_all_updates_on_all_residuals():
    prompts = ONE.sample(32, seed=3)
    answers = torch.randn(4, 32, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = rates(answers, prompts.targets.double(), torch.ones(32, dtype=torch.float64))
    residuals = (prompts.targets - answers)[:-1]
    updates = answers.diff(dim=0)
    along = torch.linalg.lstsq(
        torch.stack([residuals.flatten(), torch.ones(residuals.numel(), dtype=torch.float64)], 1), updates.flatten()
    ).solution[0]
    even = torch.full((1, 32), 1 / 32, dtype=torch.float64)
    assert float(module._local(even, found, even[0])) == pytest.approx(1 - float(along), abs=1e-12)
    for i in (0, 7):
        r, u = residuals[:, i].flatten(), updates[:, i].flatten()
        assert found.local[i] == pytest.approx(1 - float(r @ u / (r @ r)))
        logs = (prompts.targets - answers)[:, i].square().mean(-1).sqrt().log()
        depth = torch.arange(4, dtype=torch.float64)
        slope = torch.linalg.lstsq(torch.stack([depth, torch.ones(4, dtype=torch.float64)], 1), logs).solution[0]
        assert found.decay[i] == pytest.approx(float(slope))


def test_correlations_are_those_of_scipy_with_ties_and_with_weights():
    a, b = torch.tensor([[1.0, 2, 2, 5, 4, 4, 0.5, 9], [3.0, 1, 4, 1, 5, 9, 2, 2]], dtype=torch.float64)
    counts = torch.tensor([2, 1, 1, 1, 0, 3, 1, 1])
    for weights, x, y in (
        (torch.full((1, 8), 1 / 8, dtype=torch.float64), a, b),
        ((counts / counts.sum())[None].double(), a.repeat_interleave(counts), b.repeat_interleave(counts)),
    ):
        ranked = module.correlated(weights, mean_ranks(weights, a), mean_ranks(weights, b))
        assert float(ranked) == pytest.approx(spearmanr(x, y).statistic)
        assert float(module.correlated(weights, a, b)) == pytest.approx(pearsonr(x, y).statistic)


def test_the_controls_are_known():
    found = curvature(ms.load("two-layer"), LinearRegression(), n=128)
    for m in found:
        if not m.quantity.endswith(BEYOND):
            assert {OTHERS, SHOWN, FRESH} <= set(controls(m))
        for expected in INSTRUMENT.expected:
            if expected.quantity == m.quantity:
                assert expected.holds(controls(m)[expected.control])
    assert {e.control for e in INSTRUMENT.expected} == {ALIKE, DESCENT}
    assert of(found, SHARE + BEYOND, "global").value > 0.5
    assert abs(controls(of(found, SHARE + BEYOND, "global"))[OTHERS]) < 0.2
    drawn = figure(found).rows
    assert {row["quantity"] for row in drawn} == {PEARSON, SPEARMAN}


def test_a_layer_that_knows_the_curvature_is_told_from_one_that_does_not():
    n = 192
    largest = float(curvatures(WIDE.sample(n, seed=0, stream="curvature")).max())
    knows = curvature(descending(0.5 / largest), WIDE, n=n, queries=2)
    alike = Scripted(
        name="a third, always",
        layers=4,
        script=lambda p: p.targets - (p.targets + 1) * (2 / 3) ** torch.arange(4)[:, None, None].to(p.targets),
    )
    same = curvature(alike, WIDE, n=n, queries=2)
    for rate in ("local", "global"):
        assert of(knows, SPEARMAN, rate).value < -0.9
        assert (
            of(knows, SPEARMAN + BEYOND, rate).interval[1] < 0
        )  # all start below all targets, so nobody's draw near too
        assert of(same, SPEARMAN, rate).value == pytest.approx(0, abs=0.25)
    assert of(same, RATIO).value == pytest.approx(1, abs=0.05)


def test_that_both_rates_agree_may_say_nothing():
    """Answers that come from far off towards the middle, whatever the prompt: with nobody's targets the rates agree as well."""

    def script(prompts):
        off = 40 + 3 * prompts.queries[..., 0]
        return 4.5 + off * 0.9 ** torch.arange(3)[:, None, None].to(off)

    found = curvature(Scripted(name="to the middle", layers=3, script=script), DigitRegression(), n=512, queries=1)
    ratio = of(found, RATIO)
    assert ratio.value == pytest.approx(1, abs=0.05)
    assert controls(ratio)[OTHERS] == pytest.approx(1, abs=0.05)
    low, high = of(found, RATIO + BEYOND).interval
    assert low < 0 < high


def test_without_differences_of_curvature_no_correlation_is_stated():
    exact = LinearRegression(dim=1, examples=16, inputs=Gaussian(covariance=Diagonal(condition=1.0), exact=True))
    found = curvature(gradient_descent(layers=2, step_size=0.3), exact, n=32)
    assert {m.quantity.removesuffix(BEYOND) for m in found} == {RATE, RATIO, SHARE}
    assert of(found, RATE, "local").value == pytest.approx(0.7, abs=1e-5)
    assert of(found, RATE, "global").value == pytest.approx(0.7, abs=1e-5)


def test_a_subject_that_does_nothing_has_rate_one_and_no_correlation():
    idle = Scripted(name="idle", layers=3, script=lambda p: torch.zeros(3, *p.targets.shape))
    found = curvature(idle, ONE, n=32)
    assert all(math.isfinite(m.value) for m in found)
    assert of(found, RATE, "local").value == of(found, RATE, "global").value == 1
    assert of(found, PEARSON, "local").value == of(found, SPEARMAN, "global").value == 0
    assert of(found, SHARE, "global").value == 0


def test_one_readout_has_no_rate():
    with pytest.raises(NotApplicable, match="one readout"):
        curvature(Scripted(name="at once", layers=1, script=lambda p: p.targets[None]), ONE, n=32)


def test_strangers_are_others_of_the_same_stratum():
    prompts = DigitRegression(new_only=False).sample(50, seed=1)
    other = strangers(prompts, 0)
    assert sorted(other.tolist()) == list(range(50))
    assert (other != torch.arange(50)).all()
    assert torch.equal(prompts.strata[other], prompts.strata)
    assert not torch.equal(other, strangers(prompts, 1))


def test_a_template_is_for_subjects_that_read_text():
    with pytest.raises(ValueError, match="template must be None for a subject that reads no text"):
        curvature(gradient_descent(layers=2), ONE, n=24, template=Template())


def test_it_keeps_the_promises_of_an_instrument():
    check_instrument(partial(curvature, n=24), ms.load("two-layer"), LinearRegression())
