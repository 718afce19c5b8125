"""One subject through all the instruments, into a record, onto a page; also in two sittings."""

import dataclasses
import json
import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

import mesascope as ms
import mesascope.examination as module
from mesascope.algorithms import GradientDescent, run
from mesascope.examination import Checked, examine
from mesascope.instruments import NotApplicable
from mesascope.instruments.behaving import invariance
from mesascope.instruments.behaving.invariance import invariances
from mesascope.instruments.catalogue import EXAMINED
from mesascope.instruments.instrument import Instrument, sizes
from mesascope.instruments.intervening import causal
from mesascope.instruments.spectral import spectrum
from mesascope.models import Transformer, TransformerConfig, TransformerSubject
from mesascope.models.constructions import conjugate_gradient, gradient_descent
from mesascope.plans import Here, Processes, execute
from mesascope.records.codec import to_json
from mesascope.records.journal import Journal
from mesascope.tasks import LinearRegression
from mesascope.types import Control, Domain, Figure, Intervention, Prompts, Site, Trace

TASK = LinearRegression(dim=3, examples=8)
REFERENCE = "construction:gradient-descent?layers=2"


def transformer(seed: int = 0) -> TransformerSubject:
    config = TransformerConfig(dim=3, examples=8, layers=2, width=16, heads=2, feedforward=32)
    return TransformerSubject(name="tiny", model=Transformer(config, seed=seed), spec={"from": "a test"})


def content(record: ms.Record) -> dict:
    """The record as it is on disk, but for times."""
    document = json.loads(json.dumps(to_json(record), allow_nan=False))
    document["provenance"] = {k: v for k, v in document["provenance"].items() if k in ("task", "seed", "profile")}
    return document


@pytest.fixture(scope="module")
def verdict() -> ms.Verdict:
    return ms.identify(transformer(), TASK, algorithms=["gd", "cg"], prompts=10)


@pytest.fixture(scope="module")
def record() -> ms.Record:
    return examine(transformer(), TASK, profile="smoke")


def test_every_instrument_measured_and_every_measurement_has_its_controls(record):
    assert record.skipped == {"over training": "there are no checkpoints of the training of tiny."}
    measured = {m.instrument.split(":")[0] for m in record.measurements}
    assert measured == {"invariance", *(instrument.name for instrument in EXAMINED)} - record.skipped.keys()
    for m in record.measurements:
        assert m.controls, (m.instrument, m.quantity)
        assert m.n > 0
    for answer in (record.verdict.training.path, record.verdict.training.function, record.verdict.discriminating.path):
        assert {"another prompt's iterates", "untrained network"} <= {c.name for c in answer.controls}


def test_an_untrained_transformer_runs_none(record):
    assert (record.verdict.label, record.verdict.algorithms) == ("none", ())


def test_the_known_cases_came_out_as_they_must(record):
    rows = {(row["instrument"], row["control"]): row for row in record.controls}
    assert rows["identification", "construction:gradient-descent"]["holds"]
    assert rows["identification", "construction:conjugate-gradient"]["holds"]
    # Of an untrained network no state is found, so none is overwritten.
    idle = (causal.NAME, causal.KNOWN_NETWORK)
    expected = {
        (instrument.name, each.control)
        for instrument in (invariance.INSTRUMENT, *EXAMINED)
        for each in instrument.expected
    }
    assert expected - rows.keys() == {idle}, "a check that nothing is put to"
    # With so few prompts copies of the nearest example are seen by their error: no silent failure, and the control is left out.
    seen = ("silent failure", "copies of the nearest example")
    assert rows[seen]["holds"] is not False
    for key, row in rows.items():
        if key[0] != "spectrum" and key != seen:  # spectrum's tolerances are for more prompts than these
            assert row["holds"], row


