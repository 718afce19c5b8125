"""The order within a prompt: Spearman's correlation against SciPy, ties, and prompts without an order."""

import pytest
import torch
from scipy.stats import rankdata, spearmanr

from mesascope.instruments.statistics.ordering import Ordered, constant, rank_correlation, ranks_within, statuses
from mesascope.seeds import generator


@pytest.fixture(scope="module")
def values():
    """Whole numbers, so that there are many ties."""
    return torch.randint(5, (2, 40, 9), generator=generator(0, "ordering"), dtype=torch.float64)


def test_ranks_are_those_of_scipy(values):
    assert torch.equal(ranks_within(values[0]), torch.as_tensor(rankdata(values[0], axis=1)))


def test_the_correlation_is_that_of_scipy_with_ties(values):
    expected = [spearmanr(a, b).statistic for a, b in zip(*values, strict=True)]
    assert rank_correlation(*values).tolist() == pytest.approx(expected, abs=1e-12)


def test_it_sees_the_order_and_nothing_else(values):
    targets = torch.randn(30, 7, generator=generator(1, "ordering"), dtype=torch.float64)
    assert rank_correlation(targets.exp() * 1e6 + 3, targets).tolist() == pytest.approx([1.0] * 30)
    assert rank_correlation(-targets, targets).tolist() == pytest.approx([-1.0] * 30)


def test_constant_answers_hold_no_order():
    answers = torch.tensor([[2.0, 2.0, 2.0], [0.1 + 0.2, 0.3, 0.3], [1.0, 2.0, 3.0]], dtype=torch.float64)
    targets = torch.tensor([[1.0, 2.0, 3.0]] * 3, dtype=torch.float64)
    assert constant(answers).tolist() == [True, True, False]  # 0.1 + 0.2 differs from 0.3 by rounding
    assert rank_correlation(answers, targets).tolist() == pytest.approx([0.0, 0.0, 1.0])
    assert rank_correlation(targets, answers).tolist() == pytest.approx([0.0, 0.0, 1.0])


def test_every_prompt_has_a_status():
    answers = torch.tensor([[1.0, 2.0], [1.0, 1.0], [1.0, 2.0], [1.0, torch.nan], [1e200, 1.0]], dtype=torch.float64)
    targets = torch.tensor([[1.0, 2.0], [1.0, 2.0], [3.0, 3.0], [3.0, 3.0], [1.0, 2.0]], dtype=torch.float64)
    assert statuses(answers, targets).tolist() == [
        Ordered.OK,
        Ordered.CONSTANT_ANSWERS,
        Ordered.CONSTANT_TARGETS,
        Ordered.NOT_FINITE,
        Ordered.NOT_FINITE,
    ]
