"""The site: what is wrong on a page fails its build, every block runs or says why not, and no study is left out."""

import functools
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mesascope.records.keeping import kept
from mesascope.studies import STUDIES
from mesascope.types import Record, StudyResult
from mesascope.zoo import names

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.md") if page.name != "design.md")
findings = functools.cache(lambda: kept(DOCS / "findings", StudyResult))
gallery = functools.cache(lambda: kept(DOCS / "gallery", Record))
FENCE = re.compile(r"^```(\w+)(.*)$", re.M)
PLUGINS = "plugins:\n  - search\n  - markdown-exec\n"


def built(folder: Path, page: str, plugins: str = PLUGINS) -> tuple[int, str]:
    """The status of a build of one page, and what it said."""
    (folder / "docs").mkdir()
    (folder / "docs" / "index.md").write_text(page)
    extensions = "markdown_extensions:\n  - attr_list\n  - pymdownx.superfences\n"
    (folder / "mkdocs.yml").write_text(f"site_name: a page\n{plugins}{extensions}")
    done = subprocess.run(
        [sys.executable, DOCS / "build.py", folder / "mkdocs.yml"], capture_output=True, text=True, timeout=300
    )
    return done.returncode, done.stdout + done.stderr


def test_a_page_whose_blocks_run_is_built(tmp_path):
    status, said = built(tmp_path, '# A page\n\n```python exec="1"\nprint(6 * 7)\n```\n')
    assert status == 0, said
    assert "42" in (tmp_path / "site" / "index.html").read_text()


@pytest.mark.parametrize(
    ("page", "plugins", "words"),
    [
        ('# A page\n\n```python exec="1"\nraise ValueError("no such luck")\n```\n', PLUGINS, "no such luck"),
        ('# A page\n\n```bash exec="1"\nexit 3\n```\n', PLUGINS, "unexpected code 3"),
        ("# A page\n\n[nowhere](nowhere.md)\n", PLUGINS, "page does not exist"),
        ('# A page\n\n```python exec="1"\nprint(6 * 7)\n```\n', "plugins:\n  - search\n", "as it was written"),
    ],
    ids=["block", "command", "link", "plugin"],
)
def test_what_is_wrong_on_a_page_fails_the_build(page, plugins, words, tmp_path):
    status, said = built(tmp_path, page, plugins)
    assert status == 1
    assert words in said


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_every_block_runs_or_says_why_it_does_not(page):
    text = page.read_text(encoding="utf-8")
    opened = [(language, rest) for language, rest in FENCE.findall(text) if language != "text"]
    assert [f"{a}{b}" for a, b in opened if 'exec="1"' not in b and 'title="not run here: ' not in b] == []
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    assert re.findall(r"\n\n    [^ *\-0-9].*", outside) == [], "code is fenced, so that it can be run"


