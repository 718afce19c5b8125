"""Truncation of the embedding's directions, against matrices of known rank and a model that needs few of them."""

import pytest
import torch
import transformers

import mesascope as ms
from mesascope.instruments import NotApplicable
from mesascope.instruments.intervening.truncation import (
    ADDED,
    ANSWER,
    CONDITION,
    EVERY,
    FRESH,
    GAP,
    HALF,
    HEADS,
    INSTRUMENT,
    NONE,
    RANDOM,
    RANK,
    SHARP,
    SMALLEST,
    SURPRISAL,
    figure,
    keep,
    spectrum,
    truncation,
)
from mesascope.models.constructions import gradient_descent
from mesascope.models.language import LanguageSubject, Network, read_sequences
from mesascope.models.language.characters import PAIRS, tokenizer
from mesascope.models.language.families import family_of
from mesascope.models.language.writing import writing
from mesascope.report.figures import draw
from mesascope.tasks import LinearRegression, RepeatedBlocks
from mesascope.types import Site

TASK = LinearRegression()
BLOCKS = RepeatedBlocks(vocabulary=30, length=4)
RNG = torch.Generator().manual_seed(0)


@pytest.fixture
def model() -> LanguageSubject:
    """A random model of characters whose embedding has three large directions, and the others none of size."""
    config = transformers.GPTNeoXConfig(
        vocab_size=39, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.add_(0.3 * torch.randn(parameter.shape))
            weight = made.get_input_embeddings().weight
            weight.copy_(torch.randn(39, 3) @ torch.linalg.qr(torch.randn(16, 16))[0][:3] + torch.randn(16))
    network = Network(model=made, family=family_of(config))
    return LanguageSubject(name="random", network=network, writing=writing(PAIRS, tokenizer()))


def of(found, quantity, **where):
    (m,) = (m for m in found if m.quantity == getattr(quantity, "name", quantity) and dict(m.coordinates) == where)
    return m


def controls(m):
    return {c.name: c.value for c in m.controls}


def test_rank_and_condition_number_of_a_known_matrix() -> None:
    left = torch.linalg.qr((noise := torch.randn(50, 6, generator=RNG, dtype=torch.float64)) - noise.mean(0))[0]
    right = torch.linalg.qr(torch.randn(6, 6, generator=RNG, dtype=torch.float64))[0]
    values = torch.tensor(
        [20.0, 10.0, 4.0, 2.1, 1.9, 0.0], dtype=torch.float64
    )  # the rank ends at a tenth of the largest
    found = spectrum(left * values @ right + torch.arange(6.0))
    assert found.rank == 4
    assert found.condition == pytest.approx(20 / 2.1)
    torch.testing.assert_close(found.eigenvalues, values.square(), atol=1e-10, rtol=1e-10)
    torch.testing.assert_close((right @ found.directions).abs(), torch.eye(6, dtype=torch.float64), atol=1e-6, rtol=0)
    matrix = left * values @ right
    singular = torch.linalg.svdvals(matrix - matrix.mean(0))
    torch.testing.assert_close(found.eigenvalues.sqrt(), singular, atol=1e-6, rtol=1e-9)


def test_the_edit_projects_about_the_mean_and_touches_no_weight(model: LanguageSubject) -> None:
    weight = model.network.model.get_input_embeddings().weight
    before = weight.clone()
    found = spectrum(weight)
    stream = torch.randn(2, 5, 16, generator=RNG)
    edit = keep(found.directions[:, :3], found.mean).edit
    torch.testing.assert_close(edit(edit(stream)), edit(stream), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(edit(weight[None])[0], weight, atol=1e-5, rtol=1e-5)  # it has no other directions
    drawn = BLOCKS.sample(3, seed=0)
    nothing = read_sequences(model, drawn, interventions=[keep(found.directions[:, :0], found.mean)])
    assert nothing.surprisal[0].std(0).max() > 0  # targets differ
    stream = []

    def look(value):
        stream.append(value)
        return value

    site = Site(kind="embed")
    read_sequences(
        model, drawn, interventions=[keep(found.directions[:, :0], found.mean), ms.Intervention(site=site, edit=look)]
    )
    torch.testing.assert_close(stream[0], found.mean.float().expand_as(stream[0]))
    assert torch.equal(weight, before)


def test_a_model_whose_embedding_has_three_directions_needs_no_more(model: LanguageSubject) -> None:
    found = truncation(model, TASK, n=12, sequences=BLOCKS, shares=(1 / 16, 3 / 16, 1.0))
    assert of(found, RANK).value == 3 / 16 and of(found, HEADS).value == 2 / 3
    assert 1 <= of(found, CONDITION).value <= 10
    for share in (3 / 16, 1.0):
        added = of(found, ADDED, share=share)
        assert abs(added.value) < 1e-4
        assert abs(controls(added)[EVERY]) < 1e-4
    fewer = of(found, ADDED, share=1 / 16)
    assert abs(fewer.value) > 1e-2 and abs(controls(fewer)[RANDOM]) > 1e-2 and abs(controls(fewer)[SMALLEST]) > 1e-2
    smallest, none = (
        controls(of(found, SURPRISAL, share=1 / 16))[SMALLEST],
        controls(of(found, SURPRISAL, share=1 / 16))[NONE],
    )
    assert smallest == pytest.approx(none, abs=1e-3)  # the smallest direction holds nothing
    plain = read_sequences(model, BLOCKS.sample(12, seed=0, stream="truncation"), model.path[-1:])
    assert of(found, SURPRISAL, share=1.0).value == pytest.approx(plain.surprisal.mean().item(), abs=1e-4)
    assert of(found, ANSWER, share=1.0).value == pytest.approx(plain.correct.double().mean().item())
    gap = (of(found, ANSWER, share=3 / 16).value + of(found, ANSWER, share=1.0).value) / 2
    assert of(found, GAP).value == pytest.approx(gap - of(found, ANSWER, share=1 / 16).value)
    sharp = of(found, ANSWER, share=1.0).value - controls(of(found, ANSWER, share=1.0))[NONE]
    assert controls(of(found, GAP))[SHARP] == pytest.approx(sharp)


def test_every_control_has_the_value_it_must(model: LanguageSubject) -> None:
    found = truncation(model, TASK, n=6, sequences=BLOCKS)
    for expected in INSTRUMENT.expected:
        seen = [controls(m)[expected.control] for m in found if m.quantity == expected.quantity]
        assert seen and all(map(expected.holds, seen)), expected
    assert {m.quantity for m in found} == set(INSTRUMENT.quantities)
    assert {HALF, FRESH} == set(controls(of(found, RANK)))
    assert all({"positive", "negative"} <= {c.kind for c in m.controls} for m in found)
    made = figure(found)
    assert {row["kept"] for row in made.rows} == {"the largest", RANDOM, SMALLEST}
    assert draw(made)["data"]["values"]


def test_no_gap_where_no_share_is_below_the_rank(model: LanguageSubject) -> None:
    found = truncation(model, TASK, n=4, sequences=BLOCKS, shares=(1.0,))
    assert GAP.name not in {m.quantity for m in found}


def test_a_model_of_the_ladder_needs_its_embedding() -> None:
    found = truncation(ms.load("ladder-small"), TASK, n=16, sequences=RepeatedBlocks(vocabulary=38, length=24))
    assert of(found, ANSWER, share=1.0).value > 0.95
    assert controls(of(found, ANSWER, share=1.0))[NONE] < 0.2


def test_others_are_refused() -> None:
    with pytest.raises(NotApplicable, match="is no language model"):
        truncation(gradient_descent(layers=2), TASK)
