"""Where a study's networks come from, and what is kept of a run that was cut off."""

import dataclasses
import json
from pathlib import Path

import pytest

import mesascope as ms
from mesascope import studies
from mesascope.studies import STUDIES, networks, run_study
from mesascope.studies.bench import Bench, NotShipped
from mesascope.studies.measure import Measure
from mesascope.studies.networks import Network
from mesascope.studies.rules import where
from mesascope.studies.study import Study, own
from mesascope.training import TrainingSpec, query_only
from mesascope.zoo import names

NEVER = Network(layers=1, seed=987)
"""A network that does not ship."""


def bench(profile: str, directory: Path, *, seed: int = 0, networks: Path | None = None) -> Bench:
    where = networks or directory / "networks"
    return Bench(profile=profile, seed=seed, directory=directory, networks=where)  # type: ignore[arg-type]


def test_sizes_follow_the_profile(tmp_path: Path) -> None:
    smoke, laptop, full = (bench(p, tmp_path / p) for p in ("smoke", "laptop", "full"))
    assert [s.prompts(800) for s in (smoke, laptop, full)] == [50, 800, 3200]
    assert smoke.prompts(100) == 24  # fewer cannot be fitted and scored
    assert smoke.prompts(10) == 10


def test_a_network_comes_from_the_zoo_with_its_error(tmp_path: Path) -> None:
    there = bench("laptop", tmp_path)
    shipped = Network(layers=1)
    subject = there.network(shipped)
    assert subject.name == shipped.ships_as in names()
    assert there.network(shipped) is subject
    assert there.error(shipped) == subject.spec["extra"]["query_mse"]  # type: ignore[attr-defined]


def test_one_that_does_not_ship_is_a_stand_in_at_smoke_and_missing_on_a_laptop(tmp_path: Path) -> None:
    with pytest.raises(NotShipped, match="the zoo has no query-only-1-layers-seed-987-laptop"):
        bench("laptop", tmp_path / "a").network(NEVER)
    stand_in = bench("smoke", tmp_path / "b").network(NEVER)
    assert stand_in.spec["step"] == 4  # type: ignore[attr-defined]
    assert stand_in.domain.dims == (5,)


def test_what_ships_is_what_the_zoo_has_but_for_full(tmp_path: Path) -> None:
    networks, has = (Network(layers=1), NEVER), {"smoke": 1, "laptop": 1, "full": 2}
    for profile, count in has.items():
        there = bench(profile, tmp_path / profile)
        assert there.shipped(networks) == networks[:count]
    assert bench("laptop", tmp_path / "again").error(NEVER) == float("inf")


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """The published recipe, cut to a few steps."""

    def made(layers: int, *, seed: int = 42) -> TrainingSpec:
        return dataclasses.replace(query_only(layers, seed=seed), steps=6, batch=4, checkpoint_every=3)

    monkeypatch.setattr(networks, "query_only", made)


def test_a_network_over_training(tmp_path: Path) -> None:
    smoke = bench("smoke", tmp_path)
    assert smoke.trajectory(NEVER) == (1, 2, 4)  # a stand-in: its run directory
    assert smoke.network(NEVER, step=4) is smoke.network(NEVER)
    assert smoke.trajectory("two-layer") == (256, 1024, 4096, 25000)
    for network in (NEVER, "two-layer"):
        for step in smoke.trajectory(network):
            assert smoke.network(network, step=step).spec["step"] == step  # type: ignore[attr-defined]


def test_curves_are_those_of_the_training(tmp_path: Path) -> None:
    there = bench("smoke", tmp_path)
    assert [line["step"] for line in there.curve(NEVER)] == [4]
    for network in (Network(layers=1), "two-layer"):
        lines = there.curve(network)
        assert [line["step"] for line in lines] == sorted(line["step"] for line in lines)
        assert lines[0]["loss"] == pytest.approx(1.0, abs=0.1)  # the untrained network answers near 0
        last = sum(line["loss"] for line in lines[-5:]) / 5
        if isinstance(network, Network):  # trained on the loss that it is judged by
            assert last == pytest.approx(there.error(network), rel=0.1)
        else:
            assert last < 0.5  # answers from few examples count too


@pytest.mark.usefixtures("brief")
def test_full_trains_by_the_published_recipe_and_goes_on_where_it_was(tmp_path: Path) -> None:
    shared = tmp_path / "networks"
    there = bench("full", tmp_path / "one", networks=shared)
    assert there.network(NEVER).spec["step"] == 6  # type: ignore[attr-defined]
    assert there.network(NEVER, step=2).spec["step"] == 2  # type: ignore[attr-defined]
    assert there.trajectory(NEVER) == (1, 2, 3, 4, 6)
    assert there.curve(NEVER)[-1]["step"] == 6
    weights = shared / NEVER.name / "model.safetensors"
    before = weights.stat().st_mtime_ns
    again = bench("full", tmp_path / "two", networks=shared)  # another study's need not train it again
    assert again.network(NEVER).spec["step"] == 6  # type: ignore[attr-defined]
    assert weights.stat().st_mtime_ns == before


