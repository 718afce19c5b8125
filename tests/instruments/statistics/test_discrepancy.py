"""The error, the score, the confidence set and what is left, against values computed by hand."""

import pytest
import torch

from mesascope.instruments.identification.remainder import explained_share, repeated_share, switching_gain
from mesascope.instruments.spectral.channels import SpectralChannels
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.discrepancy import (
    Losses,
    agreement,
    confidence_set,
    discrepancy,
    losses,
    progress,
    telling_apart,
)
from mesascope.seeds import generator
from mesascope.tasks import LinearRegression

LAYERS, BATCH, QUERIES = 3, 64, 4


def noise(*shape: int, stream: str = "noise") -> torch.Tensor:
    return torch.randn(*shape, generator=generator(1, stream), dtype=torch.float64)


def paths(*steps: float) -> torch.Tensor:
    """Candidates that answer these multiples of one random path."""
    return torch.tensor(steps, dtype=torch.float64)[:, None, None, None] * noise(LAYERS, BATCH, QUERIES)


ONES = torch.ones(BATCH, dtype=torch.float64)
UNITS = ONES.expand(LAYERS, -1)
EVERYWHERE = torch.ones(LAYERS, BATCH, dtype=torch.bool)


def test_the_error_is_a_mean_square_over_queries_by_the_variance_clipped_at_4():
    a = torch.tensor([[1.0, 3.0], [0.0, 0.0], [100.0, 0.0], [float("nan"), 0.0], [float("inf"), 0.0]])
    variance = torch.tensor([2.0, 1.0, 1.0, 1.0, 1.0])
    assert discrepancy(a, torch.zeros_like(a), variance).tolist() == [2.5, 0.0, 4.0, 4.0, 4.0]


def test_exact_scores_one_and_doing_nothing_scores_nothing():
    subject = paths(1.0)[0]
    found = losses(subject, paths(1.0, 0.0, 0.5, -1.0), ONES, EVERYWHERE)
    size = float(discrepancy(subject, torch.zeros_like(subject), ONES).sum(0).mean())
    wrong_sign = float((4 * subject.square().mean(-1)).clamp(max=4).sum(0).mean())
    assert found.scores.tolist() == pytest.approx([1.0, 0.0, 0.75, 1 - wrong_sign / size], abs=0.02)
    assert found.scores[0] == 1
    assert found.scores[1] == 0
    assert found.telling == 1


def test_only_informative_layers_and_prompts_count():
    informative = EVERYWHERE.clone()
    informative[1:] = False
    candidate = paths(1.0)
    candidate[:, 1:] = 50.0
    found = losses(paths(1.0)[0], candidate, ONES, informative)
    assert found.scores.tolist() == [1.0]
    assert found.telling == pytest.approx(1 / 3)


def test_candidates_are_told_apart_where_any_two_of_them_differ_by_a_hundredth():
    base = torch.zeros(3, 1, 2, 1, dtype=torch.float64)
    base[1, 0, 0], base[2, 0, 0] = 0.07, -0.07  # each within 1 % of the first, not of each other
    base[1, 0, 1], base[2, 0, 1] = 0.04, -0.04
    assert telling_apart(base, ONES[:2]).tolist() == [[True, False]]


def table(*means: float, spread: float = 1.0) -> Losses:
    shared = noise(BATCH, stream="shared")
    rows = [m + shared.abs() + 0.05 * spread * noise(BATCH, stream=f"row {i}") for i, m in enumerate(means)]
    return Losses(candidates=torch.stack(rows), nothing=10 * ONES, telling=1.0)


DRAWS = bootstrap.weights(BATCH, seed=0)


def test_the_confidence_set_keeps_the_best_and_what_cannot_be_told_from_it():
    found = table(0.5, 0.505, 0.9, 0.5)
    assert set(confidence_set(found, [0, 1, 2, 3], DRAWS)) == {0, 1, 3}
    assert confidence_set(found, [2], DRAWS) == [2]
    assert confidence_set(found, [2, 1], DRAWS) == [1]


def test_exact_copies_of_the_best_stay():
    rows = torch.stack([ONES, ONES, 1 + 1e-9 * ONES, 1.01 * ONES])
    assert confidence_set(Losses(candidates=rows, nothing=ONES, telling=1.0), [0, 1, 2, 3], DRAWS) == [0, 1, 2]


