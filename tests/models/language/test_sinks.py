"""Attention to the first position of texts, against the model's own patterns and against planted ones."""

from types import SimpleNamespace

import pytest
import torch

from mesascope.instruments import NotApplicable
from mesascope.instruments.attending import sinks as looking
from mesascope.instruments.attending.sinks import EVEN, FRESH, GROWTH, OF_HEAD, SECOND, SINK, sinks
from mesascope.models.constructions import gradient_descent
from mesascope.models.language import LanguageSubject, Numbers, Template
from mesascope.models.language.passes import run
from mesascope.models.language.sequences import sequence_tokens
from mesascope.models.language.writing import texts
from mesascope.tasks import DigitRegression, LinearRegression, RepeatedBlocks
from mesascope.types import Intervention, Measurement, Site

TASK = DigitRegression(examples=4)
BLOCKS = RepeatedBlocks(length=5, vocabulary=50)
UNEVEN = Template(
    before_input="",
    before_label=":",
    inputs=Numbers(lowest=0, highest=99),
    labels=Numbers(),
)
"""Inputs of one or two tokens, so that positions stay empty."""
WIDE = DigitRegression(examples=4, spreads=(1, 10))


def of(found: tuple[Measurement, ...], quantity: str, **where: int) -> Measurement:
    (m,) = (m for m in found if m.quantity == quantity and dict(m.coordinates) == where)
    return m


def value(m: Measurement, control: str) -> float:
    return next(c.value for c in m.controls if c.name == control)


def alone(subject: LanguageSubject, ids: list[int]) -> torch.Tensor:
    """Attention to the first two positions in the model's own patterns: (place, layer, head), mean over rows from the second."""
    with torch.no_grad():
        patterns = subject.network.model(torch.tensor([ids]), output_attentions=True, use_cache=False).attentions
    rows = torch.stack([pattern[0, :, 1:].double() for pattern in patterns])
    return torch.stack([rows[..., 0].mean(-1), rows[..., 1].mean(-1)])


@pytest.mark.parametrize("begin", [0, 1])
def test_empty_positions_do_not_count(tiny: SimpleNamespace, begin: int) -> None:
    """Every prompt as the model reads it alone, without empty positions."""
    subject = tiny.subject("llama", UNEVEN, tiny.tokenizer(digits_apart=True, begin=begin))
    found = sinks(subject, WIDE, n=6, heads=True)
    prompts = WIDE.sample(6, seed=0, stream=looking.NAME)
    written = [row[0] for row in texts(subject.writing, prompts)]
    assert len({len(text) for text in written}) > 1, "some prompts have empty positions"
    expected = torch.stack([alone(subject, subject.writing.tokenizer(text)["input_ids"]) for text in written]).mean(0)
    for layer in range(3):
        for head in range(4):
            m = of(found, OF_HEAD.name, layer=layer, head=head)
            assert m.value == pytest.approx(float(expected[0, layer, head]), abs=1e-5)
            assert value(m, SECOND) == pytest.approx(float(expected[1, layer, head]), abs=1e-5)
        assert of(found, SINK.name, layer=layer).value == pytest.approx(float(expected[0, layer].mean()), abs=1e-5)
        largest = of(found, looking.LARGEST.name, layer=layer)
        assert largest.value == pytest.approx(float(expected[0, layer].max()), abs=1e-5)


def test_planted_patterns_of_sequences(tiny: SimpleNamespace, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """0.2 on the first position in the first layer, 0.6 in the last; the rest is spread over what else is visible."""
    subject = tiny.subject(kind)
    layers = len(subject.network.blocks)
    shares = torch.linspace(0.2, 0.6, layers)

    def plant(pattern: torch.Tensor, share: float) -> torch.Tensor:
        rows = torch.ones_like(pattern).tril()
        rows[..., 0] = 0
        rows = rows / rows.sum(-1, keepdim=True).clamp(min=1)
        new = (1 - share) * rows
        new[..., 0] = share
        return new

    def planted(network: object, tokens: object, *, interventions: list[Intervention]) -> object:
        edits = [
            Intervention(site=Site(layer=i, kind="pattern"), edit=lambda p, s=float(share): plant(p, s))
            for i, share in enumerate(shares)
        ]
        return run(network, tokens, interventions=[*edits, *interventions])  # type: ignore[arg-type]

    monkeypatch.setattr(looking, "run", planted)
    found = sinks(subject, TASK, n=5, sequences=BLOCKS, batch=2)
    for layer in range(layers):
        m = of(found, SINK.name, layer=layer)
        assert m.value == pytest.approx(float(shares[layer]), abs=1e-6)
        assert value(m, EVEN) == pytest.approx(sum(1 / k for k in range(2, 11)) / 9)
    assert of(found, GROWTH.name).value == pytest.approx(3, abs=1e-5)
    assert of(found, looking.BY_DEPTH.name).value == pytest.approx(1)


def test_sequences_are_read_as_they_are(tiny: SimpleNamespace, kind: str) -> None:
    subject = tiny.subject(kind)
    found = sinks(subject, TASK, n=5, sequences=BLOCKS, batch=2)
    tokens = sequence_tokens(subject, BLOCKS.sample(5, seed=0, stream=looking.NAME))
    expected = torch.stack([alone(subject, row) for row in tokens.ids.tolist()]).mean((0, 3))
    for layer in range(expected.shape[1]):
        assert of(found, SINK.name, layer=layer).value == pytest.approx(float(expected[0, layer]), abs=1e-5)


def test_an_untrained_model_attends_uniformly_and_the_known_cases_come_out(tiny: SimpleNamespace) -> None:
    found = sinks(tiny.subject("llama"), TASK, n=8)
    for expected in looking.INSTRUMENT.expected:
        for m in (m for m in found if m.quantity == expected.quantity):
            assert expected.holds(value(m, expected.control)), expected.quantity
    for layer in range(3):
        m = of(found, SINK.name, layer=layer)
        assert value(m, FRESH) == pytest.approx(value(m, EVEN), rel=0.05)
    assert looking.figure(found).rows


@pytest.mark.parametrize(
    ("layers", "third"), [(1, 1), (2, 1), (3, 1), (4, 1), (5, 2), (6, 2), (12, 4), (16, 5), (30, 10)]
)
def test_a_third_of_the_layers(layers: int, third: int) -> None:
    assert looking.thirds(layers) == third


def test_what_it_cannot_be_asked_of() -> None:
    with pytest.raises(NotApplicable, match="shows no attention pattern|is no distribution"):
        sinks(gradient_descent(layers=2), LinearRegression(), n=4)
    with pytest.raises(NotApplicable, match="is no language model, so it cannot read sequences of symbols"):
        sinks(gradient_descent(layers=2), LinearRegression(), n=4, sequences=BLOCKS)
