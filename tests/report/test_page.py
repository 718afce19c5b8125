import dataclasses
import html
import re
from collections.abc import Callable
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesascope import report
from mesascope.report import Section, document, page, shell, tabulate, trusted
from mesascope.report.studies import study_page
from mesascope.types import Control, Evidence, Figure, Findings, Measurement, Outcome, Record, StudyResult

Make = Callable[..., Record]


class Reader(HTMLParser):
    """Collects what a browser would do with a page: elements, what they point to, and their text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    @property
    def ids(self) -> list[str]:
        return [name for _, attributes in self.elements if (name := attributes.get("id"))]


def visible(text: str) -> str:
    """The text of a page without its scripts and styles, with white space collapsed."""
    body = re.sub(r"<(script|style)\b.*?</\1>", " ", text, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def test_the_order_is_verdict_figures_measurements_controls_provenance(make_record: Make) -> None:
    body = re.sub(r"<script\b.*?</script>", "", page(make_record()), flags=re.DOTALL)
    headings = re.findall(r"<h2>(.*?)</h2>", body)
    assert headings == [
        "Spectral response", "All candidates", "Layers against steps", "Error by depth", "Probes", "Patching", "Stress",
        "Attention", "Invariances", "All measurements", "Controls", "What was not measured, and why", "Provenance",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("label", "sentence"),
    [
        ("identified", "On the discriminating prompts, the layers of two-layer follow conjugate gradient (score "
                       "0.982 [0.976, 0.987], n = 512); of the 6 candidates tried, no other stays in the 95 % "
                       "confidence set."),
        ("indistinguishable", "the layers of two-layer follow conjugate gradient, Chebyshev iteration or heavy "
                              "ball: of the 6 candidates tried, the evidence does not tell these apart."),
        ("none", "none of the 6 candidates tried describes what the layers of two-layer do."),
    ],
)  # fmt: skip
def test_the_verdict_is_a_sentence(make_record: Make, label: str, sentence: str) -> None:
    assert sentence in visible(page(make_record(label)))


def test_both_questions_on_both_distributions_with_their_evidence(make_record: Make) -> None:
    text = visible(page(make_record()))
    for part in ("Training distribution", "Discriminating distribution", "Remainder 0.00420", "n 512 prompts",
                 "Readout fitted", "Readout own", "Negative control untrained: −0.003 [−0.010, 0.004]"):  # fmt: skip
        assert part in text
    alone = dataclasses.replace(make_record().verdict, discriminating=None, basis="training")
    assert "Discriminating distribution" not in visible(page(make_record(verdict=alone)))


def test_a_number_without_controls_is_not_shown(make_record: Make) -> None:
    text = page(make_record())
    assert "7.77" not in visible(text)
    assert "1 from attention (1)" in visible(text)
    verdict = make_record().verdict
    bare = dataclasses.replace(verdict.training.path, controls=())
    training = dataclasses.replace(verdict.training, path=bare)
    shown = visible(page(make_record(verdict=dataclasses.replace(verdict, training=training))))
    assert "Score not shown: it came without controls" in shown


def test_controls_that_failed_are_announced_beside_the_verdict(make_record: Make) -> None:
    text = visible(page(make_record()))
    assert "1 of 2 controls did not give their known answer (ablation)" in text
    assert text.index("1 of 2 controls") < text.index("All candidates")
    held = ({"instrument": "probes", "control": "planted", "kind": "positive", "holds": True},)
    assert "did not come out" not in visible(page(make_record(controls=held)))


def test_provenance_is_exact_so_that_it_can_be_copied(make_record: Make) -> None:
    text = visible(page(make_record(provenance={"seed": 20240101, "spec": {"rate": 0.00031415, "seeds": [42, 100]}})))
    assert "seed 20240101 spec.rate 0.00031415 spec.seeds 42, 100" in text


def test_an_empty_record_still_makes_a_page(make_record: Make) -> None:
    empty = make_record(measurements=(), skipped={}, controls=(), figures=(), provenance={}, subject={})
    text = visible(page(empty))
    assert "No control was run." in text
    assert "two-layer" in text


def test_figures_of_the_verdict_are_shown_once(make_record: Make, figures: tuple[Figure, ...]) -> None:
    verdict = dataclasses.replace(make_record().verdict, figures=figures[:1])
    assert page(make_record(verdict=verdict, figures=())).count('id="figure-spectral-response"') == 1
    assert page(make_record(verdict=verdict)).count('id="figure-spectral-response"') == 1


def test_nothing_is_fetched_and_nothing_but_our_scripts_may_run(make_record: Make) -> None:
    text = page(make_record())
    reader = Reader(text)
    for tag, attributes in reader.elements:
        for name in ("src", "href", "data", "action", "srcset", "poster", "formaction"):
            target = attributes.get(name) or "#"
            assert target.startswith(("#", "data:")), (tag, name, target)
        assert not [name for name in attributes if name.startswith("on")]
    styles = "".join(re.findall(r"<style>(.*?)</style>", text, re.DOTALL))
    assert "url(" not in styles
    assert "@import" not in styles
    policy = next(a["content"] for t, a in reader.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy
    assert "unsafe-inline" not in policy.split("style-src")[0]


def test_anchors_are_unique_and_every_link_arrives(make_record: Make, figures: tuple[Figure, ...]) -> None:
    twins = tuple(dataclasses.replace(f, section=s) for f in figures for s in ("Controls", "controls!", "…"))
    reader = Reader(page(make_record(figures=twins)))
    assert len(reader.ids) == len(set(reader.ids))
    links = [a["href"] for t, a in reader.elements if t == "a"]
    assert links
    assert {str(link)[1:] for link in links} <= set(reader.ids)
    labelled = [a["aria-labelledby"] for _, a in reader.elements if a.get("aria-labelledby")]
    assert set(labelled) <= set(reader.ids)


def test_pages_stay_small_and_say_what_was_left_out(
    make_record: Make, figures: tuple[Figure, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(page(make_record()).encode()) < 2_000_000
    big = next(figure for figure in figures if figure.name == "attention")
    assert shell.LARGEST < 6_000_000
    monkeypatch.setattr("mesascope.report.shell.LARGEST", 1_500_000)
    text = page(make_record(figures=tuple(dataclasses.replace(big, name=f"attention {i}") for i in range(4))))
    assert 1_200_000 < len(text.encode()) < 1_500_000 + 1000
    assert 0 < text.count("would make this page too large") < 4


def test_measurements_stand_with_their_controls_in_their_unit(make_record: Make) -> None:
    controls = tuple(Control(kind="negative", name=f"shuffle {i}", value=0.1 * i) for i in range(6))
    many = Measurement(
        instrument="probes", quantity="cosine", value=0.5, interval=None, n=9, unit="nat", controls=controls
    )
    text = visible(page(make_record(measurements=(many,))))
    assert "cosine (nat) [95 % interval]" in text
    assert "shuffle 1: 0.100; shuffle 2: 0.200" in text
    mixed = dataclasses.replace(many, unit="bit")
    assert "nat" in visible(page(make_record(measurements=(many, mixed))))


def test_a_table_figure_joins_the_bounds_to_their_value(make_record: Make) -> None:
    text = visible(page(make_record()))
    assert "MSE [95 % interval] MSE of ridge ratio ρ with ridge n" in text
    assert "condition number 10 0.123 [0.103, 0.146]" in text


def test_other_pages_use_the_same_shell(figures: tuple[Figure, ...]) -> None:
    table = tabulate("Coverage", {"instrument": ["probes"], "coverage": [0.9512]})
    sections = [
        Section(title="One", blocks=("A & B", table, figures[0])),
        Section(title="Two", blocks=(trusted("<hr>"),)),
    ]
    text = document("Calibration", ["<em>lead</em>"], sections, subtitle="sub", kicker="kick")
    assert "<p>A &amp; B</p>" in text
    assert "<hr>" in text
    assert "&lt;em&gt;lead" in text
    assert '<td class="number">0.951</td>' in text


hostile = st.text(st.sampled_from("<>&'\"/!-\\`{}%#\n\0\u2028\ud800 aé") | st.characters(), max_size=20)


@settings(max_examples=25)
@given(text=hostile)
@pytest.mark.parametrize(
    "attack", ["</script><script>owned()</script>", "<!--<script>", '"><img src=x onerror=owned()>']
)
def test_text_from_outside_is_inert_everywhere(make_record: Make, attack: str, text: str) -> None:
    evil = f"{attack}{text}"
    control = Control(kind="positive", name=evil, value=1.0)
    measurement = Measurement(instrument=evil, quantity=evil, value=1.0, interval=(0.0, 2.0), n=1, unit=evil,
                              coordinates={evil: evil}, controls=(control,))  # fmt: skip
    drawings = tuple(
        Figure(
            name=f"{evil}{kind}",
            section=evil,
            title=evil,
            caption=evil,
            kind=kind,
            rows=({evil: evil, "y": 1.0, "v": 2.0},),
            x=evil,
            y="y",
            value="v" if kind == "heatmap" else "",
            titles={"y": evil, "v": evil, evil: evil},
        )
        for kind in ("lines", "heatmap", "bars", "table")
    )
    plain = make_record().verdict
    score = dataclasses.replace(
        plain.training.path.scores[0], candidate=evil, excluded=evil, coefficients={evil: 1.0}, timing={evil: evil}
    )
    answer = dataclasses.replace(plain.training.path, distribution=evil, reason=evil, algorithms=(evil,),
                                 scores=(score,), controls=(control,), agreement={evil: {evil: 1.0}})  # fmt: skip
    pair = dataclasses.replace(plain.training, path=answer, function=answer)
    verdict = dataclasses.replace(plain, subject=evil, reason=evil, algorithms=(evil,), training=pair,
                                  discriminating=pair, invariances=(measurement,))  # fmt: skip
    record = make_record(
        subject={"name": evil, evil: [{evil: evil}]},
        verdict=verdict,
        measurements=(measurement,),
        skipped={evil: evil},
        controls=({"instrument": evil, "control": evil, evil: evil, "holds": False},),
        figures=drawings,
        provenance={evil: {evil: [evil]}},
    )
    page_text = report.page(record)
    page_text.encode("utf-8")
    reader = Reader(page_text)
    scripts = [a.get("type") for t, a in reader.elements if t == "script"]
    assert scripts == ["application/json"] * 3 + [None, None]
    assert not [a for t, a in reader.elements if t == "img"]
    assert not [name for _, a in reader.elements for name in a if name.startswith("on")]
    assert "owned()</script>" not in page_text
    assert page_text.count("<!--") == 0


def test_evidence_of_a_claim_says_what_its_coordinates_are():
    measurement = Measurement(
        instrument="errors",
        quantity="MSE",
        value=0.5,
        interval=(0.4, 0.6),
        n=9,
        coordinates={"layers": 2, "noise": 0.01, "covariance": "diagonal", "step": None, "member": "", "rotated": True},
        controls=(),
    )
    outcome = Outcome(
        claim="It learns.",
        own=True,
        published=(),
        evidence=(Evidence(rule="at most 1", measurement=measurement, holds=True),),
        judgement="reproduced",
        reason="every number lies where the rule says",
    )
    result = StudyResult(
        study="one", title="?", source="own", profile="laptop", outcomes=(outcome,), notes=(), measurements=(measurement,),
        figures=(), provenance={},
    )  # fmt: skip
    assert "MSE (layers 2, noise 0.0100, covariance diagonal, rotated yes)" in study_page([result])

    # Of many numbers, those against the claim come first; what does not fit folds away, and none is lost.
    values = [dataclasses.replace(measurement, coordinates={"layers": k}) for k in range(40)]
    many = [Evidence(rule="at most 1", measurement=m, holds=k != 33) for k, m in enumerate(values)]
    page = study_page([dataclasses.replace(result, outcomes=(dataclasses.replace(outcome, evidence=tuple(many)),))])
    assert page.index("MSE (layers 33)") < page.index("MSE (layers 0)") < page.index("30 more numbers of this claim")
    assert page.index("30 more numbers of this claim") < page.index("MSE (layers 39)")


def test_pictures_have_room_beside_many_measurements():
    """Without a limit these measurements fill the page, and the picture is left out."""
    control = Control(kind="negative", name="another prompt", value=0.0, interval=(-0.1, 0.1))
    one = Measurement(
        instrument="sweep", quantity="order", value=0.5, interval=(0.4, 0.6), n=9, coordinates={}, controls=(control,)
    )
    many = tuple(dataclasses.replace(one, coordinates={"cell": str(i).rjust(400, "x")}) for i in range(10_000))
    picture = Figure(
        name="order", section="Order", title="Order", caption="Order.", kind="lines", x="d", y="order",
        rows=({"d": 1, "order": 0.5}, {"d": 2, "order": 0.4}),
    )  # fmt: skip
    result = StudyResult(
        study="one", title="?", source="own", profile="laptop", outcomes=(), notes=(), measurements=many, figures=(picture,),
        provenance={},
    )  # fmt: skip
    page = study_page([result])
    assert "Not drawn" not in page
    assert "The first 2,000 of 10,000 measurements, with controls" in page
    assert "All measurements, with controls" in study_page([dataclasses.replace(result, measurements=many[:9])])


@pytest.mark.parametrize(("steps", "words"), [(1, "1 step of "), (16, "16 steps of "), (None, "")])
def test_a_function_is_said_with_its_number_of_steps(make_record: Make, steps, words):
    """Newton–Schulz after k steps is gradient descent after 2ᵏ: the name alone misleads."""
    verdict = make_record().verdict
    both = {}
    for name in ("training", "discriminating"):
        pair = getattr(verdict, name)
        scores = tuple(
            dataclasses.replace(s, timing={} if steps is None else {"steps": steps}) for s in pair.function.scores
        )
        best = pair.function.scores[0].candidate
        function = dataclasses.replace(pair.function, label="identified", algorithms=(best,), scores=scores)
        both[name] = dataclasses.replace(pair, function=function)
    told = " ".join(report.sentences(dataclasses.replace(verdict, **both)))
    assert f"Its last layer computes the same function as {words}{best}." in told


@pytest.mark.parametrize(("kind", "words"), [("table", "<p>None.</p>"), ("lines", "no values were measured")])
def test_a_table_without_rows_says_none_and_a_picture_that_nothing_was_measured(kind, words):
    empty = Figure(name="wrong", section="Wrong", title="Wrong answers", caption=".", kind=kind, rows=(), x="x", y="y")
    printed = page(Findings(title="?", sentences=(), measurements=(), figures=(empty,), provenance={}))
    assert [said for said in ("<p>None.</p>", "no values were measured") if said in printed] == [words]
