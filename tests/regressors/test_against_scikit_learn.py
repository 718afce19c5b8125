"""Every published regressor against a direct call of scikit-learn with the settings that were published."""

import warnings

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.ensemble import (
    AdaBoostRegressor,
    BaggingRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import BayesianRidge, Lasso, LinearRegression, Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, SplineTransformer, StandardScaler
from sklearn.svm import SVR

from mesascope.regressors import PUBLISHED, REGRESSORS, NotConverged, Part, ScikitRegressor, regressor
from mesascope.tasks import DATASETS, published

SEED = 1


def mlp(*hidden):
    return MLPRegressor(hidden_layer_sizes=hidden, activation="relu", solver="lbfgs", random_state=SEED)


MODELS = {
    "linear-regression": LinearRegression,
    "ridge": lambda: Ridge(random_state=SEED),
    "lasso": lambda: Lasso(random_state=SEED),
    "mlp-10": lambda: mlp(10),
    "mlp-100": lambda: mlp(100),
    "mlp-1000": lambda: mlp(1000),
    "mlp-10-10": lambda: mlp(10, 10),
    "mlp-10-20-10": lambda: mlp(10, 20, 10),
    "mlp-10-20-30-20-10": lambda: mlp(10, 20, 30, 20, 10),
    "random-forest": lambda: RandomForestRegressor(max_depth=3, random_state=SEED),
    "bagging": lambda: BaggingRegressor(random_state=SEED),
    "gradient-boosting": lambda: GradientBoostingRegressor(random_state=SEED),
    "adaboost": lambda: AdaBoostRegressor(n_estimators=100, random_state=SEED),
    "bayesian-polynomial": lambda: make_pipeline(
        PolynomialFeatures(degree=10, include_bias=False), StandardScaler(), BayesianRidge()
    ),
    "svr": SVR,
    "svr-scaled": lambda: make_pipeline(StandardScaler(), SVR()),
    "polynomial-2": lambda: make_pipeline(PolynomialFeatures(degree=2), LinearRegression()),
    "spline": lambda: make_pipeline(SplineTransformer(n_knots=5, degree=3), LinearRegression()),
    "knn-5": KNeighborsRegressor,
    "knn-5-distance": lambda: KNeighborsRegressor(weights="distance"),
    "knn-3-distance": lambda: KNeighborsRegressor(n_neighbors=3, weights="distance"),
    "knn-1-distance": lambda: KNeighborsRegressor(n_neighbors=1, weights="distance"),
    "knn-adaptable": lambda: KNeighborsRegressor(n_neighbors=5, weights="distance"),
    "kernel-ridge": KernelRidge,
}
OTHERS = {
    "gaussian-process": lambda: make_pipeline(
        StandardScaler(), Centred(KernelRidge(alpha=0.01, kernel="rbf", gamma=1 / 8))
    ),
    "gaussian-process-learned": lambda: make_pipeline(
        StandardScaler(),
        GaussianProcessRegressor(
            ConstantKernel() * RBF(2.0, (1e-2, 1e3)) + WhiteKernel(0.01, (1e-8, 10.0)),
            normalize_y=True,
            random_state=SEED,
        ),
    ),
    "histogram-boosting": lambda: HistGradientBoostingRegressor(min_samples_leaf=3, random_state=SEED),
    "mlp-100-scaled": lambda: make_pipeline(StandardScaler(), mlp(100)),
    "knn-1": lambda: KNeighborsRegressor(n_neighbors=1),
}


class Centred(RegressorMixin, BaseEstimator):
    """An estimator on labels without their mean."""

    def __init__(self, inner):
        self.inner = inner

    def fit(self, X, y):
        self.mean_ = y.mean()
        self.inner.fit(X, y - self.mean_)
        return self

    def predict(self, X):
        return self.inner.predict(X) + self.mean_


def theirs(make, prompts):
    answers = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for i in range(len(prompts)):
            fitted = make().fit(prompts.xs[i].numpy(), prompts.ys[i].numpy())
            answers.append(fitted.predict(prompts.queries[i].numpy()))
    return np.stack(answers)


@pytest.mark.filterwarnings("ignore::mesascope.regressors.NotConverged")
@pytest.mark.parametrize("name", [*MODELS, *OTHERS])
def test_it_answers_as_a_direct_call_of_scikit_learn(name):
    prompts = published("friedman-2", [1, 2], examples=25)
    found = regressor(name).predict(prompts, seed=SEED).numpy()
    expected = theirs({**MODELS, **OTHERS}[name], prompts)
    # Closed forms sum in another order; what is fitted by scikit-learn is the same to the last bit.
    np.testing.assert_allclose(found, expected, rtol=1e-7)


@pytest.mark.parametrize("name", ["linear-regression", "ridge", "kernel-ridge", "knn-5-distance", "gaussian-process"])
@pytest.mark.parametrize("data", ["linear-1-of-1", "original-5", "network-5", "characters"])
def test_closed_forms_agree_on_other_data_sets(name, data):
    prompts = DATASETS[data].sample(5, seed=2)
    expected = theirs({**MODELS, **OTHERS}[name], prompts)
    np.testing.assert_allclose(regressor(name).predict(prompts).numpy(), expected, rtol=1e-6, atol=1e-7)


def test_every_published_model_is_compared():
    assert set(PUBLISHED) - set(MODELS) == {"mean", "last", "random-label", "constant"}
    untold = {name for name in set(REGRESSORS) - set(MODELS) - set(OTHERS) if not name.startswith("algorithm:")}
    assert {name for name in untold if not name.endswith("-tuned")} == {"mean", "last", "random-label", "constant"}


@pytest.mark.parametrize(("examples", "neighbours"), [(2, 1), (3, 3), (6, 3), (7, 5)])
def test_adaptable_neighbours(examples, neighbours):
    prompts = published("friedman-1", [1, 2, 3], examples=examples)
    make = lambda: KNeighborsRegressor(n_neighbors=neighbours, weights="distance")  # noqa: E731
    np.testing.assert_allclose(regressor("knn-adaptable").predict(prompts).numpy(), theirs(make, prompts), rtol=1e-7)


def test_fits_that_have_not_converged_are_counted_and_answer():
    hasty = Part(kind="neural_network.MLPRegressor", options=(("max_iter", 2), ("solver", "lbfgs")))
    prompts = published("friedman-2", [1, 2, 3, 4], examples=25)
    with pytest.warns(NotConverged, match="hasty: 4 of 4 fits ended before they converged or at a bound, and"):
        answers = ScikitRegressor(name="hasty", parts=(hasty,)).predict(prompts, seed=6)
    assert answers.isfinite().all()
