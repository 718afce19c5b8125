"""The instrument and the description on networks, hand-built and shipped."""

import dataclasses

import pytest
import torch

from mesascope.instruments.explaining import instrument
from mesascope.instruments.explaining.describe import describe
from mesascope.instruments.explaining.following import path_sentence
from mesascope.instruments.explaining.verdict import identify_and_describe
from mesascope.models.constructions import conjugate_gradient, gradient_descent, kernel_gradient_descent
from mesascope.tasks import LinearRegression


def test_every_class_stands_beside_its_controls():
    found = instrument.explanations(gradient_descent(layers=3), LinearRegression(), prompts=60)
    assert {m.coordinates["distribution"] for m in found} == {"training", "discriminating"}
    holds = instrument.INSTRUMENT.expected[0].holds
    for m in found:
        within, above = m.controls
        assert (within.kind, above.kind) == ("positive", "negative")
        assert holds(within.value), m.coordinates
        assert above.value < within.value
    function = next(m for m in found if m.coordinates["class"] == "function")
    assert function.coordinates["holds"]
    assert function.value == pytest.approx(1, abs=1e-6)
    drawn = instrument.figure(found)
    assert len(drawn.rows) == len(found)


def test_descriptions_of_hand_built_networks():
    descent = describe(gradient_descent(layers=6, step_size=0.2), LinearRegression(), prompts=90)
    assert "gradient descent, 6 steps of size 0.2" in descent.sentence
    steps = describe(conjugate_gradient(iterations=3), LinearRegression(), prompts=90)
    assert steps.sentence.startswith("Each prompt's own polynomial of degree 2 in XᵀX")
    kernel = describe(kernel_gradient_descent(layers=2), LinearRegression(), prompts=90)
    assert kernel.discriminating is not None
    assert kernel.discriminating.rung in ("labels", None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Own:
    """A task of one's own, which does not say how its inputs are drawn."""

    dim: int = 5
    examples: int = 20
    queries: int = 1

    def sample(self, n, *, seed, stream="sample", start=0, dtype=torch.float64):
        linear = LinearRegression(dim=self.dim, examples=self.examples, queries=self.queries)
        return linear.sample(n, seed=seed, stream=stream, start=start, dtype=dtype)


def test_a_task_without_a_spectrum_is_described_on_its_own_prompts():
    found = describe(gradient_descent(layers=2), Own(), prompts=60)
    assert found.basis == "training"
    assert found.discriminating is None
    assert "gradient descent, 2 steps" in found.sentence


def test_the_verdict_has_the_description_whatever_its_label():
    network = kernel_gradient_descent(layers=2)
    verdict = identify_and_describe(network, LinearRegression(), algorithms=["gd", "cg"], prompts=40)
    assert verdict.description is not None
    assert dataclasses.replace(verdict, description=None).label == verdict.label
    assert verdict.description.sentence.endswith(path_sentence(verdict))
