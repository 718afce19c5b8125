"""The spectral response of subjects whose filter is known in closed form."""

import importlib
import math

import pytest
import torch

from mesascope.algorithms import (
    ConjugateGradient,
    GradientDescent,
    HeavyBall,
    NearestExample,
    NewtonSchulz,
    Ridge,
    run,
)
from mesascope.instruments.asking.applicability import NotApplicable
from mesascope.instruments.spectral import spectrum
from mesascope.instruments.spectral.channels import response
from mesascope.tasks import Diagonal, Gaussian, LinearRegression

TASK = LinearRegression(dim=5, examples=20)
PROMPTS = 150


@pytest.fixture(scope="module")
def measured(plant_path, look):
    value, _ = look

    def measure(path_of, layers: int):
        """The response at the knots and R², layer by layer, and all that was found."""
        found = spectrum.spectral_response(plant_path(path_of=path_of, layers=layers), TASK, prompts=PROMPTS)
        f = torch.tensor(
            [
                [value(found, "response", layer=layer, eigenvalue=e).value for e in spectrum.grid().tolist()]
                for layer in range(1, layers + 1)
            ],
            dtype=torch.float64,
        )
        return f, [value(found, "R² of a spectral form", layer=layer) for layer in range(1, layers + 1)], found

    return measure


def descent(prompts):
    return run(GradientDescent(step_size=0.3), prompts, 4).predictions[1:]


def ridge(prompts):
    return torch.stack([run(Ridge(ridge=r), prompts).predictions[1] for r in (40.0, 4.0)])


def test_gradient_descent_is_measured_as_it_is(measured, look):
    f, r2, _ = measured(descent, 4)
    expected = response(GradientDescent(step_size=0.3), spectrum.grid(), 4)[1:]
    assert float((f - expected).abs().max()) < 0.02
    for m in r2:
        assert m.value > 0.995
        assert m.interval[0] <= m.value <= m.interval[1]
        assert look[1](m, "planted gradient descent") > 0.995
        assert look[1](m, "another prompt's channels") < 0.1


def test_ridge_is_measured_as_it_is(measured):
    f, r2, _ = measured(ridge, 2)
    for layer, strength in enumerate((40.0, 4.0)):
        expected = spectrum.grid() / (spectrum.grid() + strength / TASK.examples)
        assert float((f[layer] - expected).abs().max()) < 0.02
        assert r2[layer].value > 0.995


def test_a_filter_that_adapts_to_the_prompt_is_told_from_one_for_all(measured):
    _, r2, _ = measured(lambda p: run(ConjugateGradient(), p, 2).predictions[1:], 2)
    assert all(0.5 < m.value < 0.97 for m in r2)


def test_what_is_no_filter_at_all_has_a_low_r2(measured):
    _, r2, _ = measured(lambda p: run(NearestExample(), p).predictions[1:], 1)
    assert r2[0].value < 0.8
    _, r2, _ = measured(lambda p: torch.sign(p.queries[None, ..., 0] * p.ys.sum(-1)[:, None]), 1)
    assert r2[0].value < 0.2


def bands(found, layer: int):
    of_layer = [m for m in found if m.quantity == "response" and m.coordinates["layer"] == layer]
    return torch.tensor([m.interval for m in of_layer], dtype=torch.float64).T


def test_the_interval_holds_the_truth_at_nearly_every_knot(measured):
    noise = torch.Generator().manual_seed(0)

    def noisy(prompts):
        answers = descent(prompts)[-1:]
        return answers + 0.3 * torch.randn(answers.shape, generator=noise, dtype=torch.float64)

    _, _, found = measured(noisy, 1)
    low, high = bands(found, 1)
    expected = response(GradientDescent(step_size=0.3), spectrum.grid(), 4)[-1]
    assert int(((low <= expected) & (expected <= high)).sum()) >= 13
    assert bool((high - low > 0.005).all())


def test_the_band_holds_what_interpolation_is_off_by_where_sampling_has_nothing_to_add(measured):
    """Known filters without noise: what the bootstrap sees of them is a tenth of the error at the knots."""
    filters = {
        GradientDescent(step_size=0.3): 4,
        HeavyBall(step_size=0.35, momentum=0.5): 4,
        NewtonSchulz(start="identity", scale=0.3): 4,
    }
    for algorithm, layers in filters.items():
        f, _, found = measured(lambda p, a=algorithm, n=layers: run(a, p, n).predictions[1:], layers)
        expected = response(algorithm, spectrum.grid(), layers)[1:]
        for layer in range(layers):
            low, high = bands(found, layer + 1)
            assert int(((low <= expected[layer]) & (expected[layer] <= high)).sum()) >= 13
            assert float((high - low).mean()) < 8 * float((f[layer] - expected[layer]).abs().mean())


