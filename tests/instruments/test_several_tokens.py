"""A subject whose numbers take several tokens: it states where they stand, and instruments read it there."""

import dataclasses

import pytest
import torch

from mesascope.algorithms import GradientDescent, run
from mesascope.instruments import NotApplicable
from mesascope.instruments.asking.collect import at_positions
from mesascope.instruments.asking.tokens import asked, layout
from mesascope.instruments.attending import attention, copying, mixing
from mesascope.instruments.identification import identify_path
from mesascope.instruments.intervening import ablation, patching
from mesascope.instruments.reading import probes, readout, streaming
from mesascope.models.constructions import gradient_descent
from mesascope.models.taps import Taps
from mesascope.tasks import LinearRegression
from mesascope.testing import Violation, check_subject
from mesascope.types import Domain, Layout, Site, Trace, interleaved

STEP = 0.5
TASK = LinearRegression(dim=3, examples=6, queries=2)
KINDS = ("resid_pre", "pattern", "attn_out", "resid_post")


class Spelled:
    """One step of gradient descent. An input takes two tokens (half of its coordinates each), a label three (thirds of it).

    The first layer's head brings an example together at its last token, and a query at its own; the second's takes the mean
    of yx over the last tokens.
    """

    name = "spelled"
    domain = Domain()

    @property
    def sites(self):
        return (Site(kind="embed"), *(Site(layer=layer, kind=kind) for layer in (0, 1) for kind in KINDS))

    @property
    def path(self):
        return tuple(Site(layer=layer, kind="resid_post") for layer in (0, 1))

    def layout(self, examples, queries):
        return interleaved(examples, queries, input_tokens=2, label_tokens=3)

    def trace(self, prompts, *, capture=(), interventions=()):
        taps = Taps(self.sites, capture, interventions)
        p, d, places = (
            prompts.to(dtype=torch.float64),
            prompts.dim,
            interleaved(prompts.examples, prompts.queries.shape[1], input_tokens=2, label_tokens=3),
        )
        stream = p.xs.new_zeros(len(p), places.positions, 2 * d + 2)  # x, y, yx and the answer
        first = torch.arange(d) < d // 2
        for token, part in enumerate((first, ~first)):
            stream[:, places.inputs[0, :, token], :d] = torch.where(part, p.xs, 0.0)
            stream[:, places.queries[:, token], :d] = torch.where(part, p.queries, 0.0)
        for token in range(3):
            stream[:, places.labels[0, :, token], d] = p.ys / 3
        stream = taps(Site(kind="embed"), stream)
        for layer, pattern in enumerate(self._patterns(places)):
            stream = taps(Site(layer=layer, kind="resid_pre"), stream)
            shown = taps(Site(layer=layer, kind="pattern"), pattern.expand(len(p), 1, -1, -1).clone())[:, 0] @ stream
            shown = taps(Site(layer=layer, kind="attn_out"), shown if layer == 0 else shown * self._only_products(d))
            stream = stream + shown
            stream = self._gate(stream, shown, places, layer, d)
            stream = taps(Site(layer=layer, kind="resid_post"), stream)
        taps.finish()
        return Trace(predictions=stream[:, places.answers, -1], activations=taps.activations)

    def readout(self, activation, site):
        return activation[..., -1]

    def _patterns(self, places):
        whole, last = torch.eye(places.positions, dtype=torch.float64), places.labels[0, :, -1]
        gather, average = whole.clone(), whole.clone()
        for own in (*torch.cat([places.inputs[0], places.labels[0]], 1), *places.queries):
            gather[own[-1]] = whole[own].mean(0)
        average[places.answers] = whole[last].mean(0)
        return gather, average

    def _only_products(self, d):
        return (torch.arange(2 * d + 2) > d).double() * (torch.arange(2 * d + 2) < 2 * d + 1)

    def _gate(self, stream, shown, places, layer, d):
        new = stream.clone()
        if layer == 0:
            last, answers = places.labels[0, :, -1], places.answers
            x, y = 5 * shown[:, last, :d], 5 * shown[:, last, d]
            new[:, last, d + 1 : 2 * d + 1] = y[..., None] * x
            new[:, answers, :d] = 2 * shown[:, answers, :d]
        else:
            answers = places.answers
            new[:, answers, -1] = STEP * (new[:, answers, d + 1 : 2 * d + 1] * new[:, answers, :d]).sum(-1)
        return new


class Unsaid(Spelled):
    """The same, which does not say where its tokens stand."""

    layout = None  # type: ignore[assignment]


def value(found, quantity, **where):
    [m] = [m for m in found if m.quantity == quantity and all(m.coordinates[k] == v for k, v in where.items())]
    return m.value


def test_it_takes_a_step_of_gradient_descent_and_keeps_the_promises():
    p = TASK.sample(8, seed=0)
    expected = run(GradientDescent(step_size=STEP), p, 1).predictions[1]
    torch.testing.assert_close(Spelled().trace(p).predictions, expected)
    check_subject(Spelled())


def test_it_is_identified_by_its_last_layer():
    [found] = identify_path(Spelled(), TASK, prompts=40, algorithms=["gd", "cg"])
    assert found.evidence == 1


