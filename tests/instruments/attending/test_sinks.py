"""Attention to the first position in networks that are no language models."""

import pytest
import torch

from mesascope.instruments.asking.applicability import NotApplicable
from mesascope.instruments.attending import attention
from mesascope.instruments.attending.sinks import EVEN, LARGEST, SINK, sinks
from mesascope.types import Site


def test_it_agrees_with_the_patterns_of_a_transformer(make_transformer, task) -> None:
    subject = make_transformer(mask="causal")
    found = sinks(subject, task, n=8, heads=True)
    prompts = task.sample(8, seed=0, stream="sinks")
    sites = attention.softmax_sites(subject, prompts)
    trace = subject.trace(prompts, capture=sites)
    for site in sites:
        expected = trace[site][:, :, 1:, 0].double().mean((0, 2))  # rows from the second on
        m = next(m for m in found if m.quantity == SINK.name and m.coordinates["layer"] == site.layer)
        assert m.value == pytest.approx(float(expected.mean()), abs=1e-9)
        largest = next(m for m in found if m.quantity == LARGEST.name and m.coordinates["layer"] == site.layer)
        assert largest.value == pytest.approx(float(expected.max()), abs=1e-9)
        count = trace[site].shape[-1]
        even = next(c.value for c in m.controls if c.name == EVEN)
        assert even == pytest.approx(sum(1 / k for k in range(2, count + 1)) / (count - 1))


def test_batches_do_not_matter(make_transformer, task) -> None:
    subject = make_transformer(mask="causal")
    one, many = (sinks(subject, task, n=8, batch=batch) for batch in (8, 3))
    assert [m.value for m in one] == pytest.approx([m.value for m in many], abs=1e-6)


def test_rows_that_see_themselves_alone_are_refused(make_transformer, task) -> None:
    subject = make_transformer(mask="causal")

    class Alone(type(subject)):
        def trace(self, prompts, *, capture=(), interventions=()):
            found = super().trace(prompts, capture=capture, interventions=interventions)
            for site, value in found.activations.items():
                if site.kind == "pattern":
                    value.copy_(torch.eye(value.shape[-1]).expand_as(value))
            return found

    lone = Alone(**{name: getattr(subject, name) for name in subject.__dataclass_fields__})
    assert Site(layer=0, kind="pattern") in lone.sites
    with pytest.raises(NotApplicable, match="sees a position before it, so none can attend to a first one"):
        sinks(lone, task, n=4)
