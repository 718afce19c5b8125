"""The posterior mean of a generalised linear model: by quadrature in one dimension, and as an optimum."""

from typing import Any, get_args

import numpy as np
import pytest
import torch
from scipy.stats import chi2

from mesascope.algorithms import GLMPenalisedLikelihood, GLMPosteriorMean, run
from mesascope.algorithms.glm import mean
from mesascope.tasks import GeneralisedLinearRegression
from mesascope.testing import check_algorithm
from mesascope.types import GlmFamily, Status

families = pytest.mark.parametrize("family", get_args(GlmFamily))


@pytest.mark.usefixtures("unchecked")  # the suite asks for LinearRegression
@families
def test_it_is_an_algorithm(family: GlmFamily) -> None:
    task: Any = GeneralisedLinearRegression(dim=3, examples=12, queries=3, family=family)
    check_algorithm(GLMPosteriorMean(family=family, draws=64), task)


@families
def test_it_is_the_integral_over_sign_and_length_in_one_dimension(family: GlmFamily) -> None:
    examples = 6
    p = GeneralisedLinearRegression(dim=1, examples=examples, family=family).sample(20, seed=0)
    found = run(GLMPosteriorMean(family=family, strength=0.7, draws=200_000), p).weights
    assert found is not None
    squares = np.linspace(0, 60, 4001)[1:]  # of the length, times the examples
    prior = torch.from_numpy(chi2(examples).pdf(squares)).repeat(2)
    lengths = torch.from_numpy(squares / examples).sqrt()
    sizes = 0.7 / p.xs.square().mean((1, 2)).sqrt()[:, None] * torch.cat([lengths, -lengths])
    predictor = sizes[..., None] * p.xs[:, None, :, 0]
    mu = mean(family, predictor)
    labels = p.ys[:, None].expand_as(mu)
    chance = torch.where(labels > 0, mu, 1 - mu) if family == "logistic" else (-mu).exp() * mu**labels
    weights = prior * chance.prod(-1)
    expected = (sizes * weights).sum(-1) / weights.sum(-1)
    assert float((found[1, :, 0] - expected).abs().max()) < 0.02


@families
def test_its_error_is_below_that_of_every_penalised_solution(family: GlmFamily) -> None:
    task = GeneralisedLinearRegression(dim=3, queries=8, family=family, strength=2.0 if family == "logistic" else 1.0)
    p = task.sample(256, seed=1)

    def error(predictions: torch.Tensor) -> float:
        return float((predictions[1] - p.targets).square().mean())

    best = error(run(GLMPosteriorMean(family=family, strength=task.strength), p).predictions)
    assert all(
        best < 0.99 * error(run(GLMPenalisedLikelihood(family=family, ridge=r), p).predictions)
        for r in (0.25, 0.5, 1.0, 2.0, 4.0)
    )


def test_inputs_of_zero_are_a_status() -> None:
    p = GeneralisedLinearRegression().sample(2, seed=0)
    p.xs[1] = 0
    found = run(GLMPosteriorMean(draws=32), p)
    assert found.status.tolist() == [Status.OK, Status.BREAKDOWN]
    assert bool(found.predictions.isfinite().all())


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"family": "probit"}, "family must be one of 'logistic', 'poisson'; got 'probit'"),
        ({"strength": 0.0}, r"strength must be above 0; got 0\.0"),
        ({"draws": 0}, "draws must be a whole number of at least 1; got 0"),
    ],
)
def test_bad_configurations_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GLMPosteriorMean(**change)
