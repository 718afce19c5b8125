"""The interface that all regressors share, tuning, the adapter, baselines, and what is refused."""

import dataclasses
import importlib
import json

import numpy as np
import pytest
import torch
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.neighbors import KNeighborsRegressor

from mesascope.algorithms import ConjugateGradient, Ridge, run
from mesascope.records.codec import to_json
from mesascope.regressors import (
    REGRESSORS,
    AlgorithmRegressor,
    Answering,
    Constant,
    EstimatorRegressor,
    Part,
    ScikitRegressor,
    TunedRegressor,
    nearest_neighbours,
    of_algorithm,
    regressor,
)
from mesascope.tasks import DATASETS, LinearRegression
from mesascope.testing import check_regressor
from mesascope.types import Prompts

SLOW = ("random-forest-tuned", "gradient-boosting-tuned", "svr-tuned")
PROMPTS = LinearRegression(dim=3, examples=12, queries=4, noise=0.3).sample(5, seed=7)


@pytest.mark.filterwarnings("ignore::mesascope.regressors.NotConverged")
@pytest.mark.parametrize("name", [name for name in REGRESSORS if name not in SLOW])
def test_conformance(name):
    check_regressor(REGRESSORS[name])
    assert REGRESSORS[name].name == name
    json.dumps(to_json(REGRESSORS[name]))  # so that a result can be found again by it


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_tuned_ensembles_answer_and_choose(name):
    it = REGRESSORS[name]
    assert isinstance(it, TunedRegressor)
    few = dataclasses.replace(it, folds=2)
    prompts = DATASETS["friedman-1"].sample(1, seed=0)
    choice = int(few.chosen(prompts))
    torch.testing.assert_close(few.predict(prompts), it.choices[choice].predict(prompts))


def test_tuning_is_a_grid_search_with_cross_validation():
    it = TunedRegressor(name="tuned", choices=tuple(nearest_neighbours(k, "uniform") for k in (1, 2, 4, 6)))
    prompts = DATASETS["friedman-1"].sample(12, seed=3)
    chosen, answers = it.chosen(prompts), it.predict(prompts)
    assert len(chosen.unique()) > 1
    for i in range(len(prompts)):
        search = GridSearchCV(
            KNeighborsRegressor(), {"n_neighbors": [1, 2, 4, 6]}, scoring="neg_mean_squared_error", cv=KFold(5)
        ).fit(prompts.xs[i].numpy(), prompts.ys[i].numpy())
        assert search.best_params_["n_neighbors"] == (1, 2, 4, 6)[int(chosen[i])]
        np.testing.assert_allclose(answers[i].numpy(), search.predict(prompts.queries[i].numpy()), rtol=1e-9)


def test_where_nothing_can_be_held_out_the_first_choice_answers():
    it = TunedRegressor(name="tuned", choices=(Constant(value=1.0), Constant(value=2.0)))
    two = LinearRegression(dim=1, examples=2).sample(3, seed=0)
    assert (it.predict(two) == 1.0).all()


def test_a_choice_without_an_answer_is_not_taken():
    it = TunedRegressor(name="tuned", choices=(Nothing(), Constant(value=2.0)))
    assert (it.predict(PROMPTS) == 2.0).all()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Nothing:
    """A regressor that never answers."""

    name: str = "nothing"

    def predict(self, prompts: Prompts, *, seed: int = 0):
        return torch.full_like(prompts.targets, torch.nan)


