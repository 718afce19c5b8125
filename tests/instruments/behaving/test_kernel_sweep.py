"""The kernel sweep: its learners against their definitions, its draws against the source's, its classes, and what it measures."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from mesascope.algorithms import KernelRidge, NadarayaWatson, Ridge, run
from mesascope.algorithms.kernels import Exponential
from mesascope.instruments.behaving.kernel_sweep import (
    DRAWN,
    NAME,
    NEAR,
    NETWORK,
    WRONG,
    Asked,
    Grid,
    kernel_sweep,
    solving,
)
from mesascope.instruments.behaving.kernel_sweep.answering import FLOOR, best_ridge, mixed, replies
from mesascope.instruments.behaving.kernel_sweep.asking import (
    CROSS_VALIDATED,
    KERNEL_RIDGE,
    LEARNERS,
    LINEAR_RIDGE,
    PLAIN,
    RICHARDSON,
    SCALED,
    SOFTMAX,
    Cell,
)
from mesascope.instruments.behaving.kernel_sweep.drawing import draw
from mesascope.instruments.behaving.kernel_sweep.judging import (
    FINE,
    LOST,
    MOVED,
    NEIGHBOURS,
    RMSE,
    SHOWN,
    SILENT,
    TO_ORACLE,
    UNSOLVABLE,
    UNSTABLE,
    classify,
    moved,
    order,
)
from mesascope.instruments.behaving.silent_rule import OWN, POOLED, RANK, SPREAD
from mesascope.instruments.statistics.ordering import rank_correlation
from mesascope.models.constructions import kernel_gradient_descent
from mesascope.models.scripted import Scripted, followed
from mesascope.tasks import LinearRegression

TASK = LinearRegression(dim=3, examples=12, queries=7)
NOISE, LAMBDA = 0.1, 0.01
UNKNOWN: Any = "mixed"


@pytest.fixture(scope="module")
def drawn():
    return draw(TASK, 5, condition=4.0, streams="independent", seed=3, step=0, near=False)


@pytest.fixture(scope="module")
def products(drawn):
    return solving.products(drawn.xs, drawn.queries)


def answered(drawn, algorithm):
    return run(algorithm, drawn.prompts(NOISE)).predictions[1]


@pytest.mark.parametrize("temperature", [0.3, 1.0, 6.0])
def test_learners_are_the_reference_algorithms(drawn, products, temperature):
    kernel = Exponential(temperature=temperature)
    smooth, neighbours = solving.softmax(products, temperature, drawn.parts)
    torch.testing.assert_close(mixed(smooth, NOISE), answered(drawn, NadarayaWatson(kernel=kernel)))
    assert 1 <= float(neighbours.min()) < float(neighbours.max()) < TASK.examples
    regressed = solving.kernel_ridge(products, temperature, LAMBDA, drawn.parts)
    expected = answered(drawn, KernelRidge(kernel=kernel, ridge=LAMBDA))
    torch.testing.assert_close(mixed(regressed.answers, NOISE), expected, rtol=1e-6, atol=1e-8)
    assert not bool(regressed.broken.any())
    matrix = (products.examples / temperature).exp() + LAMBDA * torch.eye(TASK.examples)
    torch.testing.assert_close(regressed.condition, torch.linalg.cond(matrix, 1), rtol=1e-6, atol=0)
    linear = solving.linear_ridge(products, LAMBDA, drawn.parts)
    torch.testing.assert_close(mixed(linear.answers, NOISE), answered(drawn, Ridge(ridge=LAMBDA)))


def test_left_out_residuals_are_those_of_fits_without_the_example(drawn, products):
    found = mixed(solving.kernel_ridge(products, 2.0, LAMBDA, drawn.parts).left_out, NOISE)
    ys, algorithm = drawn.clean + NOISE * drawn.noise, KernelRidge(kernel=Exponential(temperature=2.0), ridge=LAMBDA)
    for i in (0, 7):
        rest = [j for j in range(TASK.examples) if j != i]
        parts = {"xs": drawn.xs[:, rest], "clean": drawn.clean[:, rest], "noise": drawn.noise[:, rest]}
        without = dataclasses.replace(drawn, **parts, queries=drawn.xs[:, i : i + 1])
        left = ys[:, i] - answered(without, algorithm)[:, 0]
        torch.testing.assert_close(found[:, i], left, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_descents_are_the_hand_built_network(drawn, products, steps):
    smoothed = solving.normalised_descent(products, 2.0, drawn.parts, steps)
    network = kernel_gradient_descent(layers=steps, step_size=1.0, temperature=2.0)
    torch.testing.assert_close(mixed(smoothed, NOISE), network.trace(drawn.prompts(NOISE)).predictions)
    plain = solving.descent(products, 2.0, drawn.parts, steps)
    inner, outer = (products.examples / 2).exp(), (products.queries / 2).exp()
    alpha = torch.zeros_like(drawn.parts)
    rate = 1 / inner.sum(-1).amax(-1)[:, None, None]
    for _ in range(steps):
        alpha = alpha + rate * (drawn.parts - inner @ alpha)
    torch.testing.assert_close(plain, outer @ alpha)


def test_richardson_is_preconditioned_by_row_sums_and_ends_at_kernel_ridge(drawn, products):
    inner, outer = (products.examples / 2).exp(), (products.queries / 2).exp()
    sums, alpha = inner.sum(-1, keepdim=True), torch.zeros_like(drawn.parts)
    for _ in range(4):
        alpha = alpha + (drawn.parts - inner @ alpha - 1.0 * alpha) / sums
    torch.testing.assert_close(solving.richardson(products, 2.0, 1.0, drawn.parts, 4), outer @ alpha)
    limit = solving.kernel_ridge(products, 2.0, 1.0, drawn.parts).answers
    torch.testing.assert_close(solving.richardson(products, 2.0, 1.0, drawn.parts, 5000), limit, rtol=1e-4, atol=1e-6)


def test_small_temperatures_overflow_nowhere(drawn, products):
    for temperature in (1e-2, 1e-3):
        for answers in (
            solving.softmax(products, temperature, drawn.parts)[0],
            solving.normalised_descent(products, temperature, drawn.parts, 8),
            solving.descent(products, 0.05, drawn.parts, 8),
            solving.richardson(products, 0.05, LAMBDA, drawn.parts, 8),
            solving.kernel_ridge(products, 0.05, LAMBDA, drawn.parts).answers,
        ):
            assert bool(answers.isfinite().all())


def test_a_matrix_that_is_not_positive_definite_is_that_prompts_status(drawn):
    xs = drawn.xs.clone()
    xs[2, 1] = xs[2, 0]
    found = solving.kernel_ridge(solving.products(xs, drawn.queries), 0.5, 0.0, drawn.parts)
    assert bool(found.broken[2]) or float(found.factorised[2]) > 1e12  # up to rounding, which may leave a tiny pivot
    xs[2] = xs[2, :1]
    found = solving.kernel_ridge(solving.products(xs, drawn.queries), 0.5, 0.0, drawn.parts)
    assert found.broken.tolist() == [False, False, True, False, False]
    assert float(found.answers[2].abs().max()) == 0 < float(found.answers[3].abs().max())


def test_cross_validation_takes_each_prompts_best_width(drawn):
    grid = Grid(temperatures=(0.05, 1.0), ridges=(LAMBDA,), noises=(NOISE,))
    found = replies(drawn, grid, Asked(), TASK.weight_variance)
    widths = [t for name, t, _ in found.solved if name == KERNEL_RIDGE]
    errors = [mixed(found.solved[KERNEL_RIDGE, t, LAMBDA].left_out, NOISE).square().mean(-1) for t in widths]
    cell = Cell(t=1.0, scaled=False, temperature=1.0, ridge=LAMBDA, noise=NOISE)
    chosen = found.answers(CROSS_VALIDATED, cell, 1.0)
    for prompt, best in enumerate(torch.stack(errors).argmin(0).tolist()):
        expected = mixed(found.solved[KERNEL_RIDGE, widths[best], LAMBDA].answers, NOISE)[prompt]
        torch.testing.assert_close(chosen[prompt], expected)
    assert len(widths) == 6


def test_the_sources_draws_come_back_to_all_digits():
    """0.24193548387096772 and 0.9028592375366568 stand in the source's file of results."""
    network = followed("ridge", Ridge(ridge=0.01), (1,))
    for examples, temperature, condition, expected in (
        (32, 0.5, 500.0, 0.24193548387096772),
        (128, 1.0, 1.0, 0.9028592375366568),
    ):
        task = LinearRegression(dim=8, examples=examples, queries=32, weights="standard")
        grid = Grid(temperatures=(temperature,), conditions=(condition,))
        found = kernel_sweep(network, task, n=1, grid=grid, asked=Asked(streams="replayed", seeds=1))
        (rank,) = [m for m in found if m.quantity == RANK.name and m.coordinates["learner"] == SOFTMAX]
        assert rank.value == pytest.approx(expected, abs=1e-12)
        assert rank.interval is None


