"""Records of trainings: measured as a study would, and marked as recorded wherever they are read."""

from pathlib import Path

import pytest

from mesascope.instruments.reading.induction import ANSWER
from mesascope.instruments.reading.refinement import FALL
from mesascope.models.language.pythia import PythiaConfig
from mesascope.records.codec import to_json
from mesascope.records.store import write_json
from mesascope.studies.language_models import following, recording
from mesascope.studies.language_models import recorded as shipped
from mesascope.studies.language_models.networks import LADDER
from mesascope.studies.language_models.recorded import MARK, from_records, recorded, told
from mesascope.studies.language_models.recording import record
from mesascope.training import Corpus, LanguageSpec, train

SPEC = LanguageSpec(
    name="tiny", corpus=Corpus(), model=PythiaConfig(layers=2, width=16, heads=2), steps=2, batch=4, checkpoint_every=2
)


def test_a_run_is_recorded_and_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "N", 24)
    monkeypatch.setattr(following, "SEQUENCES", 4)
    monkeypatch.setattr(shipped, "RECORDS", tmp_path / "records")
    run = train(SPEC, tmp_path / "run", progress=False)
    made = record(run, tmp_path)
    assert made.name == "tiny" and made.spec["corpus"] == to_json(SPEC.corpus) and not made.missing
    assert {m.coordinates["step"] for m in made.measurements} == {1, 2}
    assert all(m.controls for m in made.measurements)
    assert record(run, tmp_path) == made  # what is done is found again
    (tmp_path / "records").mkdir()
    write_json(tmp_path / "records" / "tiny.json", to_json(made))
    recorded.cache_clear()
    try:
        assert to_json(recorded()["tiny"]) == to_json(made)
        (first, second) = from_records(["tiny", "nobody"], FALL.name)
        assert first.coordinates == {"network": f"tiny{MARK}", "step": 1} and second.coordinates["step"] == 2
        assert len(from_records(["tiny"], ANSWER.name, sequences="recall")) == 2
        (words,) = told(["tiny", "nobody"])
        assert words.startswith("tiny (recorded): not measured in this run") and "at 2 checkpoints" in words
    finally:
        recorded.cache_clear()


def test_records_that_ship_are_of_the_ladder_and_whole() -> None:
    for name, each in recorded().items():
        assert name in (*LADDER, "ladder-small-shuffled") and each.spec["name"] == name
        steps = {m.coordinates["step"] for m in each.measurements}
        assert {1, 128, 1024, 4096} <= steps and not each.missing and not each.excluded
        assert {m.instrument for m in each.measurements} == {"refinement", "sinks", "induction"}
        assert all(m.controls for m in each.measurements)


@pytest.mark.parametrize(
    ("run", "words"),
    [("nowhere", "nothing is called 'nowhere'"), ("two-layer", "run must be a training of a language model")],
)
def test_what_is_no_run_of_a_language_model_is_refused_in_a_line(run, words, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(recording, "RECORDS", tmp_path / "records")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        recording._main([run])
    said = capsys.readouterr().err
    assert words in said and "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_is_a_line(monkeypatch, capsys) -> None:
    def stop(*given: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(recording, "record", stop)
    with pytest.raises(SystemExit, match="130"):
        recording._main(["run"])
    assert capsys.readouterr().err.splitlines() == ["stopped"]
