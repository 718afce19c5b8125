"""Candidates for binary labels and counts: each is named from its path, also the hand-built network, and none by another name."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import pytest
import torch

from mesascope.algorithms import (
    Algorithm,
    GLMGradientDescent,
    GLMNewton,
    GLMNewtonCG,
    GLMPenalisedLikelihood,
    GradientDescent,
    run,
)
from mesascope.algorithms.glm import linearised
from mesascope.calibration.panel import generalised as panel
from mesascope.calibration.panel import planted
from mesascope.instruments.identification import identify, identify_path
from mesascope.instruments.identification.families import chosen
from mesascope.instruments.identification.fitting import STRIDES
from mesascope.instruments.identification.following import LEFT, SCORE, follow
from mesascope.instruments.identification.generalised import STRIDE, generalised
from mesascope.instruments.identification.prompts import discriminating
from mesascope.instruments.identification.rivals import penalised_solutions, ridge_path
from mesascope.instruments.identification.runner import Runner
from mesascope.models.constructions import glm_newton
from mesascope.models.scripted import Scripted, followed
from mesascope.tasks import GeneralisedLinearRegression, LinearRegression
from mesascope.types import Answer, Domain, GlmFamily, Prompts, Subject

families = pytest.mark.parametrize("family", get_args(GlmFamily))
OFFERED = (
    "glm-penalised-likelihood",
    "glm-gradient-descent",
    "glm-newton",
    "glm-newton-cg",
    "gradient-descent",
    "ridge",
    "cg",
)
STEP = {"logistic": 1.0, "poisson": 0.15}
RIDGE = 0.8


def task_of(family: GlmFamily) -> GeneralisedLinearRegression:
    return GeneralisedLinearRegression(family=family, strength=2.0 if family == "logistic" else 1.0)


def path_of(subject: Subject, family: GlmFamily, prompts: int = 60) -> Answer:
    (found,) = identify_path(subject, task_of(family), algorithms=OFFERED, prompts=prompts)
    return found


KNOWN: dict[str, tuple[Callable[[GlmFamily], Algorithm], int]] = {
    "glm-newton": (lambda f: GLMNewton(family=f, ridge=RIDGE), 1),
    "glm-newton-cg:1-inner": (lambda f: GLMNewtonCG(family=f, ridge=RIDGE, inner=1), 1),
    "glm-newton-cg:2-inner": (lambda f: GLMNewtonCG(family=f, ridge=RIDGE, inner=2), 1),
    "glm-newton-cg:3-inner": (lambda f: GLMNewton(family=f, ridge=RIDGE, inner=3), 3),
    "glm-gradient-descent": (lambda f: GLMGradientDescent(family=f, step_size=STEP[f]), 1),
    "glm-gradient-descent:damped": (lambda f: GLMGradientDescent(family=f, step_size=STEP[f], ridge=8.0), 1),
    "gradient-descent:raw-labels": (lambda _: GradientDescent(step_size=0.3), 1),
}
"""By the candidate: an algorithm that runs it in four steps, and how many of the candidate's steps one of these is."""


@families
@pytest.mark.parametrize("name", KNOWN)
def test_each_method_is_named_from_its_path(name: str, family: GlmFamily) -> None:
    make, stride = KNOWN[name]
    found = path_of(followed(name, make(family), [1, 2, 3, 4]), family)
    assert (found.label, found.algorithms) == ("identified", (name,)), found.reason
    row = next(row for row in found.scores if row.kept)
    assert row.steps == tuple(stride * k for k in (1, 2, 3, 4))
    for coefficient, value in row.coefficients.items():
        known: Any = make(family)
        wanted = known.ridge / 40 if coefficient == "penalty" else getattr(known, coefficient)
        assert value == pytest.approx(wanted, rel=1e-3)


@families
def test_who_ignores_the_link_is_named_by_the_linear_candidate(family: GlmFamily) -> None:
    def script(prompts: Prompts) -> torch.Tensor:
        return run(GradientDescent(step_size=0.3), replace(prompts, ys=linearised(family, prompts.ys)), 4).predictions[
            1:
        ]

    found = path_of(Scripted(name="linear", layers=4, script=script), family)
    assert found.algorithms == ("gradient-descent",)


@families
@pytest.mark.parametrize("inner", [2, 3])
def test_the_hand_built_network_takes_newtons_steps_with_its_own_number_of_conjugate_ones(
    family: GlmFamily, inner: int
) -> None:
    built = glm_newton(steps=2, inner=inner, ridge=RIDGE, family=family)
    found = path_of(built, family)
    assert (found.label, found.algorithms, found.readout) == ("identified", (f"glm-newton-cg:{inner}-inner",), "own")
    row = next(row for row in found.scores if row.kept)
    assert row.coefficients["ridge"] == pytest.approx(RIDGE, rel=1e-3)
    assert row.steps[-1] == 2 * inner
    assert found.evidence == 2 * inner  # layers that change the answer, one per step of conjugate gradients


@families
def test_the_solution_after_every_layer_is_a_function_and_no_path(family: GlmFamily) -> None:
    subject = followed("solution", GLMPenalisedLikelihood(family=family, ridge=RIDGE), [1, 1, 1])
    offered = [name for name in OFFERED if name != "glm-newton-cg"]  # Newton's own steps are nearer
    verdict = identify(subject, task_of(family), algorithms=offered, prompts=60)
    assert verdict.label == "none"
    assert verdict.discriminating is not None
    for found in (verdict.training, verdict.discriminating):
        assert found.function.algorithms == ("glm-penalised-likelihood",)
        row = next(row for row in found.function.scores if row.kept)
        assert row.coefficients["ridge"] == pytest.approx(RIDGE, rel=1e-3)
    assert {m.coordinates["invariance"] for m in verdict.invariances} == {"rotation", "permutation"}