def test_the_record_is_strict_json_with_what_the_contract_names(record, tmp_path):
    ms.save(record, tmp_path / "out")

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    held = json.loads((tmp_path / "out/record.json").read_text(), parse_constant=refuse)
    assert {"subject", "verdict", "measurements", "controls", "provenance", "schema_version"} <= held.keys()
    assert held["subject"]["name"] == "tiny"
    assert held["subject"]["spec"] == {"from": "a test"}
    assert held["verdict"]["label"] == record.verdict.label
    assert len(held["measurements"]) == len(record.measurements)
    assert {"task", "profile", "seed", "seconds"} <= held["provenance"].keys()
    assert set(held["provenance"]["seconds"]) >= {"identify", "total"}


def test_the_page_stands_on_its_own_and_says_the_verdict(record, tmp_path):
    out = ms.save(record, tmp_path)
    page = (out / "report.html").read_text()
    for sentence in ms.report.sentences(record.verdict):
        assert sentence.split("<")[0][:40] in page
    assert record.verdict.label in page
    assert "<script src=" not in page
    assert {p.name for p in out.iterdir()} == {"mesascope.json", "record.json", "report.html"}


def test_the_measurements_as_a_table(record):
    table = record.table()
    assert len(table) == len(record.measurements)
    assert {"instrument", "quantity", "value", "low", "high", "n", "unit"} <= set(table.columns)
    assert record._repr_html_().startswith("<p><strong>none</strong>")


def test_a_construction_skips_what_does_not_apply_and_says_why(small):
    record = examine(gradient_descent(layers=2), LinearRegression(), profile="smoke")
    assert "attention" in record.skipped
    assert all(reason.endswith(".") for reason in record.skipped.values())
    assert record.verdict.algorithms == ("gradient-descent",)
    assert record.subject["spec"]["algorithm"] == "gradient-descent"
    assert {"spectral-response", "causal"} <= {figure.name for figure in record.figures}
    [known] = [row for row in record.controls if row["instrument"] == "causal"]
    assert known["holds"]
    assert all(reason in ms.report.page(record).replace("&#39;", "'") for reason in record.skipped.values())


class Foreign:
    """A researcher's own model, with the six names of the protocol and nothing besides."""

    name = "two steps <b>"
    sites = (Site(layer=0, kind="resid_post"), Site(layer=1, kind="resid_post"))
    path = sites

    def __init__(self, dim: int = 4) -> None:
        self.domain = Domain(dims=(dim,), examples=(12,))

    def trace(
        self, prompts: Prompts, *, capture: Sequence[Site] = (), interventions: Sequence[Intervention] = ()
    ) -> Trace:
        answers = run(GradientDescent(step_size=0.2), prompts, 2).predictions[1:]
        for edit in interventions:
            assert edit.site in self.sites
        pad = (0, 0, prompts.examples, 0)
        held = {site: torch.nn.functional.pad(answers[site.layer][..., None], pad) for site in self.sites}
        for edit in interventions:
            held[edit.site] = edit.edit(held[edit.site])
        return Trace(
            predictions=held[self.sites[1]][:, prompts.examples :, 0], activations={s: held[s] for s in capture}
        )

    def readout(self, activation: Tensor, site: Site) -> Tensor:
        return activation[..., 0]


def test_a_model_of_ones_own_without_untrained_control_or_spec(small):
    assert isinstance(Foreign(), ms.Subject)
    record = examine(Foreign(), LinearRegression(dim=4, examples=12), profile="smoke")
    assert record.verdict.algorithms == ("gradient-descent",)
    assert record.subject["spec"] is None
    page = ms.report.page(record)
    assert "two steps &lt;b&gt;" in page
    assert "two steps <b>" not in page


def test_a_subject_that_drops_edits_is_told_so(small):
    """What is put in after its first layer is captured, and the answer goes its own way."""
    record = examine(Foreign(), LinearRegression(dim=4, examples=12), profile="smoke")
    [row] = [row for row in record.controls if row["instrument"] == "subject"]
    assert row["holds"] is False
    assert row["observed"] == "does nothing at blocks.0.hook_resid_post"
    said, *each = ms.report.failures(record)
    assert "(subject" in said
    assert any("blocks.0.hook_resid_post" in line for line in each)


