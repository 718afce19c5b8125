"""Power from the reference algorithms alone: near 1 where nothing hides the algorithm, low where data or noise do."""

from typing import Any

import pytest

from mesascope.algorithms import GradientDescent
from mesascope.calibration import distinguishing
from mesascope.calibration.cases.alike import CASES as ALIKE
from mesascope.calibration.distinguishing import power
from mesascope.calibration.drawing import Draw, Setting
from mesascope.calibration.planted import UNDESCRIBED, Case, Planted
from mesascope.instruments.identification.families import Family
from mesascope.instruments.identification.fitting import Fit
from mesascope.instruments.identification.path_fitting import fit_path
from mesascope.instruments.identification.prompts import Distribution
from mesascope.models.constructions import conjugate_gradient, gradient_descent
from mesascope.models.scripted import followed
from mesascope.tasks import LinearRegression
from mesascope.types import Subject

TASK = LinearRegression()
DESCENT = gradient_descent(layers=4, step_size=0.15)


def subject(clean: Subject, *truth: str, noise: float = 0.0, on: Distribution | None = None) -> Planted:
    return Planted(
        case=Case(name="by hand", truth=truth, make=lambda draw: clean, share=1),
        clean=clean,
        subject=clean,
        task=TASK,
        distribution=on,
        settings={"prediction noise": noise},
    )


def test_it_falls_with_noise_from_near_one_to_next_to_none():
    found = [power(subject(DESCENT, "gradient-descent", noise=n), seed=1, prompts=60) for n in (0.0, 0.01, 1.0)]
    clear, dim, hidden = (p.value if p is not None else -1 for p in found)
    assert clear > 0.99
    assert clear > dim > hidden
    assert 0 <= hidden < 0.05


def test_more_prompts_tell_more():
    few, many = (power(subject(DESCENT, "gradient-descent", noise=0.1), seed=1, prompts=n) for n in (20, 1000))
    assert few is not None and many is not None
    assert few.value < 0.5
    assert many.value > 0.95


def test_the_hardest_is_another_algorithm():
    """Newton–Schulz from a multiple of I takes 2ᵏ steps of descent in its k-th, nearly what two layers show."""
    brief = gradient_descent(layers=2, step_size=0.15)
    found = power(subject(brief, "gradient-descent", noise=0.02), seed=1, prompts=60)
    assert found is not None
    assert found.hardest == "newton-schulz:identity"


def test_where_the_data_cannot_tell_there_is_none():
    on = next(case.on for case in ALIKE if case.name == "conjugate gradient, κ = 1")
    assert on is not None
    clean = conjugate_gradient(iterations=2)
    draw = Draw(Setting(sizes=((5, 20),), input_scale=(1.0, 1.0), label_noise=(0.0,)), 0, 0)
    alike = power(subject(clean, "conjugate-gradient", on=on(draw)), seed=1, prompts=60)
    apart = power(subject(clean, "conjugate-gradient"), seed=1, prompts=60)
    assert alike is not None and apart is not None
    assert alike.value < 0.05
    assert apart.value > 0.95


@pytest.mark.parametrize(
    "stranger",
    [
        subject(DESCENT),
        subject(DESCENT, "steepest-descent"),
        subject(followed("backwards", GradientDescent(step_size=0.1), [4, 3, 2, 1]), "gradient-descent", UNDESCRIBED),
    ],
    ids=["no truth", "no candidate", "described by none"],
)
def test_who_runs_none_of_the_candidates_has_no_power(stranger):
    assert power(stranger, seed=1, prompts=60) is None


def test_a_fit_that_fails_hides_nobody(monkeypatch):
    """What a subject runs is known from its own path. Its family is not fitted, but every other is."""
    fitted = []

    def fit(family: Family, *arguments: Any, **options: Any) -> Fit:
        fitted.append(family.algorithm_name)
        return fit_path(family, *arguments, **options)

    monkeypatch.setattr(distinguishing, "fit_path", fit)
    found = power(subject(DESCENT, "gradient-descent"), seed=1, prompts=20)
    assert found is not None
    assert "newton-schulz" in fitted
    assert "gradient-descent" not in fitted


def test_the_seed_is_the_number():
    noisy = subject(DESCENT, "gradient-descent", noise=0.003)
    first, again, other = (power(noisy, seed=seed, prompts=20) for seed in (1, 1, 2))
    assert first == again
    assert first != other
