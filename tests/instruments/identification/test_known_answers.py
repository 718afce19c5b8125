"""The confusion matrix: subjects whose algorithm is known are named, and what is none of the candidates is called none."""

import pytest
import torch

from mesascope.algorithms import (
    ChebyshevIteration,
    ConjugateGradient,
    DataSpaceConjugateGradient,
    GradientDescent,
    HeavyBall,
    LeastSquares,
    NearestExample,
    Nesterov,
    NewtonSchulz,
    PreconditionedGradientDescent,
    Ridge,
    run,
)
from mesascope.instruments.identification import identify
from mesascope.models import Transformer, TransformerConfig, TransformerSubject
from mesascope.models.constructions import conjugate_gradient, gradient_descent
from mesascope.seeds import generator
from mesascope.tasks import Gaussian, LinearRegression

# Coefficients that lie on no grid.
KNOWN = {
    "gradient-descent": GradientDescent(step_size=0.237),
    "heavy-ball": HeavyBall(step_size=0.21, momentum=0.43),
    "chebyshev-iteration": ChebyshevIteration(bounds=(0.07, 5.3)),
    "preconditioned-gradient-descent": PreconditionedGradientDescent(step_size=0.31),
    "conjugate-gradient": ConjugateGradient(),
    "data-space-conjugate-gradient": DataSpaceConjugateGradient(),
    "newton-schulz": NewtonSchulz(),
}
LAYERS = 6
each = pytest.mark.parametrize("name", KNOWN)


@each
def test_named_from_its_path(name, plant, path_answer):
    found = path_answer(plant(KNOWN[name]))
    assert (found.label, found.algorithms, found.readout) == ("identified", (name,), "own")
    row = next(row for row in found.scores if row.kept)
    assert row.score == pytest.approx(1, abs=1e-6)
    assert (row.timing["steps per layer"], row.timing["starts after layer"]) == ("1", 0)
    assert found.remainder == pytest.approx(0, abs=1e-9)


@each
@pytest.mark.parametrize(("stride", "steps"), [("2", (2, 4, 6, 8, 10, 12)), ("1/2", (0, 1, 1, 2, 2, 3))])
def test_named_at_another_stride(name, stride, steps, plant, path_answer):
    found = path_answer(plant(KNOWN[name], steps=steps), algorithms=[name, "gradient-descent", "cg", "newton-schulz"])
    assert found.algorithms == (name,)
    assert next(row for row in found.scores if row.kept).timing["steps per layer"] == stride


@pytest.mark.parametrize(("name", "drawn"), list(zip(KNOWN, ["redrawn", "by place"] * 4, strict=False)))
def test_named_through_noise(name, drawn, plant, path_answer):
    subject = plant(KNOWN[name], noise=0.1, drawn=drawn)
    found = path_answer(subject, algorithms=[name, "gradient-descent", "heavy-ball", "cg"], prompts=100)
    assert found.algorithms == (name,)
    assert found.remainder < 0.02


@pytest.mark.parametrize("name", ["gradient-descent", "heavy-ball", "conjugate-gradient", "newton-schulz"])
def test_named_without_a_readout_of_its_own(name, plant, path_answer):
    subject = plant(KNOWN[name], withheld=True)
    found = path_answer(subject, algorithms=[name, "gradient-descent", "heavy-ball", "cg"])
    assert (found.readout, found.algorithms) == ("fitted", (name,))