class MeanOfTable:
    """A foreign estimator: the mean label, and noise from its seed."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def fit(self, X, y):
        self.answer = y.mean() + self.rng.normal()
        return self

    def predict(self, X):
        return np.full(len(X), self.answer, dtype=np.float32)


def test_any_estimator_is_a_regressor():
    it = EstimatorRegressor(name="table", make=MeanOfTable)
    check_regressor(it)
    noise = np.random.default_rng(4).normal()
    expected = (PROMPTS.ys.mean(-1, keepdim=True) + noise).expand(-1, 4)
    torch.testing.assert_close(it.predict(PROMPTS, seed=4), expected, rtol=1e-6, atol=1e-6)


def test_what_an_estimator_draws_from_numpys_generator_is_seeded_and_undone():
    class Global(MeanOfTable):
        def fit(self, X, y):
            self.answer = np.random.normal()
            return self

    it = EstimatorRegressor(name="table", make=Global)
    check_regressor(it)
    assert float(it.predict(PROMPTS, seed=1)[0, 0]) != float(it.predict(PROMPTS, seed=2)[0, 0])


def test_an_estimator_with_answers_of_another_shape_is_refused():
    class Column(MeanOfTable):
        def predict(self, X):
            return super().predict(X)[:, None]

    with pytest.raises(ValueError, match=r"must give one number per query, shape \(4,\); table gave \(4, 1\)"):
        EstimatorRegressor(name="table", make=Column).predict(PROMPTS)


def test_baselines():
    answers = {name: regressor(name).predict(PROMPTS, seed=5) for name in ("mean", "last", "random-label", "constant")}
    expected = {"mean": PROMPTS.ys.mean(-1), "last": PROMPTS.ys[:, -1], "constant": torch.zeros(5, dtype=torch.float64)}
    for name, values in expected.items():
        torch.testing.assert_close(answers[name], values[:, None].expand(-1, 4))
    places = {
        int((regressor("random-label").predict(PROMPTS, seed=s)[0, 0] == PROMPTS.ys[0]).nonzero()) for s in range(40)
    }
    assert len(places) > 6
    assert (answers["random-label"][:, None] == PROMPTS.ys[:, :, None]).any(1).all()


def test_preparation_is_an_intercept_and_a_scale():
    moved = dataclasses.replace(
        PROMPTS, xs=PROMPTS.xs * 7 + 3, queries=PROMPTS.queries * 7 + 3, ys=PROMPTS.ys + 11, weights=None
    )
    for prepared, same in (("none", False), ("centred", False), ("standardised", True)):
        it = AlgorithmRegressor(name="ridge", algorithm=Ridge(ridge=2.0), prepared=prepared)
        apart = (it.predict(moved) - 11 - it.predict(PROMPTS)).abs().max()
        assert (float(apart) < 1e-9) == same, prepared
    constant = dataclasses.replace(PROMPTS, xs=torch.ones_like(PROMPTS.xs), weights=None)
    assert it.predict(constant).isfinite().all()


def test_an_algorithm_answers_after_its_steps():
    short = AlgorithmRegressor(name="cg", algorithm=ConjugateGradient(), steps=2)
    torch.testing.assert_close(short.predict(PROMPTS), run(ConjugateGradient(), PROMPTS, 2).predictions[2])
    exact = of_algorithm("conjugate-gradient", steps=3).predict(PROMPTS)
    torch.testing.assert_close(exact, regressor("linear-regression").predict(PROMPTS), rtol=1e-8, atol=1e-8)


def test_a_regressor_is_an_algorithm_that_answers_in_its_first_step():
    path = run(Answering(regressor=regressor("lasso")), PROMPTS, 2)
    assert (path.predictions[0] == 0).all()
    for step in (1, 2):
        torch.testing.assert_close(path.predictions[step], regressor("lasso").predict(PROMPTS))


def test_answers_have_the_prompts_precision():
    single = PROMPTS.to(dtype=torch.float32)
    for name in ("ridge", "lasso", "ridge-tuned", "random-label", "constant"):
        assert regressor(name).predict(single).dtype == torch.float32


def test_without_scikit_learn_the_error_says_what_to_install(monkeypatch):
    real = importlib.import_module

    def missing(name, *rest):
        if name.startswith("sklearn"):
            raise ModuleNotFoundError("No module named 'sklearn'", name="sklearn")
        return real(name, *rest)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ValueError, match=r"pip install 'mesascope\[regressors\]'"):
        regressor("lasso").predict(PROMPTS)
    assert regressor("ridge").predict(PROMPTS).isfinite().all()


def test_a_module_that_is_missing_inside_scikit_learn_is_another_fault():
    with pytest.raises(ModuleNotFoundError, match=r"sklearn\.nowhere"):
        ScikitRegressor(name="none", parts=(Part(kind="nowhere.Lasso"),)).predict(PROMPTS)


def test_other_warnings_are_passed_on():
    class Warning(MeanOfTable):
        def fit(self, X, y):
            importlib.import_module("warnings").warn("labels are few", UserWarning, stacklevel=1)
            return super().fit(X, y)

    with pytest.warns(UserWarning, match="labels are few") as seen:
        EstimatorRegressor(name="table", make=Warning).predict(PROMPTS)
    assert len(seen) == 1


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: regressor("knn"), "name must be that of a regressor.*got 'knn'. Did you mean 'knn-"),
        (lambda: regressor("lasso").predict(PROMPTS, seed=2**32), "seed must be from 0 to 4294967295.*random_state"),
        (lambda: Constant(value=float("nan")), "value must be finite; got nan"),
        (lambda: TunedRegressor(name="tuned", choices=()), "choices must hold at least one regressor"),
        (
            lambda: TunedRegressor(name="tuned", choices=(Constant(),), folds=1),
            "folds must be a whole number of at least 2",
        ),
        (
            lambda: AlgorithmRegressor(name="r", algorithm=Ridge(), steps=0),
            "steps must be a whole number of at least 1",
        ),
        (lambda: AlgorithmRegressor(name="r", algorithm=Ridge(), prepared="scaled"), "prepared must be one of"),
        (
            lambda: regressor("ridge").predict(LinearRegression(examples=1).sample(1, seed=0)),
            "at least 2 examples.*got 1",
        ),
        (lambda: dataclasses.replace(PROMPTS, ys=PROMPTS.ys * torch.nan), "ys must be finite; prompt 0 holds NaN"),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


class Bad:
    """A regressor with a fault that the suite must find."""

    name = "bad"

    def __init__(self, answer):
        self.answer = answer

    def predict(self, prompts, *, seed=0):
        return self.answer(prompts, seed)


def refuse_few(prompts):
    if prompts.examples < 2:
        raise ValueError("prompts must show at least 2 examples")


def targets(prompts, seed):
    refuse_few(prompts)
    return prompts.targets.clone()


def mean_of_all_prompts(prompts, seed):
    refuse_few(prompts)
    return torch.full_like(prompts.targets, float(prompts.ys.mean()))


def mean_query(prompts, seed):
    refuse_few(prompts)
    return prompts.queries.mean((1, 2))[:, None].expand(-1, prompts.queries.shape[1]).clone()


def global_noise(prompts, seed):
    refuse_few(prompts)
    return torch.randn(prompts.targets.shape, dtype=prompts.ys.dtype)


def numpys_noise(prompts, seed):
    refuse_few(prompts)
    return torch.from_numpy(np.random.standard_normal(tuple(prompts.targets.shape)))


def spoiled(prompts, seed):
    refuse_few(prompts)
    prompts.ys.mul_(2)
    return torch.zeros_like(prompts.targets)


FAULTS = {
    "answers do not depend on targets": targets,
    "a prompt's answers do not depend on the other prompts": mean_of_all_prompts,
    "an answer does not depend on the other queries": mean_query,
    "the same seed gives the same answers": global_noise,
    "the global random generators": numpys_noise,
    "prompts are left as they are": spoiled,
    "one answer for each query": lambda prompts, seed: prompts.ys,
    "in the prompts' precision": lambda prompts, seed: prompts.targets.float(),
    "predict(prompts, seed=...) gives": lambda prompts, seed: prompts.targets.tolist(),
    "fewer than two examples are refused": lambda prompts, seed: torch.zeros_like(prompts.targets),
}


@pytest.mark.parametrize("promise", FAULTS)
def test_the_suite_finds_a_regressor_that_breaks_a_promise(promise):
    with pytest.raises(AssertionError) as caught:
        check_regressor(Bad(FAULTS[promise]))
    assert promise in str(caught.value)


def test_the_suite_names_what_is_missing():
    with pytest.raises(AssertionError, match="there is no predict"):
        check_regressor(object())
