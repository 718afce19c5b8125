"""Parts of a language model sum to the logits of whole numbers, in every family; and where one part alone writes, it is found."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from mesascope.models.language import LanguageSubject, Numbers, Template, score_numbers
from mesascope.models.language.continuing import continued, read_before
from mesascope.models.language.contributions import contributions, scores
from mesascope.models.language.held import held
from mesascope.models.language.passes import output_projection, run
from mesascope.models.language.writing import texts
from mesascope.tasks import DigitRegression

TEMPLATE = Template(before_input="", before_label=":", labels=Numbers(highest=30, scale=3))
P = DigitRegression(examples=3, queries=2).sample(2, seed=0)
NUMBERS = ((("3", "30"), ("12", "9")), (("0", "21"), ("30", "27")))
CLOSE = 1e-4


def linear(kind: str) -> bool:
    return kind != "gemma3"  # whose logits are capped


def test_parts_sum_to_the_logits_in_every_family(tiny: SimpleNamespace, kind: str) -> None:
    subject = tiny.subject(kind, TEMPLATE, tiny.tokenizer(begin=1))
    if not linear(kind):
        with pytest.raises(ValueError, match="subject must have logits that are linear in its last stream"):
            contributions(subject, P, NUMBERS)
        return
    found = contributions(subject, P, NUMBERS)
    added = found.attention + found.mlp
    for layer in range(len(added)):
        whole = found.stream[0] + added[: layer + 1].sum(0)
        torch.testing.assert_close(found.stream[layer + 1], whole, atol=CLOSE, rtol=0)
    assert float(found.stream.abs().max()) > 1  # there is something to sum to
    if not biased(subject):
        torch.testing.assert_close(found.heads.sum(1), found.attention, atol=CLOSE, rtol=0)
    alone = contributions(subject, P, NUMBERS, batch=1)
    torch.testing.assert_close(alone.heads, found.heads, atol=CLOSE, rtol=0)


def biased(subject: LanguageSubject) -> bool:
    return output_projection(subject.network, 0)[1] is not None


def test_the_logits_are_those_of_the_model_alone_on_each_text(tiny: SimpleNamespace) -> None:
    subject = tiny.subject("gpt2", TEMPLATE, tiny.tokenizer(begin=1))
    found = contributions(subject, P, NUMBERS)
    asked = continued(subject, P, NUMBERS)
    last = subject.path[-1]
    again = scores(subject.network, asked, read_before(subject.network, asked, [last])[last])
    for row in range(2):
        for query in range(2):
            for member, number in enumerate(NUMBERS[row][query]):
                text = texts(subject.writing, P)[row][query]
                start = len(subject.writing.tokenizer(text)["input_ids"])
                ids = torch.tensor(subject.writing.tokenizer(f"{text}{number}\n")["input_ids"])
                with torch.no_grad():
                    logits = subject.network.model(ids[None], use_cache=False).logits[0].double()
                at = range(start, len(ids))
                mean = [(logits[i - 1].softmax(-1) @ logits[i - 1]) for i in at]
                expected = sum(float(logits[i - 1, ids[i]] - m) for i, m in zip(at, mean, strict=True))
                assert float(found.stream[-1, row, query, member]) == pytest.approx(expected, abs=CLOSE)
                logs = sum(float(logits[i - 1].log_softmax(-1)[ids[i]]) for i in at)
                assert float(found.scores[row, query, member]) == pytest.approx(logs, abs=CLOSE)
                assert float(again[row, query, member]) == pytest.approx(logs, abs=CLOSE)


def test_numbers_that_are_asked_of_all_prompts_have_the_same_scores(tiny: SimpleNamespace) -> None:
    subject = tiny.subject("llama", TEMPLATE, tiny.tokenizer())
    wanted = ("3", "30", "12")
    found = contributions(subject, P, [[wanted, wanted]] * 2).scores
    torch.testing.assert_close(found, score_numbers(subject, P, wanted).scores.double(), atol=CLOSE, rtol=0)


@torch.no_grad()
def test_the_one_network_that_writes_a_number_is_found(tiny: SimpleNamespace) -> None:
    """All parts add nothing but the feed-forward network of layer 1, which writes "3" over "7" wherever it stands."""
    subject = tiny.subject("gpt2", None, tiny.tokenizer(digits_apart=True))
    network = subject.network
    three, seven = (subject.writing.answers[digit] for digit in (3, 7))
    rows = network.unembedding.weight
    for block in network.blocks:
        for each in (block.attn.c_proj, block.mlp.c_proj):
            each.weight.zero_()
            each.bias.zero_()
    network.blocks[1].mlp.c_proj.bias.copy_(50 * (rows[three] - rows[seven]))
    found = contributions(subject, P, [[("3", "7")] * 2] * 2)
    apart = {
        name: getattr(found, name)[..., 0] - getattr(found, name)[..., 1]
        for name in ("mlp", "heads", "attention", "stream")
    }
    assert float(apart["mlp"][1].min()) > 1
    assert not apart["mlp"][[0, 2]].any() and not apart["heads"].any() and not apart["attention"].any()
    torch.testing.assert_close(apart["stream"][2] - apart["stream"][1], apart["mlp"][1], atol=CLOSE, rtol=0)
    assert bool((found.scores[..., 0] > found.scores[..., 1]).all())


def test_a_held_norm_is_the_norm_where_it_is_held(tiny: SimpleNamespace) -> None:
    for kind in ("gpt2", "llama", "gemma3"):
        network = tiny.network(kind)
        norm = network.model.get_submodule(network.family.norm)
        stream = 3 * torch.randn(5, 24, generator=torch.Generator().manual_seed(1)) + 1
        direction = torch.eye(24).double()[:5]
        found = held(norm, stream)
        linearly = (found.back(direction) * stream.double()).sum(-1) + direction @ found.shift
        torch.testing.assert_close(linearly, (direction * norm(stream).double()).sum(-1), atol=CLOSE, rtol=0)
        half = (found.back(direction) * stream.double() / 2).sum(-1)  # the scale does not follow the stream
        torch.testing.assert_close(half, (linearly - direction @ found.shift) / 2)
    with pytest.raises(ValueError, match="norm must be a layer norm or a root-mean-square norm"):
        held(Crooked(), stream)


class Crooked(torch.nn.Module):
    """Not a norm: it does not divide by one number."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(24))

    def forward(self, stream: Tensor) -> Tensor:
        return stream.tanh() * self.weight


def test_numbers_of_different_lengths_leave_positions_that_nobody_sees(tiny: SimpleNamespace) -> None:
    subject = tiny.subject("llama", TEMPLATE, tiny.tokenizer())
    asked = continued(subject, P, NUMBERS)
    lengths = asked.there.sum(-1).flatten().tolist()
    assert set(lengths) == {2, 3} and lengths[:2] == [2, 3]  # with the token that ends each
    hidden = run(subject.network, asked.tokens).hidden
    assert hidden.shape[1] == asked.tokens.ids.shape[1]
    assert bool((asked.before[..., 0] == subject.layout(3, 2).answers[:, None]).all())