@families
def test_falling_penalties_are_no_iteration(family: GlmFamily) -> None:
    ridges = (60.0, 20.0, 7.0, 2.0)

    def script(prompts: Prompts) -> torch.Tensor:
        models = [GLMPenalisedLikelihood(family=family, ridge=ridge) for ridge in ridges]
        return torch.stack([run(model, prompts).predictions[1] for model in models])

    subject = Scripted(name="penalties", layers=4, script=script)
    found = path_of(subject, family)
    assert found.label == "none"
    prompts = task_of(family).sample(30, seed=0)
    runner = Runner(prompts, family)
    path = ridge_path(runner, script(prompts), None, penalised_solutions) * prompts.examples
    assert path.tolist() == pytest.approx(list(ridges), rel=0.1)


def test_momentum_on_the_likelihood_is_not_called_momentum_on_the_squared_error() -> None:
    """On this subject both differ by 0.2 % of the variance, on few prompts; without the right candidate it is none."""
    subject = planted(panel(7), 26, 29)
    assert subject.case.truth == ("glm-heavy-ball",)
    (found,) = identify_path(subject.subject, subject.task, seed=7026, prompts=100)
    assert found.algorithms == ("glm-heavy-ball",), found.reason
    others = [f.name for f in chosen(None, glm=("poisson", 4, 30)) if f.name != "glm-heavy-ball"]
    (without,) = identify_path(subject.subject, subject.task, seed=7026, prompts=100, algorithms=others)
    assert without.algorithms == (), without.reason


def test_the_discriminating_prompts_are_ill_conditioned_and_no_larger_than_in_training() -> None:
    task = GeneralisedLinearRegression(dim=6, strength=2.0)
    found = discriminating(task, Domain())
    assert found is not None
    assert "κ of XᵀX = 3, 10, 30; isotropic queries; d=6" in found.words
    p = found.task.sample(60, seed=0)
    values = torch.linalg.eigvalsh(p.xs.mT @ p.xs / p.examples)
    assert values[:, -1].tolist() == pytest.approx([1.0] * 60)
    assert sorted((values[:, -1] / values[:, 0]).tolist()) == pytest.approx([3.0] * 20 + [10.0] * 20 + [30.0] * 20)
    torch.testing.assert_close(p.target_variance, torch.full_like(p.target_variance, 4.0))
    assert set(p.ys.unique().tolist()) == {0.0, 1.0}
    assert discriminating(GeneralisedLinearRegression(dim=1), Domain()) is None


@pytest.mark.parametrize("name", ["glm-newton", "glm-newton-cg:2-inner", "gradient-descent:raw-labels"])
def test_the_candidates_are_offered_only_for_such_a_task(name: str) -> None:
    assert name not in {f.name for f in chosen(None)}
    with pytest.raises(
        ValueError, match=rf"algorithms may name '{name}' only for a task whose labels are binary or counts"
    ):
        chosen([name])
    with pytest.raises(ValueError, match="or pass a GeneralisedLinearRegression"):
        identify(followed("x", GradientDescent(), [1]), LinearRegression(), algorithms=[name])


def test_conjugate_steps_that_solve_the_system_in_one_stride_are_newtons_own() -> None:
    names = {f.name for f in generalised("logistic", 3, 20)}
    assert "glm-newton-cg:2-inner" in names
    assert "glm-newton-cg:3-inner" not in names
    assert "glm-newton-cg:5-inner" in {f.name for f in generalised("logistic", 5, 20)}
    assert max(STRIDES) == STRIDE


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("family", "value", "message"),
    [
        ("logistic", 2.0, "labels of a logistic regression must be 0 or 1; got 2"),
        ("poisson", -3.0, "labels of a poisson regression must be counts"),
    ],
)
def test_impossible_labels_are_refused(family: Any, value: float, message: str) -> None:
    prompts = task_of(family).sample(4, seed=0)
    with pytest.raises(ValueError, match=message):
        Runner(replace(prompts, ys=prompts.ys.clone().fill_(value)), family)


def test_separable_prompts_have_no_effect_on_the_others() -> None:
    """Six examples in five dimensions are nearly always separable: without a penalty there is no solution, and no NaN."""
    task = GeneralisedLinearRegression(examples=6)
    subject = followed("irls", GLMNewton(ridge=RIDGE), [1, 2, 3])
    (found,) = identify_path(subject, task, algorithms=OFFERED, prompts=60)
    assert found.algorithms == ("glm-newton",)
    assert all(row.score == row.score for row in found.scores)


@families
def test_the_instrument_of_the_path_has_a_control_of_the_same_kind(family: GlmFamily) -> None:
    subject = followed("irls", GLMNewton(family=family, ridge=RIDGE), [1, 2, 3])
    found = follow(subject, task_of(family), n=30, candidates=OFFERED)
    left = next(m for m in found if m.quantity == LEFT)
    assert left.value == 1
    assert {c.name: c.value for c in left.controls if c.kind == "positive"} == {"hand-built glm-newton-cg:2-inner": 1.0}
    assert next(m for m in found if m.quantity == SCORE).value == pytest.approx(1.0, abs=1e-6)
