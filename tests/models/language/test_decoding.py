"""Decoding from a cache gives what a plain pass over the whole text gives, for every family."""

from types import SimpleNamespace

import pytest
import torch

from mesascope.models.language import decoding
from mesascope.models.language.decoding import Reading

TEXT, MORE = list(range(3, 40)), list(range(60, 71))


def logits(network, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return network.model(torch.tensor([ids]), use_cache=False).logits[0]


def greedy(count: int, scores: torch.Tensor) -> torch.Tensor:
    return scores.argmax(-1)


def test_continuations_are_those_of_a_plain_pass(
    tiny: SimpleNamespace, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "CHUNK", 16)
    network = tiny.network(kind)
    text = Reading(network)
    text.read(TEXT)
    whole = list(TEXT)
    for _ in range(6):
        whole.append(int(logits(network, whole)[-1].argmax()))
    assert text.continued(2, greedy, 6) == [whole[len(TEXT) :]] * 2
    words = [[5, 9, 7], [8], [1, 2, 3, 4]]
    for word, found in zip(words, text.log_probabilities(words), strict=True):
        wanted = logits(network, TEXT + word)[len(TEXT) - 1 : -1].log_softmax(-1)
        torch.testing.assert_close(found, wanted.gather(1, torch.tensor(word)[:, None])[:, 0], atol=1e-4, rtol=1e-4)
    text.read(MORE)
    after = text.continued(1, greedy, 1)[0][0]
    assert after == int(logits(network, TEXT + MORE)[-1].argmax())
    text.take_back(len(MORE))
    assert text.continued(1, greedy, 6) == [whole[len(TEXT) :]]


@pytest.mark.usefixtures("unchecked")
def test_what_does_not_fit_is_refused(tiny: SimpleNamespace) -> None:
    text = Reading(tiny.network("llama"))
    with pytest.raises(ValueError, match="ids must hold at least one token to read on; got none"):
        text.read([])
    with pytest.raises(ValueError, match=r"prompts must have at most 512 tokens.*got one of 600 or more"):
        text.read([1] * 600)
    text.read([1] * 510)
    assert len(text.continued(1, greedy, 12)[0]) == 2  # the context ends there
