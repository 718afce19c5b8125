"""Coefficients and timings: closed forms where there are any."""

from fractions import Fraction

import pytest
import torch

from mesascope.algorithms import GradientDescent, Problem, run
from mesascope.instruments.identification.families import BY_NAME, FAMILIES, Coefficient, chosen
from mesascope.instruments.identification.fitting import Timing, fit_function, timings
from mesascope.instruments.identification.path_fitting import fit_path
from mesascope.instruments.identification.power import usual
from mesascope.instruments.identification.refining import levenberg_marquardt
from mesascope.instruments.identification.rivals import ridge_path
from mesascope.instruments.identification.runner import Runner
from mesascope.seeds import generator
from mesascope.tasks import Diagonal, Gaussian, LinearRegression

TASK = LinearRegression(
    dim=4, examples=12, queries=4, inputs=Gaussian(covariance=Diagonal(condition=30.0, rotate=True))
)


@pytest.fixture(scope="module")
def runner() -> Runner:
    return Runner(TASK.sample(40, seed=0))


def test_steps_after_each_layer():
    def steps(stride: Fraction | int, offset: int) -> list[int]:
        return Timing(stride=Fraction(stride), offset=offset).steps(5)

    assert steps(1, 0) == [1, 2, 3, 4, 5]
    assert steps(2, 0) == [2, 4, 6, 8, 10]
    assert steps(Fraction(1, 2), 0) == [0, 1, 1, 2, 2]
    assert steps(1, 1) == [0, 1, 2, 3, 4]
    assert steps(Fraction(1, 2), 1) == [0, 0, 1, 1, 2]


def test_the_first_or_the_last_of_several_layers_may_take_a_step():
    found = {tuple(timing.steps(6)) for timing in timings(6)}
    assert {(0, 1, 1, 2, 2, 3), (1, 1, 2, 2, 3, 3), (0, 0, 1, 1, 1, 2), (1, 1, 1, 2, 2, 2)} <= found


@pytest.mark.parametrize("layers", [1, 2, 3, 6])
def test_timings_differ_from_each_other_and_each_does_something(layers):
    found = [tuple(timing.steps(layers)) for timing in timings(layers)]
    assert len(set(found)) == len(found)
    assert found[0] == tuple(range(1, layers + 1))
    assert all(any(steps) for steps in found)


@pytest.mark.parametrize("scale", ["log", "linear"])
def test_a_coefficient_is_encoded_both_ways_and_keeps_its_bounds(scale):
    coefficient = Coefficient(name="c", low=0.01, high=10.0, scale=scale)
    assert [coefficient.encode(coefficient.decode(u)) for u in (0, 0.3, 1)] == pytest.approx([0, 0.3, 1])
    assert (coefficient.decode(-3), coefficient.decode(7)) == pytest.approx((0.01, 10.0))
    assert coefficient.grid(3) == pytest.approx([0.01, 0.1**0.5 if scale == "log" else 5.005, 10.0])


def test_least_squares_of_a_linear_model_takes_one_step_from_every_start():
    matrix = torch.randn(7, 2, generator=generator(0, "matrix"), dtype=torch.float64)
    wanted = torch.tensor([0.3, 0.8], dtype=torch.float64)

    def residuals(which, units):
        return (units - wanted) @ matrix.T, torch.ones(7, dtype=torch.float64)

    starts = torch.tensor([[0.5, 0.5], [0.0, 1.0], [0.99, 0.01]], dtype=torch.float64)
    assert torch.allclose(levenberg_marquardt(residuals, starts, iterations=2), wanted.expand(3, 2), atol=1e-6)


def test_what_lies_outside_ends_at_the_bound_and_what_has_no_effect_stays():
    def residuals(which, units):
        return torch.stack([units[..., 0] - 1.7, units[..., 0] * 0], -1), torch.ones(2, dtype=torch.float64)

    found = levenberg_marquardt(residuals, torch.tensor([[0.5, 0.4]], dtype=torch.float64), iterations=20)
    assert found[0].tolist() == pytest.approx([1.0, 0.4])


def test_a_curved_valley_and_different_problems_at_once():
    centres = torch.tensor([0.2, 0.6], dtype=torch.float64)

    def residuals(which, units):
        a, b = units[..., 0], units[..., 1]
        valley = torch.stack([10 * (b - a**2), a - centres[which][:, None]], -1)  # Rosenbrock's
        return valley, torch.ones(2, dtype=torch.float64)

    found = levenberg_marquardt(residuals, torch.full((2, 2), 0.9, dtype=torch.float64), iterations=40)
    assert torch.allclose(found, torch.stack([centres, centres**2], -1), atol=1e-6)


def test_a_part_of_an_error_may_be_subtracted():
    def residuals(which, units):
        return torch.stack([2 * (units[..., 0] - 0.2), units[..., 0]], -1), torch.tensor(
            [1.0, -1.0], dtype=torch.float64
        )

    found = levenberg_marquardt(residuals, torch.tensor([[0.9]], dtype=torch.float64), iterations=20)
    assert found[0].tolist() == pytest.approx([4 * 0.2 / 3])  # the least of 4(u − 0.2)² − u²


@pytest.mark.parametrize("family", [f for f in FAMILIES if f.filter or f.root], ids=lambda f: f.name)
def test_running_a_filter_channel_by_channel_is_running_the_algorithm(family, runner):
    """The same for a matrix in the weights: one run on inputs that are multiplied by its root."""
    first = usual(family, runner.size, TASK.dim)
    choices = [first, [0.7 * value for value in first]]
    fast = runner.many(family, choices, 5)
    for values, found in zip(choices, fast, strict=True):
        slow = run(family.algorithm(values), Problem.of(runner.prompts), 5).predictions
        assert torch.allclose(found, slow, atol=1e-10)


