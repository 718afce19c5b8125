"""Subjects that read digits, asked as regressions: what they compute is known beforehand."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import mesascope as ms
from mesascope.algorithms import (
    Algorithm,
    ConjugateGradient,
    GradientDescent,
    LastLabel,
    LeastSquares,
    NearestExample,
    run,
)
from mesascope.instruments.asking.lines import LinesSubject, as_lines, fewer, reordered
from mesascope.instruments.behaving.invariance import invariances
from mesascope.models.scripted import Scripted, followed_in_digits
from mesascope.tasks import DigitLines, DigitRegression, LinearRegression
from mesascope.tasks.lines import MIDDLE, UNIT, as_digits, as_values
from mesascope.types import Domain, Prompts

TASK = DigitRegression(examples=4)


def reads_digits(name: str, layers: int, script: Callable[[Prompts], Tensor]) -> Scripted:
    """A subject of digits that answers as a script of their values does."""

    def answer(prompts: Prompts) -> Tensor:
        for numbers in (prompts.xs, prompts.ys, prompts.queries):
            assert torch.equal(numbers, numbers.round()), "it can read whole numbers only"
            assert float(numbers.min()) >= 0 and float(numbers.max()) <= 9, "and one digit each"
        assert prompts.dim == 1
        return script(as_values(prompts)) * UNIT + MIDDLE

    return Scripted(name=name, layers=layers, script=answer, domain=Domain(dims=(1,), written=True))


def stepping(algorithm: Algorithm, layers: int) -> Scripted:
    return followed_in_digits(algorithm.name, algorithm, range(1, layers + 1))


def test_a_subject_is_asked_about_digits_and_answers_in_values() -> None:
    subject, task = as_lines(stepping(ConjugateGradient(), 2), TASK)
    assert isinstance(subject, LinesSubject) and task == DigitLines(digits=TASK)
    assert as_lines(subject, task) == (subject, task)
    plain = ms.load("two-layer"), LinearRegression()
    assert as_lines(*plain) == plain
    prompts = task.sample(12, seed=0)
    solved = subject.trace(prompts).predictions
    determined = prompts.xs[..., 0].amax(1) > prompts.xs[..., 0].amin(1)
    assert bool(determined.any())
    torch.testing.assert_close(solved[determined], prompts.targets[determined])
    digits = as_digits(prompts)
    assert digits.dim == 1 and digits.weights is None
    torch.testing.assert_close(digits.targets / UNIT - MIDDLE / UNIT, prompts.targets)


def test_the_task_has_new_queries_known_weights_and_other_labels_that_are_digits() -> None:
    task = DigitLines(digits=DigitRegression(examples=6, steepest=3))
    prompts = task.sample(60, seed=4)
    shown, asked = as_digits(prompts).xs[..., 0], as_digits(prompts).queries[..., 0]
    assert not bool((asked[:, :2, None] == shown[:, None]).any())
    assert all(len(row.unique()) == 4 for row in asked)
    torch.testing.assert_close((prompts.queries @ prompts.weights[..., None])[..., 0], prompts.targets)  # type: ignore[index]
    for place in range(3):
        labels = task.other_labels(prompts, seed=0, place=place) * UNIT + MIDDLE
        torch.testing.assert_close(labels, labels.round())
        assert float(labels.min()) > -1e-9 and float(labels.max()) < 9 + 1e-9
        slope = (labels - labels[:, :1])[:, 1:] / (shown - shown[:, :1])[:, 1:]
        assert bool(((slope.abs() - 1).abs() < 1e-9).logical_or(slope.isnan()).all())


@pytest.mark.parametrize("wrong", [{"queries": 5}, {"queries": 0}, {"digits": DigitRegression(spreads=(2,))}])
def test_tasks_that_cannot_be(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="queries must be|digits must have narrow inputs"):
        DigitLines(**wrong)  # type: ignore[arg-type]


def test_a_subject_that_reads_text_is_not_asked_about_wide_numbers() -> None:
    with pytest.raises(ValueError, match="task must have digits as its numbers .* got LinearRegression"):
        ms.identify(stepping(ConjugateGradient(), 2), LinearRegression(dim=1))
    with pytest.raises(ValueError, match="got DigitRegression"):
        ms.identify(stepping(ConjugateGradient(), 2), DigitRegression(spreads=(1, 10)))


def test_it_is_asked_again_in_another_order_and_about_that_alone() -> None:
    prompts = DigitLines(digits=TASK).sample(5, seed=0)
    again = reordered(prompts, seed=1)
    assert not torch.equal(again.ys, prompts.ys) and torch.equal(again.queries, prompts.queries)
    torch.testing.assert_close(run(LeastSquares(), again).predictions[-1], run(LeastSquares(), prompts).predictions[-1])
    subject, task = as_lines(reads_digits("last", 1, lambda p: run(LastLabel(), p).predictions[1:]), TASK)
    (order,) = invariances(subject, task)
    assert order.coordinates["invariance"] == "permutation" and order.value > 0.5
    subject, task = as_lines(stepping(GradientDescent(step_size=0.2), 1), TASK)
    (order,) = invariances(subject, task)
    assert order.value < 1e-20


def test_fewer_prompts() -> None:
    reader = stepping(ConjugateGradient(), 2)
    assert [fewer(reader, n) for n in (10, 60, 300, 1200)] == [10, 16, 75, 300]
    assert [fewer(stepping(ConjugateGradient(), 9), n) for n in (10, 300, 1200)] == [10, 19, 75]
    assert fewer(ms.load("two-layer"), 300) == 300


def test_gradient_descent_on_digits_is_found_and_described() -> None:
    verdict = ms.identify(stepping(GradientDescent(step_size=0.3), 4), TASK, prompts=60)
    assert verdict.label == "identified" and verdict.algorithms == ("gradient-descent",)
    assert verdict.description is not None
    home = verdict.description.training
    assert home.rung == "function" and home.functions[0].name == "gradient descent"
    assert home.functions[0].coefficients["steps"] == 4
    assert home.functions[0].coefficients["step size"] == pytest.approx(0.3, rel=1e-3)
    assert verdict.basis == "training" and "digits as (x − 4.5)/3" in home.distribution


def test_copying_the_nearest_example_is_no_regression() -> None:
    verdict = ms.identify(
        reads_digits("nearest", 1, lambda p: run(NearestExample(), p).predictions[1:]),
        TASK,
        prompts=60,
        algorithms=["gd", "cg", "ridge", "nearest-example", "mean-label"],
    )
    function = verdict.training.function
    assert function.label == "identified" and function.algorithms == ("nearest-example",)
    assert (
        verdict.description is not None
    )  # of equally near examples the smallest label counts: not linear in the labels
    assert verdict.description.training.rung not in ("function", "polynomial", "filter", "diagonal", "labels and query")
