"""Small language models: their passages, what training on them teaches, and that a run resumes to the bit."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from mesascope.models.language.characters import BEGIN, CHARACTERS, PAIRS, tokenizer
from mesascope.models.language.pythia import PythiaConfig, pythia
from mesascope.models.language.writing import encode, writing
from mesascope.records import checkpoint
from mesascope.records.codec import from_json, to_json
from mesascope.tasks.digits import DigitRegression
from mesascope.training import LADDER, Corpus, LanguageSpec, TrainingSpec, train
from mesascope.training.corpus import asked
from mesascope.training.language import learnt

TINY = LanguageSpec(
    name="tiny",
    corpus=Corpus(pairs=6),
    model=PythiaConfig(layers=1, width=16, heads=2),
    steps=12,
    batch=8,
    optimiser="muon",
    learning_rate=1e-2,
    schedule="cosine",
    checkpoint_every=4,
    log_every=4,
)


def text(tokens: torch.Tensor) -> str:
    assert tokens[0] == BEGIN
    return "".join(CHARACTERS[i] for i in tokens[1:].tolist())


def test_passages_are_maps_and_repeated_blocks_in_turn() -> None:
    corpus = Corpus(pairs=8)
    passages = [text(row) for row in corpus.sample(400, seed=1)]
    repeats = corpus.repeats(400, seed=1)
    assert not repeats[::2].any()
    for passage in passages[::2]:
        pairs = [line.split(":") for line in passage.splitlines()]
        assert len(pairs) == 8
        xs, ys = (torch.tensor([float(pair[i]) for pair in pairs]) for i in (0, 1))
        (far, slope) = (xs - xs[0]).abs().argmax(), 0.0
        if xs[far] != xs[0]:
            slope = float((ys[far] - ys[0]) / (xs[far] - xs[0]))
        assert torch.allclose(ys, ys[0] + slope * (xs - xs[0]))
    lengths = [32 - int(row.sum()) - 1 for row in repeats[1::2]]
    assert set(lengths) == set(range(5, 17)), "copying from a fixed distance must not do"
    for passage, length, row in zip(passages[1::2], lengths, repeats[1::2], strict=True):
        assert passage == (passage[:length] * 7)[:32]
        assert row.nonzero()[0] == 1 + length + 1, "a block's first character cannot be told"
    assert len({passage[:5] for passage in passages[1::2]}) == 200


def test_shuffled_labels_are_the_same_labels_in_another_order() -> None:
    plain, shuffled = (Corpus(shuffled=s).sample(64, seed=2)[::2, 1:].unflatten(1, (-1, 4)) for s in (False, True))
    assert torch.equal(plain[..., 0], shuffled[..., 0])
    assert torch.equal(plain[..., 2].sort(1).values, shuffled[..., 2].sort(1).values)
    assert not torch.equal(plain[..., 2], shuffled[..., 2])


@pytest.mark.parametrize("shuffled", [False, True])
def test_a_passage_depends_on_its_number_alone(shuffled: bool) -> None:
    corpus = Corpus(shuffled=shuffled)
    whole = corpus.sample(300, seed=3)
    for start in (0, 7, 128, 199):
        assert torch.equal(corpus.sample(9, seed=3, start=start), whole[start : start + 9])
    assert not torch.equal(corpus.sample(9, seed=4), whole[:9])


def test_prompts_are_written_as_the_subject_will_see_them() -> None:
    prompts = DigitRegression(examples=5).sample(10, seed=0)
    tokens = encode(writing(PAIRS, tokenizer()), prompts)
    assert bool(tokens.real.all())
    assert torch.equal(tokens.ids, asked(prompts))


def test_a_model_is_a_function_of_its_seed() -> None:
    before = torch.get_rng_state()
    one, same, other = (pythia(TINY.model, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_a_resumed_run_ends_with_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train(TINY, tmp_path / "whole", progress=False)
    part = train(TINY, tmp_path / "part", progress=False)
    for path in [*part.glob("model.*"), *(part / "checkpoints").glob("step-00000012*")]:
        path.unlink()
    train(TINY, part, resume=True, progress=False)
    one, other = (checkpoint.read(run / "model") for run in (whole, part))
    assert all(torch.equal(one.tensors[name], other.tensors[name]) for name in one.tensors)
    assert one.extra["loss"] == other.extra["loss"]
    assert (whole / "metrics.jsonl").read_text().count("\n") == 3


def test_specifications_come_back_from_json() -> None:
    for spec in (*LADDER.values(), TINY):
        assert from_json((TrainingSpec, LanguageSpec), json.loads(json.dumps(to_json(spec)))) == spec


def test_an_untrained_model_has_learnt_nothing() -> None:
    """Every one of 39 tokens is as likely, and what copying and the mean label reach is known."""
    spec = dataclasses.replace(TINY, corpus=Corpus())
    model = pythia(spec.model, seed=0)
    found = learnt(model, spec)
    assert found["loss"] == pytest.approx(3.664, abs=0.1)
    assert found["induction_accuracy"] < 0.1
    assert found["new_query_accuracy"] < 0.35
    assert found["nearest_error"] == pytest.approx(2.6, abs=0.4)  # mostly a², with |a| 1 or 2
    assert found["mean_error"] > found["nearest_error"]


def test_what_cannot_be_trained_is_refused() -> None:
    with pytest.raises(ValueError, match=r"pairs must be a whole number of at least 3; got 2"):
        Corpus(pairs=2)
    with pytest.raises(
        ValueError, match=r"corpus.pairs must fit into model.context; got 13 pairs, or 53 tokens, and 49"
    ):
        dataclasses.replace(TINY, corpus=Corpus(pairs=13))
    with pytest.raises(
        ValueError, match=r"width must be a multiple of 8·heads.*got 20 with heads=2.*Take a width of 16"
    ):
        PythiaConfig(width=20)
