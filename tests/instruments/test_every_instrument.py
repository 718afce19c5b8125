"""What holds for each of the instruments that look at one subject on one task."""

import dataclasses
import math

import pytest
import torch

from mesascope.instruments.attending import attention, copying, mixing
from mesascope.instruments.behaving import silent_failure, stress
from mesascope.instruments.intervening import ablation, causal, patching
from mesascope.instruments.reading import probes, readout, streaming
from mesascope.models.constructions import gradient_descent
from mesascope.report.figures import draw
from mesascope.types import Measurement, Scalar

INSTRUMENTS = {
    "readout": (readout.readouts, readout.figure, {"fit": 12, "score": 8, "queries": 2}),
    "probes": (probes.linear_probes, probes.figure, {"fit": 12, "score": 8, "queries": 2}),
    "patching": (patching.patching, patching.figure, {"n": 8, "queries": 2}),
    "causal": (causal.causal, causal.figure, {"n": 8, "fit": 12, "queries": 2}),
    "ablation": (ablation.ablations, ablation.figure, {"n": 8, "queries": 2}),
    "attention": (attention.attention, attention.figure, {"n": 8, "queries": 2}),
    "stress": (stress.stress, stress.figure, {"n": 8, "queries": 2}),
    "silent failure": (silent_failure.silent_failure, silent_failure.figure, {"n": 8, "queries": 4}),
}
each = pytest.mark.parametrize("name", INSTRUMENTS)


def fingerprint(subject, task):
    trace = subject.trace(task.sample(4, seed=9), capture=subject.sites)
    weights = [parameter.detach().clone() for parameter in subject.model.parameters()]
    return [*weights, trace.predictions, *(trace[site] for site in subject.sites)]


@each
def test_the_subject_is_as_it_was(name, tiny, task):
    instrument, _, size = INSTRUMENTS[name]
    before = fingerprint(tiny, task)
    instrument(tiny, task, **size)
    assert all(torch.equal(a, b) for a, b in zip(before, fingerprint(tiny, task), strict=True))


@each
@pytest.mark.parametrize("call", [1, 2])
def test_also_after_an_error(name, call, planted, task):
    instrument, _, size = INSTRUMENTS[name]
    sample = task.sample(4, seed=9)
    before = planted.trace(sample, capture=planted.sites)
    failing = type(planted)(fail_at=call)
    with pytest.raises(RuntimeError, match="told to fail"):
        instrument(failing, task, **size)
    after = failing.trace(sample, capture=planted.sites)
    assert torch.equal(before.predictions, after.predictions)
    assert all(torch.equal(before[site], after[site]) for site in planted.sites)


@each
def test_the_same_seed_gives_the_same_numbers_and_another_gives_others(name, planted, task):
    instrument, _, size = INSTRUMENTS[name]
    first, again = (numbers(instrument(planted, task, seed=1, **size)) for _ in range(2))
    assert first == again
    if name != "attention":  # whose patterns are the same for every prompt here
        assert first != numbers(instrument(planted, task, seed=2, **size))


@each
def test_every_number_has_its_controls_and_says_where_it_is_from(name, planted, task):
    instrument, _, size = INSTRUMENTS[name]
    found = instrument(planted, task, **size)
    assert found
    keys = set()
    for m in found:
        assert m.instrument == name
        assert {"positive", "negative"} <= {c.kind for c in m.controls}
        assert all(isinstance(v, Scalar) for v in m.coordinates.values())
        assert math.isfinite(m.value)
        keys.add((m.quantity, *m.coordinates.items()))
    assert len(keys) == len(found), "two measurements of the same thing"


@each
def test_the_figure_can_be_drawn(name, planted, task):
    instrument, figure, size = INSTRUMENTS[name]
    made = figure(instrument(planted, task, **size))
    assert made.rows
    if made.kind != "table":
        assert draw(made)["data"]["values"]


def test_the_maps_can_be_drawn(planted, task):
    assert draw(attention.maps(planted, task, n=4))["data"]["values"]


@each
def test_a_hand_built_network_can_be_looked_at(name, task):
    """It shows no heads and no attention pattern: linear attention is no distribution."""
    instrument, _, size = INSTRUMENTS[name]
    subject = gradient_descent(layers=2)
    if name == "attention":
        with pytest.raises(attention.NotApplicable):
            instrument(subject, task, **size)
    else:
        assert instrument(subject, task, **size)


@pytest.mark.parametrize("name", ["readout", "probes"])
def test_a_control_that_overflows_is_one_that_says_nothing(name, planted, task):
    """Hand-built networks with random weights can leave the finite range; what is fitted to them answers the mean."""

    class Overflowing(type(planted)):
        def reinitialised(self, seed):
            return Lost(trained=False)

    class Lost(type(planted)):
        def trace(self, prompts, *, capture=(), interventions=()):
            trace = super().trace(prompts, capture=capture, interventions=interventions)
            return dataclasses.replace(trace, activations={s: v * torch.nan for s, v in trace.activations.items()})

    instrument, _, size = INSTRUMENTS[name]
    found = [m for m in instrument(Overflowing(), task, **size) if m.coordinates.get("readout") != "own"]
    for m in found:
        untrained = next(c for c in m.controls if c.name == "untrained network")
        assert math.isfinite(untrained.value)
        assert math.isfinite(m.value)


def numbers(found: tuple[Measurement, ...]) -> list[tuple]:
    return [(m.value, m.interval, tuple((c.value, c.interval) for c in m.controls)) for m in found]


@pytest.mark.parametrize("instrument", [mixing.mixing, streaming.streaming, copying.copying])
def test_what_is_read_in_a_context_is_so_however_many_queries_the_task_asks(make_transformer, task, instrument):
    subject = make_transformer(mask="full")
    options = {"fit": 8, "score": 8, "examples": (4,)} if instrument is streaming.streaming else {"n": 8}
    one, many = (instrument(subject, dataclasses.replace(task, queries=q), **options) for q in (1, 3))
    assert [m.value for m in one] == pytest.approx([m.value for m in many], rel=1e-9, abs=1e-12)
