"""What the studies of language models share: networks by reference, and what is left beyond a control."""

import pytest

from mesascope.studies import bench as module
from mesascope.studies.bench import Bench
from mesascope.studies.language_models import gradient_readout, rate_prediction
from mesascope.studies.language_models.beyond import beyond, less
from mesascope.studies.language_models.networks import LADDER, SHUFFLED
from mesascope.studies.rules import where
from mesascope.types import Control, Measurement

NULL = "nobody's"
SLOPE = Measurement(
    instrument="refinement",
    quantity="slope",
    value=0.5,
    interval=(0.4, 0.7),
    n=9,
    unit="1",
    coordinates={"network": "a"},
    controls=(
        Control(kind="negative", name=NULL, value=0.2, interval=(0.17, 0.24)),
        Control(kind="positive", name="planted", value=1.0, interval=(0.9, 1.1)),
    ),
)


def test_what_is_left_of_a_number_beyond_its_control() -> None:
    (left,) = beyond(where("slope", network="a"), NULL).among([SLOPE])
    assert left == less(SLOPE, NULL)
    assert left.value == pytest.approx(0.3)
    assert left.interval == pytest.approx((0.3 - (0.1**2 + 0.04**2) ** 0.5, 0.3 + (0.2**2 + 0.03**2) ** 0.5))
    assert [(c.name, c.value) for c in left.controls] == [("planted", pytest.approx(0.8))]
    assert left.quantity == f"slope, beyond {NULL}"
    assert beyond(where("slope", network="b"), NULL).among([SLOPE]) == ()
    with pytest.raises(LookupError, match="has no control"):
        less(SLOPE, "somebody's")


def test_models_of_the_ladder_that_do_not_ship_are_left_out(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "names", lambda: ["ladder-small", SHUFFLED])
    here = Bench(profile="laptop", seed=0, directory=tmp_path, networks=tmp_path)
    assert here.shipped((*LADDER, SHUFFLED, "two-layer")) == ("ladder-small", SHUFFLED, "two-layer")


@pytest.mark.parametrize("study", [gradient_readout.STUDY, rate_prediction.STUDY], ids=lambda study: study.name)
def test_a_model_is_loaded_once_and_only_the_ladder_is_in_smoke(study) -> None:
    networks = [m.network for m in study.measures]
    runs = [name for i, name in enumerate(networks) if i == 0 or networks[i - 1] != name]
    assert len(runs) == len(set(runs))  # one after the other: a large model is not loaded twice
    smoke = {m.network for m in study.measures if m.at_smoke}
    assert {*LADDER, SHUFFLED} <= smoke
    assert not any(name.startswith("hf:") or name == "smollm2" for name in smoke)
