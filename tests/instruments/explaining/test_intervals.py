"""Intervals of fitted coefficients: with noise, without it, and where coefficients are not determined."""

import dataclasses
import math

import pytest
import torch

from mesascope.instruments.explaining.filters import Quadratic
from mesascope.instruments.explaining.fitting import FittedFunction, fit_function
from mesascope.instruments.explaining.functions import FAMILIES
from mesascope.instruments.explaining.intervals import TOLERANCE
from mesascope.instruments.explaining.planted import filtering
from mesascope.instruments.explaining.surface import Surface, derivatives
from mesascope.instruments.identification.prompts import standard
from mesascope.instruments.spectral.channels import SpectralChannels
from mesascope.instruments.statistics import bootstrap

BY_NAME = {family.name: family for family in FAMILIES}
UNIT = 4.5


@pytest.fixture(scope="module")
def prompts():
    return standard().task.sample(90, seed=3)


@pytest.fixture(scope="module")
def draws(prompts):
    return bootstrap.weights(len(prompts), seed=0, strata=prompts.strata, repeats=400)


def fitted(prompts, draws, name, count, values, *, noise=0.0, seed=0, counts=None) -> FittedFunction:
    """The fit to a member's answers, its count known unless others are allowed."""
    family = dataclasses.replace(BY_NAME[name], counts=counts or (count,))
    numbers = [torch.tensor(value, dtype=torch.float64) for value in values]
    answers = filtering(lambda at: family.gains(at, count, *numbers) * (at > 0))(prompts)
    normal = torch.randn(answers.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    answers = answers + (noise * prompts.target_variance).sqrt()[:, None] * normal
    return fit_function(
        family, Quadratic.of(SpectralChannels.of(prompts), answers, prompts.target_variance), UNIT, draws
    )


def test_95_of_100_intervals_hold_the_truth(prompts, draws):
    held = []
    for seed in range(60):
        ((low, high),) = fitted(prompts, draws, "gradient descent", 6, [0.23], noise=0.03, seed=seed).intervals
        held.append(low <= 0.23 <= high)
    assert 0.86 <= sum(held) / len(held) <= 0.995


def test_a_penalty_that_noise_hides_may_be_anything_small(prompts, draws):
    found = fitted(prompts, draws, "damped gradient descent", 4, [0.2, 0.002], noise=0.03)
    _, (low, high) = found.intervals
    assert low < 2e-4
    assert 0.002 < high < 0.5


def test_without_noise_the_interval_is_a_tolerance(prompts, draws):
    found = fitted(prompts, draws, "gradient flow", 1, [3.0])
    ((low, high),) = found.intervals
    assert low < 3.0 < high
    assert high / low < 1.005
    channels = SpectralChannels.of(prompts)
    answers = [channels.predictions(1 - torch.exp(-time * channels.eigenvalues)) for time in (3.0, high)]
    moved = float(((answers[0] - answers[1]).square().mean(-1) / prompts.target_variance).mean())
    assert moved == pytest.approx(TOLERANCE, rel=0.1)


def test_momentum_is_at_most_one(prompts, draws):
    found = fitted(prompts, draws, "Nesterov", 2, [0.1, 0.5], noise=0.3)
    assert found.intervals[1][1] <= 1.0


@pytest.mark.parametrize(
    ("name", "count", "values"),
    [("heavy ball", 3, [0.324, 0.303]), ("damped gradient descent", 3, [0.33, 0.0193]), ("GD++", 4, [0.325, 0.0169])],
)
def test_the_count_is_found_where_others_are_near(name, count, values, prompts, draws):
    found = fitted(prompts, draws, name, count, values, counts=BY_NAME[name].counts)
    assert found.count == count
    assert found.counts[0] <= count <= found.counts[1]
    assert found.values == tuple(pytest.approx(value, rel=1e-3) for value in values)
    assert found.error < 1e-12


def test_a_cut_off_below_all_eigenvalues_is_found(prompts, draws):
    found = fitted(prompts, draws, "spectral cut-off", 1, [0.01], noise=0.03)
    ((low, high),) = found.intervals
    assert low < 0.01 < high
    assert math.isfinite(high)


def test_one_prompt_may_decide_alone(prompts, draws):
    """All others are solved to the last bit: their answers do not move with the time, and no fit is left without that prompt."""
    channels = SpectralChannels.of(prompts)
    eigenvalues = torch.full_like(channels.eigenvalues, 3.0)
    eigenvalues[-1] = 0.1
    answers = channels.predictions(1 - torch.exp(-60.0 * eigenvalues))
    quadratic = dataclasses.replace(Quadratic.of(channels, answers, prompts.target_variance), eigenvalues=eigenvalues)
    surface = Surface(family=BY_NAME["gradient flow"], count=1, quadratic=quadratic)
    at = torch.tensor([[math.log(60.0)]], dtype=torch.float64)
    _, curves = derivatives(quadratic, surface.beside(at)[0])
    assert [i for i in range(len(prompts)) if curves[i] > 0] == [len(prompts) - 1]
    found = fit_function(BY_NAME["gradient flow"], quadratic, UNIT, draws)
    ((low, high),) = found.intervals
    assert 10 < low < 60 < high
