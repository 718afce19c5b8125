"""Language models that were trained here, by reference."""

import dataclasses
import importlib
from pathlib import Path

import pytest
import torch

import mesascope as ms
from mesascope import examination
from mesascope.instruments.behaving.errors import errors
from mesascope.instruments.reading.refinement import refinement
from mesascope.models.language import LanguageSubject, Template, baselines, read_sequences, with_template
from mesascope.models.language.pythia import PythiaConfig
from mesascope.records import checkpoint
from mesascope.records.codec import to_json
from mesascope.tasks import DigitRegression, RepeatedBlocks
from mesascope.training import LADDER, Corpus, LanguageSpec, train
from mesascope.training.corpus import asked
from mesascope.types import history
from mesascope.zoo import checkpoints_of, curve, names
from mesascope.zoo.references import default_task

SPEC = LanguageSpec(
    name="tiny",
    corpus=Corpus(pairs=6),
    model=PythiaConfig(layers=2, width=16, heads=2),
    steps=6,
    batch=8,
    checkpoint_every=3,
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(SPEC, tmp_path_factory.mktemp("runs") / "tiny", progress=False)


def test_a_run_is_a_subject_with_its_own_task_and_checkpoints(run: Path) -> None:
    subject = ms.load(str(run))
    assert isinstance(subject, LanguageSubject)
    task = default_task(subject)
    assert task == DigitRegression(examples=5)
    assert list(subject.domain.examples or ()) == list(range(1, 12))
    prompts = task.sample(20, seed=0)
    logits = subject.network.model(asked(prompts)).logits[:, -1, :10]
    expected = logits.softmax(-1) @ torch.arange(10.0)
    torch.testing.assert_close(subject.trace(prompts).predictions[:, 0], expected, rtol=1e-5, atol=1e-5)
    assert set(subject.checkpoints) == {1, 2, 3, 4, 6}
    early = subject.checkpoints[1]()
    assert not torch.equal(early.trace(prompts).predictions, subject.trace(prompts).predictions)


def test_what_needs_no_other_numbers_is_measured(run: Path) -> None:
    subject = ms.load(str(run))
    task = default_task(subject)
    found = refinement(subject, task, n=32, queries=1)
    assert {m.coordinates.get("layer") for m in found} == {1, 2, None}
    (own, *_) = errors(subject, task, n=32, queries=1)
    assert own.value > 0
    assert next(c.value for c in own.controls if c.name == "least squares") < 1  # and not 20, as without an intercept


@pytest.mark.slow
def test_an_examination_says_that_an_untrained_model_does_not_learn_in_context(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With two candidates: it runs none of them, nor any other."""
    for module, name, given in (
        (examination, "identify_and_describe", {"algorithms": ["gd", "cg"]}),
        (
            importlib.import_module("mesascope.instruments.explaining.over_training"),
            "follow",
            {"candidates": ["gd", "cg"]},
        ),
    ):
        real = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, real=real, given=given, **k: real(*a, **k | given))
    subject = ms.load(str(run))
    record = ms.examine(subject, default_task(subject), profile="smoke")
    assert record.verdict.label == "none" and record.verdict.description is not None
    assert {"explanation", "refinement", "sinks", "over training", "attention"} <= {
        m.instrument for m in record.measurements
    }
    assert record.skipped.keys() == {"spectrum", "patching", "stress", "causal", "silent failure", "metrics"}
    assert all(row["holds"] is not False for row in record.controls), record.controls


def test_a_template_with_characters_that_it_has_no_tokens_for_is_refused(run: Path) -> None:
    subject = ms.load(str(run))
    assert isinstance(subject, LanguageSubject)
    with pytest.raises(
        ValueError, match="tokenizer must have tokens for the template and the digits; it has none for 'X'"
    ):
        with_template(subject, Template(before_input="X", before_label=":", after_label="\n"))


def test_weights_of_another_specification_are_refused(run: Path, tmp_path: Path) -> None:
    found = checkpoint.read(run / "model")
    wider = dataclasses.replace(SPEC, model=PythiaConfig(layers=2, width=32, heads=2))
    checkpoint.write(tmp_path / "wrong", dataclasses.replace(found, spec=to_json(wider)))
    with pytest.raises(
        ValueError, match=r"must hold the weights of its own specification; .* is \(.*16.*\) there and \(.*32"
    ):
        ms.load(str(tmp_path / "wrong"))
    name = next(iter(found.tensors))
    tensors = {**found.tensors, name: torch.full_like(found.tensors[name], torch.nan)}
    checkpoint.write(tmp_path / "nan", dataclasses.replace(found, tensors=tensors))
    with pytest.raises(ValueError, match="must have finite weights"):
        ms.load(str(tmp_path / "nan"))


SHIPPED = [name for name in names() if name.startswith("ladder-")]
SMALL = ("ladder-small", "ladder-small-seed-100", "ladder-small-shuffled")


def test_what_ships_of_the_ladder_has_the_names_of_its_specifications() -> None:
    assert set(SMALL) <= set(SHIPPED) <= set(LADDER)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_model_of_the_ladder_answers_new_queries_unless_its_labels_were_shuffled(name: str) -> None:
    subject = ms.load(name)
    assert isinstance(subject, LanguageSubject)
    assert subject.spec["step"] == LADDER[name].steps == curve(name)[-1]["step"]
    assert {field: subject.spec[field] for field in to_json(LADDER[name])} == to_json(LADDER[name])
    prompts = default_task(subject).sample(256, seed=1)  # not those on which it was judged when it was trained
    answers = subject.trace(prompts).predictions
    error = float((answers - prompts.targets).square().mean())
    right = float((answers.round() == prompts.targets).double().mean())
    simple = baselines(prompts)
    copied = float((simple["nearest"] - prompts.targets).square().mean())
    if "shuffled" in name:  # it knows which labels are about, and no map
        assert right < 0.1 + float((simple["mean"].round() == prompts.targets).double().mean()) and error > copied
    else:
        assert right > 0.9 and error < 0.2 * copied


@pytest.mark.parametrize("name", SMALL)
def test_the_smallest_models_ship_with_their_checkpoints(name: str) -> None:
    steps = checkpoints_of(name)
    assert len(steps) == 13 and sum(400 < step <= 1536 for step in steps) >= 7
    subject = ms.load(name)
    assert isinstance(subject, LanguageSubject)
    assert list(history(subject)) == [*steps, 4096]
    blocks = RepeatedBlocks(vocabulary=36, length=16).sample(16, seed=0)

    def accuracy(of: object) -> float:
        assert isinstance(of, LanguageSubject)
        return float(read_sequences(of, blocks).correct[-1].double().mean())

    assert accuracy(subject.checkpoints[1]()) < 0.15 and accuracy(subject) > 0.9
