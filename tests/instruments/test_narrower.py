"""Instruments that ask for more than a subject and a task; what studies find with them is in their own tests."""

import dataclasses

import pytest

import mesascope as ms
from mesascope.algorithms import GradientDescent, LeastSquares, PreconditionedConjugateGradient, Ridge
from mesascope.instruments import NotApplicable
from mesascope.instruments.attending import causal_mask
from mesascope.instruments.behaving import gaussian_inputs, matching, memorisation, rounding, size
from mesascope.instruments.catalogue import BY_NAME, INSTRUMENTS, NARROWER
from mesascope.instruments.identification import following
from mesascope.instruments.spectral import contraction
from mesascope.models.constructions import gradient_descent
from mesascope.models.scripted import followed
from mesascope.tasks import Diagonal, Eigenvalues, Gaussian, LinearRegression, Rademacher

TASK = LinearRegression()


def test_a_size_is_the_number_of_parameters(tiny, task) -> None:
    (found,) = size.size(tiny, task, beside={"itself": tiny})
    assert found.value == sum(p.numel() for p in tiny.model.parameters()) / 1e6 > 0
    assert (found.controls[0].name, found.controls[0].value) == ("itself", found.value)
    with pytest.raises(NotApplicable, match="has no PyTorch module whose parameters could be counted"):
        size.size(followed("scripted", GradientDescent(step_size=0.5), (1, 2)), task, beside={})


def test_of_a_language_model_the_heads_are_counted_too(tiny, task) -> None:
    subject = ms.load("ladder-small")
    parameters, heads = size.size(subject, task, beside={"another kind": tiny})
    assert (parameters.quantity, heads.quantity) == size.INSTRUMENT.quantities
    assert parameters.value == sum(p.numel() for p in subject.network.model.parameters()) / 1e6 > 0.1
    assert (heads.value, heads.controls[0].value) == (2, tiny.model.config.heads)


def test_what_only_rescales_is_no_worse_on_gaussian_inputs() -> None:
    task = dataclasses.replace(TASK, inputs=Rademacher())
    (found,) = gaussian_inputs.on_gaussian_inputs(gradient_descent(layers=4), task, n=64)
    assert 0.5 < found.value < 2  # gradient descent leaves the same share of either
    assert {c.name: c.kind for c in found.controls} == {memorisation.LOOK_UP: "positive", "ridge": "negative"}


def test_bayes_rule_in_the_sum_convention() -> None:
    assert matching.bayes_ridge(TASK, 0.5) == pytest.approx(0.25 * TASK.dim)
    found = matching.over_noises(Ridge(ridge=1.0), TASK, noises=(0.1, 1.0), n=32)
    slope = next(m for m in found if m.quantity == matching.SLOPE)
    assert abs(slope.value) < 0.05  # one λ, whatever the noise
    assert {m.coordinates["predicted"] for m in found if m is not slope} == {
        matching.bayes_ridge(TASK, noise) for noise in (0.1, 1.0)
    }


@pytest.mark.parametrize("told", [0.3, 0.5])
def test_layers_of_gradient_descent_contract_by_the_law_of_their_own_step_size(told: float) -> None:
    eigenvalues = (0.2, 1.0, 3.0)
    inputs = Gaussian(covariance=Eigenvalues(values=eigenvalues, rotate=True), exact=True)
    network = gradient_descent(layers=3, step_size=0.5)
    found = contraction.contraction(network, LinearRegression(dim=3, examples=10, inputs=inputs), n=16, step_size=told)
    left = [m for m in found if m.quantity == contraction.LEFT]
    places = [(value, layer) for value in eigenvalues for layer in range(4)]
    for m, (value, layer) in zip(left, places, strict=True):
        assert (m.coordinates["eigenvalue"], m.coordinates["layer"]) == (value, layer)
        assert m.value == pytest.approx((1 - 0.5 * value) ** (2 * layer), abs=1e-12)
        assert m.controls[0].value == pytest.approx((1 - told * value) ** (2 * layer), abs=1e-12)
    distances = [m for m in found if m.quantity == contraction.DISTANCE and m.coordinates["layer"] != 0]
    assert all((m.value < 1e-12) == (told == 0.5) for m in distances)
    assert all(m.controls[0].value < 1e-12 and m.controls[1].value > 1e-4 for m in distances)


def test_some_ask_for_a_hand_built_network(tiny, task) -> None:
    with pytest.raises(NotApplicable, match="is not a hand-built network, so its readout is not exact"):
        contraction.contraction(tiny, task, step_size=0.5)
    with pytest.raises(NotApplicable, match="is not a hand-built network, so it cannot be given a mask"):
        causal_mask.causal_mask(tiny, task, algorithm=LeastSquares())
    with pytest.raises(NotApplicable, match="is not a hand-built network, so its precision cannot be chosen"):
        rounding.rounding(tiny, task)


def test_a_path_is_identified_beside_networks_whose_path_is_known(tiny, task) -> None:
    few = {"n": 24, "candidates": ("gradient-descent", "conjugate-gradient")}
    found = following.follow(gradient_descent(layers=4), task, idle={following.UNTRAINED: tiny}, **few)
    left, score = found[:2]
    assert (left.quantity, left.value, score.quantity) == (following.LEFT, 1.0, following.SCORE)
    assert following.nearest(score) == score.coordinates["candidate"] == "gradient-descent"
    assert score.value == pytest.approx(1.0, abs=1e-6)
    names = {c.name: c.kind for c in left.controls}  # it is not its own control
    assert names == {
        "hand-built conjugate-gradient": "positive",
        "hand-built newton-schulz:identity": "positive",
        following.UNTRAINED: "negative",
    }
    assert {c.name: c.value for c in left.controls}["hand-built conjugate-gradient"] == 1.0
    other, *_ = following.follow(gradient_descent(layers=3), task, **few)
    assert [c.name for c in other.controls] == [f"hand-built {name}" for name in following.BUILT]


def test_on_larger_inputs_the_control_is_the_network_without_step_sizes() -> None:
    inputs = Gaussian(covariance=Diagonal(condition=(10.0, 100.0), scale="smallest"))
    large = LinearRegression(dim=4, examples=16, noise=0.1, inputs=inputs)
    few = {"n": 24, "candidates": ("gradient-descent", "conjugate-gradient")}
    jacobi = followed("planted", PreconditionedConjugateGradient(), range(1, 5))
    left, score, *_ = following.follow(jacobi, large, where="training", **few)
    assert [c.name for c in left.controls] == ["hand-built conjugate-gradient"]
    assert score.value < 0.999


def test_names_are_unique_and_quantities_are_said() -> None:
    assert len(BY_NAME) == len(INSTRUMENTS) + len(NARROWER)
    assert all(each.quantities and each.question.endswith("?") for each in NARROWER)
