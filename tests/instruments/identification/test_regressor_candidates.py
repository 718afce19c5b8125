"""Regressors as candidates: a subject that answers as one of them is identified as that one."""

from dataclasses import dataclass

import pytest

from mesascope.instruments.identification import as_candidate, identify
from mesascope.models.scripted import followed
from mesascope.regressors import Answering, Part, ScikitRegressor, gaussian_process, regressor
from mesascope.tasks import DATASETS, LinearRegression

TASK = LinearRegression(dim=3, examples=20, queries=4)
RIVALS = ("least-squares", "ridge", "mean-label", "nearest-example", "nadaraya-watson:rbf", "knn-3-distance", "knn-5")
TREE = ScikitRegressor(name="tree", parts=(Part(kind="tree.DecisionTreeRegressor", options=(("max_depth", 3),)),))
PROCESS = gaussian_process(1.0, 0.05, "another-process")


def subject(it):
    return followed(f"answers as {it.name}", Answering(regressor=it), [1])


@pytest.mark.parametrize("name", ["knn-5", "knn-3-distance", "gaussian-process"])
def test_a_subject_that_answers_as_a_regressor_is_identified_by_its_name(name):
    verdict = identify(subject(regressor(name)), TASK, prompts=30, algorithms=list(dict.fromkeys([*RIVALS, name])))
    assert (verdict.label, verdict.algorithms) == ("identified", (name,)), verdict.reason


@pytest.mark.parametrize("it", [TREE, PROCESS], ids=lambda it: it.name)
def test_any_regressor_can_be_a_candidate(it):
    verdict = identify(subject(it), TASK, prompts=30, algorithms=[*RIVALS, as_candidate(it)])
    assert (verdict.label, verdict.algorithms) == ("identified", (it.name,)), verdict.reason


def test_kernel_ridge_is_found_by_the_candidate_that_is_fitted():
    """A Gaussian process's mean is kernel ridge regression, so there the candidate finds its coefficients."""
    it = Answering(regressor=regressor("kernel-ridge"))  # scikit-learn's default: ridge regression without an intercept
    verdict = identify(followed("kernel ridge", it, [1]), TASK, prompts=30, algorithms=RIVALS)
    assert verdict.algorithms == ("ridge",), verdict.reason


def test_without_the_right_regressor_the_answer_is_none():
    verdict = identify(subject(regressor("gaussian-process")), TASK, prompts=30, algorithms=RIVALS)
    assert verdict.label == "none", verdict.reason


def test_on_a_data_set_too():
    task = DATASETS["original-1"]
    verdict = identify(subject(regressor("knn-3-distance")), task, prompts=30, algorithms=RIVALS)
    assert (verdict.label, verdict.algorithms) == ("identified", ("knn-3-distance",)), verdict.reason


def test_a_regressor_answers_each_problem_once():
    asked = []

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Counted:
        name: str = "counted"

        def predict(self, prompts, *, seed=0):
            asked.append((float(prompts.xs.sum()), float(prompts.queries.sum())))
            return regressor("knn-5").predict(prompts)

    assert identify(subject(regressor("knn-5")), TASK, prompts=30, algorithms=["mean-label", as_candidate(Counted())])
    assert asked
    assert len(set(asked)) == len(asked)


def test_names_of_neither_are_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"or name a regressor.*got 'knn-distance'\. Did you mean .*'knn-5-distance'"):
        identify(subject(PROCESS), TASK, algorithms=["knn-distance"])