def test_replayed_prompts_are_the_sources():
    found = draw(TASK, 1, condition=1.0, streams="replayed", seed=0, step=2, near=False)
    rng, again = np.random.default_rng(44), np.random.default_rng(44)
    inputs, weights = rng.standard_normal((19, 3)), again.standard_normal(3)
    np.testing.assert_array_equal(found.xs[0].numpy(), inputs[:12])
    np.testing.assert_array_equal(found.queries[0].numpy(), inputs[12:])
    np.testing.assert_array_equal(found.noise[0].numpy(), again.standard_normal(12))
    np.testing.assert_allclose(found.clean[0].numpy(), inputs[:12] @ weights)


def test_the_leak_is_that_the_weights_equal_the_first_example():
    leaking = draw(TASK, 4, condition=1.0, streams="leaking", seed=0, step=0, near=False)
    torch.testing.assert_close(leaking.weights, leaking.xs[:, 0])
    torch.testing.assert_close(leaking.noise[:, :3], leaking.xs[:, 1])
    independent = draw(TASK, 4, condition=1.0, streams="independent", seed=0, step=0, near=False)
    assert float((independent.weights - independent.xs[:, 0]).abs().min()) > 1e-6
    other = draw(TASK, 4, condition=1.0, streams="independent", seed=0, step=1, near=False)
    assert not torch.equal(other.xs, independent.xs)