def test_a_study_whose_networks_do_not_ship_is_smoked_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = STUDIES["two-layer-patching"]
    measures = tuple(dataclasses.replace(m, network=NEVER, label={"network": NEVER.name}) for m in study.measures[:1])
    missing = dataclasses.replace(study, measures=measures, figures=lambda found, bench: ())
    monkeypatch.setattr("mesascope.studies.STUDIES", {study.name: missing})
    result = run_study(study.name, tmp_path, profile="laptop")
    assert result.profile == "smoke"
    assert result.notes[0].startswith(
        "Run at profile smoke, which decides nothing: the zoo has no query-only-1-layers-seed-987"
    )
    assert {o.judgement for o in result.outcomes} == {"not decidable"}


@pytest.mark.usefixtures("unchecked")
def test_bad_arguments(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"study must be one of .*; got 'two-layer-patchin'\. .*two-layer-patching"):
        run_study("two-layer-patchin", tmp_path)
    with pytest.raises(ValueError, match="profile must be one of smoke, laptop, full; got 'quick'"):
        run_study("two-layer-patching", tmp_path, profile="quick")  # type: ignore[arg-type]


def test_one_page_for_all_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from mesascope.cli import main

    result = run_study("two-layer-patching", tmp_path / "one", profile="smoke")
    ms.save(result, tmp_path / "one")
    assert main(["study", "report", str(tmp_path)]) == 0
    assert f"1 of {len(STUDIES)} studies: 3 not decidable" in capsys.readouterr().out
    page = (tmp_path / "studies.html").read_text()
    assert STUDIES["two-layer-patching"].title in page and "All measurements" in page
    assert main(["study", "report", str(tmp_path)]) == 0  # over its own
    for theirs in ("text", "link"):
        (tmp_path / "studies.html").unlink()
        (tmp_path / "thesis.html").write_text("chapter 1")
        if theirs == "text":
            (tmp_path / "studies.html").write_text("chapter 1")
        else:
            (tmp_path / "studies.html").symlink_to("thesis.html")
        assert main(["study", "report", str(tmp_path)]) == 2
        assert "DIR must hold no studies.html, except one that" in capsys.readouterr().err
        assert (tmp_path / "studies.html").read_text() == (tmp_path / "thesis.html").read_text() == "chapter 1"
    (empty := tmp_path / "empty").mkdir()
    assert main(["study", "report", str(empty)]) == 2
    assert "DIR must hold results of studies; there are none" in capsys.readouterr().err
    assert main(["study", "report", str(tmp_path / "nowhere")]) == 2
    assert main(["study", "run", "patching"]) == 2
    assert "study must be one of" in capsys.readouterr().err
    assert main(["study", "list", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)) == list(STUDIES)


def test_many_studies_share_a_page(tmp_path: Path) -> None:
    one = run_study("two-layer-patching", tmp_path / "one", profile="smoke")
    other = dataclasses.replace(one, study="another")
    (evidence, *_), *_ = (o.evidence for o in one.outcomes)
    failed = dataclasses.replace(one.outcomes[0], judgement="not reproduced", evidence=(evidence,))
    page = ms.report.study_page([one, dataclasses.replace(other, outcomes=(failed, *one.outcomes[1:]))])
    assert page.index("Not reproduced: 1") < page.index("Not decidable: 5") and "Reproduced:" not in page
    assert page.index("another: ") < page.index("two-layer-patching: ")  # the study with a failure first
    assert "All measurements" not in page and f"All {len(one.measurements)} measurements" in page
    (name, *_) = one.provenance["networks"]  # type: ignore[misc]
    assert page.count(f"<caption>{name}</caption>") == 1


def test_a_language_model_that_is_not_here_is_downloaded_by_full_alone_and_one_with_a_name_by_a_laptop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MESASCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "model").mkdir()
    here, hub, named = f"hf:{tmp_path / 'model'}", "hf:nobody/nothing-987", "smollm2"
    asked: list[str] = []

    def unreachable(name: str, *_: object) -> None:
        asked.append(str(name))
        raise ValueError("no connection")

    monkeypatch.setattr("mesascope.zoo.language.from_hub", unreachable)
    monkeypatch.setattr("mesascope.zoo.language.kept", unreachable)
    for profile, tried in {"smoke": [], "laptop": [named], "full": ["nobody/nothing-987", named]}.items():
        asked.clear()
        assert bench(profile, tmp_path / profile).shipped((here, hub, named)) == (here,)
        assert asked == tried


def test_a_study_says_which_language_models_it_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    some = Measure(
        instrument="refinement", network="hf:nobody/nothing-987", label={"network": "nobody"}, prompts={"n": 24}
    )
    claim = own("It refines.", where("error reduction", network="nobody").between(low=0))
    study = Study(name="absent", title="Is it there?", claims=(claim,), measures=(some,))
    monkeypatch.setattr(studies, "STUDIES", {"absent": study})
    found = run_study("absent", tmp_path / "run")
    assert found.notes == ("Not available here, and left out: hf:nobody/nothing-987.",)
    assert found.outcomes[0].judgement == "not decidable"
