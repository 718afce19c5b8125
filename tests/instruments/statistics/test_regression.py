"""Ridge on activations: against scikit-learn, on known maps, and where nothing can be fitted."""

import pytest
import torch
from sklearn.linear_model import Ridge

from mesascope.instruments.statistics.regression import PENALTIES, ridge_fits


@pytest.fixture
def data():
    rng = torch.Generator().manual_seed(0)
    features = torch.randn(40, 3, 6, generator=rng, dtype=torch.float64) * torch.tensor([1, 10, 0.1, 1, 1, 5])
    features = features + torch.tensor([0.0, 50, 0, -1, 0, 0])
    matrix = torch.randn(6, 2, generator=rng, dtype=torch.float64)
    noise = torch.randn(40, 3, 2, generator=rng, dtype=torch.float64)
    return features, matrix, noise


def test_a_linear_map_is_found_exactly(data):
    features, matrix, _ = data
    fit = ridge_fits(features, {"t": features @ matrix + 3})["t"]
    torch.testing.assert_close(fit.weights, matrix, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(fit.offset, torch.full((2,), 3.0, dtype=torch.float64), rtol=0, atol=1e-6)
    assert fit.penalty == float(PENALTIES[0])


def test_it_is_scikit_learns_ridge_on_standardised_features(data):
    features, matrix, noise = data
    targets = features @ matrix * 0.1 + 5 * noise
    fit = ridge_fits(features, {"t": targets})["t"]
    rows = features.flatten(0, 1)
    standard = (rows - rows.mean(0)) / rows.std(0, correction=0)
    # Ours divides the loss by the number of rows.
    expected = Ridge(alpha=fit.penalty * len(rows)).fit(standard.numpy(), targets.flatten(0, 1).numpy())
    torch.testing.assert_close(
        fit.predict(features).flatten(0, 1), torch.from_numpy(expected.predict(standard.numpy())), rtol=0, atol=1e-9
    )


def test_the_penalty_is_the_best_on_the_last_quarter(data):
    features, matrix, noise = data
    targets = features @ matrix * 0.1 + 5 * noise
    rows = features.flatten(0, 1)
    standard = ((rows - rows.mean(0)) / rows.std(0, correction=0)).view_as(features)
    held = 10
    errors = []
    for penalty in PENALTIES.tolist():
        n = 3 * (len(features) - held)
        # The means of all fitting prompts are taken off both, so there is no intercept.
        centred = targets - targets.mean((0, 1))
        model = Ridge(alpha=penalty * n, fit_intercept=False)
        model.fit(standard[:-held].flatten(0, 1).numpy(), centred[:-held].flatten(0, 1).numpy())
        guess = torch.from_numpy(model.predict(standard[-held:].flatten(0, 1).numpy()))
        errors.append(float((guess - centred[-held:].flatten(0, 1)).square().sum()))
    best = min(range(len(errors)), key=errors.__getitem__)
    assert 0 < best < len(errors) - 1, "the case should not sit at an end of the grid"
    assert ridge_fits(features, {"t": targets})["t"].penalty == pytest.approx(float(PENALTIES[best]))


def test_targets_do_not_disturb_each_other(data):
    features, matrix, noise = data
    targets = {"a": features @ matrix, "b": noise[..., :1]}
    together = ridge_fits(features, targets)
    for name, target in targets.items():
        alone = ridge_fits(features, {name: target})[name]
        torch.testing.assert_close(together[name].weights, alone.weights)
        assert together[name].penalty == alone.penalty


def test_weights_are_repetitions(data):
    features, matrix, noise = data
    targets = features @ matrix + noise
    # The first prompts get weight 2 in one fit and stand there twice in the other; so does one that is held out.
    weights = torch.ones(40, dtype=torch.float64)
    weights[:10] = 2
    weights[-5:] = 2
    index = torch.tensor([*range(10), *range(40), *range(35, 40)])
    weighted = ridge_fits(features, {"t": targets}, weights)["t"]
    repeated = ridge_fits(features[index], {"t": targets[index]})["t"]
    same = weighted.penalty == repeated.penalty
    assert same
    torch.testing.assert_close(weighted.weights, repeated.weights)
    torch.testing.assert_close(weighted.offset, repeated.offset)


def test_where_nothing_is_to_be_had_the_fit_is_nearly_flat(data):
    features, _, noise = data
    fit = ridge_fits(features, {"t": noise})["t"]
    assert fit.predict(features).std() < 0.3 * noise.std()


def test_features_that_do_not_vary_get_no_weight(data):
    features, matrix, _ = data
    padded = torch.cat([features, torch.full_like(features[..., :1], 7.0), torch.zeros_like(features[..., :1])], -1)
    fit = ridge_fits(padded, {"t": features @ matrix})["t"]
    assert not fit.weights[6:].any()
    torch.testing.assert_close(fit.weights[:6], matrix, rtol=1e-8, atol=1e-8)


def test_rows_that_are_not_finite_are_left_out(data):
    features, matrix, _ = data
    targets = features @ matrix
    broken = features.clone()
    broken[3, 1, 0], broken[5, 0, 2] = torch.nan, torch.inf
    fit = ridge_fits(broken, {"t": targets})["t"]
    torch.testing.assert_close(fit.weights, matrix, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(fit.guess(broken)[3, 1], fit.mean)
    torch.testing.assert_close(fit.guess(features), fit.predict(features))
    predicted = fit.predict(broken)
    assert predicted[3, 1].isnan().all()
    assert predicted.isfinite().flatten(1).all(-1).sum() == 38


def test_nothing_finite_at_all_gives_a_constant(data):
    features, matrix, _ = data
    fit = ridge_fits(torch.full_like(features, torch.nan), {"t": features @ matrix})["t"]
    assert not fit.weights.any()


def test_enormous_activations_do_not_overflow(data):
    features, matrix, _ = data
    fit = ridge_fits(features * 1e200, {"t": features @ matrix})["t"]
    torch.testing.assert_close(fit.predict(features * 1e200), features @ matrix, rtol=1e-6, atol=1e-6)


def test_three_prompts_are_too_few(data):
    features, matrix, _ = data
    with pytest.raises(ValueError, match="features must hold at least 4 prompts to fit and validate on; got 3"):
        ridge_fits(features[:3], {"t": (features @ matrix)[:3]})


@pytest.mark.parametrize("weighted", [False, True])
def test_more_features_than_rows_are_fitted_the_same_way(weighted):
    """By the rows' Gram matrix: against scikit-learn, and against the features' with as many idle rows as it takes."""
    rng = torch.Generator().manual_seed(1)
    features = torch.randn(12, 2, 40, generator=rng, dtype=torch.float64)
    targets = features[..., :2] + 0.3 * torch.randn(12, 2, 2, generator=rng, dtype=torch.float64)
    weights = torch.rand(12, generator=rng, dtype=torch.float64) + 0.5 if weighted else None
    fit = ridge_fits(features, {"t": targets}, weights)["t"]
    rows, weight = features.flatten(0, 1), torch.ones(24, dtype=torch.float64)
    if weights is not None:
        weight = weights.repeat_interleave(2)
    mean = weight @ rows / weight.sum()
    standard = (rows - mean) / (weight @ (rows - mean).square() / weight.sum()).sqrt()
    model = Ridge(alpha=fit.penalty * float(weight.sum()), solver="svd")
    model.fit(standard.numpy(), targets.flatten(0, 1).numpy(), sample_weight=weight.numpy())
    expected = torch.from_numpy(model.predict(standard.numpy()))
    torch.testing.assert_close(fit.predict(features).flatten(0, 1), expected, rtol=0, atol=1e-9)
