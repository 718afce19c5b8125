"""Coefficients for every layer, and one matrix for all prompts: planted values are found, and near misses are told apart."""

import math

import pytest
import torch

from mesascope.algorithms import (
    ConjugateGradient,
    GDPlusPlus,
    GradientDescent,
    HeavyBall,
    PreconditionedConjugateGradient,
    PreconditionedGradientDescent,
    run,
)
from mesascope.calibration.disguise import Disguised
from mesascope.instruments.identification import identify, identify_path
from mesascope.instruments.identification.families import BY_NAME, FAMILIES
from mesascope.instruments.identification.path_fitting import fit_path
from mesascope.instruments.identification.runner import Runner
from mesascope.instruments.identification.variable import dimension, entries, moving, root
from mesascope.models.scripted import followed
from mesascope.seeds import generator
from mesascope.tasks import Diagonal, Gaussian, LinearRegression
from mesascope.types import Domain

TASK = LinearRegression(
    dim=4, examples=12, queries=4, inputs=Gaussian(covariance=Diagonal(condition=30.0, rotate=True))
)
SIZES = (0.5, 0.21, -0.04, 0.3)
TURNED = torch.linalg.qr(torch.randn(4, 4, generator=generator(3, "P"), dtype=torch.float64))[0]
P = TURNED @ torch.diag(torch.tensor([0.08, 0.15, 0.3, 0.45], dtype=torch.float64)) @ TURNED.mT
P = (P + P.mT) / 2
NAMES = [f.name for f in FAMILIES if f.variable is not None]
KNOWN = {
    "gradient-descent:per-layer": GradientDescent(step_size=SIZES),
    "heavy-ball:per-layer": HeavyBall(step_size=SIZES, momentum=(0.0, 0.6, -0.2, 0.4)),
    "gd-plus-plus:per-layer": GDPlusPlus(step_size=SIZES, curvature=(0.05, 0.11, 0.02)),
    "preconditioned-gradient-descent:fixed-matrix": PreconditionedGradientDescent(step_size=1.0, preconditioner=P),
    "preconditioned-conjugate-gradient:fixed-matrix": PreconditionedConjugateGradient(preconditioner=P),
}


@pytest.fixture(scope="module")
def runner() -> Runner:
    return Runner(TASK.sample(40, seed=0))


def path_of(algorithm, runner, steps=4):
    return run(algorithm, runner.prompts, steps).predictions[1:]


def fitted(name, runner, path, **given):
    return fit_path(BY_NAME[name], runner, path, **given)


@pytest.mark.parametrize(
    ("name", "sized", "least"),
    [
        ("gradient-descent:per-layer", True, 2),
        ("gradient-descent:per-layer", False, 3),
        ("heavy-ball:per-layer", True, 3),
        ("heavy-ball:per-layer", False, 5),
        ("gd-plus-plus:per-layer", False, 1),
        ("gradient-descent", False, 1),
    ],
)
def test_a_family_that_could_be_any_path_says_nothing_of_it(name, sized, least):
    """Step k shows k numbers, or with a fitted readout k − 1; the family has one or two per step."""
    assert [moves for moves in range(1, 9) if BY_NAME[name].says(moves, sized=sized)] == list(range(least, 9))


def test_it_is_not_offered_there():
    subject = followed("two steps", KNOWN["gradient-descent:per-layer"], (1, 2))
    names = ["gd", "gradient-descent:per-layer", "heavy-ball:per-layer"]
    for readout, offered in (("own", {"gradient-descent:per-layer"}), ("fitted", set())):
        [found] = identify_path(subject, TASK, algorithms=names, prompts=20, readouts=(readout,))
        assert {row.candidate for row in found.scores} & set(NAMES) == offered


