"""Binary labels and counts."""

import pytest
import torch

from mesascope.tasks import Diagonal, GeneralisedLinearRegression, Uniform
from mesascope.testing import check_task

TASKS = (
    GeneralisedLinearRegression(),
    GeneralisedLinearRegression(family="poisson", dim=3, examples=7, queries=2, strength=0.5),
    GeneralisedLinearRegression(dim=4, inputs=Uniform(covariance=Diagonal(condition=(3.0, 30.0), rotate=True))),
)


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_it_is_a_task(task: GeneralisedLinearRegression) -> None:
    check_task(task)


def moments(task: GeneralisedLinearRegression) -> tuple[torch.Tensor, torch.Tensor]:
    """Labels, and the mean that each was drawn with."""
    p = task.sample(512, seed=0)
    assert p.weights is not None
    predictors = (p.xs @ p.weights[..., None])[..., 0]
    return p.ys.flatten(), (predictors.sigmoid() if task.family == "logistic" else predictors.exp()).flatten()


@pytest.mark.parametrize("family", ["logistic", "poisson"])
def test_labels_have_their_mean_and_variance(family: str) -> None:
    labels, means = moments(GeneralisedLinearRegression(family=family, strength=1.0))
    variance = means * (1 - means) if family == "logistic" else means
    assert torch.equal(labels, labels.round())
    assert float(labels.min()) == 0
    assert (float(labels.max()) == 1) == (family == "logistic")
    surprise = (labels - means) / variance.sqrt()
    count = len(labels)
    assert abs(float(surprise.mean())) < 4 / count**0.5
    assert float(surprise.square().mean()) == pytest.approx(1, abs=0.06)
    correlation = torch.corrcoef(torch.stack([labels, means]))[0, 1]
    assert 0.3 < float(correlation) < 0.95


@pytest.mark.parametrize("strength", [0.5, 3.0])
def test_the_linear_predictor_has_the_strength_whatever_the_covariance(strength: float) -> None:
    inputs = Uniform(covariance=Diagonal(condition=100.0, rotate=True))
    p = GeneralisedLinearRegression(dim=4, queries=2000, strength=strength, inputs=inputs).sample(16, seed=0)
    assert torch.equal(p.target_variance, torch.full((16,), strength**2, dtype=torch.float64))
    torch.testing.assert_close(p.targets.std(-1), p.target_variance.sqrt(), rtol=0.08, atol=0)
    assert p.weights is not None
    torch.testing.assert_close(p.targets, (p.queries @ p.weights[..., None])[..., 0])


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dim": 0}, r"dim must be a whole number of at least 1; got 0"),
        ({"strength": 0.0}, r"strength must be above 0 and at most 5\.0; got 0\.0"),
        ({"strength": 5.1}, r"strength must be above 0 and at most 5\.0; got 5\.1"),
        ({"strength": float("nan")}, r"strength must be above 0 and at most 5\.0; got nan"),
        ({"family": "probit"}, r"family must be one of 'logistic', 'poisson'; got 'probit'"),
    ],
)
def test_bad_configurations_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GeneralisedLinearRegression(**change)  # pyright: ignore[reportArgumentType]


@pytest.mark.usefixtures("unchecked")
def test_bad_counts_are_refused() -> None:
    with pytest.raises(ValueError, match=r"n must be a whole number of at least 1; got 0"):
        GeneralisedLinearRegression().sample(0, seed=0)
    with pytest.raises(ValueError, match=r"start must be a whole number of at least 0; got -1"):
        GeneralisedLinearRegression().sample(1, seed=0, start=-1)
