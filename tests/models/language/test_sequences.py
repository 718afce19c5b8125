"""Surprisal after every layer, against the model's own logits."""

from types import SimpleNamespace

import pytest
import torch

from mesascope.models.language import read_sequences
from mesascope.models.language.sequences import symbol_tokens
from mesascope.tasks import AssociativeRecall, RepeatedBlocks
from mesascope.types import Site


@pytest.mark.parametrize("begin", [0, 1])
def test_the_last_layer_is_the_models_own_surprisal(tiny: SimpleNamespace, kind: str, begin: int) -> None:
    subject = tiny.subject(kind, tokenizer=tiny.tokenizer(digits_apart=True, begin=begin))
    s = RepeatedBlocks(length=5, vocabulary=50).sample(3, seed=0)
    found = read_sequences(subject, s)
    words = symbol_tokens(subject, 50)
    ids = torch.cat([torch.zeros(3, begin, dtype=torch.long), words[s.symbols]], 1)
    with torch.no_grad():
        logs = subject.network.model(ids, use_cache=False).logits[:, begin:].log_softmax(-1)
    for at, targets, surprisal in (
        (s.at, s.targets, found.surprisal[-1]),
        (s.control_at, s.control_targets, found.control[-1]),
    ):
        expected = -logs[:, at].gather(2, words[targets][..., None])[..., 0]
        torch.testing.assert_close(surprisal, expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(found.correct[-1], logs[:, s.at].argmax(-1) == words[s.targets])
    assert found.surprisal.shape == (len(subject.path) + 1, 3, 4)


def test_symbols_have_ordinary_tokens_of_their_own(tiny: SimpleNamespace) -> None:
    subject = tiny.subject()
    words = symbol_tokens(subject, 200)
    assert len(words.unique()) == 200
    assert not set(words.tolist()) & set(subject.writing.tokenizer.all_special_ids)
    assert torch.equal(symbol_tokens(subject, 20), words[:20])
    with pytest.raises(ValueError, match=r"vocabulary must be at most \d+, .*ordinary tokens; got 1000"):
        read_sequences(subject, AssociativeRecall(pairs=3).sample(1, seed=0))


def test_chosen_sites_and_sequences_longer_than_the_context(tiny: SimpleNamespace) -> None:
    subject = tiny.subject()
    s = RepeatedBlocks(length=4, vocabulary=50).sample(2, seed=0)
    last = read_sequences(subject, s, [Site(layer=2, kind="resid_post")])
    torch.testing.assert_close(last.surprisal[0], read_sequences(subject, s).surprisal[-1])
    long = RepeatedBlocks(length=200, repetitions=3, vocabulary=200).sample(1, seed=0)
    with pytest.raises(
        ValueError, match=r"prompts must have at most 512 tokens, .*got one of 600\. Show fewer examples"
    ):
        read_sequences(subject, long)
