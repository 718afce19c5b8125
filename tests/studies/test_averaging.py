"""Numbers over networks against SciPy's, evidence that takes more networks than there are, and records added one by one."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
from scipy import stats

from mesascope.records.codec import to_json
from mesascope.studies import STUDIES, judge, recorded, recording
from mesascope.studies.averaging import SEEN, contrast, over_networks, scatter
from mesascope.studies.bench import Bench
from mesascope.studies.networks import of_depth
from mesascope.studies.rules import where
from mesascope.studies.study import own
from mesascope.training import Interrupted
from mesascope.training.alike import grouped
from mesascope.types import Control, Measurement

TWO, THREE = [0.4, 0.5, 0.2, 0.8], [0.1, 0.15, 0.05]


def measured(values: list[float], layers: int, half: float = 1.5) -> list[Measurement]:
    """Errors of as many networks, each with an interval over prompts: a factor of ``half`` either way."""
    return [
        Measurement(
            instrument="error", quantity="MSE", value=value, interval=(value / half, value * half), n=64,
            coordinates={"layers": layers, "seed": seed},
            controls=(Control(kind="negative", name="untrained network", value=1.0, interval=(0.9, 1.1)),),
        )
        for seed, value in enumerate(values)
    ]  # fmt: skip


FOUND = (*measured(TWO, 2), *measured(THREE, 3))


def test_a_geometric_mean_has_student_s_interval_of_logarithms() -> None:
    (m,) = over_networks(where("MSE", layers=2), geometric=True).among(FOUND)
    logs = [math.log(v) for v in TWO]
    low, high = stats.t.interval(0.95, 3, loc=sum(logs) / 4, scale=stats.sem(logs))
    assert m.value == pytest.approx(stats.gmean(TWO))
    assert m.interval == pytest.approx((math.exp(low), math.exp(high)))
    assert m.controls[0].value == pytest.approx(1.0) and m.n == 4


def test_depths_are_compared_without_pairs() -> None:
    (m,) = contrast(where("MSE", layers=3), where("MSE", layers=2), comparisons=5).among(FOUND)
    a, b = (stats.describe(v) for v in (THREE, TWO))
    parts = a.variance / 3, b.variance / 4
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / 2 + parts[1] ** 2 / 3)
    half = stats.t.ppf(1 - 0.005, freedom) * math.sqrt(sum(parts))
    assert m.value == pytest.approx(a.mean - b.mean)
    assert m.interval == pytest.approx((m.value - half, m.value + half))
    assert m.coordinates == {"layers": 3, "less layers": 2} and m.n == 7
    seen = (stats.t.ppf(1 - 0.005, freedom) + stats.t.ppf(0.8, freedom)) * math.sqrt(sum(parts))
    assert [(c.name, c.value) for c in m.controls] == [(SEEN, pytest.approx(seen))]
    (times,) = contrast(where("MSE", layers=3), where("MSE", layers=2), geometric=True).among(FOUND)
    assert times.value == pytest.approx(stats.gmean(THREE) / stats.gmean(TWO))
    assert times.interval is not None and times.interval[0] < times.value < times.interval[1]


def test_scatter_is_in_standard_errors_over_prompts() -> None:
    (m,) = scatter(where("MSE", layers=2), geometric=True).among(FOUND)
    error = math.log(1.5) / stats.norm.ppf(0.975)
    deviation = stats.tstd([math.log(v) for v in TWO])
    assert m.value == pytest.approx(deviation / error)
    low, high = (math.sqrt(3 / stats.chi2.ppf(q, 3)) for q in (0.975, 0.025))
    assert m.interval == pytest.approx((m.value * low, m.value * high))
    assert m.controls[0].value == 0.0, "untrained networks that are the same do not scatter"
    without = [replace(each, interval=None) for each in FOUND]
    assert math.isnan(scatter(where("MSE", layers=2)).among(without)[0].value)


@pytest.mark.parametrize("evidence", [over_networks, scatter])
def test_too_few_networks_are_no_evidence_and_the_reason_counts_them(evidence: object, tmp_path: Path) -> None:
    here = Bench(profile="laptop", seed=0, directory=tmp_path, networks=tmp_path)
    few = evidence(where("MSE", layers=3), least=4)  # type: ignore[operator]
    outcome = judge(own("a claim", few.between(high=10.0)), "B", FOUND, here)
    assert outcome.judgement == "not decidable" and "(networks measured: 3; at least 4 are needed)" in outcome.reason
    enough = evidence(where("MSE", layers=2), least=4)  # type: ignore[operator]
    assert judge(own("a claim", enough.between(high=1e3)), "B", FOUND, here).judgement == "reproduced"
    both = contrast(where("MSE", layers=2), where("MSE", layers=3), least=4)
    reason = judge(own("a claim", both.between(low=0)), "B", FOUND, here).reason
    assert "(networks measured: 4 and 3; at least 4 of each are needed)" in reason


def test_networks_of_a_depth_train_together_and_have_the_names_of_those_that_ship() -> None:
    networks = {m.network for m in STUDIES["depth-over-networks"].measures if not isinstance(m.network, str)}
    assert len(networks) == 6 * 10
    runs = {Path(n.name): n.published for n in networks}
    assert sorted(len(group) for group in grouped(runs)) == [10] * 6
    assert of_depth(3, 42).ships_as == "query-only-3-layers-laptop"


def test_ctrl_c_while_recording_is_answered_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stops(*arguments: object, **options: object) -> None:
        raise Interrupted(3, tmp_path)

    monkeypatch.setattr(recording, "record", stops)
    with pytest.raises(SystemExit, match="130"):
        recording._main(["depth-over-networks", "--networks", str(tmp_path)])
    assert capsys.readouterr().err == "stopped; run the same command to go on\n"


def test_a_network_is_recorded_beside_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "depth-over-networks"
    short = {
        seed: replace(of_depth(1, seed), spec=replace(of_depth(1, seed).spec, steps=2, batch=4)) for seed in (7, 8)
    }
    asked = [m for m in STUDIES[name].measures if m.network == of_depth(1, 101)]
    brief = [replace(m, prompts=dict.fromkeys(m.prompts, 24)) for m in asked]
    measures = tuple(replace(m, network=n, label={**m.label, "seed": seed}) for seed, n in short.items() for m in brief)
    study = replace(STUDIES[name], claims=(), measures=measures)
    monkeypatch.setattr(recording, "STUDIES", {name: study})
    monkeypatch.setattr(recording, "RECORDS", tmp_path / "records")
    monkeypatch.setattr(recorded, "RECORDS", tmp_path / "records")
    arguments = [name, "--networks", str(tmp_path / "networks"), "--only"]
    with pytest.raises(SystemExit, match="2"):
        recording._main([*arguments, "query-only-9-*"])
    assert "only must match the name of a network" in capsys.readouterr().err
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit, match="2"):
        recording._main([name, "--networks", str(tmp_path / "file")])
    assert "--networks must be a directory" in capsys.readouterr().err
    recording._main([*arguments, "*-seed-7-laptop"])
    (first,) = (tmp_path / "records" / name).iterdir()
    before = first.read_bytes()
    here = Bench(profile="laptop", seed=0, directory=tmp_path, networks=tmp_path)
    assert here.shipped(list(short.values())) == (short[7],), "what is not recorded is not there"
    recording._main([*arguments, "*-seed-8-laptop"])
    assert first.read_bytes() == before and here.shipped(list(short.values())) == tuple(short.values())
    held = recorded.read(short[8].record)
    assert held.provenance["networks"] == {short[8].name: to_json(short[8].spec)}
    made = {m.quantity for each in held.measured.values() for m in each.measurements}
    assert made == {"MSE", "cosine", "R² of the answers"}