def test_readouts_and_probes_read_where_it_answers_and_at_each_label():
    found = readout.readouts(Spelled(), TASK, fit=32, score=32, queries=2)
    assert value(found, "normalised error", site="blocks.1.hook_resid_post", readout="own") < 0.6
    at_queries = probes.linear_probes(Spelled(), TASK, fit=64, score=64, queries=2)
    assert value(at_queries, "R²", site="blocks.1.hook_resid_post", target="Xᵀy/n") == pytest.approx(1, abs=1e-6)
    assert value(at_queries, "R²", site="blocks.0.hook_resid_post", target="Xᵀy/n") < 0.2
    p = TASK.sample(4, seed=0)
    _, held = at_positions(Spelled(), p, [Site(layer=0, kind="resid_post")], "labels")
    torch.testing.assert_close(held[Site(layer=0, kind="resid_post")][..., 4:7], p.ys[..., None] * p.xs)
    assert streaming.streaming(Spelled(), TASK, fit=32, score=16, examples=[6])


def test_patching_tells_queries_from_their_context():
    found = patching.patching(Spelled(), TASK, n=16, queries=2)
    for layer, query in ((0, 0.0), (1, 1.0)):
        site = f"blocks.{layer}.hook_resid_post"
        assert value(found, "transfer", site=site, positions="query") == pytest.approx(query)
        assert value(found, "transfer", site=site, positions="context") == pytest.approx(1 - query)


def test_attention_is_counted_by_whole_labels():
    found = attention.attention(Spelled(), TASK, n=8, queries=2)
    last, first = "blocks.1.attn.hook_pattern", "blocks.0.attn.hook_pattern"
    assert value(found, "share on labels", site=last, rows="query") == pytest.approx(1)
    assert value(found, "entropy share over labels", site=last, rows="query") == pytest.approx(1)
    assert value(found, "share on labels", site=first, rows="query") == 0
    assert value(found, "share on the previous token", site=first, rows="query") == pytest.approx(0.5)
    tokens = {row["token"] for row in attention.maps(Spelled(), TASK, n=4).rows}
    assert {"x1.1", "x1.2", "y6.3", "xq.2"} <= tokens


def test_mixing_reads_a_labels_last_token():
    found = mixing.mixing(Spelled(), TASK, n=16)
    site = "blocks.0.hook_resid_post"
    assert value(found, "share of the variance", site=site, exchanged="other examples") == 0
    assert value(found, "share of the variance", site=site, exchanged="own input") > 0.1


def test_copying_asks_for_one_token_each():
    with pytest.raises(NotApplicable, match="spelled has several tokens for an input or a label"):
        copying.copying(Spelled(), TASK, n=8)


def test_means_of_an_ablation_are_those_of_a_querys_own_tokens():
    assert ablation.ablations(Spelled(), TASK, n=8, queries=2, methods=("mean",))


def test_what_is_not_said_and_cannot_be_seen_is_said_to_be_missing():
    p = TASK.sample(2, seed=0)
    with pytest.raises(NotApplicable, match=r"spelled has 31 tokens .* Give it a method layout\(examples, queries\)"):
        layout(Unsaid(), p)
    assert asked(Unsaid(), p).tolist() == [[-2], [-1]]


def test_a_stated_layout_and_what_is_seen_from_outside_agree():
    built, p = gradient_descent(layers=2), TASK.sample(2, seed=0)

    class Quiet:
        name, domain, sites, path = built.name, built.domain, built.sites, built.path
        trace, readout = staticmethod(built.trace), staticmethod(built.readout)

    ours, seen = layout(built, p), layout(Quiet(), p)
    for name in ("inputs", "labels", "queries", "context"):
        assert torch.equal(getattr(ours, name), getattr(seen, name))


BROKEN = {
    "input and label exchanged": lambda e, q: (lambda g: dataclasses.replace(g, inputs=g.labels, labels=g.inputs))(
        interleaved(e, q, input_tokens=2, label_tokens=3)
    ),
    "one token each": lambda e, q: interleaved(e, q),
    "one example less": lambda e, q: interleaved(e - 1, q, input_tokens=2, label_tokens=3),
    "a query less": lambda e, q: interleaved(e, max(q - 1, 1), input_tokens=2, label_tokens=3),
    "no layout": lambda e, q: None,
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_layout_that_is_not_the_subjects_is_told(case, unchecked):
    class Wrong(Spelled):
        def layout(self, examples, queries):
            return BROKEN[case](examples, queries)

    with pytest.raises(Violation, match="gives the positions of inputs, labels and queries"):
        check_subject(Wrong())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"labels": torch.zeros(2, 5, 1, dtype=torch.long)}, "the same numbers of queries and of examples"),
        ({"queries": torch.tensor([[-1], [5]])}, "counted from 0"),
        ({"labels": torch.full((2, 6, 1), 50)}, "context must hold the positions of all inputs and labels"),
        ({"queries": torch.tensor([[3], [13]])}, "queries must not be in the context"),
    ],
)
def test_a_layout_that_cannot_be_is_refused(change, words, unchecked):
    whole = interleaved(6, 2)
    parts = {name: getattr(whole, name) for name in ("inputs", "labels", "queries", "context")}
    with pytest.raises(ValueError, match=words):
        Layout(**(parts | change))
