"""What the study of sinks derives from several networks."""

import math

import pytest
import torch

from mesascope.instruments.behaving import size
from mesascope.instruments.intervening import head_ablation
from mesascope.studies.language_models import sink_panel
from mesascope.studies.language_models.networks import LADDER
from mesascope.studies.study import published
from mesascope.types import Control, Measurement


def measured(quantity: str, instrument: str, network: str, value: float) -> Measurement:
    control = Control(kind="negative", name="none", value=0.0)
    where = {"network": network, "task": sink_panel.BLOCKS}
    return Measurement(
        instrument=instrument,
        quantity=quantity,
        value=value,
        interval=None,
        n=1,
        coordinates=where,
        controls=(control,),
    )


def test_a_correlation_of_logarithms_with_its_interval() -> None:
    sizes, effects = (1.0, 2.0, 5.0, 9.0, 30.0), (3.0, 2.0, 6.0, 4.0, 9.0)
    r, (low, high), controls = sink_panel.with_interval(sizes, effects)
    both = torch.tensor([sizes, effects], dtype=torch.float64).log()
    assert r == pytest.approx(float(torch.corrcoef(both)[0, 1]))
    assert (math.atanh(low) + math.atanh(high)) / 2 == pytest.approx(math.atanh(r))
    assert math.atanh(high) - math.atanh(r) == pytest.approx(1.96 / math.sqrt(2))
    assert {c.kind for c in controls} == {"positive", "negative"}
    assert 0.7 < controls[1].value <= 1  # of five networks, random orders reach 0.88


def test_one_size_in_a_thousand_orders() -> None:
    sizes = tuple(float(i) for i in range(1, 30))
    r, (low, _), controls = sink_panel.with_interval(sizes, [s**0.5 for s in sizes])
    assert r == pytest.approx(1) and low > 0.99
    assert controls[1].value == pytest.approx(1.96 / math.sqrt(28), abs=0.06)


def test_source_c_has_six_models_whose_correlation_random_orders_reach() -> None:
    effects = [published("C")[f"sink_panel_effect_nats/{name}"] for name in sink_panel.PRINTED]
    r, (low, high), (_, random) = sink_panel.with_interval(sink_panel.MILLIONS, effects)
    assert r == pytest.approx(published("C")["sink_panel_early_late/log_params_vs_log_effect_r"], abs=0.02)
    assert low < 0 < r < random.value < high


def test_a_correlation_takes_four_networks_whose_context_has_an_effect() -> None:
    derived = sink_panel._correlated(LADDER, sink_panel.BLOCKS, "some")
    found = []
    for i, network in enumerate(LADDER[:5]):
        found += [
            measured(head_ablation.EFFECT.name, head_ablation.NAME, network, -1.0 if i == 0 else 2.0**i),
            measured(size.PARAMETERS, size.NAME, network, 3.0**i),
        ]
    (m,) = derived.among(found)
    assert (m.n, m.value) == (4, pytest.approx(1))
    assert not derived.among(found[:8])  # the one without an effect is left out, and so three are left
