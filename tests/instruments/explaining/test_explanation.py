"""Planted subjects on every class: each is found there, and the one just above it is not."""

import functools

import pytest
import torch

from mesascope.algorithms import GradientDescent, MeanLabel, run
from mesascope.calibration.disguise import Disguised
from mesascope.instruments.explaining.asked import ask
from mesascope.instruments.explaining.explanation import explain, share_of
from mesascope.instruments.explaining.planted import conjugate_gradient, gradient_flow, pairs, planted, random_filter
from mesascope.instruments.explaining.rungs import Left
from mesascope.instruments.explaining.shares import ORDER, Shares, narrowest
from mesascope.instruments.identification.prompts import standard
from mesascope.models.constructions import gradient_descent
from mesascope.models.scripted import followed
from mesascope.types import Explanation

PAIRS = pairs(1.0, standard().task, seed=2)
# What the planted subjects are: the narrowest class of the one on a class, and of the one just above it.
WITHIN = {kind: kind for kind in ORDER} | {"labels": "smoother"}
ABOVE = {
    "function": "filter",
    "polynomial": "function",
    "filter": "diagonal",
    "own polynomial": "labels and query",
    "diagonal": "labels and query",
    "labels and query": "smoother",
    "smoother": "labels",
    "labels": None,
    "query alone": "function",
}


def explained(subject, **sizes) -> Explanation:
    return explain(asked(subject, **sizes), "prompts that discriminate")


def asked(subject, seed=0, prompts=105):
    return ask(subject, standard().task, seed=seed, prompts=prompts)


@functools.cache
def within(kind):
    """What a planted subject on a class answered, and how that is explained; asked once."""
    answers = asked(PAIRS[kind].within)
    return answers, explain(answers, "prompts that discriminate")


@pytest.mark.parametrize("kind", ORDER)
def test_a_subject_on_a_class_is_found_there(kind):
    _, found = within(kind)
    assert found.rung == WITHIN[kind]
    rung = found.of(kind)
    assert rung is not None
    assert rung.holds
    assert rung.share > 0.999


@pytest.mark.parametrize("kind", ORDER)
def test_a_subject_just_above_a_class_is_not_in_it(kind):
    answers = asked(PAIRS[kind].above)
    found = explain(answers, "")
    assert found.rung == ABOVE[kind]
    rung = found.of(kind)
    assert rung is None or not rung.holds
    assert share_of(answers, kind)[0] < 0.99


@pytest.mark.parametrize("kind", ["function", "diagonal", "own polynomial", "labels"])
def test_the_share_of_one_class_is_that_of_the_explanation(kind):
    answers, found = within(kind)
    rung = found.of(kind)
    assert rung is not None
    assert share_of(answers, kind) == (pytest.approx(rung.share), pytest.approx(rung.interval))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_noise_is_not_taken_for_a_wider_class(seed):
    rng = torch.Generator().manual_seed(seed)

    def answer(prompts):
        noise = (0.03 * prompts.target_variance).sqrt()[:, None]
        clean = gradient_flow(4.0)(prompts)
        return clean + noise * torch.randn(clean.shape, generator=rng, dtype=torch.float64)

    found = explained(planted("noisy flow", answer), seed=seed)
    assert found.rung == "function"
    assert 0.9 < found.ceiling < 0.985
    flow = next(f for f in found.functions if f.name == "gradient flow")
    assert flow.intervals["time"][0] < 4.0 < flow.intervals["time"][1]
    best = found.of("filter")
    assert best is not None
    assert abs(best.left) < 0.01
    assert best.share < 0.99


def test_the_smaller_name_wins_unless_the_larger_is_better():
    flow = explained(planted("flow", gradient_flow(4.0)))
    assert flow.functions[0].name == "gradient flow"
    assert flow.functions[0].coefficients["time"] == pytest.approx(4.0, rel=1e-3)
    descent = explained(planted("descent", lambda p: run(GradientDescent(step_size=0.2), p, 6).predictions[-1]))
    assert descent.functions[0].name == "gradient descent"
    assert descent.functions[0].coefficients == {"steps": 6.0, "step size": pytest.approx(0.2, rel=1e-3)}


def test_conjugate_gradient_is_a_polynomial_of_its_degree():
    for steps in (2, 3):
        found = explained(planted("cg", conjugate_gradient(steps)))
        assert found.rung == "own polynomial"
        rung = found.of("own polynomial")
        assert rung is not None
        assert rung.detail == f"degree {steps - 1}"


def test_a_random_filter_is_a_filter_for_every_seed():
    for seed in range(4):
        assert explained(planted("some filter", random_filter(seed)), seed=seed).rung == "filter"


def test_time_passes_from_layer_to_layer():
    found = explained(followed("descent", GradientDescent(step_size=0.2), [0, 1, 3, 3, 8]))
    times = [layer.time for layer in found.layers]
    assert times[0] == 0.0
    assert times[1] < times[2] < times[4]
    assert times[2] == pytest.approx(times[3])
    assert times[4] == pytest.approx(8 * 0.2, rel=0.15)
    assert all(layer.share > 0.999 for layer in found.layers[1:])
    assert found.layers[0].share == 0.0


def test_layers_are_followed_with_their_readouts_withheld():
    """The stream is rotated, and the readouts fitted: the filter and the time after every layer are the same."""
    descent = Disguised(subject=gradient_descent(layers=4, step_size=0.25), seed=3)
    own, fitted = (
        explain(ask(descent, standard().task, seed=0, prompts=105, readout=readout), "")
        for readout in ("own", "fitted")
    )
    assert (own.readout, fitted.readout) == ("own", "fitted")
    assert own.layers[-1].time == pytest.approx(fitted.layers[-1].time)
    for known, read in zip(own.layers, fitted.layers, strict=True):
        assert read.share > 0.98
        assert read.flow_share > 0.98
        assert read.time_interval[0] <= read.time <= read.time_interval[1]
        assert read.time <= 1.2 * known.time
    times = [layer.time for layer in fitted.layers]
    assert times == sorted(times)


def test_the_mean_label_is_the_widest_smoother():
    found = explained(planted("mean", lambda p: run(MeanLabel(), p).predictions[-1]))
    assert found.rung == "smoother"
    rung = found.of("smoother")
    assert rung is not None
    assert rung.detail == "the mean label"


def test_answers_that_say_nothing_are_named():
    zero = explained(planted("zero", lambda p: torch.zeros_like(p.targets)))
    assert zero.rung is None
    assert zero.rungs == ()
    assert set(zero.missing.values()) == {"its answers are zero, whatever it is shown"}
    broken = explained(planted("broken", lambda p: p.targets * float("inf")))
    assert "not finite on 100%" in broken.missing["filter"]
    constant = explained(planted("constant", lambda p: torch.ones_like(p.targets)))
    assert constant.rung == "query alone"


def test_a_wider_class_is_taken_where_it_leaves_a_twentieth():
    ones = torch.ones(40, dtype=torch.float64)
    shares = Shares(answers=ones, noise=0 * ones, draws=torch.ones(5, 40, dtype=torch.float64))

    def left(kind, share):
        return Left(kind=kind, errors=share * ones)

    filters, own, labels = left("filter", 0.01), left("own polynomial", 1e-5), left("labels", 0.0)
    assert narrowest([filters, own, labels], [True] * 3, shares) is own
    assert narrowest([filters, left("own polynomial", 0.002)], [True] * 2, shares) is filters
    near = left("filter", 5e-4)
    assert narrowest([near, own], [True] * 2, shares) is near
    assert narrowest([filters, own], [False, True], shares) is own
    assert narrowest([filters], [False], shares) is None
