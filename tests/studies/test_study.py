"""How claims are judged: by rules on intervals, with the right to say that the budget decides nothing."""

import dataclasses
import math
from pathlib import Path

import pytest

from mesascope.studies import STUDIES, Between, Claim, labelled, pick, published
from mesascope.studies.bench import Bench
from mesascope.studies.networks import TWO_LAYERS, Network
from mesascope.studies.rules import where
from mesascope.studies.study import judge
from mesascope.types import Measurement


def number(value: float, low: float | None = None, high: float | None = None, **where: str) -> Measurement:
    interval = None if low is None or high is None else (low, high)
    return Measurement(instrument="ruler", quantity="length", value=value, interval=interval, n=9, coordinates=where)


@pytest.mark.parametrize(
    ("measured", "holds"),
    [
        (number(0.5, 0.3, 0.7), True),
        (number(0.5, 0.2, 0.8), True),
        (number(0.5, 0.1, 0.7), None),
        (number(0.1, 0.05, 0.15), False),
        (number(0.9, 0.85, 0.95), False),
        (number(0.1, 0.05, 0.2), None),
        (number(0.5), True),
        (number(0.81), False),
        (number(math.nan), None),
        (number(0.5, math.nan, math.nan), True),
    ],
)
def test_a_rule_asks_for_the_whole_interval(measured: Measurement, holds: bool | None) -> None:
    assert Between(low=0.2, high=0.8).holds(measured) is holds


def test_a_rule_says_what_it_asks_for() -> None:
    assert str(Between(low=0.2, high=0.8)) == "from 0.2 to 0.8"
    assert str(Between(low=0.2)) == "at least 0.2"
    assert str(Between(high=0.8)) == "at most 0.8"


class Known(Bench):
    """A bench whose networks have an error that is known."""

    __slots__ = ()

    def error(self, network: Network) -> float:
        return 0.01


def outcome(directory: Path, *measured: Measurement, needs: float | None = None, profile: str = "laptop"):
    claim = Claim(
        text="It is long.",
        published=("wide_two_layers/cos_w/0",),
        rules=(where("length").between(low=1.0),),
        needs={} if needs is None else {Network(): needs},
    )
    bench = Known(profile=profile, seed=0, directory=directory, networks=directory)  # type: ignore[arg-type]
    return judge(claim, "B", measured, bench)


def test_a_claim_is_reproduced_where_all_its_numbers_lie_inside(tmp_path: Path) -> None:
    good = outcome(tmp_path, number(2, 1.5, 2.5), number(3))
    assert good.judgement == "reproduced"
    assert [e.holds for e in good.evidence] == [True, True]
    assert [e.rule for e in good.evidence] == ["at least 1", "at least 1"]
    assert not good.own
    assert (good.published[0].path, good.published[0].value) == ("wide_two_layers/cos_w/0", 0.83)


def test_one_number_elsewhere_is_enough_against_it(tmp_path: Path) -> None:
    bad = outcome(tmp_path, number(2, 1.5, 2.5), number(0.5, 0.4, 0.6))
    assert bad.judgement == "not reproduced"
    assert bad.reason == "1 of 2 numbers lie elsewhere, interval and all"


def test_a_straddling_interval_decides_nothing(tmp_path: Path) -> None:
    assert outcome(tmp_path, number(2, 0.5, 2.5)).judgement == "not decidable"
    assert outcome(tmp_path, number(2, 0.5, 2.5), number(0.5, 0.4, 0.6)).judgement == "not reproduced"


def test_a_network_that_is_not_trained_far_enough_decides_nothing_against_a_claim(tmp_path: Path) -> None:
    bad = outcome(tmp_path, number(0.5), needs=0.001)
    assert bad.judgement == "not decidable"
    assert bad.reason == "not trained far enough: query-only-2-layers has error 0.01, and the rule asks for 0.001"
    assert outcome(tmp_path, number(0.5), needs=0.02).judgement == "not reproduced"
    assert outcome(tmp_path, number(2.0), needs=0.001).judgement == "reproduced"  # what holds, holds


def test_what_was_not_measured_and_what_only_smoked_decide_nothing(tmp_path: Path) -> None:
    assert outcome(tmp_path).reason == "not measured here: length"
    many = Claim(text="It is long.", rules=tuple(where(f"side {i}").between(low=1.0) for i in range(5)))
    none = judge(many, "B", (), Known(profile="laptop", seed=0, directory=tmp_path, networks=tmp_path))
    assert none.reason == "not measured here: side 0; side 1; side 2; and 2 more"
    assert outcome(tmp_path, number(2.0), profile="smoke").judgement == "not decidable"


def test_picking_needs_exactly_one() -> None:
    found = labelled([number(1, site="a"), number(2, site="b")], network="n")
    assert pick(found, "length", site="b", network="n").value == 2
    assert list(found[0].coordinates) == ["network", "site"]
    with pytest.raises(LookupError, match=r"2 measurements of 'length' at \{'network': 'n'\}; one was wanted\."):
        pick(found, "length", network="n")
    with pytest.raises(LookupError, match="0 measurements"):
        pick(found, "width")


def test_published_figures_are_leaves() -> None:
    figures = published("B")
    assert figures["depth_probe_cos/4/w/0"] == 0.11
    assert figures["patching_two_layers_n200/L1_attn/to_donor"] == 0.0009


def test_every_published_figure_belongs_to_a_claim() -> None:
    cited = {(study.source, path) for study in STUDIES.values() for claim in study.claims for path in claim.published}
    known = {(source, path) for source in ("A", "B", "C", "D") for path in published(source)}
    assert cited <= known
    begun = {(source, path.partition("/")[0]) for source, path in cited}  # of source C not every result has a study yet
    assert {(s, path) for s, path in known if s != "C" or (s, path.partition("/")[0]) in begun} <= cited


def test_a_claim_is_judged_by_something_and_says_it_in_a_sentence() -> None:
    for study in STUDIES.values():
        assert study.title.endswith("?"), study.name
        assert study.claims, study.name
        for claim in study.claims:
            assert claim.rules and claim.text.endswith("."), claim.text
            assert len(set(claim.published)) == len(claim.published)


def test_networks_have_the_names_of_their_recipes() -> None:
    assert Network().name == "query-only-2-layers"
    assert Network(layers=3, seed=100).ships_as == "query-only-3-layers-seed-100-laptop"
    longer = TWO_LAYERS[1]
    assert longer.ships_as == longer.laptop.name == "query-only-2-layers-20000-steps-seed-100-laptop"
    assert longer.laptop.steps == 20_000 and longer.published == Network(seed=100).published
    assert Network(width=256).published.model.feedforward == 512
    assert Network(inputs="laplace", examples=40).name == "query-only-2-layers-laplace-40-examples"
    spec = Network(layers=4).published
    assert (spec.steps, spec.batch, spec.learning_rate, spec.optimiser) == (200_000, 256, 3e-4, "adam")
    assert dataclasses.replace(Network(layers=4).laptop.task, queries=1) == spec.task
