"""Nothing that is measured depends on the units of inputs and labels."""

from dataclasses import dataclass, replace

import pytest

from mesascope.instruments import metrics
from mesascope.instruments.attending import attention
from mesascope.instruments.behaving import invariance, silent_failure, stress
from mesascope.instruments.identification import identify_path
from mesascope.instruments.intervening import ablation, causal, patching
from mesascope.instruments.reading import probes, readout
from mesascope.instruments.spectral import spectrum
from mesascope.models.constructions import heavy_ball
from mesascope.tasks import Diagonal, Gaussian, LinearRegression
from mesascope.types import Prompts, Subject, Trace

INSTRUMENTS = {
    "readout": (readout.readouts, {"fit": 24, "score": 16, "queries": 2}),
    "probes": (probes.linear_probes, {"fit": 24, "score": 16, "queries": 2}),
    "patching": (patching.patching, {"n": 16, "queries": 2}),
    "causal": (causal.causal, {"n": 16, "fit": 24, "queries": 2}),
    "ablation": (ablation.ablations, {"n": 16, "queries": 2}),
    "attention": (attention.attention, {"n": 16, "queries": 2}),
    "stress": (stress.stress, {"n": 16, "queries": 2}),
    "silent failure": (silent_failure.silent_failure, {"n": 16, "queries": 4}),
    "invariance": (invariance.invariances, {"prompts": 16}),
    "spectrum": (spectrum.spectral_response, {"prompts": 40}),
    "metrics": (metrics.literature, {"n": 16}),
}
TINY = 1e-5
"""Derivatives by differences are off by as much as that, of something of size 1."""
UNITS = [(1e-3, 1.0), (1e3, 1.0), (1.0, 1e-3), (1.0, 1e3), (0.2, 30.0)]


@dataclass(frozen=True, slots=True, kw_only=True)
class InUnits(LinearRegression):
    """A task whose weights have another unit; that of the inputs stands in their covariance."""

    slope: float = 1.0

    @property
    def weight_variance(self) -> float:
        return self.slope**2 / self.dim


@dataclass(frozen=True, kw_only=True, eq=False)
class Converted:
    """A subject that is spoken to in other units than it thinks in."""

    subject: Subject
    input_unit: float
    label_unit: float

    @property
    def name(self) -> str:
        return self.subject.name

    @property
    def domain(self):
        return self.subject.domain

    @property
    def sites(self):
        return self.subject.sites

    @property
    def path(self):
        return self.subject.path

    def trace(self, prompts, *, capture=(), interventions=()) -> Trace:
        own = prompts.to(dtype=prompts.xs.dtype)
        found = self.subject.trace(self._own(own), capture=capture, interventions=interventions)
        return replace(found, predictions=found.predictions * self.label_unit)

    def readout(self, activation, site):
        return self.subject.readout(activation, site) * self.label_unit

    def reinitialised(self, seed):
        return replace(self, subject=self.subject.reinitialised(seed))  # type: ignore[attr-defined]

    def _own(self, p: Prompts) -> Prompts:
        slope = self.label_unit / self.input_unit
        return replace(
            p,
            xs=p.xs / self.input_unit,
            queries=p.queries / self.input_unit,
            ys=p.ys / self.label_unit,
            targets=p.targets / self.label_unit,
            target_variance=p.target_variance / self.label_unit**2,
            weights=None if p.weights is None else p.weights / slope,
        )


def in_units(task: LinearRegression, inputs: float, labels: float) -> LinearRegression:
    covariance = Diagonal(condition=4.0, size=inputs**2)
    return InUnits(
        dim=task.dim,
        examples=task.examples,
        queries=task.queries,
        inputs=Gaussian(covariance=covariance),
        slope=labels / inputs,
    )


def measured(subject: Subject, task: LinearRegression, instrument, size) -> dict[object, tuple[float, str]]:
    found = {}
    for m in instrument(subject, task, seed=0, **size):
        key = (m.quantity, *(v for name, v in m.coordinates.items() if name != "ridge λ"))
        found[key] = (m.value, m.unit)
        for control in m.controls:
            found[*key, control.name] = (control.value, m.unit)
    return found


@pytest.fixture(scope="module", params=UNITS, ids=str)
def units(request) -> tuple[float, float]:
    return request.param


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_an_instrument_says_the_same_in_other_units(name, units, planted, task):
    instrument, size = INSTRUMENTS[name]
    inputs, labels = units
    here = measured(planted, in_units(task, 1.0, 1.0), instrument, size)
    there = measured(
        Converted(subject=planted, input_unit=inputs, label_unit=labels),
        in_units(task, inputs, labels),
        instrument,
        size,
    )
    assert here.keys() == there.keys()
    for key, (value, unit) in here.items():
        scale = {"y": labels, "y²": labels**2, "y/x": labels / inputs, "(y/x)²": (labels / inputs) ** 2}.get(unit, 1.0)
        assert there[key][0] == pytest.approx(scale * value, rel=1e-5, abs=TINY * scale, nan_ok=True), key


def test_a_verdict_is_the_same_in_other_units(units):
    """Also the coefficients, in the new unit."""
    inputs, labels = units
    network, task = heavy_ball(layers=4, step_size=0.3, momentum=0.4), LinearRegression(dim=3, examples=9)
    names = ["gradient-descent", "heavy-ball", "chebyshev-iteration", "conjugate-gradient"]

    def asked(subject: Subject, asked_on: LinearRegression):
        (found,) = identify_path(subject, asked_on, seed=0, prompts=45, algorithms=names)
        return found, {row.candidate: row for row in found.scores}

    here, rows = asked(network, in_units(task, 1.0, 1.0))
    converted = Converted(subject=network, input_unit=inputs, label_unit=labels)
    there, others = asked(converted, in_units(task, inputs, labels))
    assert (here.label, here.algorithms) == (there.label, there.algorithms) == ("identified", ("heavy-ball",))
    for name, row in rows.items():
        assert others[name].score == pytest.approx(row.score, abs=1e-6)
    found = others["heavy-ball"].coefficients
    assert found["step_size"] == pytest.approx(0.3 / inputs**2, rel=1e-4)
    assert found["momentum"] == pytest.approx(0.4, rel=1e-3)