def test_condition_numbers_and_sizes_of_both_covariances():
    task = dataclasses.replace(TASK, examples=4000)
    ours = draw(task, 2, condition=50.0, streams="independent", seed=0, step=0, near=False)
    scales = ours.xs.square().mean((0, 1))
    assert float(scales.sum()) == pytest.approx(3, rel=0.05)
    assert float(scales[0] / scales[2]) == pytest.approx(50, rel=0.1)
    source = draw(TASK, 2, condition=50.0, streams="leaking", seed=0, step=0, near=False)
    points = torch.cat([source.xs, source.queries], 1)
    expected = torch.tensor([1.0, 50.0**0.5, 50.0], dtype=torch.float64)
    torch.testing.assert_close(points.mT @ points, torch.diag(expected).expand(2, 3, 3), atol=1e-9, rtol=1e-9)


def test_queries_near_one_example_share_most_of_it():
    found = draw(TASK, 3, condition=1.0, streams="independent", seed=0, step=0, near=True)
    assert found.queries.shape[1] == 2 * TASK.queries
    own = found.queries[:, TASK.queries :] - 0.9**0.5 * found.xs[:, :1]
    torch.testing.assert_close(own, 0.1**0.5 * found.queries[:, : TASK.queries])
    torch.testing.assert_close(found.targets, found.prompts(0.1).targets)


def test_order_is_spearmans_correlation_with_ties():
    rng = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 6, 9, generator=rng, dtype=torch.float64)
    a[0, :3] = 1.0
    a[1] = 2.0
    found = (order(a) * order(b)).sum(-1)
    torch.testing.assert_close(found, rank_correlation(a, b))
    assert float(found[0]) == pytest.approx(spearmanr(a[0], b[0])[0])
    assert float(found[1]) == 0


def test_answers_move_with_perturbed_labels(drawn):
    response = torch.full((5, 7), 3.0, dtype=torch.float64)
    found = moved(response, drawn.clean, drawn.targets)
    expected = 0.01 * 9 * drawn.clean.var(-1, correction=0) / drawn.targets.var(-1, correction=0)
    torch.testing.assert_close(found, expected.clamp(max=4))
    assert moved(response * float("nan"), drawn.clean, drawn.targets).tolist() == [4.0] * 5


@pytest.mark.parametrize(
    ("rank", "error", "best", "best_error", "moves", "singular", "expected"),
    [
        (0.6, 0.4, 1.0, 0.0, 0.0, 0.0, FINE),
        (0.4, 0.4, 1.0, 0.0, 0.0, 0.0, SILENT),
        (0.4, 0.4, 0.7, 0.0, 0.0, 0.0, FINE),
        (0.4, 0.6, 1.0, 0.0, 0.0, 0.0, SHOWN),
        (0.9, 0.6, 1.0, 0.0, 0.0, 0.0, SHOWN),
        (0.4, 0.4, 1.0, 0.6, 0.0, 0.0, UNSOLVABLE),
        (0.4, 0.6, 1.0, 0.0, 0.6, 0.0, UNSTABLE),
        (0.4, 0.6, 1.0, 0.0, 0.0, 0.1, UNSTABLE),
        (0.9, 0.1, 1.0, 0.6, 0.6, 0.1, FINE),  # what works needs no excuse
        (float("nan"), float("nan"), 1.0, 0.0, 0.0, 0.0, SHOWN),
    ],
)
def test_classes(rank, error, best, best_error, moves, singular, expected):
    learner = {RANK.name: rank, POOLED.name: error}
    oracle = {MOVED.name: moves, LOST.name: singular}
    assert classify(learner, {RANK.name: best, OWN.name: best_error}, oracle) == expected


