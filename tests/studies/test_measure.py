"""A study's form: measures that are data, rules that say by address which evidence they are about."""

import dataclasses
from pathlib import Path

import pytest

from mesascope.instruments.behaving import errors, rounding, training_curve, training_loss
from mesascope.instruments.reading import probes
from mesascope.plans import Here, Plan, Processes, execute
from mesascope.records.journal import Journal
from mesascope.studies import Claim, Place, Study, run_study
from mesascope.studies.bench import Bench
from mesascope.studies.language_models import forecast
from mesascope.studies.measure import Curve, Measure, works
from mesascope.studies.networks import Network
from mesascope.studies.rules import Derived, Where, known, largest, where
from mesascope.studies.study import with_derived
from mesascope.types import Control, Measurement, Site

ONE, NEVER = Network(layers=1), Network(layers=1, seed=987)
"""A network that ships, and one that does not."""
LAST = str(Site(layer=0, kind="resid_post"))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(profile="smoke", seed=0, directory=tmp_path, networks=tmp_path / "networks")


def measure(network: Network | str = ONE, instrument: str = errors.NAME, **more) -> Measure:
    sizes = {errors.NAME: {"n": 24}, probes.NAME: {"fit": 24, "score": 24}}.get(instrument, {})
    label = {"network": network if isinstance(network, str) else network.name}
    return Measure(instrument=instrument, network=network, label=label, prompts=sizes, **more)


def measured(measure: Measure, bench: Bench) -> tuple[Measurement, ...]:
    return tuple(m for work in works(measure, bench) for m in work.run(lambda words: None).measurements)


def study(evidence: Where) -> Study:
    claim = Claim(text="It is so.", rules=(evidence.between(low=0.0),))
    measures = (measure(), measure(instrument=probes.NAME), measure(instrument=rounding.NAME))
    return Study(name="test", title="Is it?", measures=measures, claims=(claim,))


@pytest.mark.parametrize(
    ("evidence", "message"),
    [
        (where("MSEs"), r"study test: evidence must be .*; none measures 'MSEs', but .*\. Did you mean 'MSE'"),
        (where("MSE", netwrk=ONE.name), r"no measure of 'MSE' says a coordinate 'netwrk'; they say .* mean 'network'"),
        (
            where("MSE", network="query-only-1-layer"),
            r"network must be one of query-only-1-layers where 'MSE' is measured; got 'query-only-1-layer'\. Did you mean",
        ),
        (where(probes.R2, site="blocks.0.hook_resid_pots"), r"a site must be hook_embed or one of .*resid_pots"),
        (
            where(rounding.ERROR, precision="float16"),
            r"precision must be one of float64, float32 where .*; got 'float16'",
        ),
        (where("MSE", site=LAST), r"no measure of 'MSE' says a coordinate 'site'"),  # the probes' have one
    ],
)
def test_evidence_that_no_measure_can_produce_is_an_error_when_the_study_is_defined(evidence, message) -> None:
    with pytest.raises(ValueError, match=message):
        study(evidence)


def test_evidence_that_some_measure_can_produce_is_none() -> None:
    for evidence in (where("MSE"), where(errors.MSE, network=ONE.name), where(probes.R2, site=LAST, target=("w", "x"))):
        assert study(evidence).claims[0].rules[0].evidence is evidence


def test_an_instrument_must_be_one_of_ours() -> None:
    with pytest.raises(ValueError, match=r"instrument must be one of .*; got 'errors'\. Did you mean 'error'"):
        measure(instrument="errors")


def test_two_processes_find_what_one_finds(bench: Bench) -> None:
    measures = (measure(), measure("two-layer", instrument=probes.NAME, options={"targets": {"w": probes.moment}}))
    plan = Plan(words="two measures", works=tuple(work for m in measures for work in works(m, bench)))
    here, there = (execute(plan, Journal(None), engine=engine) for engine in (Here(), Processes(workers=2)))
    assert here == there and len(here) == 2


def test_what_is_kept_of_a_measure(bench: Bench) -> None:
    everything = measured(measure(instrument=probes.NAME), bench)
    kept = (where(probes.COSINE, target="w"), where(site=LAST, target="XᵀX/n"))
    few = measured(measure(instrument=probes.NAME, kept=kept), bench)
    assert few == tuple(m for m in everything if any(address.has(m) for address in kept))
    assert 0 < len(few) < len(everything)


def test_over_training(bench: Bench) -> None:
    found = measured(measure("two-layer", over_training=True), bench)
    assert [m.coordinates["step"] for m in found] == list(bench.trajectory("two-layer"))
    one_each = works(measure("two-layer", over_training=True), bench)
    assert [work.name for work in one_each] == [f"error, two-layer, step {step}" for step in (256, 1024, 4096, 25000)]
    assert found[-1].value == measured(measure("two-layer"), bench)[0].value < found[0].value
    place = measure("two-layer", over_training=True).coordinates()
    assert "step" in place and "step" not in measure("two-layer").coordinates()


