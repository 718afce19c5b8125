"""`study run` and the page that `study report` makes of results."""

from pathlib import Path

import mesascope as ms


def result_of(asked: str, profile: str) -> ms.StudyResult:
    return ms.StudyResult(
        study="depth-loss", title="T", source="B", profile=profile, outcomes=(), notes=(), measurements=(), figures=(),
        provenance={"command": asked, "seed": 0, "networks": {}},
    )  # fmt: skip


def test_a_quick_try_does_not_take_the_place_of_a_long_run(command, monkeypatch):
    monkeypatch.setattr(ms, "run_study", lambda name, out, *, profile, **_: result_of(f"study run {name}", profile))
    for profile in ("laptop", "smoke"):
        assert command("study", "run", "depth-loss", "--profile", profile)[0] == 0
    assert {p.name for p in Path("out").iterdir()} == {"study-depth-loss", "study-depth-loss-smoke"}
    status, out, _ = command("study", "report", "out")
    assert status == 0
    assert "left out, since another run of this study is as thorough or more so: out/study-depth-loss-smoke" in out
    assert max(map(len, out.splitlines())) <= 100
    page = Path("out/studies.html").read_text()
    assert "profile laptop" in page
    assert "profile smoke" not in page


def test_a_page_of_studies_holds_what_one_study_says_of_each_model(command):
    for model, profile in (("", "laptop"), (" --model two-layer", "smoke"), (" --model four-layer", "full")):
        ms.save(result_of(f"study run depth-loss{model}", profile), f"out/{profile}")
    status, out, _ = command("study", "report", "out")
    assert status == 0
    assert "left out" not in out
    assert out.startswith("1 of ")
    page = Path("out/studies.html").read_text()
    assert all(f"profile {profile}" in page for profile in ("smoke", "laptop", "full"))
