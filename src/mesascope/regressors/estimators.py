"""Regressors with scikit-learn's ``fit`` and ``predict``, fitted to one prompt after another."""

import importlib
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, final, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.records.shown import shown
from mesascope.regressors.regressor import check_examples
from mesascope.types import Prompts

LARGEST_SEED = 2**32 - 1
"""The largest ``random_state`` that scikit-learn takes."""


class NotConverged(UserWarning):
    """Some fits ended before they converged, or with a parameter at a bound of its range; they answer as they are."""


@runtime_checkable
class Estimator(Protocol):
    """What scikit-learn calls a regressor."""

    def fit(self, X: np.ndarray, y: np.ndarray) -> Any:
        """Learn from examples (example, dim) and labels (example)."""
        ...

    def predict(self, X: np.ndarray) -> Any:
        """Answers (query) at inputs (query, dim)."""
        ...


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class EstimatorRegressor:
    """Any estimator with ``fit`` and ``predict``, of whatever package, such as a pretrained network for tables::

        EstimatorRegressor(name="tabpfn", make=lambda seed: TabPFNRegressor(random_state=seed))

    Attributes:
        name: its name in tables.
        make: returns a fresh estimator for a seed.
    """

    name: str
    make: Callable[[int], Estimator]

    def predict(self, prompts: Prompts, *, seed: int = 0) -> Float[Tensor, "batch query"]:
        """The answers. See `mesascope.regressors.Regressor`.

        Warns:
            NotConverged: how many of the fits have not converged, or ended at a bound.
        """
        return fitted_answers(self.name, self.make, prompts, seed)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A class of scikit-learn with its arguments.

    Attributes:
        kind: its module and name, such as ``linear_model.Lasso``.
        options: the arguments other than scikit-learn's defaults; an argument may be a part itself.
    """

    kind: str
    options: tuple[tuple[str, Any], ...] = ()

    def built(self, seed: int) -> Any:
        """An instance, whose ``random_state``, if it takes one, is the seed."""
        module, _, name = self.kind.rpartition(".")
        options = {key: value.built(seed) if isinstance(value, Part) else value for key, value in self.options}
        made = getattr(_scikit_learn(module), name)(**options)
        takes_seed = hasattr(made, "set_params") and "random_state" in made.get_params(deep=False)
        return made.set_params(random_state=seed) if takes_seed else made


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ScikitRegressor:
    """A regressor of scikit-learn, which needs the extra ``regressors``.

    Attributes:
        name: its name in tables.
        parts: the estimator, after what is done to its inputs.
    """

    name: str
    parts: tuple[Part, ...]

    def predict(self, prompts: Prompts, *, seed: int = 0) -> Float[Tensor, "batch query"]:
        """The answers. See `mesascope.regressors.Regressor`.

        Raises:
            ValueError: scikit-learn is not installed, or a seed that it does not take.

        Warns:
            NotConverged: how many of the fits have not converged, or ended at a bound.
        """
        check_examples(prompts)
        if not 0 <= seed <= LARGEST_SEED:
            raise ValueError(
                f"seed must be from 0 to {LARGEST_SEED}, because it is scikit-learn's random_state; got {shown(seed)}."
            )
        pipeline = _scikit_learn("pipeline")

        def make(seed: int) -> Estimator:
            built = [part.built(seed) for part in self.parts]
            return built[0] if len(built) == 1 else pipeline.make_pipeline(*built)

        return fitted_answers(self.name, make, prompts, seed)


def fitted_answers(
    name: str, make: Callable[[int], Estimator], prompts: Prompts, seed: int
) -> Float[Tensor, "batch query"]:
    """The answers of a fresh estimator for each prompt, fitted in double precision.

    Some estimators draw from NumPy's global generator, whatever they are told (scikit-learn's `SVR` does). It is seeded for each
    fit, and afterwards is as it was.

    Raises:
        ValueError: prompts with fewer than two examples, or an estimator whose answers are not one number per query.
    """
    check_examples(prompts)
    answers = torch.empty(prompts.targets.shape, dtype=torch.float64)
    xs, ys, queries = (t.detach().cpu().double().numpy() for t in (prompts.xs, prompts.ys, prompts.queries))
    with warnings.catch_warnings(record=True) as raised, _numpys_generator_kept():
        warnings.simplefilter("always")
        unfinished = 0
        for i in range(len(prompts)):
            before = len(raised)
            np.random.seed(seed % (LARGEST_SEED + 1))
            found = np.asarray(make(seed).fit(xs[i], ys[i]).predict(queries[i]), dtype=np.float64)
            if found.shape != queries[i].shape[:1]:
                raise ValueError(
                    f"an estimator's predict must give one number per query, shape {queries[i].shape[:1]}; {name} gave "
                    f"{found.shape}. Wrap it."
                )
            answers[i] = torch.from_numpy(found)
            unfinished += any(_unfinished(w) for w in raised[before:])
    for each in {(w.category, str(w.message)): w for w in raised if not _unfinished(w)}.values():
        warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
    if unfinished:
        warnings.warn(
            f"{name}: {unfinished} of {len(prompts)} fits ended before they converged or at a bound, and answer as they are",
            NotConverged,
            stacklevel=3,
        )
    return answers.to(prompts.ys)


@contextmanager
def _numpys_generator_kept() -> Iterator[None]:
    """Put NumPy's global generator back as it was."""
    state = np.random.get_state()
    try:
        yield
    finally:
        np.random.set_state(state)


def _unfinished(warning: warnings.WarningMessage) -> bool:
    """Whether it is scikit-learn's warning of a fit that has not converged, or that ended at a bound."""
    return warning.category.__name__ == "ConvergenceWarning"


def _scikit_learn(module: str) -> Any:
    try:
        return importlib.import_module(f"sklearn.{module}")
    except ModuleNotFoundError as error:
        if error.name != "sklearn":
            raise
        raise ValueError(
            "this regressor needs the package scikit-learn, which is not installed: pip install 'mesascope[regressors]'."
        ) from error


__all__ = ("Estimator", "EstimatorRegressor", "NotConverged", "Part", "ScikitRegressor", "fitted_answers")