@pytest.mark.parametrize(
    ("name", "algorithm", "coefficients"),
    [
        ("gradient-descent", GradientDescent(step_size=0.12), {"step_size": 0.12}),
        ("heavy-ball", HeavyBall(step_size=0.283, momentum=0.454), {"step_size": 0.283, "momentum": 0.454}),
        ("nesterov", Nesterov(step_size=0.106, momentum=0.55), {"step_size": 0.106, "momentum": 0.55}),
        ("chebyshev-iteration", ChebyshevIteration(bounds=(5 / 57, 5.0)), {"largest": 5.0, "condition": 57}),
    ],
)
def test_coefficients_between_grid_points_are_found(name, algorithm, coefficients, plant, path_answer):
    """Two steps of half the size look much like one: these once came out at two steps a layer."""
    found = path_answer(plant(algorithm), algorithms=[name])
    row = next(row for row in found.scores if row.candidate == name)
    assert row.timing["steps per layer"] == "1"
    assert {key: row.coefficients[key] for key in coefficients} == pytest.approx(coefficients, rel=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_two_that_noise_hides_from_each_other_are_never_confused(seed, plant, path_answer):
    """Heavy ball at three steps a layer comes within the noise of Nesterov, and was once named in its place."""
    subject = plant(Nesterov(step_size=0.1, momentum=0.6), noise=0.1)
    found = path_answer(subject, algorithms=["heavy-ball", "nesterov", "gd"], prompts=100, seed=seed)
    assert "nesterov" in found.algorithms


def _descent(prompts):
    return run(GradientDescent(step_size=0.237), prompts, LAYERS).predictions[1:]


def _conjugate(prompts):
    return run(ConjugateGradient(), prompts, LAYERS).predictions[1:]


def _repeat(answers):
    return answers.expand(LAYERS, -1, -1)


def _ridge(prompts, *ridges):
    return torch.stack([run(Ridge(ridge=ridge), prompts).predictions[1] for ridge in ridges])


def _some(prompts):
    """Half of the prompts, chosen by their content."""
    return (prompts.xs.sum((1, 2)) * 1e6).floor().long() % 2 == 0


def _extra(prompts, share=0.05):
    """A function of the problem that is linear in nothing, with a share of the target's variance."""
    wave = torch.sin(3 * (prompts.queries.sum(-1) + prompts.ys.sum(-1, keepdim=True)))
    return wave * (2 * share * prompts.target_variance).sqrt()[:, None]


NONE = {
    "zeros": (lambda p: torch.zeros(LAYERS, *p.targets.shape, dtype=p.xs.dtype), "does not reduce the error"),
    "noise": (
        lambda p: torch.randn(LAYERS, *p.targets.shape, generator=generator(0, "noise"), dtype=p.xs.dtype),
        "does not reduce the error",
    ),
    "ridge at a falling λ": (lambda p: _ridge(p, 100, 30, 10, 3, 1, 0.3), "remainder that the problem determines"),
    "ridge at a slowly falling λ": (
        lambda p: _ridge(p, 24, 16, 10, 7, 4.5, 3),
        "remainder that the problem determines",
    ),
    "gradient descent, then conjugate gradient": (
        lambda p: torch.cat([_descent(p)[:3], _conjugate(p)[3:]]),
        "remainder that the problem determines",
    ),
    "the nearest example": (lambda p: _repeat(run(NearestExample(), p).predictions[1]), "and no path"),
    "least squares at once": (lambda p: _repeat(run(LeastSquares(), p).predictions[1]), "and no path"),
    "one algorithm here and another there": (
        lambda p: torch.where(_some(p)[:, None], _descent(p), _conjugate(p)),
        "No single candidate holds for all prompts",
    ),
    "conjugate gradient and something else": (lambda p: _conjugate(p) + _extra(p), "remainder"),
}


@pytest.mark.parametrize("name", NONE)
def test_none_of_these(name, plant_path, path_answer):
    path_of, reason = NONE[name]
    found = path_answer(
        plant_path(path_of=path_of), algorithms=["gradient-descent", "heavy-ball", "cg", "newton-schulz"]
    )
    assert (found.label, found.algorithms) == ("none", ())
    assert reason in found.reason
    assert not any(row.kept for row in found.scores)


def test_something_else_of_a_share_that_does_not_matter_changes_nothing(plant_path, path_answer):
    found = path_answer(plant_path(path_of=lambda p: _conjugate(p) + _extra(p, share=0.003)))
    assert found.algorithms == ("conjugate-gradient",)
    assert 0.001 < found.remainder < 0.01


def test_two_names_for_one_path_are_indistinguishable(plant, path_answer):
    """Newton–Schulz from cI takes 2ᵏ steps of gradient descent in its k-th: over two layers that is a stride of two."""
    subject = plant(GradientDescent(step_size=0.2), steps=(2, 4))
    found = path_answer(subject, algorithms=["gradient-descent", "newton-schulz"])
    assert (found.label, set(found.algorithms)) == ("indistinguishable", {"gradient-descent", "newton-schulz:identity"})


def test_prompts_that_do_not_discriminate_leave_every_candidate_in(plant):
    """At κ = 1 one step solves the problem, whoever takes it."""
    task = LinearRegression(inputs=Gaussian(exact=True))
    verdict = identify(
        plant(ConjugateGradient()), task, prompts=40, algorithms=["cg", "pcg", "newton-schulz:fixed", "pgd"]
    )
    path = verdict.training.path
    assert path.label == "indistinguishable"
    assert {"conjugate-gradient", "preconditioned-conjugate-gradient", "newton-schulz:fixed"} <= set(path.algorithms)
    assert verdict.algorithms == ("conjugate-gradient",)  # on prompts that do


def test_a_larger_family_that_lands_on_a_smaller_one_is_no_other_answer(plant, path_answer):
    subject = plant(GradientDescent(step_size=0.2), noise=0.03)
    found = path_answer(subject, algorithms=["gradient-descent", "heavy-ball", "nesterov"], prompts=100)
    assert found.algorithms == ("gradient-descent",)


@pytest.mark.parametrize(
    ("subject", "name"),
    [
        (gradient_descent(layers=6, step_size=0.2), "gradient-descent"),
        (conjugate_gradient(iterations=4), "conjugate-gradient"),
    ],
)
def test_hand_built_networks_among_all_candidates(subject, name):
    verdict = identify(subject, LinearRegression(), prompts=30)
    assert (verdict.label, verdict.algorithms, verdict.basis) == ("identified", (name,), "discriminating")
    assert verdict.training is not None
    assert {"another prompt's iterates", "untrained network", "a path of ridge solutions"} == {
        c.name for c in verdict.discriminating.path.controls
    }


def test_an_untrained_transformer_runs_none():
    config = TransformerConfig(dim=3, examples=10, layers=2, width=16, heads=2, feedforward=32)
    subject = TransformerSubject(name="untrained", model=Transformer(config, seed=5))
    verdict = identify(subject, LinearRegression(dim=3, examples=10), prompts=30, algorithms=["gd", "cg", "ols"])
    for distribution in (verdict.training, verdict.discriminating):
        assert (distribution.path.label, distribution.function.label) == ("none", "none")
