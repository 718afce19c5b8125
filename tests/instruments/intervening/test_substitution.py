"""Substitutes for an MLP that does a known thing to a known answer."""

import dataclasses
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from mesascope.instruments.asking.applicability import NotApplicable
from mesascope.instruments.intervening import substitution
from mesascope.instruments.spectral.krylov import krylov_terms
from mesascope.models.constructions import gradient_descent
from mesascope.models.taps import Taps
from mesascope.report.figures import draw
from mesascope.testing import check_instrument
from mesascope.types import Domain, Intervention, Prompts, Site, Trace

SIZE = {"fit": 128, "score": 128, "queries": 6}
KINDS = ("resid_mid", "mlp_out", "resid_post")
Correction = Callable[[Prompts, Tensor], Tensor]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Corrected:
    """Before its MLP it answers x_qᵀXᵀy/n; the MLP makes of that (and of the prompt) what ``correct`` says.

    Width: the answer, the query, 2. Untrained, the answer before the MLP is the query's first coordinate.
    """

    correct: Correction
    trained: bool = True
    name: str = "corrected"
    domain: Domain = dataclasses.field(default_factory=Domain)
    sites: tuple[Site, ...] = tuple(Site(layer=0, kind=kind) for kind in KINDS)
    path: tuple[Site, ...] = (Site(layer=0, kind="resid_post"),)

    def trace(
        self, prompts: Prompts, *, capture: Sequence[Site] = (), interventions: Sequence[Intervention] = ()
    ) -> Trace:
        taps = Taps(self.sites, capture, interventions)
        s = krylov_terms(prompts, 1)[..., 0] if self.trained else prompts.queries[..., 0]
        stream = torch.cat([s[..., None], prompts.queries, torch.full_like(s, 2.0)[..., None]], -1)
        stream = taps(self.sites[0], stream)
        added = torch.zeros_like(stream)
        added[..., 0] = self.correct(prompts, stream[..., 0]) - stream[..., 0]
        stream = taps(self.sites[2], stream + taps(self.sites[1], added))
        taps.finish()
        return Trace(predictions=stream[..., 0], activations=taps.activations)

    def readout(self, activation: Tensor, site: Site) -> Tensor:
        return activation[..., 0]

    def reinitialised(self, seed: int) -> "Corrected":
        return dataclasses.replace(self, trained=False)


def closed(correct: Correction, task, look) -> dict[str, float]:
    """The gap closed to the model's answers, by substitute."""
    found = substitution.substitution(Corrected(correct=correct), task, **SIZE)
    return {
        str(m.coordinates["substitute"]): m.value
        for m in found
        if m.quantity == substitution.CLOSED.name and m.coordinates["fitted to"] == substitution.MODEL
    }


def times(factor: Callable[[Prompts], Tensor]) -> Correction:
    return lambda prompts, s: s * factor(prompts)


NORM = times(lambda p: (p.queries.square().sum(-1) - 4).square())
TRACE = times(lambda p: (p.xs.square().sum((-1, -2)) / p.examples - 3).square()[:, None])


@pytest.mark.parametrize(
    ("name", "correct", "others"),
    [
        ("any function of s", lambda p, s: s.tanh(), ("s times a function of tr(XᵀX)/n", "affine in the stream")),
        ("s times a function of ‖x_q‖²", NORM, ("any function of s", "s times a function of tr(XᵀX)/n")),
        ("s times a function of tr(XᵀX)/n", TRACE, ("any function of s", "s times a function of ‖x_q‖²")),
        ("s and Krylov terms", lambda p, s: s - 0.3 * krylov_terms(p, 2)[..., 1], ("any function of s", "affine in the stream")),
        ("affine in the stream", lambda p, s: 0.5 * s + p.queries[..., 1], ("any function of s", "s and Krylov terms")),
        ("quadratic in the stream", lambda p, s: 0.5 * s + s * p.queries[..., 1], ("any function of s", "affine in the stream")),
    ],
)  # fmt: skip
def test_the_right_substitute_closes_the_gap_and_others_do_not(name, correct, others, task, look):
    share = closed(correct, task, look)
    assert share[name] > 0.98
    assert share[substitution.SCALAR] == 0
    assert share[substitution.ACTUAL] == 1
    for other in others:
        assert share[other] < share[name] - 0.3


def test_a_factor_is_found(task, look):
    value, control = look
    found = substitution.substitution(Corrected(correct=lambda p, s: 0.56 * s), task, **SIZE)
    to_model = {"fitted to": substitution.MODEL}
    assert value(found, "best scalar", **to_model).value == pytest.approx(0.56)
    assert value(found, "correlation", **to_model).value == pytest.approx(1)
    scalar = value(found, "MSE", substitute="scalar", **to_model)
    assert scalar.value == pytest.approx(0, abs=1e-12)
    skipped = value(found, "MSE", substitute=substitution.SKIPPED, **to_model)
    assert skipped.value > 0.05
    assert control(skipped, substitution.WRITTEN) == 0
    assert control(scalar, substitution.OTHERS) > 0.1
    assert control(scalar, substitution.UNTRAINED) > 0.1
    # Against the truth a factor of Xᵀy is far from exact, whoever fits it, and so is the MLP here.
    actual = value(found, "MSE", substitute=substitution.ACTUAL, **{"fitted to": substitution.TRUTH})
    assert actual.value > 0.05
    for m in found:
        if m.quantity == "MSE":
            assert control(m, substitution.WRITTEN) < 1e-6


def test_it_keeps_an_instruments_promises(tiny, task):
    def small(subject, task, seed=0):
        return substitution.substitution(subject, task, seed=seed, fit=24, score=16, queries=4)

    check_instrument(small, tiny, task)
    made = substitution.figure(small(tiny, task))
    assert draw(made)["data"]["values"]


def test_it_needs_a_stream_before_the_mlp(bare, task):
    with pytest.raises(NotApplicable, match="no residual stream before an MLP"):
        substitution.substitution(bare, task)
    with pytest.raises(NotApplicable, match="no residual stream before an MLP"):
        substitution.substitution(gradient_descent(layers=2), task, layer=5)