def test_a_function_is_fitted_with_its_number_of_steps(runner):
    answers = run(GradientDescent(step_size=0.17), runner.prompts, 5).predictions[5:]
    found = fit_function(BY_NAME["gradient-descent"], runner, answers, most_steps=8)
    assert (found.steps, found.timing) == ((5,), None)
    assert found.values == pytest.approx((0.17,), rel=1e-4)


def test_a_closed_form_has_no_steps_to_fit(runner):
    answers = run(BY_NAME["ridge"].algorithm([2.5]), runner.prompts).predictions[1:]
    found = fit_function(BY_NAME["ridge"], runner, answers, most_steps=8)
    assert (found.steps, found.values) == ((1,), pytest.approx((2.5,), rel=1e-3))


def test_the_rival_is_a_path_of_ridge_solutions(runner):
    ridges = (30.0, 2.0)
    path = torch.stack([run(BY_NAME["ridge"].algorithm([r]), runner.prompts).predictions[1] for r in ridges])
    found = ridge_path(runner, path, None) * runner.prompts.examples
    assert found.tolist() == pytest.approx(ridges, rel=0.06)  # the values to choose from lie a tenth apart


@pytest.mark.parametrize(
    ("smaller", "larger"),
    [("mean-label", "nadaraya-watson"), ("mean-label", "nadaraya-watson:rbf"), ("least-squares", "ridge")],
)
def test_what_a_family_holds_at_the_end_of_its_range_is_put_within_its_bounds(smaller, larger, runner):
    """A smaller family is contained at infinity, or at zero on a logarithmic scale: the member found has a bound in its place."""
    answers = run(BY_NAME[smaller].algorithm([]), runner.prompts).predictions[1:]
    known = fit_function(BY_NAME[smaller], runner, answers, most_steps=1)
    found = fit_function(BY_NAME[larger], runner, answers, most_steps=1, smaller=[known])
    [value], [coefficient] = found.values, runner.coefficients(BY_NAME[larger])
    assert coefficient.low * (1 - 1e-9) <= value <= coefficient.high * (1 + 1e-9)
    left = (found.answers(runner) - answers).square().mean(-1) / runner.prompts.target_variance
    assert found.loss == pytest.approx(float(left.mean()), abs=1e-12)  # its own loss, not the smaller family's


def test_candidates_are_chosen_by_name_variant_or_nickname():
    assert [f.name for f in chosen(["newton-schulz:fixed"])] == ["newton-schulz:fixed"]
    named = [
        "gradient-descent",
        "gradient-descent:per-prompt",
        "gradient-descent:damped",
        "gradient-descent:per-layer",
    ]
    assert [f.name for f in chosen(["gd"])] == named
    assert [f.name for f in chosen(["gd", "gradient-descent"])] == [f.name for f in chosen(["gd"])]
    assert chosen(None) == FAMILIES
    [noisy] = chosen(["data-space-conjugate-gradient"], noise=0.1)
    assert [c.name for c in noisy.coefficients] == ["ridge"]


def test_unknown_candidates_and_none_at_all_are_refused():
    with pytest.raises(ValueError, match="Did you mean 'conjugate-gradient'"):
        chosen(["conjugate-gradiant"])
    with pytest.raises(ValueError, match="algorithms must name at least one candidate; got none"):
        chosen([])


def test_a_family_becomes_what_it_contains_at_the_coefficients_it_says(runner):
    pairs = [(family, name, steps) for family in FAMILIES for name in family.contains for steps in (1, 2, 3)]
    assert len(pairs) >= 50
    left_out = []
    for family, name, steps in pairs:
        smaller = BY_NAME[name]
        layers = range(1, steps + 1)
        values = usual(smaller, runner.size, TASK.dim)
        if smaller.variable is not None:  # of `usual`, as many as there are steps
            values = tuple(0.17 / layer for layer in layers)
        found = family.contained(name, values, steps, TASK.dim)
        if found is None:
            left_out.append((family.name, name, steps))
            continue
        limits = list(zip(runner.coefficients(family, layers), found, strict=True))
        assert len(values) < len(limits) or family.variable is not None
        there = runner.predictions(family, [c.decode(c.encode(value)) for c, value in limits], steps)[1:]
        here = runner.predictions(smaller, values, steps)[1:]
        apart = float((there - here).square().mean() / here.square().mean())
        assert apart < (1e-12 if family.iterative else 0.1)  # closed forms get there at the end of an infinite range
    per_layer = ("gradient-descent:per-layer", "heavy-ball:per-layer", "gd-plus-plus:per-layer")
    assert left_out == [(name, "nesterov", 3) for name in per_layer]


def test_a_larger_family_never_ends_below_one_that_it_contains(runner):
    """Off its own grid, a search that starts from scratch can miss the timing that the smaller family found."""
    path = torch.stack(
        [
            torch.zeros_like(runner.prompts.targets),
            *run(GradientDescent(step_size=0.23), runner.prompts, 2).predictions[1:],
        ]
    )
    smaller = fit_path(BY_NAME["gradient-descent"], runner, path)
    assert smaller.loss < 1e-8
    for name in ("heavy-ball", "nesterov", "gd-plus-plus"):
        assert fit_path(BY_NAME[name], runner, path, smaller=[smaller]).loss <= smaller.loss + 1e-8
