"""Planted subjects: the same from the same seed, every kind in both settings, each by its share."""

import functools
from collections import Counter

import pytest
import torch

from mesascope.algorithms import ALL, run
from mesascope.calibration.cases import CASES
from mesascope.calibration.drawing import Setting
from mesascope.calibration.panel import HELD_OUT, SHIPPED, SIZE, THRESHOLDS, exact, kinds, mixed, panel_name, planted
from mesascope.calibration.planted import UNDESCRIBED, Case, Planted, algorithm_of
from mesascope.instruments.identification.families import FAMILIES
from mesascope.instruments.identification.fitting import timings
from mesascope.instruments.identification.prompts import discriminating
from mesascope.models.constructions import Construction
from mesascope.models.scripted import Scripted
from mesascope.types import Domain, Prompts

BOTH = pytest.mark.parametrize("seed", [SHIPPED, HELD_OUT], ids=panel_name)


@functools.cache
def first_of(case: Case, seed: int) -> Planted:
    """The first subject of a kind; others take as long to make."""
    return planted(mixed(seed), kinds().index(case))


def prompts_of(subject: Planted, count: int) -> Prompts:
    distribution = subject.distribution or discriminating(subject.task, subject.clean.domain)
    task = subject.task if distribution is None else distribution.task
    return task.sample(count, seed=3)


def answers(subject: Planted) -> torch.Tensor:
    return subject.subject.trace(prompts_of(subject, 3)).predictions


@pytest.mark.parametrize("index", [0, 40, 90, 150])
def test_the_seed_and_the_index_are_the_subject(index):
    first, again = planted(mixed(7), index), planted(mixed(7), index)
    assert first is not again
    assert (first.case, first.settings, first.task) == (again.case, again.settings, again.task)
    assert torch.equal(answers(first), answers(again))
    other = planted(mixed(8), index)
    assert other.case == first.case
    assert other.settings != first.settings
    assert not torch.allclose(answers(other), answers(first), rtol=1e-3)


def test_two_subjects_of_a_kind_differ():
    one, two = planted(mixed(SHIPPED), 0), planted(mixed(SHIPPED), 1)
    assert one.case == two.case
    assert one.settings != two.settings


@pytest.mark.parametrize("size", [8, 200, 1000])
def test_every_kind_has_its_share(size):
    made = kinds(size)
    counts, total = Counter(case.name for case in made), sum(case.share for case in CASES)
    assert len(made) == size
    for case in CASES:
        assert abs(counts[case.name] - case.share * size / total) < 1
    if size >= SIZE:
        assert set(counts) == {case.name for case in CASES}


def test_the_sum_of_the_shares_is_a_panel():
    made = kinds(total := sum(case.share for case in CASES))
    assert Counter(case.name for case in made) == {case.name: case.share for case in CASES}
    assert len(made) == total


def test_names_are_unique_and_truths_are_algorithms():
    assert len({case.name for case in CASES}) == len(CASES)
    known = {algorithm.name for algorithm in ALL} | {algorithm_of(family.name) for family in FAMILIES} | {UNDESCRIBED}
    assert {name for case in CASES for name in case.truth} < known
    named = sum(case.share for case in CASES if case.truth) / sum(case.share for case in CASES)
    assert 0.5 < named < 0.9  # panels hold both subjects that may be named and subjects that may not


@BOTH
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_kind_can_be_made_and_answers(case, seed):
    made = first_of(case, seed)
    assert made.case == case
    prompts = prompts_of(made, 2)
    activations = made.clean.trace(prompts, capture=made.clean.path).activations
    assert list(activations) == list(made.clean.path)
    for site, stream in activations.items():
        read = made.clean.readout(stream[:, -prompts.targets.shape[1] :], site)
        assert read.shape == prompts.targets.shape
        assert read.isfinite().all()
    predictions = made.clean.trace(prompts).predictions
    assert predictions.isfinite().all()
    assert bool((predictions == 0).all()) == (case.name == "zeros")
    own = Domain(dims=(made.task.dim,), examples=(made.task.examples,))
    assert made.subject.domain in ({made.clean.domain} if case.on else {made.clean.domain, own})
    if not case.noisy:
        assert made.settings.get("prediction noise") is None


def test_the_held_out_panel_is_drawn_from_other_settings():
    usual, other = Setting(), mixed(HELD_OUT).setting
    assert mixed(SHIPPED).setting == mixed(THRESHOLDS).setting == usual
    assert not set(usual.sizes) & set(other.sizes)
    for name in ("steps", "step_size", "momentum", "input_scale"):
        assert not set(getattr(usual, name)) & set(getattr(other, name))
    for name in ("label_noise", "prediction_noise"):
        assert not set(getattr(usual, name)) & set(getattr(other, name)) - {0.0}
    for index in (0, 100, 199):
        shipped, held_out = planted(mixed(SHIPPED), index), planted(mixed(HELD_OUT), index)
        assert shipped.case == held_out.case
        assert (shipped.task.dim, shipped.task.examples) in usual.sizes
        assert (held_out.task.dim, held_out.task.examples) in other.sizes
        assert held_out.settings["prediction noise"] in other.prediction_noise


@BOTH
@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case.described and not case.name.endswith("idle afterwards")],
    ids=lambda case: case.name,
)
def test_a_candidate_reproduces_what_is_said_to_run_it(case, seed):
    """At a pace that the identifier tries; in the first steps, since of what has converged only rounding is left to follow."""
    subject = first_of(case, seed)
    clean = subject.clean
    if isinstance(clean, Scripted):
        return  # written down from the algorithm itself
    assert isinstance(clean, Construction) and clean.holds is not None
    steps = [max(0, (layer - clean.layers_to_start) // clean.layers_per_step) for layer in range(1, clean.layers + 1)]
    still = [layer for layer, (now, then) in enumerate(zip(steps, [0, *steps], strict=False), 1) if now == then]
    assert steps in [timing.steps(clean.layers) for timing in timings(clean.layers, still)]
    algorithm, few = clean.holds.algorithm(subject.task.dim), [step for step in steps if step <= 3]
    damped = f"{algorithm.name}:damped" if clean.holds.ridge else algorithm.name
    assert damped in case.truth or case.name == "heavy ball, momentum 0" or "data-space" in algorithm.name
    prompts = subject.task.sample(20, seed=2)
    expected = run(algorithm, prompts, max(few), ridge=clean.holds.ridge).predictions[few]
    trace = clean.trace(prompts, capture=clean.path)
    found = [clean.readout(trace[site][:, prompts.examples :], site) for site in clean.path[: len(few)]]
    torch.testing.assert_close(torch.stack(found), expected, rtol=1e-8, atol=1e-8)


def test_panels_have_names():
    assert [panel_name(seed) for seed in (THRESHOLDS, SHIPPED, HELD_OUT, 17)] == ["T", "S", "H", "seed 17"]


def test_exact_subjects_all_run_a_candidate_without_noise():
    panel = exact(12)
    assert {case.truth for case in panel.cases} == {(case.truth[0],) for case in panel.cases}
    assert {case.truth[0] for case in panel.cases} >= {
        "gradient-descent",
        "conjugate-gradient",
        "heavy-ball",
        "nesterov",
        "chebyshev-iteration",
        "gd-plus-plus",
        "newton-schulz",
    }
    for index in (0, 70, 199):
        subject = planted(panel, index)
        assert (subject.task.noise, subject.settings.get("prediction noise", 0.0)) == (0.0, 0.0)
        assert subject.distribution is None