def test_smoke_follows_a_network_at_few_of_its_checkpoints(bench: Bench) -> None:
    whole = dataclasses.replace(bench, profile="laptop").trajectory("ladder-small")
    few = bench.trajectory("ladder-small")
    assert len(whole) == 14 and few == tuple(whole[i] for i in (0, 3, 5, 8, 10, 13))
    assert forecast.SOON in few  # or nothing is forecast at this profile


def test_options_that_profile_smoke_takes_instead(bench: Bench) -> None:
    targets = {"targets": {"it": probes.moment}}
    cut = measure(instrument=probes.NAME, smoke_options=targets)
    assert {m.coordinates["target"] for m in measured(cut, bench)} == {"it"}
    keys = [works(m, bench)[0].key for m in (cut, measure(instrument=probes.NAME, options=targets))]
    assert keys[0] == keys[1]
    laptop = dataclasses.replace(bench, profile="laptop")
    keys = [works(m, laptop)[0].key for m in (cut, measure(instrument=probes.NAME))]
    assert keys[0] == keys[1]


def test_networks_among_the_options_become_subjects_and_those_that_do_not_ship_are_left_out(bench: Bench) -> None:
    rivals = {"wide": Network(width=256), "never": NEVER}
    found = measured(measure(options={"rivals": rivals}), bench)
    assert [m.coordinates.get("over") for m in found] == [None, "wide"]


def test_a_curve_among_the_options_is_what_the_training_logged(bench: Bench) -> None:
    (found,) = measured(measure(instrument=training_curve.NAME, options={"curve": Curve(of=ONE)}), bench)
    assert found.quantity == training_curve.HALF_WAY and 0.7 < found.value < 1.1
    assert found.controls[1].name.endswith(f"held out {bench.error(ONE):.2g}")
    subject, lines = bench.network(ONE), bench.curve(ONE)
    assert training_curve.half_way(subject, ONE.task, curve=(lines[0], lines[-1])) == ()
    (loss,) = measured(measure(instrument=training_loss.NAME, options={"curve": Curve(of=ONE)}), bench)
    assert loss.value == lines[-1]["loss"]  # of the finished network
    assert loss.controls[0].value > loss.controls[1].value


def test_the_journal_knows_a_measure_by_everything_in_it(bench: Bench) -> None:
    from mesascope.records.journal import digest

    def key(target: object, profile: str = "smoke") -> str:
        one = measure(instrument=probes.NAME, options={"targets": {"it": target}})
        (only,) = works(one, dataclasses.replace(bench, profile=profile))
        return digest(only.key)

    targets = (probes.moment, probes.gram, probes.InverseGram(ridge=1.0), probes.InverseGram(ridge=2.0))
    assert len({key(target) for target in targets} | {key(probes.moment, "laptop")}) == 5
    assert key(probes.InverseGram(ridge=1.0)) == key(probes.InverseGram(ridge=1.0))


def number(value: float, **controls: float) -> Measurement:
    kept = tuple(Control(kind="negative", name=name, value=v) for name, v in controls.items())
    return Measurement(instrument="ruler", quantity="length", value=value, interval=None, n=9, controls=kept)


def test_a_control_is_evidence_too() -> None:
    (found,) = where("length", control="thumb").among([number(1.0, thumb=0.1, hand=0.5)])
    assert (found.value, found.quantity, [c.name for c in found.controls]) == (0.1, "length of thumb", ["hand"])
    with pytest.raises(LookupError, match="'length' has no control 'foot'"):
        known(number(1.0), "foot")


def test_what_is_derived_stands_beside_what_was_measured_and_once() -> None:
    twice = Derived(words="twice", of=lambda found: [number(2 * found[0].value)])
    itself = Derived(words="itself", of=lambda found: found[:1])
    claims = tuple(Claim(text="So.", rules=(each.between(low=0.0),)) for each in (twice, itself, twice))
    assert [m.value for m in with_derived(claims, [number(1.0)])] == [1.0, 2.0]


def test_the_largest_of_some_evidence_and_of_its_controls() -> None:
    found = [
        dataclasses.replace(number(value, thumb=thumb), coordinates={"hand": hand, "finger": value})
        for value, thumb, hand in ((1.0, 0.9, "left"), (2.0, 0.5, "left"), (0.3, 0.1, "right"))
    ]
    left, right = largest(where("length"), "hand").among(found)
    assert (left.value, left.controls[0].value, dict(left.coordinates)) == (2.0, 0.9, {"hand": "left"})
    assert (right.value, right.quantity, dict(right.coordinates)) == (
        0.3,
        "largest length",
        {"hand": "right", "finger": 0.3},
    )


def test_a_rule_within_a_factor() -> None:
    bound = where("length").near(10.0, 2.0).bound
    assert (
        (bound.low, bound.high) == (5.0, 20.0) == dataclasses.astuple(Derived(words="", of=list).near(10.0, 2.0).bound)
    )


def test_a_study_in_two_processes(tmp_path: Path) -> None:
    one = run_study("two-layer-patching", tmp_path / "one", profile="smoke")
    two = run_study("two-layer-patching", tmp_path / "two", profile="smoke", place=Place(engine=Processes(workers=2)))
    assert (one.measurements, one.outcomes) == (two.measurements, two.outcomes)