@pytest.mark.parametrize(("dim", "examples"), [(5, 20), (1, 4), (5, 1), (2, 2)])
def test_degenerate_cases_raise_no_false_alarm(dim, examples):
    """Layers that hold nothing yet, one example, one dimension: they are left out of the checks, with the reason."""
    subject, task = conjugate_gradient(iterations=3), LinearRegression(dim=dim, examples=examples)
    found = [*invariances(subject, task, prompts=30), *causal.causal(subject, task, n=8, fit=16)]
    if examples >= dim:
        found += spectrum.spectral_response(subject, task, prompts=40)
    rows = [row for row in module._checks(found) if row["control"] != "planted gradient descent"]  # wants more prompts
    assert [row for row in rows if row["holds"] is False] == []
    left_out = {row["instrument"]: row["left out"] for row in rows if row["left out"]}
    assert ("1 of 4: a single example has no other order" in left_out.values()) == (examples == 1)
    assert ("the answer is 0 there" in left_out.get("spectrum", "")) == (examples >= dim)


def test_a_check_that_nothing_could_be_put_to_is_neither_passed_nor_failed():
    silent = Control(kind="positive", name="a learner that breaks it", value=0.0, degenerate="there is no order")
    fit = Control(kind="positive", name="a learner that breaks it", value=1.0)
    made = {"instrument": "invariance", "quantity": "violation", "value": 0.0, "interval": None, "n": 3}

    def checked(*controls):
        [row] = module._checks([ms.Measurement(**made, controls=(control,)) for control in controls])
        return row

    row = checked(silent, silent)
    assert (row["holds"], row["observed"], row["left out"]) == (None, None, "2 of 2: there is no order")
    row = checked(silent, fit, fit)
    assert (row["holds"], row["observed"], row["left out"]) == (True, "1 to 1", "1 of 3: there is no order")
    assert checked(fit)["left out"] == ""


def test_one_dimension_has_no_conditioning_to_vary(small):
    record = examine(Foreign(dim=1), LinearRegression(dim=1, examples=12), profile="smoke")
    assert (record.verdict.basis, record.verdict.discriminating) == ("training", None)
    assert ms.report.page(record)


# ------------------------------------------------------------------------------- in two sittings


NAMES = ["first", "second", "third"]


@pytest.fixture
def sittings(verdict, monkeypatch) -> list[str]:
    """Examinations that cost nothing, and the names of what they ran. Append a name with a ``!`` to be interrupted there."""
    ran: list[str] = []

    def interrupted(name: str) -> None:
        if f"{name}!" in ran:
            raise KeyboardInterrupt
        ran.append(name)

    def instrument(name: str) -> Instrument:
        found = ms.Measurement(
            instrument=name,
            quantity="q",
            value=math.nan,
            interval=(0.1, 1.0),
            n=3,
            coordinates={"layer": 1, "site": None},
        )

        def measure(*_: object, **__: object) -> tuple:
            interrupted(name)
            if name == "second":
                raise NotApplicable("it has none.")
            return (found,)

        def figure(_: object) -> Figure:
            return Figure(name=name, section="s", title="t", caption="c", kind="table", rows=({"a": 0.5},))

        return Instrument(
            name=name, question="?", quantities=(), coordinates=(), measure=measure, sizes=sizes(), figure=figure
        )

    def identified(*_: object, **__: object) -> ms.Verdict:
        interrupted("identify")
        return verdict

    monkeypatch.setattr(module, "identify_and_describe", identified)
    monkeypatch.setattr(module, "EXAMINED", tuple(instrument(name) for name in NAMES))
    checked = Checked(rows=({"instrument": "x", "holds": True},), seconds=0.1)
    monkeypatch.setattr(module, "_known_subjects", lambda seed, say: checked)
    return ran


