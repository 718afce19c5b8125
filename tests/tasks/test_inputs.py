"""Distributions of the inputs: moments, shapes, and the exactly conditioned design."""

import math

import pytest
import scipy.stats
import torch

from mesascope.seeds import generator
from mesascope.tasks import (
    CentredExponential,
    Diagonal,
    Eigenvalues,
    Gaussian,
    Identity,
    Inputs,
    Laplace,
    LinearRegression,
    LogUniform,
    Rademacher,
    Toeplitz,
    Uniform,
)

DRAWS = 200_000
# a fourth moment tells them apart; the kurtosis of each is known
KINDS = {Gaussian: 3.0, Uniform: 9 / 5, Laplace: 6.0, Rademacher: 1.0, CentredExponential: 9.0}
DISTRIBUTIONS = {
    Gaussian: scipy.stats.norm(),
    Uniform: scipy.stats.uniform(-math.sqrt(3), 2 * math.sqrt(3)),
    Laplace: scipy.stats.laplace(scale=1 / math.sqrt(2)),
    CentredExponential: scipy.stats.expon(loc=-1),
}


def z_score(sample: torch.Tensor, expected: float) -> float:
    """How many standard errors a sample's mean lies from what it should be."""
    error = sample.std() / math.sqrt(sample.numel())
    return float((sample.mean() - expected) / error) if error > 0 else float(sample.mean() != expected) * math.inf


@pytest.mark.parametrize("kind", KINDS)
def test_unit_coordinates_have_mean_zero_variance_one_and_their_own_kurtosis(kind: type[Inputs]) -> None:
    draws = kind().standard((DRAWS,), generator(0, "test"))
    assert abs(z_score(draws, 0.0)) < 4
    if kind is not Rademacher:  # whose square is 1 always
        assert abs(z_score(draws.square(), 1.0)) < 4
        assert abs(z_score(draws**4, KINDS[kind])) < 4
    else:
        assert set(draws.unique().tolist()) == {-1.0, 1.0}


@pytest.mark.parametrize("kind", DISTRIBUTIONS)
def test_the_whole_distribution_is_right(kind: type[Inputs]) -> None:
    draws = kind().standard((20_000,), generator(1, "test"))
    assert scipy.stats.kstest(draws.numpy(), DISTRIBUTIONS[kind].cdf).pvalue > 1e-3
    others = [d for k, d in DISTRIBUTIONS.items() if k is not kind]
    assert all(scipy.stats.kstest(draws.numpy(), other.cdf).pvalue < 1e-6 for other in others)  # the test can fail


@pytest.mark.parametrize("kind", KINDS)
def test_coordinates_are_uncorrelated(kind: type[Inputs]) -> None:
    a, b = kind().standard((2, DRAWS), generator(2, "test"))
    assert abs(z_score(a * b, 0.0)) < 4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rotate", [False, True])
@pytest.mark.parametrize("condition", [1.0, 7.0, 1e3, 1e6])
def test_an_exact_design_has_the_prescribed_condition_number(
    kind: type[Inputs], condition: float, rotate: bool
) -> None:
    task = LinearRegression(inputs=kind(covariance=Diagonal(condition=condition, rotate=rotate), exact=True))
    xs = task.sample(64, seed=3).xs
    values = torch.linalg.eigvalsh(xs.transpose(-1, -2) @ xs / task.examples)
    torch.testing.assert_close(values[:, -1] / values[:, 0], torch.full((64,), condition).double(), rtol=1e-8, atol=0)
    torch.testing.assert_close(values.mean(-1), torch.ones(64).double(), rtol=1e-10, atol=0)


@pytest.mark.parametrize(
    "covariance", [Identity(), Toeplitz(), Eigenvalues(values=(4.0, 3.0, 2.0, 1.0, 0.5)), LogUniform(rotate=True)]
)
def test_an_exact_design_has_the_covariance_itself(covariance: object) -> None:
    exact = LinearRegression(examples=8, inputs=Gaussian(covariance=covariance, exact=True))  # type: ignore[arg-type]
    xs = exact.sample(16, seed=0).xs
    roots = covariance.roots(5, torch.arange(256), 0, "sample/inputs", 0)[:16]  # type: ignore[attr-defined]
    torch.testing.assert_close(xs.transpose(-1, -2) @ xs / 8, roots @ roots.transpose(-1, -2), rtol=0, atol=1e-12)


def test_without_exact_the_condition_number_varies() -> None:
    xs = LinearRegression(inputs=Gaussian(covariance=Diagonal(condition=7.0))).sample(64, seed=3).xs
    values = torch.linalg.eigvalsh(xs.transpose(-1, -2) @ xs)
    assert float((values[:, -1] / values[:, 0]).std()) > 1


def test_an_exact_design_needs_as_many_examples_as_dimensions() -> None:
    LinearRegression(dim=5, examples=5, inputs=Gaussian(exact=True)).sample(1, seed=0)
    with pytest.raises(ValueError, match=r"exact=True needs .* got examples=4, dim=5\. Raise examples to 5\."):
        LinearRegression(dim=5, examples=4, inputs=Gaussian(exact=True)).sample(1, seed=0)


def test_abstract_inputs_draw_nothing() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Inputs()
