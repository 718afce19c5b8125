"""What each learner breaks is found, and nothing else."""

import dataclasses
from dataclasses import replace

import pytest
import torch

from mesascope.algorithms import (
    ConjugateGradient,
    GradientDescent,
    LastLabel,
    LeastSquares,
    MeanLabel,
    NadarayaWatson,
    NearestExample,
    PreconditionedConjugateGradient,
    PreconditionedGradientDescent,
    Ridge,
    run,
)
from mesascope.instruments.behaving.invariance import INVARIANCES, figure, invariances
from mesascope.tasks import Diagonal, Eigenvalues, Gaussian, LinearRegression

# Axis-aligned and ill-conditioned: an isotropic task hardly shows a learner's preferred axes.
TASK = LinearRegression(dim=4, examples=8, queries=4, inputs=Gaussian(covariance=Diagonal(condition=30.0)))

BROKEN = [
    (GradientDescent(step_size=0.2), 3, set()),
    (Ridge(ridge=1.0), 1, set()),
    (LeastSquares(), 1, set()),
    (MeanLabel(), 1, set()),
    (ConjugateGradient(), 2, {"additive"}),
    (PreconditionedConjugateGradient(), 2, {"additive", "rotation"}),
    (PreconditionedGradientDescent(step_size=0.4), 2, {"rotation"}),
    (NearestExample(), 1, set()),
    (NadarayaWatson(), 1, set()),
    (LastLabel(), 1, {"permutation"}),
]


@pytest.fixture(scope="module")
def violations(plant_path):
    def measure(path_of) -> dict:
        found = invariances(plant_path(path_of=path_of, layers=1), TASK, prompts=64)
        return {m.coordinates["invariance"]: m for m in found}

    return measure


@pytest.mark.parametrize(("algorithm", "steps", "broken"), BROKEN, ids=lambda v: getattr(v, "name", None))
def test_what_an_algorithm_breaks_is_found_and_nothing_else(algorithm, steps, broken, violations):
    found = violations(lambda p: run(algorithm, p, steps).predictions[-1:])
    assert tuple(found) == INVARIANCES
    for name, m in found.items():
        if name in broken:
            assert m.interval[0] > 1e-3
        else:
            assert m.value < 1e-12
    assert broken == set(INVARIANCES) - algorithm.implies


def test_a_learner_that_is_not_homogeneous(violations):
    found = violations(
        lambda p: run(GradientDescent(step_size=0.2), dataclasses.replace(p, ys=p.ys.tanh()), 3).predictions[-1:]
    )
    assert found["homogeneous"].interval[0] > 0.01
    assert found["additive"].interval[0] > 0.001
    assert found["permutation"].value < 1e-12


def test_a_violation_is_the_mean_square_over_the_variance(violations):
    """A constant c, added to every answer, is multiplied by √2 − 1 in the first test and by 1 in the second."""
    found = violations(lambda p: 0.1 + torch.zeros(1, *p.targets.shape, dtype=torch.float64))
    base = TASK.sample(64, seed=0, stream="invariance")
    mean = float((1 / base.target_variance).mean())
    assert found["additive"].value == pytest.approx((2**0.5 - 1) ** 2 * 0.01 * mean, rel=1e-6)
    assert found["homogeneous"].value == pytest.approx(0.01 * mean / 4, rel=1e-6)


def test_the_controls_come_out_as_they_must(violations, look):
    _, control = look
    for m in violations(lambda p: torch.zeros(1, *p.targets.shape, dtype=torch.float64)).values():
        assert m.value == 0
        assert control(m, "gradient descent") < 1e-12
        assert control(m, "a learner that breaks it") > 0.05


def test_the_figure_is_a_table_of_all(violations):
    found = violations(lambda p: torch.zeros(1, *p.targets.shape, dtype=torch.float64))
    drawn = figure(tuple(found.values()))
    assert [row["invariance"] for row in drawn.rows] == list(INVARIANCES)


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
@pytest.mark.parametrize(("dim", "examples"), [(1, 1), (1, 2), (1, 400), (4, 1), (4, 8), (40, 400), (60, 3)])
def test_the_controls_hold_at_any_size_and_in_any_unit(plant_path, look, dim, examples, scale):
    """Labels of 1e-6 and 1e6 among them; one example alone has no other order, and says so."""
    inputs = Gaussian(covariance=Eigenvalues(values=(scale,) * dim))
    task = LinearRegression(dim=dim, examples=examples, inputs=inputs)
    silent = plant_path(path_of=lambda p: torch.zeros(1, *p.targets.shape, dtype=torch.float64), layers=1)
    for m in invariances(silent, task, prompts=60):
        kept, broken = m.controls
        assert abs(kept.value) < 1e-9
        if m.coordinates["invariance"] == "permutation" and examples == 1:
            assert broken.degenerate == "a single example has no other order"
        else:
            assert broken.value > 0.1
            assert not broken.degenerate


def test_the_controls_do_not_depend_on_the_unit(plant_path):
    silent = plant_path(path_of=lambda p: torch.zeros(1, *p.targets.shape, dtype=torch.float64), layers=1)
    found = [
        [m.controls[1].value for m in invariances(silent, replace(TASK, inputs=inputs), prompts=16)]
        for inputs in (Gaussian(covariance=Eigenvalues(values=(s,) * TASK.dim)) for s in (1e-12, 1.0, 1e12))
    ]
    assert found[0] == pytest.approx(found[1], rel=1e-9)
    assert found[2] == pytest.approx(found[1], rel=1e-9)
