"""Contraction of surprisal against curves whose rate is known, and a model that is made to copy."""

import math

import numpy as np
import pytest
import torch
import transformers

import mesascope as ms
from mesascope.instruments import NotApplicable
from mesascope.instruments.reading import induction as module
from mesascope.instruments.reading.induction import (
    ACCURACY,
    ALL,
    ANSWER,
    FIRST,
    FIT,
    FOLLOWED,
    FRESH,
    HALF,
    INSTRUMENT,
    KNOWN,
    LAST,
    LEAST_RANGE,
    RHO2,
    SURPRISAL,
    contraction,
    figure,
    fit_quality,
    induction,
    monotone,
)
from mesascope.models.constructions import gradient_descent
from mesascope.models.language import LanguageSubject, Network, SequenceReading
from mesascope.models.language.characters import PAIRS, tokenizer
from mesascope.models.language.families import family_of
from mesascope.models.language.writing import writing
from mesascope.report.figures import draw
from mesascope.tasks import AssociativeRecall, LinearRegression, RepeatedBlocks

TASK = LinearRegression()


def model(layers: int = 3, seed: int = 0) -> LanguageSubject:
    """A random model of the ladder's characters."""
    config = transformers.GPTNeoXConfig(
        vocab_size=39,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=layers,
        num_attention_heads=2,
        max_position_embeddings=49,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    network = Network(model=made, family=family_of(config))
    return LanguageSubject(name="random", network=network, writing=writing(PAIRS, tokenizer()))


def of(found, quantity, **where):
    (m,) = (m for m in found if m.quantity == quantity and dict(m.coordinates) == where)
    return m


def controls(m):
    return {c.name: c.value for c in m.controls}


@pytest.mark.parametrize("rate", [0.3, 0.9])
def test_a_steady_fall_is_its_own_rate(rate: float) -> None:
    curve = 7 * rate ** torch.arange(6, dtype=torch.float64)[None]
    for which in (LEAST_RANGE, ALL):
        assert contraction(curve, which).item() == pytest.approx(rate**2)
        assert fit_quality(curve, which).item() == pytest.approx(1)
    assert monotone(curve).item() == 1


def test_the_cut_at_the_least_surprisal_hides_a_rise_and_the_whole_range_does_not() -> None:
    curve = torch.tensor([[8.0, 4.0, 2.0, 1.0, 64.0]], dtype=torch.float64)
    assert contraction(curve, LEAST_RANGE).item() == pytest.approx(0.25)
    assert fit_quality(curve, LEAST_RANGE).item() == pytest.approx(1)
    assert contraction(curve, ALL).item() > 1
    assert fit_quality(curve, ALL).item() < 0.5
    assert monotone(curve).item() == 0.75


def test_against_numpy_over_both_ranges_row_by_row() -> None:
    curves = torch.rand(5, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.1
    curves[0, 0], curves[1, 1] = 0.01, 0.01  # the least comes first, or second: three points are fitted all the same
    for row, curve in enumerate(curves.numpy()):
        for which, last in ((LEAST_RANGE, max(2, int(curve.argmin()))), (ALL, 8)):
            depth, logs = np.arange(last + 1), np.log(curve[: last + 1])
            assert contraction(curves, which)[row].item() == pytest.approx(math.exp(2 * np.polyfit(depth, logs, 1)[0]))
            assert fit_quality(curves, which)[row].item() == pytest.approx(np.corrcoef(depth, logs)[0, 1] ** 2)


def test_a_surprisal_that_stays_is_no_contraction() -> None:
    flat = torch.full((1, 4), 3.0, dtype=torch.float64)
    assert contraction(flat, ALL).item() == 1 and fit_quality(flat, ALL).item() == 0 and monotone(flat).item() == 0


def test_planted_surprisals_give_what_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each layer leaves 0.8 of the surprisal at what can be known, and nothing changes where nothing can be known."""

    def planted(subject, sequences, sites=None):
        layers = len(subject.path) + 1
        size = (layers, *sequences.targets.shape)
        falls = 0.8 ** torch.arange(layers)[:, None, None]
        right = torch.arange(layers)[:, None, None] == layers - 1
        return SequenceReading(
            surprisal=(5 * falls).expand(size),
            correct=right.expand(size),
            control=torch.full(size, 5.0),
            guessed=torch.zeros(size, dtype=torch.bool),
        )

    monkeypatch.setattr(module, "read_sequences", planted)
    found = induction(model(), TASK, n=8)
    for which in (LEAST_RANGE, ALL):
        assert of(found, RHO2, range=which).value == pytest.approx(0.64, abs=1e-6)
        assert of(found, FIT, range=which).value == pytest.approx(1, abs=1e-6)
        assert controls(of(found, RHO2, range=which))[FIRST] == pytest.approx(1)
        assert controls(of(found, FIT, range=which))[FIRST] == 0
    assert of(found, "share of layers that lower the surprisal").value == 1
    assert of(found, "least surprisal over the first").value == pytest.approx(0.8**3)
    assert of(found, "last surprisal over the first").value == pytest.approx(0.8**3)
    assert [of(found, ACCURACY.name, layer=i).value for i in range(4)] == [0, 0, 0, 1]
    assert of(found, ANSWER.name).value == 1


def test_the_controls_have_the_values_they_must_and_a_random_model_knows_nothing() -> None:
    found = induction(model(), TASK, n=12)
    for expected in INSTRUMENT.expected:
        seen = [controls(m)[expected.control] for m in found if m.quantity == expected.quantity]
        assert seen and all(map(expected.holds, seen))
    answer = of(found, ANSWER.name)
    assert answer.value < 0.2 and answer.value == of(found, ACCURACY.name, layer=3).value
    assert controls(answer)[FOLLOWED] == 1 and controls(answer)[LAST] == 0
    assert {FIRST, FRESH, HALF} == set(controls(of(found, SURPRISAL.name, layer=0)))
    assert {m.quantity for m in found} == set(INSTRUMENT.quantities) and KNOWN.keys() < {m.quantity for m in found}
    assert len({(m.quantity, *m.coordinates.items()) for m in found}) == len(found)


def test_batches_change_nothing_and_other_sequences_can_be_asked() -> None:
    subject, other = model(), AssociativeRecall(vocabulary=30, pairs=4)
    one, many = (induction(subject, TASK, n=7, batch=b) for b in (2, 7))
    assert [m.value for m in one] == pytest.approx([m.value for m in many], rel=1e-5)
    assert controls(of(induction(subject, TASK, n=6, sequences=other), ANSWER.name))[FOLLOWED] == 1
    drawn = RepeatedBlocks(vocabulary=30, length=4).sample(5, seed=0)
    assert torch.equal(torch.cat([drawn[i : i + 2].symbols for i in (0, 2, 4)]), drawn.symbols)
    assert [len(drawn[i : i + 2]) for i in (0, 2, 4)] == [2, 2, 1]


def test_the_figure_shows_what_can_be_known_beside_what_cannot() -> None:
    made = figure(induction(model(), TASK, n=4))
    assert {row["symbol"] for row in made.rows} == {"can be known", FIRST, FRESH}
    assert draw(made)["data"]["values"]


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(NotApplicable, match="is no language model, so it cannot read sequences of symbols"):
        induction(gradient_descent(layers=2), TASK)
    with pytest.raises(NotApplicable, match="random has 1 layers; a line is fitted to 2 at least"):
        induction(model(layers=1), TASK)


@pytest.mark.parametrize("length", [4, 16, 24])
def test_a_model_of_the_ladder_repeats_blocks_of_any_length(length: int) -> None:
    """It copies from no fixed distance: blocks of 4 symbols are shorter than any that it was trained on."""
    subject = ms.load("ladder-small")
    found = of(induction(subject, TASK, n=16, sequences=RepeatedBlocks(vocabulary=38, length=length)), ANSWER.name)
    assert found.value > 0.95
    assert max(controls(found)[name] for name in (FIRST, FRESH, LAST)) < 0.2
