"""`study run` and the page that `study report` makes of results."""

from pathlib import Path

import mesascope as ms


def result_of(asked: str, profile: str, seed: int = 0) -> ms.StudyResult:
    return ms.StudyResult(
        study="depth-loss", title="T", source="B", profile=profile, outcomes=(), notes=(), measurements=(), figures=(),
        provenance={"command": asked, "seed": seed, "networks": {}},
    )  # fmt: skip


def test_a_quick_try_does_not_take_the_place_of_a_long_run(command, monkeypatch):
    def run(name: str, out: Path, *, profile: str, seed: int, **_: object) -> ms.StudyResult:
        return result_of(f"study run {name}", profile, seed)

    monkeypatch.setattr(ms, "run_study", run)
    runs = {
        "study-depth-loss": (),
        "study-depth-loss-smoke": ("--profile", "smoke"),
        "study-depth-loss-seed-3": ("--seed", "3"),
    }
    for options in runs.values():
        assert command("study", "run", "depth-loss", *options)[0] == 0
    assert {p.name for p in Path("out").iterdir()} == set(runs)
    status, out, _ = command("study", "report", "out")
    assert status == 0
    said = "left out, since another run of this study is as thorough or more so: out/"
    assert [line.removeprefix(said) for line in out.splitlines() if line.startswith("left out")] == sorted(
        set(runs) - {"study-depth-loss"}
    )
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
