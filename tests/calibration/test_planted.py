"""Planted subjects: the same from the same seed, every kind in both settings, each by its share."""

from collections import Counter

import pytest
import torch

from mesascope.algorithms import ALL
from mesascope.calibration.cases import CASES
from mesascope.calibration.panel import HELD_OUT, OTHER, SHIPPED, THRESHOLDS, kinds, panel_name, planted
from mesascope.calibration.planted import Draw, Planted, Setting
from mesascope.instruments.identification.prompts import discriminating
from mesascope.types import Prompts

BOTH = pytest.mark.parametrize("seed", [SHIPPED, HELD_OUT], ids=panel_name)


def prompts_of(subject: Planted, count: int) -> Prompts:
    distribution = subject.distribution or discriminating(subject.task, subject.clean.domain)
    task = subject.task if distribution is None else distribution.task
    return task.sample(count, seed=3)


def answers(subject: Planted) -> torch.Tensor:
    return subject.subject.trace(prompts_of(subject, 3)).predictions


@pytest.mark.parametrize("index", [0, 40, 90, 150])
def test_the_seed_and_the_index_are_the_subject(index):
    first, again = planted(7, index), planted.__wrapped__(7, index)
    assert first is not again
    assert (first.case, first.settings, first.task) == (again.case, again.settings, again.task)
    assert torch.equal(answers(first), answers(again))
    other = planted(8, index)
    assert other.case == first.case
    assert other.settings != first.settings
    assert not torch.allclose(answers(other), answers(first), rtol=1e-3)


def test_two_subjects_of_a_kind_differ():
    one, two = planted(SHIPPED, 0), planted(SHIPPED, 1)
    assert one.case == two.case
    assert one.settings != two.settings


@pytest.mark.parametrize("size", [8, 200, 1000])
def test_every_kind_has_its_share(size):
    made = kinds(size)
    counts = Counter(case.name for case in made)
    assert len(made) == size
    for case in CASES:
        assert abs(counts[case.name] - case.share * size / 200) < 1
    if size % 200 == 0:
        assert counts == {case.name: case.share * size // 200 for case in CASES}


def test_names_are_unique_and_truths_are_algorithms():
    assert len({case.name for case in CASES}) == len(CASES)
    assert {name for case in CASES for name in case.truth} < {algorithm.name for algorithm in ALL}
    named = sum(case.share for case in CASES if case.truth)
    assert 100 < named < 180  # panels hold both subjects that may be named and subjects that may not


@BOTH
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_kind_can_be_made_and_answers(case, seed):
    made = planted(seed, kinds().index(case))
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
    assert made.subject.domain == made.clean.domain
    if not case.noisy:
        assert made.settings.get("prediction noise") is None


@BOTH
def test_settings_lie_in_their_ranges(seed):
    setting = OTHER if seed == HELD_OUT else Setting()
    sizes, steps = set(), set()
    for index in range(0, 200, 3):
        made = planted(seed, index)
        assert (made.task.dim, made.task.examples) == (setting.dim, setting.examples)
        assert made.task.noise == made.settings["label noise"]
        assert made.settings["label noise"] in setting.label_noise
        assert made.settings.get("prediction noise", 0.0) in setting.prediction_noise
        if made.case.name.startswith("gradient descent"):
            sizes.add(made.settings.get("step size"))
            steps.add(made.settings["steps"])
    sizes.discard(None)
    assert len(sizes) > 3
    assert setting.step_size[0] <= min(sizes) <= max(sizes) <= setting.step_size[1]
    assert setting.steps[0] <= min(steps) < max(steps) <= setting.steps[1]


def test_the_held_out_panel_is_drawn_from_other_settings():
    for index in (0, 100, 199):
        shipped, held_out = planted(SHIPPED, index), planted(HELD_OUT, index)
        assert shipped.case == held_out.case
        assert shipped.task.dim != held_out.task.dim
        assert shipped.task.examples != held_out.task.examples
        assert shipped.task.dim == planted(THRESHOLDS, index).task.dim
    assert set(OTHER.prediction_noise) - {0.0} != set(Setting().prediction_noise) - {0.0}
    assert OTHER.step_size != Setting().step_size


def test_panels_have_names():
    assert [panel_name(seed) for seed in (THRESHOLDS, SHIPPED, HELD_OUT, 17)] == ["T", "S", "H", "seed 17"]


def test_draws_are_kept_by_name_and_lie_within_their_bounds():
    values: dict[str, list[float]] = {"size": [], "count": [], "of three": []}
    for index in range(200):
        draw = Draw(Setting(), 0, index)
        values["size"].append(draw.number("size", 0.01, 1.0))
        values["count"].append(draw.whole("count", 2, 4))
        values["of three"].append(draw.choice("of three", (0.1, 0.2, 0.3)))
        assert draw.made == {name: made[-1] for name, made in values.items()}
    sizes = torch.tensor(values["size"])
    assert bool((sizes >= 0.01).all()) and bool((sizes <= 1.0).all())
    assert 0.3 < float((sizes < 0.1).double().mean()) < 0.7  # uniform in the logarithm
    assert set(values["count"]) == {2, 3, 4}
    assert set(values["of three"]) == {0.1, 0.2, 0.3}
