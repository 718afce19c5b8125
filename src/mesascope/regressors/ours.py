"""Regressors beside the published ones: tuned ones, Gaussian processes, boosting, and this package's algorithms."""

from collections.abc import Mapping
from itertools import product
from typing import Literal

from mesascope.algorithms import ALL, RBF, KernelRidge, Ridge
from mesascope.regressors.batched import AlgorithmRegressor
from mesascope.regressors.estimators import ScikitRegressor
from mesascope.regressors.published import SCALER, nearest_neighbours, part, perceptron
from mesascope.regressors.regressor import Regressor
from mesascope.regressors.tuned import TunedRegressor

STEPS = 10
"""The number of steps that an algorithm takes as a regressor, if no other is asked for."""
PREFIX = "algorithm:"
"""How the names of this package's algorithms begin among the regressors."""
_PENALTIES = tuple(10.0**power for power in range(-4, 4))
_WEIGHTS: tuple[Literal["uniform", "distance"], ...] = ("uniform", "distance")
_NOISE = 0.1
"""The Gaussian process's standard deviation of the noise, where its prior's is 1."""
_BANDWIDTH = 2.0
"""Its length scale, in standard deviations of an input."""


def gaussian_process(bandwidth: float, ridge: float, name: str = "") -> AlgorithmRegressor:
    """The posterior mean of a Gaussian process with fixed kernel, which is kernel ridge regression, of standardised inputs.

    Args:
        bandwidth: the length scale, in standard deviations of an input.
        ridge: the variance of the noise over that of the prior.
        name: its name in tables.
    """
    return AlgorithmRegressor(
        name=name or f"kernel-ridge of bandwidth {bandwidth:g} and ridge {ridge:g}",
        algorithm=KernelRidge(kernel=RBF(bandwidth=bandwidth), ridge=ridge),
        prepared="standardised",
    )


def _ridge(penalty: float) -> AlgorithmRegressor:
    return AlgorithmRegressor(name=f"ridge {penalty:g}", algorithm=Ridge(ridge=penalty), prepared="standardised")


def _support_vectors(bound: float, gamma: float) -> ScikitRegressor:
    return ScikitRegressor(name=f"svr of C={bound:g}", parts=(SCALER, part("svm.SVR", C=bound, gamma=gamma)))


def _forest(share: float, leaf: int) -> ScikitRegressor:
    forest = part("ensemble.RandomForestRegressor", max_features=share, min_samples_leaf=leaf)
    return ScikitRegressor(name=f"forest of {share:g} and {leaf}", parts=(forest,))


def _boosting(rate: float, depth: int) -> ScikitRegressor:
    boosting = part("ensemble.GradientBoostingRegressor", learning_rate=rate, max_depth=depth)
    return ScikitRegressor(name=f"boosting of {rate:g} and {depth}", parts=(boosting,))


_KERNELS = "gaussian_process.kernels."
_LEARNED_KERNEL = part(
    _KERNELS + "Sum",
    k1=part(
        _KERNELS + "Product",
        k1=part(_KERNELS + "ConstantKernel"),
        k2=part(_KERNELS + "RBF", length_scale=_BANDWIDTH, length_scale_bounds=(1e-2, 1e3)),
    ),
    k2=part(_KERNELS + "WhiteKernel", noise_level=_NOISE**2, noise_level_bounds=(1e-8, 1e1)),
)
_TUNED: Mapping[str, tuple[Regressor, ...]] = {
    "ridge-tuned": tuple(map(_ridge, _PENALTIES)),
    "knn-tuned": tuple(nearest_neighbours(k, w) for w, k in product(_WEIGHTS, (1, 2, 3, 5, 8, 12))),
    "kernel-ridge-tuned": tuple(
        gaussian_process(b, r) for b, r in product((0.5, 1.0, 2.0, 4.0, 8.0, 16.0), (1e-6, 1e-4, 1e-2, 1.0))
    ),
    "svr-tuned": tuple(_support_vectors(c, g) for c, g in product((1.0, 10.0, 100.0, 1000.0), (0.03, 0.1, 0.3))),
    "random-forest-tuned": tuple(_forest(s, leaf) for s, leaf in product((0.4, 1.0), (1, 3))),
    "gradient-boosting-tuned": tuple(_boosting(r, d) for r, d in product((0.05, 0.1), (1, 3))),
}
_MEMBERS: tuple[Regressor, ...] = (
    *(TunedRegressor(name=name, choices=choices) for name, choices in _TUNED.items()),
    gaussian_process(_BANDWIDTH, _NOISE**2, "gaussian-process"),
    ScikitRegressor(
        name="gaussian-process-learned",
        parts=(
            SCALER,
            part("gaussian_process.GaussianProcessRegressor", kernel=_LEARNED_KERNEL, normalize_y=True),
        ),
    ),
    ScikitRegressor(
        name="histogram-boosting",
        parts=(part("ensemble.HistGradientBoostingRegressor", min_samples_leaf=3),),
    ),
    ScikitRegressor(name="mlp-100-scaled", parts=(SCALER, perceptron(100))),
    nearest_neighbours(1, "uniform"),
)


def of_algorithm(name: str, steps: int = STEPS) -> AlgorithmRegressor:
    """An algorithm of this package as a regressor, with its own defaults, on standardised inputs and centred labels.

    Raises:
        ValueError: fewer than one step.
    """
    algorithm = {member.name: member for member in ALL}[name]
    return AlgorithmRegressor(name=PREFIX + name, algorithm=algorithm(), steps=steps, prepared="standardised")


OURS: Mapping[str, Regressor] = {
    **{member.name: member for member in _MEMBERS},
    **{PREFIX + algorithm.name: of_algorithm(algorithm.name) for algorithm in ALL},
}
"""The other regressors by name.

Tuned ones choose for each prompt, by cross-validation within its examples. ``gaussian-process`` has a fixed kernel,
``gaussian-process-learned`` one that maximises the likelihood of the prompt's labels. Boosting by histograms takes leaves of 3
examples, as scikit-learn's default of 20 would leave a prompt of 50 hardly a split.
"""

__all__ = ("OURS", "PREFIX", "STEPS", "gaussian_process", "of_algorithm")
