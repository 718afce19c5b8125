"""Regressors under one interface: what language models are compared with, where they read numbers.

::

    prompts = ms.tasks.DATASETS["friedman-2"].sample(100, seed=0)
    answers = ms.regressors.regressor("random-forest").predict(prompts, seed=0)
"""

from collections.abc import Mapping

from mesascope.records.checks import nearest
from mesascope.records.shown import shown
from mesascope.regressors.as_algorithm import Answering
from mesascope.regressors.batched import AlgorithmRegressor, Constant, RandomLabel
from mesascope.regressors.estimators import Estimator, EstimatorRegressor, NotConverged, Part, ScikitRegressor
from mesascope.regressors.ours import OURS, gaussian_process, of_algorithm
from mesascope.regressors.published import PUBLISHED, AdaptableNeighbours, nearest_neighbours
from mesascope.regressors.regressor import Regressor, check_examples
from mesascope.regressors.tuned import TunedRegressor

REGRESSORS: Mapping[str, Regressor] = {**PUBLISHED, **OURS}
"""All regressors by name, the published ones first."""


def regressor(name: str) -> Regressor:
    """The regressor with this name.

    Raises:
        ValueError: there is none.
    """
    if name not in REGRESSORS:
        raise ValueError(
            f"name must be that of a regressor, one of {', '.join(REGRESSORS)}; got {shown(name)}."
            f"{nearest(name, list(REGRESSORS))}"
        )
    return REGRESSORS[name]


__all__ = (
    "OURS",
    "PUBLISHED",
    "REGRESSORS",
    "AdaptableNeighbours",
    "AlgorithmRegressor",
    "Answering",
    "Constant",
    "Estimator",
    "EstimatorRegressor",
    "NotConverged",
    "Part",
    "RandomLabel",
    "Regressor",
    "ScikitRegressor",
    "TunedRegressor",
    "check_examples",
    "gaussian_process",
    "nearest_neighbours",
    "of_algorithm",
    "regressor",
)