def of(found, quantity, learner, queries=DRAWN, logits=PLAIN):
    (one,) = [
        m
        for m in found
        if (m.quantity, m.coordinates["learner"]) == (quantity.name, learner)
        and (m.coordinates["queries"], m.coordinates["logits"]) == (queries, logits)
    ]
    return one


@pytest.fixture(scope="module")
def found():
    """The network answers as its oracle does; in 40 dimensions from 30 examples, near one example too."""
    task = LinearRegression(dim=40, examples=30, queries=16)
    network = followed("ridge", Ridge(ridge=0.01), (1,))
    grid = Grid(scaled=(False, True), near=True)
    return kernel_sweep(network, task, seed=5, n=48, grid=grid, asked=Asked(seeds=4, network_seeds=2))


@pytest.mark.parametrize("logits", [PLAIN, SCALED])
@pytest.mark.parametrize("queries", [DRAWN, NEAR])
def test_every_learner_is_measured_in_every_cell(found, logits, queries):
    for learner in (NETWORK, *LEARNERS):
        for quantity in (RANK, TO_ORACLE, RMSE, POOLED, OWN, SPREAD):
            m = of(found, quantity, learner, queries, logits)
            assert m.instrument == NAME
            assert m.n == 48 * (2 if learner == NETWORK else 4)
            assert m.interval and m.interval[0] <= m.value <= m.interval[1]
            assert {c.name for c in m.controls} == {KERNEL_RIDGE, CROSS_VALIDATED, LINEAR_RIDGE, WRONG} - {learner}


def test_the_network_follows_its_oracle_and_attention_does_not(found):
    assert of(found, TO_ORACLE, NETWORK).value == pytest.approx(1)
    for logits in (PLAIN, SCALED):
        best = of(found, RANK, LINEAR_RIDGE, logits=logits)
        mine = of(found, RANK, SOFTMAX, logits=logits)
        wrong = next(c for c in mine.controls if c.name == WRONG)
        assert -0.15 < wrong.value < 0.02 < mine.value < best.value
    one, many = (of(found, NEIGHBOURS, SOFTMAX, logits=logits) for logits in (PLAIN, SCALED))
    assert 1 < one.value < 3 < 10 < many.value < 30
    assert [c.value for c in one.controls] == [30, 1]


def test_near_one_example_copying_fails_silently():
    task = LinearRegression(dim=40, examples=30, queries=16)
    network = followed("softmax", NadarayaWatson(kernel=Exponential(temperature=1.0)), (1,))
    found = kernel_sweep(network, task, n=48, grid=Grid(near=True), asked=Asked(seeds=2))
    assert of(found, POOLED, NETWORK, NEAR).value < 0.2 < 0.9 < of(found, OWN, NETWORK, NEAR).value
    assert of(found, RANK, NETWORK, NEAR).coordinates["class"] == SILENT
    assert of(found, RANK, NETWORK).coordinates["class"] == SHOWN
    assert of(found, RANK, LINEAR_RIDGE, NEAR).coordinates["class"] == FINE
    for queries in (DRAWN, NEAR):  # the network is softmax attention, up to ties by rounding
        assert of(found, RANK, NETWORK, queries).value == pytest.approx(
            of(found, RANK, SOFTMAX, queries).value, abs=0.01
        )
    assert of(found, MOVED, KERNEL_RIDGE, NEAR).value > 0.5  # its kernel's own regression is unstable there
    assert of(found, RANK, SOFTMAX, NEAR).coordinates["class"] == UNSTABLE


