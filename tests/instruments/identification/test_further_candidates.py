"""Gradient flow, damped iterations, conjugate residuals and the starts of Newton–Schulz are named, and take no other's name."""

import pytest
import torch

from mesascope.algorithms import (
    ConjugateGradient,
    ConjugateResidual,
    DampedConjugateGradient,
    DampedGradientDescent,
    GDPlusPlus,
    GradientDescent,
    GradientFlow,
    NewtonSchulz,
    Problem,
    run,
)
from mesascope.instruments.identification.families import BY_NAME
from mesascope.instruments.identification.fitting import fit_function
from mesascope.instruments.identification.power import usual
from mesascope.instruments.identification.runner import Runner
from mesascope.models.constructions import ridge_gradient_descent
from mesascope.tasks import LinearRegression

KNOWN = {
    "gradient-flow": GradientFlow(time=0.8),
    "gradient-descent:damped": DampedGradientDescent(step_size=0.21, penalty=0.3),
    "conjugate-gradient:damped": DampedConjugateGradient(penalty=0.2),
    "conjugate-residual": ConjugateResidual(),
    "newton-schulz:frobenius": NewtonSchulz(scale="frobenius"),
    "newton-schulz:identity-norm": NewtonSchulz(start="identity"),
}
RIVALS = ("gradient-descent", "gradient-flow", "gd-plus-plus", "cg", "conjugate-residual", "newton-schulz")
each = pytest.mark.parametrize("name", KNOWN)


@each
@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_named_from_its_path_and_through_noise(name, noise, plant, path_answer):
    found = path_answer(plant(KNOWN[name], noise=noise), algorithms=RIVALS, prompts=100)
    if noise:  # three steps of gradient descent per layer are near gradient flow
        assert name in found.algorithms
    else:
        assert (found.label, found.algorithms) == ("identified", (name,))
    row = next(row for row in found.scores if row.candidate == name)
    for coefficient, value in row.coefficients.items():
        assert value == pytest.approx(getattr(KNOWN[name], coefficient), rel=0.2 if noise else 1e-3)


def test_the_network_of_the_ridge_objective_is_named(path_answer):
    found = path_answer(ridge_gradient_descent(layers=6, step_size=0.2, ridge=6.0), algorithms=RIVALS)
    assert found.algorithms == ("gradient-descent:damped",)
    row = next(row for row in found.scores if row.kept)
    assert row.coefficients["penalty"] == pytest.approx(6.0 / 24, rel=1e-3)  # 24 examples in eight dimensions


@pytest.mark.parametrize(
    ("name", "algorithm"),
    [
        ("gradient-descent", GradientDescent(step_size=0.2)),
        ("gd-plus-plus", GDPlusPlus(step_size=0.2, curvature=0.08)),
        ("conjugate-gradient", ConjugateGradient()),
        ("newton-schulz", NewtonSchulz()),
    ],
)
def test_the_others_keep_their_names(name, algorithm, plant, path_answer):
    found = path_answer(plant(algorithm, noise=0.03), algorithms=RIVALS, prompts=100)
    assert found.algorithms == (name,)


@pytest.mark.parametrize(("size", "stride"), [(0.01, 3), (0.03, 1), (0.03, 2)])
@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_gradient_descent_with_small_steps_is_never_called_gradient_flow_alone(size, stride, noise, plant, path_answer):
    steps = [stride * layer for layer in range(1, 7)]
    subject = plant(GradientDescent(step_size=size), steps=steps, noise=noise)
    found = path_answer(subject, algorithms=["gradient-descent", "gradient-flow"], prompts=100)
    assert "gradient-descent" in found.algorithms
    if not noise:
        assert found.algorithms == ("gradient-descent",)


def test_a_start_that_equals_another_on_these_prompts_is_indistinguishable_from_it(plant, path_answer):
    """Discriminating prompts all have the same trace, so a scale per prompt is one number there."""
    subject = plant(NewtonSchulz(start="identity", scale="trace"))
    found = path_answer(subject, algorithms=["newton-schulz"])
    assert set(found.algorithms) == {"newton-schulz:trace", "newton-schulz:identity"}


def test_a_family_whose_steps_compose_has_one_step_for_the_question_of_the_function():
    runner = Runner(LinearRegression(queries=4).sample(40, seed=0))
    subject = run(GradientFlow(time=2.3), runner.prompts, 1).predictions[1:]
    fit = fit_function(BY_NAME["gradient-flow"], runner, subject, most_steps=64)
    assert fit.steps == (1,)
    assert fit.values == pytest.approx((2.3,), rel=1e-4)


def test_members_with_a_copy_of_the_prompts_each_are_what_they_are_alone():
    runner, family = Runner(LinearRegression(queries=4).sample(10, seed=0)), BY_NAME["conjugate-gradient:damped"]
    values, steps = [(0.1,), (2.0,), (0.0,)], torch.tensor([[1, 3], [2, 2], [0, 4]])
    found = runner.at(family, values, steps)
    for value, step, answers in zip(values, steps, found, strict=True):
        alone = run(DampedConjugateGradient(penalty=value[0]), Problem.of(runner.prompts), 4).predictions[step]
        torch.testing.assert_close(answers, alone, rtol=1e-10, atol=1e-12)


@each
def test_each_has_usual_coefficients(name):
    BY_NAME[name].algorithm(usual(BY_NAME[name], size=3.0))