@pytest.mark.parametrize("name", KNOWN)
def test_planted_coefficients_are_found(name, runner):
    path = path_of(KNOWN[name], runner, 3 if "conjugate" in name else 4)
    found = fitted(name, runner, path)
    assert found.loss < 1e-8
    assert found.steps == tuple(range(1, len(path) + 1))
    told = list(found.coefficients.values())
    if "matrix" in name:
        wanted = entries(P if "descent" in name else P * 4 / P.trace())
    else:
        algorithm = KNOWN[name]
        further = algorithm.momentum[1:] if "ball" in name else getattr(algorithm, "curvature", ())
        wanted = (*SIZES, *further)
    assert told == pytest.approx(list(wanted), rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("name", KNOWN)
def test_a_near_miss_is_not_fitted(name, runner):
    """The same path with one layer's answers 5 % too large."""
    path = path_of(KNOWN[name], runner, 3 if "conjugate" in name else 4).clone()
    path[1] *= 1.05
    assert fitted(name, runner, path).loss > 1e-5  # a planted path ends below 1e-8


def test_the_names_of_coefficients_say_the_layers_that_moved(runner):
    path = path_of(HeavyBall(step_size=(0.4, 0.1), momentum=(0.0, 0.5)), runner, 2)
    still = torch.stack([torch.zeros_like(path[0]), path[0], path[0], path[1]])
    found = fitted("heavy-ball:per-layer", runner, still, idle=(1, 3))
    assert found.steps == (0, 1, 1, 2)
    assert found.coefficients == pytest.approx(
        {"step size of layer 2": 0.4, "step size of layer 4": 0.1, "momentum of layer 4": 0.5}, rel=1e-4
    )


@pytest.mark.parametrize("stride", [1, 2])
def test_a_matrix_is_found_whatever_the_layers_of_a_step(stride, runner):
    path = path_of(KNOWN["preconditioned-conjugate-gradient:fixed-matrix"], runner, 3)
    slow = (
        torch.cat([torch.zeros_like(path[:1])] * (stride - 1) + [path])
        if stride == 1
        else torch.stack([torch.zeros_like(path[0]), path[0], path[0], path[1], path[1], path[2]])
    )
    found = fitted(
        "preconditioned-conjugate-gradient:fixed-matrix", runner, slow, idle=() if stride == 1 else (1, 3, 5)
    )
    assert found.loss < 1e-8


def test_prompts_that_diverge_do_not_decide(runner):
    path = path_of(KNOWN["heavy-ball:per-layer"], runner).clone()
    path[1:, :3] = 1e8
    path[:, 3] = math.nan
    found = fitted("heavy-ball:per-layer", runner, path)
    assert found.values[:2] == pytest.approx(SIZES[:2], rel=1e-2)


def test_a_matrix_is_read_from_its_triangle_with_or_without_the_first_entry():
    lower = torch.tensor([[1.0, 0.0], [0.3, 2.0]], dtype=torch.float64)
    assert [dimension(n) for n in (0, 1, 2, 3, 5, 6, 9, 10)] == [1, 1, 2, 2, 3, 3, 4, 4]
    assert torch.equal(root(entries(lower)), lower)
    assert torch.equal(root(entries(lower)[1:]), lower)
    assert moving((0, 1, 1, 2, 4)) == [1, 3, 4]


# ------------------------------------------------------------------------------------------------ names


def planted(algorithm, layers, noise=0.0):
    subject = followed(algorithm.name, algorithm, range(1, layers + 1))
    return Disguised(subject=subject, seed=5, noise=noise, restricted=Domain(dims=(4,), examples=(12,)))


def asked(subject, prompts=80):
    names = ["gd", "heavy-ball", "nesterov", "chebyshev", "gd-plus-plus", "cg", "newton", *NAMES[3:]]
    return identify_path(subject, LinearRegression(dim=4, examples=12), algorithms=names, prompts=prompts)[0]


@pytest.mark.parametrize("name", KNOWN)
def test_planted_subjects_get_their_names_among_larger_and_smaller_families(name):
    found = asked(planted(KNOWN[name], 3))
    assert (found.label, found.algorithms) == ("identified", (name,))
    assert found.scores[0].score == pytest.approx(1, abs=1e-6)
    assert next(iter(found.scores[0].told.split())) in ("step", "diagonal")
    assert f"{name} ({next(row.told for row in found.scores if row.kept)})" in found.reason


@pytest.mark.parametrize("noise", [0.0, 0.03])
@pytest.mark.parametrize(
    ("name", "algorithm"),
    [
        ("gradient-descent", GradientDescent(step_size=0.21)),
        ("heavy-ball", HeavyBall(step_size=0.23, momentum=0.45)),
        ("conjugate-gradient", ConjugateGradient()),
    ],
)
def test_larger_families_do_not_take_the_names_of_smaller_ones(name, algorithm, noise):
    found = asked(planted(algorithm, 4, noise), prompts=150)
    assert found.algorithms == (name,)
    larger = {row.candidate: row.score for row in found.scores if row.candidate in NAMES}
    assert max(larger.values()) > next(row.score for row in found.scores if row.kept) - 0.01  # they describe it as well


def test_a_larger_family_that_comes_nearer_by_a_hair_does_not_take_the_name():
    """A search may end a ten-thousandth nearer than the truth, and without noise that is certain."""
    sizes = tuple(1.4 / (k + 1) for k in range(6))
    found = asked(planted(GradientDescent(step_size=sizes), 6), prompts=100)
    assert found.algorithms == ("gradient-descent:per-layer",)


def test_they_answer_the_question_of_the_path_only():
    task = LinearRegression(dim=4, examples=12)
    verdict = identify(planted(KNOWN["heavy-ball:per-layer"], 3), task, prompts=60, algorithms=["heavy-ball:per-layer"])
    assert verdict.algorithms == ("heavy-ball:per-layer",)
    function = verdict.discriminating.function
    assert (function.label, function.scores) == ("none", ())
    assert "answers this question" in function.reason