def test_root_mean_squares_and_spread_are_those_of_the_answers():
    task = LinearRegression(dim=2, examples=9, queries=5)
    network = Scripted(name="twice", layers=1, script=lambda p: 2 * p.targets[None])
    found = kernel_sweep(
        network, task, n=30, asked=Asked(learners=(), quantities=(SPREAD.name, RANK.name, RMSE.name), seeds=2)
    )
    assert of(found, SPREAD, NETWORK).value == pytest.approx(2)
    assert of(found, RANK, NETWORK).value == pytest.approx(1)
    drawn = [draw(task, 30, condition=1.0, streams="independent", seed=0, step=i, near=False) for i in range(2)]
    targets = torch.cat([each.targets for each in drawn])
    assert of(found, RMSE, NETWORK).value == pytest.approx(float(targets.square().mean().sqrt()))
    assert [(m.coordinates["learner"], m.quantity) for m in found] == [(NETWORK, q.name) for q in (RANK, RMSE, SPREAD)]


def test_a_far_ill_posed_oracle_is_unstable():
    task = LinearRegression(dim=1, examples=40, queries=8)
    network = followed("ridge", Ridge(ridge=0.01), (1,))
    grid = Grid(temperatures=(50.0,), ridges=(0.0,))
    found = kernel_sweep(network, task, n=16, grid=grid, asked=Asked(seeds=2, steps=1))
    assert of(found, LOST, KERNEL_RIDGE).value > 0.9
    assert of(found, RANK, RICHARDSON).coordinates["class"] in (FINE, UNSTABLE)
    assert of(found, RANK, KERNEL_RIDGE).coordinates["class"] in (FINE, UNSTABLE)


def test_the_same_seed_gives_the_same_numbers_and_another_others():
    network, task = followed("ridge", Ridge(ridge=0.01), (1,)), LinearRegression(dim=2, examples=6, queries=4)
    one, two, three = (
        kernel_sweep(network, task, seed=seed, n=8, asked=Asked(learners=(SOFTMAX,), seeds=2)) for seed in (1, 1, 2)
    )
    assert one == two != three
    assert one[0].interval is not None
    alone = kernel_sweep(network, task, n=8, asked=Asked(learners=(SOFTMAX,), seeds=2, network_seeds=1))
    assert alone[0].interval is None and alone[-1].interval is not None  # one seed has no spread


def test_the_best_ridge_is_bayes_rule_above_a_floor():
    assert best_ridge(0.5, 0.2) == pytest.approx(1.25)
    assert best_ridge(0.0, 1.0) == FLOOR


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Grid(temperatures=(0.0,)), r"temperatures must be finite and above 0; got 0\.0"),
        (lambda: Grid(temperatures=(-1.0,)), "temperatures must be finite and above 0"),
        (lambda: Grid(temperatures=()), r"temperatures must hold at least one value; got \(\)"),
        (lambda: Grid(conditions=(0.5,)), "condition must be at least 1 and finite; got 0.5"),
        (lambda: Grid(ridges=(-1.0,)), "ridge must be finite and at least 0; got -1.0"),
        (lambda: Grid(noises=(-0.1,)), r"noises must be finite and at least 0; got -0\.1"),
        (lambda: Asked(learners=("softmax",)), "learners must be some of softmax attention"),
        (lambda: Asked(steps=0), "steps must be a whole number of at least 1; got 0"),
        (lambda: Asked(seeds=0), "seeds must be a whole number of at least 1; got 0"),
        (lambda: Asked(network_seeds=0), "network_seeds must be a whole number of at least 1; got 0"),
        (lambda: Asked(ridge=-1.0), "ridge must be finite and at least 0"),
        (
            lambda: Asked(streams=UNKNOWN),
            "streams must be one of 'independent', 'leaking', 'replayed'; got 'mixed'",
        ),
        (lambda: LinearRegression(dim=0), "dim must be a whole number of at least 1; got 0"),
    ],
)
def test_what_makes_no_sense_is_refused(make, words, unchecked):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize(
    ("task", "more", "words"),
    [
        (dataclasses.replace(TASK, queries=2), {}, "queries must be a whole number of at least 3; got 2"),
        (dataclasses.replace(TASK, dim=1), {"grid": Grid(conditions=(2.0,))}, "condition must be 1 in one dimension"),
        (TASK, {"n": 2, "asked": Asked(streams="replayed")}, "n must be 1 where the source's prompts are replayed"),
        (TASK, {"n": 10**12}, "needs about .* of memory"),
        (
            LinearRegression(dim=30, examples=5, queries=3),
            {"grid": Grid(conditions=(2.0,)), "asked": Asked(streams="leaking")},
            "examples and queries must be at least dim=30 together",
        ),
    ],
)
def test_prompts_that_cannot_be_drawn_are_refused(task, more, words):
    with pytest.raises(ValueError, match=words):
        kernel_sweep(followed("ridge", Ridge(ridge=0.01), (1,)), task, **{"n": 4, **more})