def test_a_fitted_readout_is_fitted_to_prompts_of_its_own(plant_path, monkeypatch):
    module, given = importlib.import_module("mesascope.instruments.reading.paths"), []
    fit = module._readout
    monkeypatch.setattr(module, "_readout", lambda a, targets, w: given.append(targets) or fit(a, targets, w))
    subject = plant_path(path_of=descent, layers=4)
    spectrum.spectral_response(subject, TASK, prompts=PROMPTS, readout="fitted")
    used = [spectrum.balanced(TASK).sample(PROMPTS, seed=0, stream=f"spectrum/{use}") for use in ("fit", "score")]
    assert given and not any(torch.equal(targets, prompts.targets) for targets in given for prompts in used)


def test_the_figure_holds_the_subject_and_the_curves(measured):
    _, _, found = measured(descent, 4)
    rows = spectrum.figure(found, {"least squares": torch.ones(4, spectrum.KNOTS)}).rows
    assert len(rows) == 2 * 4 * spectrum.KNOTS
    assert {row["who"] for row in rows} == {"subject", "least squares"}


def test_fewer_examples_than_dimensions_have_no_exact_spectrum(plant_path):
    with pytest.raises(NotApplicable, match="need examples >= dim; the task has 3 and 5"):
        spectrum.spectral_response(plant_path(path_of=descent, layers=4), LinearRegression(dim=5, examples=3))


def test_where_nothing_is_answered_there_is_nothing_to_describe(plant_path, look):
    """Layer 1 holds nothing yet, layer 3 is lost: no R², and no control that would pass for a broken one."""

    def late(prompts):
        answers = descent(prompts)[:3].clone()
        answers[0], answers[2] = 0.0, float("nan")
        return answers

    subject = plant_path(path_of=late, layers=3)
    found = spectrum.spectral_response(subject, TASK, prompts=PROMPTS, readout="own")
    silent, answered, lost = (look[0](found, "R² of a spectral form", layer=layer) for layer in (1, 2, 3))
    for m, why in ((silent, "the answer is 0 there"), (lost, "the answer is NaN or infinite there")):
        assert math.isnan(m.value)
        assert m.interval is None
        [stranger] = [c for c in m.controls if c.name == "another prompt's channels"]
        assert math.isnan(stranger.value)
        assert why in stranger.degenerate
    assert answered.value > 0.99
    assert not any(c.degenerate for c in answered.controls)
    caption = spectrum.figure(found, {}).caption
    assert "no answer yet after layer 1" in caption
    assert "nan" not in caption


def test_on_a_tasks_own_prompts_the_response_is_taken_where_their_eigenvalues_lie(plant_path):
    inputs = Gaussian(covariance=Diagonal(condition=(10.0, 100.0), scale="smallest"))
    task = LinearRegression(dim=5, examples=20, inputs=inputs)
    step_size = 0.005

    def path_of(prompts):
        return run(GradientDescent(step_size=step_size), prompts, 3).predictions[1:]

    found = spectrum.spectral_response(plant_path(path_of=path_of, layers=3), task, prompts=PROMPTS, own=True)
    seen = torch.cat([torch.linalg.eigvalsh(p.xs.mT @ p.xs / 20).flatten() for p in (task.sample(300, seed=7),)])
    for layer in (1, 2, 3):
        at = [m for m in found if m.quantity == "response" and m.coordinates["layer"] == layer]
        eigenvalues = torch.tensor([m.coordinates["eigenvalue"] for m in at], dtype=torch.float64)
        assert len(at) == spectrum.KNOTS
        assert float((seen < eigenvalues[0]).double().mean()) == pytest.approx(0.01, abs=0.01)
        assert float((seen > eigenvalues[-1]).double().mean()) == pytest.approx(0.01, abs=0.01)
        expected = 1 - (1 - step_size * eigenvalues) ** layer
        assert float((torch.tensor([m.value for m in at]) - expected).abs().max()) < 0.05
        assert at[0].controls[0].value < 0.05
    r2 = [m for m in found if m.quantity == "R² of a spectral form"]
    assert all(m.value > 0.99 for m in r2)
    assert all({c.name: c.value for c in m.controls}["another prompt's channels"] < 0.3 for m in r2)
