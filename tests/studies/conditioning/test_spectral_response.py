"""Measured filters beside the curves of known methods."""

import math
from dataclasses import replace

import pytest
import torch

from mesascope.studies.bench import Bench
from mesascope.studies.conditioning import filter_curves, spectral_response
from mesascope.studies.conditioning.filter_curves import CG, DESCENT, FLAT, FLOW, RIDGE, Filter, distances, nearest
from mesascope.studies.measure import works
from mesascope.types import Measurement

AT = torch.logspace(-1, 2, 9, dtype=torch.float64)
EVEN = torch.full((9,), 1 / 9, dtype=torch.float64)
KNOWN = {
    FLOW: (0.05, 1 - torch.exp(-0.05 * AT)),
    DESCENT: (0.012, 1 - (1 - 0.012 * AT) ** 4),
    RIDGE: (1 / 3.0, AT / (AT + 3.0)),
}


def measured(gains: torch.Tensor) -> Filter:
    return Filter(eigenvalues=AT, gains=gains, weights=EVEN)


@pytest.mark.parametrize("name", KNOWN)
def test_a_methods_own_curve_is_the_nearest_and_its_number_is_found(name: str) -> None:
    number, curve = KNOWN[name]
    subject = measured(0.7 * curve)
    found = nearest(subject, 4, ())
    gaps = {other: float((near.curve - subject.gains).square().mean().sqrt()) for other, near in found.items()}
    assert gaps[name] < 1e-3 and found[name].number == pytest.approx(number, rel=0.02)
    assert all(gap > 5e-3 for other, gap in gaps.items() if other != name)
    assert CG not in found and math.isnan(found[FLAT].number)


def test_a_step_of_conjugate_gradient_is_found_among_all() -> None:
    steps = [measured(1 - torch.exp(-AT * k / 50)) for k in (1, 3, 9)]
    found = nearest(measured(0.5 * steps[1].gains), 2, steps)
    assert found[CG].number == 2
    torch.testing.assert_close(found[CG].curve, 0.5 * steps[1].gains)


def rows(network: str, curve: torch.Tensor, layer: int) -> list[Measurement]:
    return [
        Measurement(
            instrument="spectrum",
            quantity="response",
            value=gain,
            interval=(gain - 0.1, gain + 0.1),
            n=40,
            coordinates={"network": network, "condition": 10.0, "layer": layer, "eigenvalue": eigenvalue},
        )
        for eigenvalue, gain in zip(AT.tolist(), curve.tolist(), strict=True)
    ]


def test_distances_are_means_over_layers_and_need_every_layer() -> None:
    found = [
        row
        for layer, strength in ((1, 9.0), (2, 3.0))
        for row in (*rows("a", AT / (AT + strength), layer), *rows("cg", 1 - torch.exp(-AT / strength), layer))
    ]
    gaps = {m.coordinates["curve"]: m for m in distances(found, (1, 2), "cg", network="a", condition=10.0)}
    assert set(gaps) == set(filter_curves.CURVES)
    assert gaps[RIDGE].value < 1e-3 < gaps[FLOW].value < gaps[RIDGE].controls[0].value
    assert distances(found, (1, 2, 3), "cg", network="a", condition=10.0) == []
    assert distances(found, (1, 2), "cg", network="a", condition=50.0) == []


def test_uncertain_places_count_less() -> None:
    certain, uncertain = rows("a", torch.ones(9), 1)[:2]
    uncertain = replace(uncertain, interval=(-1.0, 3.0))
    found = filter_curves.filter_after([certain, uncertain], 1, network="a", condition=10.0)
    assert found is not None
    assert float(found.weights[0] / found.weights[1]) == pytest.approx(400)


def test_the_hand_built_network_has_the_known_filter(tmp_path) -> None:
    bench = Bench(profile="smoke", seed=0, directory=tmp_path, networks=tmp_path)
    (measure,) = (m for m in spectral_response.STUDY.measures if m.label["network"] == spectral_response.BUILT)
    (work,) = works(measure, bench)
    off = spectral_response._off(work.run(lambda words: None).measurements)
    assert [m.quantity for m in off] == ["distance from the closed form"]
    assert 0 < off[0].value < 0.15  # from 25 prompts
