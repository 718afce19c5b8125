"""The regressors that language models were compared with, in the published settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, final

from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms import LastLabel, LeastSquares, MeanLabel, NearestNeighbours, Ridge
from mesascope.regressors.batched import AlgorithmRegressor, Constant, RandomLabel
from mesascope.regressors.estimators import Part, ScikitRegressor
from mesascope.regressors.regressor import Regressor, check_examples
from mesascope.types import Prompts


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptableNeighbours:
    """Nearest neighbours, weighted by distance: one of up to 2 examples, three of up to 6, else five."""

    name: str = "knn-adaptable"

    def predict(self, prompts: Prompts, *, seed: int = 0) -> Float[Tensor, "batch query"]:
        """The answers. See `mesascope.regressors.Regressor`."""
        check_examples(prompts)
        neighbours = 1 if prompts.examples < 3 else 3 if prompts.examples < 7 else 5
        return nearest_neighbours(neighbours, "distance").predict(prompts, seed=seed)


def nearest_neighbours(neighbours: int, weights: Literal["uniform", "distance"]) -> AlgorithmRegressor:
    """k nearest neighbours as a regressor."""
    name = f"knn-{neighbours}" if weights == "uniform" else f"knn-{neighbours}-{weights}"
    return AlgorithmRegressor(name=name, algorithm=NearestNeighbours(neighbours=neighbours, weights=weights))


def part(kind: str, **options: Any) -> Part:
    """A class of scikit-learn with the arguments that are not its defaults."""
    return Part(kind=kind, options=tuple(options.items()))


def perceptron(*hidden: int) -> Part:
    """A network of ReLUs, trained by L-BFGS."""
    return part("neural_network.MLPRegressor", hidden_layer_sizes=hidden, activation="relu", solver="lbfgs")


SCALER = part("preprocessing.StandardScaler")
_FITTED: Mapping[str, tuple[Part, ...]] = {
    "lasso": (part("linear_model.Lasso"),),
    "mlp-10": (perceptron(10),),
    "mlp-100": (perceptron(100),),
    "mlp-1000": (perceptron(1000),),
    "mlp-10-10": (perceptron(10, 10),),
    "mlp-10-20-10": (perceptron(10, 20, 10),),
    "mlp-10-20-30-20-10": (perceptron(10, 20, 30, 20, 10),),
    "random-forest": (part("ensemble.RandomForestRegressor", max_depth=3),),
    "bagging": (part("ensemble.BaggingRegressor"),),
    "gradient-boosting": (part("ensemble.GradientBoostingRegressor"),),
    "adaboost": (part("ensemble.AdaBoostRegressor", n_estimators=100),),
    "bayesian-polynomial": (
        part("preprocessing.PolynomialFeatures", degree=10, include_bias=False),
        SCALER,
        part("linear_model.BayesianRidge"),
    ),
    "svr": (part("svm.SVR"),),
    "svr-scaled": (SCALER, part("svm.SVR")),
    "polynomial-2": (part("preprocessing.PolynomialFeatures", degree=2), part("linear_model.LinearRegression")),
    "spline": (part("preprocessing.SplineTransformer", n_knots=5, degree=3), part("linear_model.LinearRegression")),
}
_MEMBERS: tuple[Regressor, ...] = (
    AlgorithmRegressor(name="linear-regression", algorithm=LeastSquares(), prepared="centred"),
    AlgorithmRegressor(name="ridge", algorithm=Ridge(ridge=1.0), prepared="centred"),
    *(ScikitRegressor(name=name, parts=parts) for name, parts in _FITTED.items()),
    nearest_neighbours(5, "uniform"),
    nearest_neighbours(5, "distance"),
    nearest_neighbours(3, "distance"),
    nearest_neighbours(1, "distance"),
    AdaptableNeighbours(),
    AlgorithmRegressor(name="kernel-ridge", algorithm=Ridge(ridge=1.0)),
    AlgorithmRegressor(name="mean", algorithm=MeanLabel()),
    AlgorithmRegressor(name="last", algorithm=LastLabel()),
    RandomLabel(),
    Constant(),
)
PUBLISHED: Mapping[str, Regressor] = {member.name: member for member in _MEMBERS}
"""The published regressors by name, with scikit-learn's defaults but for what is stated.

Those with a closed form are computed for all prompts at once, and equal scikit-learn's: ``linear-regression`` and ``ridge`` with
an intercept, ``kernel-ridge`` with scikit-learn's default, a linear kernel, so that it is ridge regression without an intercept.
With 7 examples or more ``knn-adaptable`` is ``knn-5-distance``.

Source: Vacareanu et al. 2024, the released code, whose ``random_state`` is 1 for every prompt.
"""

__all__ = ("PUBLISHED", "SCALER", "AdaptableNeighbours", "nearest_neighbours", "part", "perceptron")
