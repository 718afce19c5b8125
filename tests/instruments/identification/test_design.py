"""Prompts that discriminate: the distance against closed forms, and designs that stay inside it and pay."""

import dataclasses
import math

import pytest

from mesascope.instruments.identification import identify
from mesascope.instruments.identification.design import Design, design_prompts
from mesascope.instruments.identification.distance import distance
from mesascope.instruments.identification.search import Judge
from mesascope.models.constructions import gradient_descent
from mesascope.records.codec import from_json, to_json
from mesascope.tasks import Diagonal, Eigenvalues, Gaussian, LinearRegression
from mesascope.types import Domain

HOME = LinearRegression(dim=4, examples=12, queries=8)
FIXED = Domain(dims=(4,), examples=(12,))


def exact(*values: float, **others) -> LinearRegression:
    inputs = Gaussian(covariance=Eigenvalues(values=values, rotate=True), exact=True)
    return dataclasses.replace(HOME, inputs=inputs, **others)


@pytest.fixture(scope="module")
def designed() -> Design:
    return design_prompts(["cg", "pcg"], HOME, FIXED, noise=0.2, trials=12)


@pytest.mark.parametrize("task", [HOME, exact(4.0, 1.0, 0.5, 0.1), dataclasses.replace(HOME, noise=0.5, examples=3)])
def test_a_task_is_at_distance_zero_from_itself(task):
    assert distance(task, task) == pytest.approx(0, abs=1e-7)


def test_of_two_exact_spectra_it_is_the_euclidean_distance_of_their_roots():
    here, there = exact(4.0, 1.0, 1.0, 1.0), exact(9.0, 1.0, 1.0, 0.25)
    assert distance(here, there) == pytest.approx(math.sqrt((1 + 0.25) / 7), rel=1e-9)


def test_inputs_a_size_larger_are_at_that_distance():
    wider = dataclasses.replace(HOME, inputs=Gaussian(covariance=Eigenvalues(values=(1.69,) * 4)))
    assert distance(HOME, wider) == pytest.approx(0.3, rel=1e-9)  # scaling is the optimal transport


def test_label_noise_and_missing_examples():
    here = exact(1.0, 1.0, 1.0, 1.0)  # the labels' variance is 1
    assert distance(here, dataclasses.replace(here, noise=0.4)) == pytest.approx(0.4 / 2**0.5)
    assert distance(here, dataclasses.replace(here, examples=9)) == pytest.approx(0.5)  # a quarter moved to zero
    assert distance(dataclasses.replace(here, examples=9), here) == pytest.approx(0.5)
    both = dataclasses.replace(here, examples=9, noise=0.4)
    assert distance(here, both) == pytest.approx(math.sqrt(0.75 * 0.08 + 0.25))


def test_the_design_needs_fewer_prompts_than_the_standard_ones_at_their_distance(designed):
    training, standard = designed.before
    assert designed.after.value <= standard.value
    assert designed.after.value < 0.6 * training.value
    assert training.coordinates["distance"] == 0
    assert designed.limit == standard.coordinates["distance"]


def test_it_stays_inside_the_limit_and_the_domain(designed):
    assert designed.distance == distance(HOME, designed.task) <= designed.limit
    FIXED.check(designed.task.sample(1, seed=0))
    near = design_prompts(["cg", "pcg"], HOME, FIXED, noise=0.2, trials=4, limit=0.1)
    assert distance(HOME, near.task) == near.distance <= 0.1
    assert all(row["distance"] <= 0.1 for row in near.frontier.rows)


def test_the_number_of_examples_comes_from_the_domain():
    domain = Domain(dims=(4,), examples=range(10, 13))
    found = design_prompts(["cg", "pcg"], HOME, domain, trials=2, limit=0.5)
    domain.check(found.task.sample(1, seed=0))


def test_its_controls(designed):
    for found in (*designed.before, designed.after):
        negative, positive = found.controls
        assert negative.value == pytest.approx(0, abs=1e-9)
        assert 0.85 < positive.value <= 1  # the number is enough


def test_what_coincides_on_all_prompts_allowed_stays_apart_by_no_number():
    round_home = dataclasses.replace(HOME, inputs=Gaussian(exact=True))
    found = design_prompts(["cg", "pcg"], round_home, FIXED, trials=1, limit=0.0)
    assert found.after.value == math.inf
    assert found.task == round_home


def test_the_frontier_falls_with_distance(designed):
    rows = designed.frontier.rows
    assert [row["distance"] for row in rows] == sorted(row["distance"] for row in rows)
    assert [row["prompts"] for row in rows] == sorted((row["prompts"] for row in rows), reverse=True)
    assert rows[0]["prompts"] > rows[-1]["prompts"]


def test_the_same_seed_gives_the_same_design_and_it_survives_json(designed):
    first, again = (design_prompts(["cg", "pcg"], HOME, FIXED, trials=2) for _ in range(2))
    assert first.task == again.task
    assert first.after.value == again.after.value
    assert from_json(LinearRegression, to_json(designed.task)) == designed.task


def test_three_candidates_are_judged_by_their_hardest_pair():
    names = ("cg", "pcg", "data-space-conjugate-gradient")
    pair, three = (Judge(names=n, noise=0.05, seed=0).hardest(HOME, {}) for n in (names[:2], names))
    assert three.value > pair.value
    assert names[2] in (three.coordinates["subject"], three.coordinates["against"])


def test_identify_decides_on_designed_prompts(designed):
    subject = gradient_descent(layers=2)
    verdict = identify(subject, HOME, algorithms=["gd", "cg"], prompts=40, distribution=designed.distribution)
    assert (verdict.label, verdict.algorithms) == ("identified", ("gradient-descent",))
    assert verdict.basis == "discriminating"
    assert verdict.discriminating is not None
    assert (
        "designed for conjugate-gradient, preconditioned-conjugate-gradient" in verdict.discriminating.path.distribution
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"limit": -0.1}, "distance must be 0 or more"),
        ({"candidates": ["cg"]}, "two different candidates"),
        ({"task": LinearRegression(dim=1), "domain": Domain(dims=(1,))}, "2 or more to vary"),
        ({"task": LinearRegression(dim=5, examples=12)}, "dim must be 4"),
    ],
)
def test_what_cannot_be_designed(options, words):
    with pytest.raises(ValueError, match=words):
        design_prompts(**{"candidates": ["cg", "pcg"], "task": HOME, "domain": FIXED, "trials": 1} | options)


@pytest.mark.parametrize("other", [LinearRegression(dim=5, examples=12), dataclasses.replace(HOME, weights="standard")])
def test_tasks_without_a_distance(other):
    with pytest.raises(ValueError, match="must have the same"):
        distance(HOME, other)


def test_the_standard_prompts_are_further_out_than_a_mild_spectrum():
    mild, steep = (
        dataclasses.replace(HOME, inputs=Gaussian(covariance=Diagonal(condition=c, rotate=True), exact=True))
        for c in (8.0, 300.0)
    )
    assert distance(HOME, mild) < 0.25 < distance(HOME, steep)
