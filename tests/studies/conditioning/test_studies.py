"""The studies of networks trained on conditioning: what they derive from measurements, and what is drawn without any."""

from pathlib import Path
from typing import Any

import pytest

from mesascope.instruments.behaving import signature, solver_errors
from mesascope.instruments.behaving.stress import RATIO
from mesascope.instruments.reading import probes
from mesascope.studies import published
from mesascope.studies.bench import Bench
from mesascope.studies.conditioning import error_by_conditioning as errors
from mesascope.studies.conditioning import iterate_probes as iterates
from mesascope.studies.conditioning import out_of_distribution_signature as warning
from mesascope.studies.conditioning.iterate_targets import CG, GD, STEPS, TRAINED, after, site, target
from mesascope.studies.conditioning.networks import ISOTROPIC, LAYERS, MIXED, NETWORKS
from mesascope.studies.measure import works
from mesascope.studies.study import Study
from mesascope.studies.trained_regressors.probed import ALONE
from mesascope.types import Control, Measurement, adjusted

STUDIES = (iterates.STUDY, errors.STUDY, warning.STUDY)


def number(instrument: str, quantity: str, value: float, alone: float = 0.5, **coordinates: Any) -> Measurement:
    control = Control(kind="negative", name=ALONE, value=alone, interval=(alone - 0.01, alone + 0.01))
    return Measurement(
        instrument=instrument,
        quantity=quantity,
        value=value,
        interval=(value - 0.01, value + 0.01),
        n=10,
        unit="1",
        coordinates=coordinates,
        controls=(control,),
    )


def derived(study: Study, words: str):
    (rule,) = [r for c in study.claims for r in c.rules if words in str(r.evidence)]
    return rule


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(profile="laptop", seed=0, directory=tmp_path, networks=tmp_path)


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_no_two_measures_have_one_name(study: Study, bench: Bench) -> None:
    names = [work.name for measure in study.measures for work in works(measure, bench)]
    assert len(set(names)) == len(names) > 1


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_without_measurements_nothing_is_drawn_or_judged(study: Study, bench: Bench) -> None:
    assert study.figures((), bench) == ()
    assert not any(rule.evidence.among(()) for claim in study.claims for rule in claim.rules)


def test_layers_are_counted_from_one() -> None:
    assert site(1) == "blocks.0.hook_resid_post" and after(site(LAYERS)) == LAYERS


@pytest.mark.parametrize(("of_gd", "holds"), [(0.3, True), (0.45, False)])
def test_matched_targets_of_gradient_descent_may_not_be_read_much_better(of_gd: float, holds: bool) -> None:
    found = [
        number(probes.NAME, probes.R2.name, 0.3, target=target(CG, "weights", step), network=MIXED.name, site=site(6))
        for step in STEPS
    ]
    found += [
        number(
            probes.NAME,
            probes.R2.name,
            of_gd if step == 4 else 0.3,
            target=target(GD, "weights", step),
            network=MIXED.name,
            site=site(6),
        )
        for step in STEPS
    ]
    rule = derived(iterates.STUDY, "conjugate gradient less gradient descent, the least")
    (m,) = rule.evidence.among(found)
    assert m.value == pytest.approx(0.3 - of_gd) and m.coordinates["network"] == MIXED.name in TRAINED
    assert rule.bound.holds(m) is holds


def test_what_a_stream_holds_beyond_the_moment_is_the_most_of_each_network() -> None:
    found = [
        number(probes.NAME, probes.R2.name, value, target=target(CG, "weights", 2), network=network, site=site(layer))
        for network, layer, value in ((MIXED.name, 3, 0.2), (MIXED.name, 6, 0.7), (ISOTROPIC.name, 3, 0.4))
    ]
    rule = derived(iterates.STUDY, "beyond that of")
    assert {m.coordinates["network"]: round(m.value, 9) for m in rule.evidence.among(found)} == {
        MIXED.name: 0.2,
        ISOTROPIC.name: -0.1,
    }


def test_the_printed_figures_are_those_of_their_claims() -> None:
    assert published("A")["probe_by_layer_isotropic/gd/4"] == 0.37
    assert errors.PRINTED["gd_data"][-1] == published("A")["final_mse_by_kappa/gd_data/4"] == 54.17
    (one,) = [c for c in errors.STUDY.claims if "gradient descent are as printed" in c.text]
    assert [r.bound.low for r in one.rules] == pytest.approx([v / 2 for v in errors.PRINTED["gd_data"]])


def test_every_setting_varies_one_thing() -> None:
    for network in NETWORKS:
        table = warning.settings(network.task)
        assert len({row.name for row in table}) == len(table) >= 20
        assert all(row.task.examples == 20 and row.task.noise >= 0.1 for row in table)
        labels = [row for row in table if row.name.startswith("labels")]
        assert all(adjusted(row.task, queries=1) == network.task for row in labels)
        assert len({warning._kind(row.name) for row in table}) == 6


@pytest.mark.parametrize(("error", "holds"), [(50.0, True), (2.0, False)])
def test_a_warning_must_be_right_when_it_is_given(error: float, holds: bool, bench: Bench) -> None:
    found = []
    for setting, agreement, over in (("κ = 1", 0.99, 1.5), ("κ = 2000", 0.5, 300.0), ("noise 3", 0.6, error)):
        at: dict[str, Any] = {"network": MIXED.name, "setting": setting}
        found.append(number(signature.NAME, signature.AGREEMENT, agreement, site=warning.LAST, **at))
        found.append(number(signature.NAME, RATIO.name, over, **at))
    rule = derived(warning.STUDY, "the least of the settings warned of")
    (m,) = rule.evidence.among(found)
    assert m.coordinates["setting"] == "noise 3" and rule.bound.holds(m) is holds
    (note,) = warning.STUDY.notes(found, bench)
    assert ("without need: noise 3" in note) is not holds


@pytest.mark.parametrize(("agreement", "holds"), [(0.5, True), (0.95, False)])
def test_no_failure_goes_without_a_warning(agreement: float, holds: bool) -> None:
    found = []
    for setting, agreed, over in (("κ = 1", 0.99, 1.5), ("κ = 2000", 0.5, 300.0), ("labels times 2", agreement, 90.0)):
        at: dict[str, Any] = {"network": MIXED.name, "setting": setting}
        found.append(number(signature.NAME, signature.AGREEMENT, agreed, site=warning.LAST, **at))
        found.append(number(signature.NAME, RATIO.name, over, **at))
    rule = derived(warning.STUDY, "agreement, the largest")
    (m,) = rule.evidence.among(found)
    assert m.value == max(agreement, 0.5) and rule.bound.holds(m) is holds


def test_names_of_readouts_say_how_many_prompts_they_saw() -> None:
    assert solver_errors.plain(errors.FEW) == "plain readout, fitted on 100 prompts"