@pytest.mark.parametrize("tied", [2, 10])
def test_of_candidates_that_are_equally_good_all_stay_in_nineteen_of_twenty_samples(tied):
    rng = generator(0, "ties")
    cut = 0
    for _ in range(200):
        rows = torch.randn(tied + 1, BATCH, generator=rng, dtype=torch.float64).square()
        rows[tied] += 3  # one is worse, and goes
        kept = confidence_set(Losses(candidates=rows, nothing=10 * ONES, telling=1.0), list(range(tied + 1)), DRAWS)
        assert tied not in kept
        cut += len(kept) < tied
    assert cut <= 20  # 10 are promised at most; 20 is three standard deviations more


def test_agreement_is_the_score_of_one_candidate_against_another():
    found = agreement(paths(1.0)[0], paths(1.0, 0.5), ONES)
    assert found.diagonal().tolist() == [1, 1]
    assert found[0, 1] == found[1, 0] == pytest.approx(0.75, abs=0.02)


def test_progress_is_the_share_of_the_error_of_zero_that_is_removed():
    targets = noise(BATCH, QUERIES)
    for factor, share in ((1.0, 1.0), (0.0, 0.0), (0.5, 0.75)):
        value, (low, high) = progress(factor * targets, targets, 2 * ONES, DRAWS)
        assert value == pytest.approx(share, abs=0.01)
        assert low <= value + 1e-12
        assert value <= high + 1e-12


# ------------------------------------------------------------------------------------------ remainder


def test_a_remainder_that_comes_back_counts_in_full_and_noise_does_not():
    subject = noise(LAYERS, 2000, QUERIES)
    ones, everywhere = torch.ones(LAYERS, 2000, dtype=torch.float64), torch.ones(LAYERS, 2000, dtype=torch.bool)
    same = 0.3 * noise(LAYERS, 2000, QUERIES, stream="same")
    other = 0.3 * noise(LAYERS, 2000, QUERIES, stream="other")
    draws = bootstrap.weights(2000, seed=0)

    def share(first: torch.Tensor, second: torch.Tensor) -> float:
        value, (low, high) = repeated_share((first, second), subject, ones, everywhere, draws)
        assert low < value < high
        assert high - low < 0.01
        return value

    assert share(same, same) == pytest.approx(0.09, rel=0.1)
    assert share(same, other) == pytest.approx(0, abs=0.003)
    assert repeated_share((same, same), 0 * subject, ones, everywhere, draws) == (0, (0, 0))
    assert repeated_share((same, same), subject, ones, ~everywhere, draws) == (0, (0, 0))


def test_a_remainder_that_is_linear_in_the_channels_or_a_candidate_is_explained_and_others_are_not():
    task = LinearRegression(dim=3, examples=9, queries=QUERIES)
    fit, score = (task.sample(200, seed=0, stream=name) for name in ("fit", "score"))
    channels = [SpectralChannels.of(prompts) for prompts in (fit, score)]
    everywhere = torch.ones(1, 200, dtype=torch.bool)

    def share(left) -> float:
        halves = []
        for prompts in (fit, score):
            best = prompts.targets[None]
            halves.append((best + left(prompts), best, prompts.target_variance[None], everywhere))
        iterates = [torch.stack([prompts.ys[None, :, :QUERIES]]) for prompts in (fit, score)]
        return explained_share(halves[0], halves[1], iterates[0], iterates[1], channels[0], channels[1])

    assert share(lambda p: 0.2 * p.targets[None]) == pytest.approx(0.04 / 1.44, rel=0.05)
    scaled = share(lambda p: 0.2 * p.ys[None, :, :QUERIES])
    assert scaled == pytest.approx(0.04 / 1.04, rel=0.3)
    stray = {id(p): 0.2 * noise(1, 200, QUERIES, stream=str(i)) for i, p in enumerate((fit, score))}
    assert share(lambda p: stray[id(p)] * p.target_variance.sqrt()[:, None]) == pytest.approx(0, abs=0.01)


def test_a_subject_that_switches_gains_by_switching_and_a_noisy_one_does_not():
    first, second = noise(2, LAYERS, BATCH, QUERIES)
    half = (torch.arange(BATCH) % 2 == 0)[:, None]
    both = torch.stack([first, second])

    def switching(subject, candidates):
        return switching_gain((subject.expand_as(candidates), candidates), None, subject, 0, UNITS, EVERYWHERE)

    gain, left, pair = switching(torch.where(half, first, second), both)
    assert (gain > 0.5, set(pair)) == (True, {0, 1})
    assert left == pytest.approx(gain, rel=0.2)  # nothing is left where each prompt has its own
    noisy = first + 0.5 * noise(LAYERS, BATCH, QUERIES, stream="more")
    near = torch.stack([first, first + 0.05 * second])
    gain, *_ = switching(noisy, near)
    assert gain < 0.01
    assert switching(0 * first, both)[0] == 0