@pytest.mark.parametrize("stop_at", ["identify", *NAMES])
def test_an_interrupted_examination_goes_on_where_it_stopped(stop_at, sittings, tmp_path):
    whole = examine(transformer(), TASK, profile="smoke")
    assert sittings == ["identify", *NAMES]
    sittings[:] = [f"{stop_at}!"]
    with pytest.raises(KeyboardInterrupt):
        examine(transformer(), TASK, profile="smoke", journal=tmp_path)
    sittings.remove(f"{stop_at}!")
    resumed = examine(transformer(), TASK, profile="smoke", journal=tmp_path)
    assert sittings == ["identify", *NAMES]
    assert content(resumed) == content(whole)
    assert ms.report.page(resumed)


@pytest.mark.parametrize(
    "other",
    [{"seed": 1}, {"task": dataclasses.replace(TASK, noise=0.1)}, {"subject": transformer(seed=1)}],
    ids=["seed", "task", "weights"],
)
def test_parts_of_another_examination_are_left_alone(other, sittings, tmp_path):
    given = {"subject": transformer(), "task": TASK, "seed": 0}
    examine(**given, profile="smoke", journal=tmp_path)
    with pytest.raises(ValueError, match="it holds parts of another, unfinished run: 'examine tiny, profile smoke"):
        examine(**given | other, profile="smoke", journal=tmp_path)
    assert sittings == ["identify", *NAMES]


def test_a_damaged_part_is_made_again(sittings, tmp_path):
    examine(transformer(), TASK, profile="smoke", journal=tmp_path)
    parts = {json.loads(path.read_text()).get("name"): path for path in (tmp_path / "parts").glob("*.json")}
    parts["third"].write_text(parts["third"].read_text()[:-40])
    parts["first"].write_text('{"key": 3}')
    examine(transformer(), TASK, profile="smoke", journal=tmp_path)
    assert sittings == ["identify", *NAMES, "first", "third"]


def test_an_unknown_profile_and_a_task_outside_the_domain_are_refused_before_anything_is_written(tmp_path, unchecked):
    out = tmp_path / "out"
    with pytest.raises(ValueError, match="profile must be one of smoke, laptop, full; got 'quick'"):
        examine(transformer(), TASK, profile="quick", journal=out)
    with pytest.raises(ValueError, match="dim must be 3 for this subject; got 4"):
        examine(transformer(), LinearRegression(dim=4, examples=8), journal=out)
    assert not out.exists()


def test_a_verdict_survives_its_journal(verdict, tmp_path):
    answer = verdict.training.path
    lost = dataclasses.replace(answer.scores[0], score=-math.inf)
    path = dataclasses.replace(answer, scores=(lost, *answer.scores[1:]))
    verdict = dataclasses.replace(verdict, training=dataclasses.replace(verdict.training, path=path))
    journal = Journal(tmp_path)
    journal.put("identify", verdict)
    again = journal.get("identify", ms.Verdict)
    assert to_json(again) == to_json(verdict)
    assert journal.get({"another": "key"}, ms.Verdict) is None


# ------------------------------------------------------------------------------ in other processes


def test_two_processes_find_what_one_does():
    """A hand-built network holds functions that cannot be sent: the processes load it by its reference."""
    task = LinearRegression(dim=3, examples=12)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the processes have it
    try:
        kept = [e for e in EXAMINED if e.name in ("readout", "patching", "attention")]
        plan = module.examination(module.ModelReference(reference=REFERENCE), task, "smoke", 0)
        works = tuple(work for work in plan.works if work.name in {e.name for e in kept})
        here, there = (
            execute(dataclasses.replace(plan, works=works), Journal(None), engine=engine)
            for engine in (Here(), Processes(workers=2))
        )
    finally:
        torch.set_num_threads(threads)
    assert {name: each.skipped for name, each in here.items()}["attention"]
    without = {name: dataclasses.replace(each, seconds=0.0) for name, each in here.items()}
    assert without == {name: dataclasses.replace(each, seconds=0.0) for name, each in there.items()}


def test_a_subject_that_cannot_be_sent_is_said():
    subject = conjugate_gradient(iterations=1)
    with pytest.raises(
        ValueError, match="--workers must be able to send the work to other processes; identify cannot be"
    ):
        examine(subject, LinearRegression(dim=2, examples=6), profile="smoke", engine=Processes(workers=2))