def test_every_study_has_a_page(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    from rendering.themes import page, themes

    assert sorted(name for studies in themes().values() for name in studies) == sorted(STUDIES)
    missing = [theme for theme in themes() if not (DOCS / f"{page(theme).rstrip('/')}.md").is_file()]
    assert missing == []


def test_every_study_was_run_for_its_page():
    assert sorted(path.stem for path in (DOCS / "findings").glob("*.json")) == sorted(STUDIES)


def test_every_model_that_ships_was_examined_for_its_page():
    missing = [name for name in names() if name not in gallery()]
    assert not missing, f"examine {', '.join(missing)} at profile laptop, and keep what is found (docs/extending.md)"


@pytest.mark.parametrize("name", sorted(path.stem for path in (DOCS / "findings").glob("*.json")))
def test_what_was_found_is_about_the_claims_as_they_stand(name):
    found = findings()[name]
    assert found.study == name
    remedy = f"claims of {name} have changed: run it again, and keep it (docs/extending.md)"
    assert [o.claim for o in found.outcomes] == [claim.text for claim in STUDIES[name].claims], remedy


def test_claims_stand_with_failures_first_and_are_counted_where_they_belong(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    from rendering.claims import claims, findings, overview
    from rendering.themes import themes

    rows = re.findall(r'<tr><td data-label="Claim">.*?<span class="([a-z-]+)">', claims("controlled"), re.S)
    outcomes = [o for name in themes()["controlled"] for o in findings()[name].outcomes]
    order = ["not-reproduced", "not-decidable", "reproduced"]
    assert rows == sorted((o.judgement.replace(" ", "-") for o in outcomes), key=order.index)
    assert len(set(rows)) > 1
    line = next(line for line in overview().split("<tr>") if "training-dynamics</a>" in line)
    counts = re.findall(r"<td>([\d·]+)</td>", line)
    judged = [o.judgement for o in findings()["training-dynamics"].outcomes]
    assert counts == [str(judged.count(j) or "·") for j in ("reproduced", "not reproduced", "not decidable")]
    assert len(set(counts)) > 1


def test_a_page_can_show_the_claims_that_rest_on_an_instrument(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    from rendering.claims import about

    outcomes = findings()["primal-to-dual"].outcomes
    held = [o.judgement for o in outcomes if any(e.measurement.instrument == "causal" for e in o.evidence)]
    shown = re.findall(r'<tr><td data-label="Claim">', about("primal-to-dual", "causal"))
    assert 0 < len(shown) == len(held) < len(outcomes)


def test_verdicts_on_planted_subjects_stand_as_they_were_counted(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    from rendering.calibrations import calibrations, mistakes, shares

    for name, kind in (("S-exact", "exact"), ("S-kernels-generalised", "kernels")):
        rows = [re.findall(r"<td>(.*?)</td>", row) for row in shares(kind, name).split("<tr>")[2:]]
        counted = [m for m in calibrations()[name].measurements if m.coordinates["panel"] == kind]
        assert [row[:2] for row in rows] == [[m.quantity, f"{round(m.value * m.n)} of {m.n}"] for m in counted]
        wrong, missed = (
            next(round(m.value * m.n) for m in counted if m.quantity == quantity)
            for quantity in ("wrong", "distinguishable and called none")
        )
        listed = mistakes(kind, name)
        assert (listed.count("(wrong):"), listed.count("(not identified):")) == (wrong, missed)
        assert wrong + missed > 0
    assert mistakes("generalised", "S-kernels-generalised") == "<p>None.</p>"


def test_what_the_readme_says_of_planted_subjects_was_counted(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    from rendering.calibrations import calibrations

    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    for name in ("S-exact", "S-mixed"):
        (sentence,) = calibrations()[name].sentences
        assert sentence in text


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "docs/design.md"])
def test_links_outside_the_site_lead_somewhere(name):
    """The site's build looks after links between its pages; these files are not on it."""
    page = ROOT / name
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_what_the_readme_quotes_is_what_was_found():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    quoted = " ".join(re.findall(r"^> (.*)$", text, re.M))
    description = gallery()["query-only-4-layers-laptop"].verdict.description
    assert description is not None
    assert quoted == description.sentence


def test_the_readmes_response_curve_is_what_was_found(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    from rendering.pictures import svg
    from rendering.readme import NETWORK

    (figure,) = gallery()[NETWORK].figures
    assert (DOCS / "assets" / "response.svg").read_text(encoding="utf-8") == svg(figure)


def test_the_readme_is_read_in_one_sitting():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 150


@pytest.mark.slow
def test_the_readmes_block_runs(small, tmp_path, monkeypatch):
    """As it stands, but on a small network built by hand, with two candidates and few prompts."""
    [block] = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)
    instead = {'"two-layer"': '"construction:gradient-descent?layers=2"', '"laptop"': '"smoke"'}
    for said, small_one in {**instead, "algorithms=None": 'algorithms=["gd", "cg"]'}.items():
        assert said in block
        block = block.replace(said, small_one)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(block, "README.md", "exec"), names)
    assert names["verdict"].algorithms == ("gradient-descent",)
    assert (tmp_path / "out" / "record.json").is_file()
