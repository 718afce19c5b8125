import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy.special import eval_chebyt

from mesascope.algorithms import (
    ChebyshevIteration,
    Coefficients,
    GradientDescent,
    HeavyBall,
    Nesterov,
    PreconditionedGradientDescent,
    Problem,
    run,
)

LOW, HIGH = 0.02, 2.0  # condition number 100
KAPPA = HIGH / LOW


def spread(count=7):
    return torch.logspace(math.log10(LOW), math.log10(HIGH), count, dtype=torch.float64)[None]


def test_gradient_descent_takes_the_textbook_step(make):
    prompts = make()
    path = run(GradientDescent(step_size=0.3), prompts, 6).weights.numpy()
    for i in range(6):
        x, y, w = prompts.xs[i].numpy(), prompts.ys[i].numpy(), np.zeros(4)
        for k in range(7):
            np.testing.assert_allclose(path[k, i], w, rtol=1e-12, atol=1e-12)
            w = w - 0.3 * x.T @ (x @ w - y) / 12


@pytest.mark.parametrize("extrapolate", [False, True], ids=["heavy-ball", "nesterov"])
def test_momentum_methods_take_the_textbook_step(make, extrapolate):
    prompts = make()
    member = Nesterov if extrapolate else HeavyBall
    path = run(member(step_size=0.2, momentum=0.4), prompts, 6).weights.numpy()
    for i in range(6):
        x, y = prompts.xs[i].numpy(), prompts.ys[i].numpy()
        before = now = np.zeros(4)
        for k in range(7):
            np.testing.assert_allclose(path[k, i], now, rtol=1e-12, atol=1e-12)
            look = now + 0.4 * (now - before) if extrapolate else now
            before, now = now, now + 0.4 * (now - before) - 0.2 * x.T @ (x @ look - y) / 12


@pytest.mark.parametrize("kind", ["jacobi", "matrix"])
def test_preconditioned_descent_is_descent_in_other_coordinates(make, kind):
    prompts = make()
    if kind == "jacobi":
        preconditioner = "jacobi"
        matrices = 1 / (prompts.xs.square().mean(1))
        matrices = torch.diag_embed(matrices)
    else:
        root = torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        preconditioner = root @ root.mT + torch.eye(4, dtype=torch.float64)
        matrices = preconditioner.expand(6, 4, 4)
    path = run(PreconditionedGradientDescent(preconditioner=preconditioner), prompts, 5).weights
    roots = torch.linalg.cholesky(matrices)
    problem = Problem.of(prompts)
    inner = Problem.from_gram(roots.mT @ problem.gram @ roots, (roots.mT @ problem.moment[..., None])[..., 0])
    expected = torch.einsum("bij,sbj->sbi", roots, run(GradientDescent(), inner, 5).weights)
    torch.testing.assert_close(path, expected, rtol=1e-10, atol=1e-10)


# ------------------------------------------------------------------------------------------------ rates


def fitted_rate(algorithm, problem, steps, skip, power=0.0):
    """−log ρ by least squares on log(‖error‖ / k^power)."""
    weights = run(algorithm, problem, steps).weights[:, 0]
    error = (weights - 1).norm(dim=-1).numpy()[skip:]
    k = np.arange(skip, steps + 1)
    assert error[-1] > 1e-12, "rounding would bend the line"
    return -np.polyfit(k, np.log(error) - power * np.log(k), 1)[0]


def test_gradient_descent_contracts_at_its_rate(diagonal):
    problem = diagonal(spread(), torch.ones(1, 7, dtype=torch.float64))
    rate = fitted_rate(GradientDescent(), problem, 500, 150)
    assert rate == pytest.approx(-math.log((KAPPA - 1) / (KAPPA + 1)), rel=0.05)
    slower = fitted_rate(GradientDescent(step_size=1 / HIGH), problem, 500, 150)
    assert slower == pytest.approx(-math.log(1 - 1 / KAPPA), rel=0.05)


def test_heavy_ball_contracts_at_its_rate_after_its_factor_of_k(diagonal):
    problem = diagonal(spread(), torch.ones(1, 7, dtype=torch.float64))
    rate = fitted_rate(HeavyBall(), problem, 130, 30, power=1.0)
    assert rate == pytest.approx(-math.log((math.sqrt(KAPPA) - 1) / (math.sqrt(KAPPA) + 1)), rel=0.05)


def test_nesterov_contracts_at_its_rate_after_its_factor_of_k(diagonal):
    problem = diagonal(spread(), torch.ones(1, 7, dtype=torch.float64))
    rate = fitted_rate(Nesterov(), problem, 250, 50, power=1.0)
    assert rate == pytest.approx(-math.log(1 - 1 / math.sqrt(KAPPA)), rel=0.05)


@pytest.mark.parametrize("bounds", [(LOW, HIGH), "optimal"])
def test_chebyshev_iteration_is_the_chebyshev_polynomial(diagonal, bounds):
    values = torch.linspace(LOW, HIGH, 9, dtype=torch.float64)[None]
    path = run(ChebyshevIteration(bounds=bounds), diagonal(values, torch.ones_like(values)), 12).weights
    a = (HIGH + LOW - 2 * values[0].numpy()) / (HIGH - LOW)
    for k in range(13):
        expected = eval_chebyt(k, a) / eval_chebyt(k, (HIGH + LOW) / (HIGH - LOW))
        np.testing.assert_allclose(1 - path[k, 0].numpy(), expected, rtol=0, atol=1e-13)


def test_chebyshev_coefficients_follow_the_published_recurrence(diagonal):
    schedule = ChebyshevIteration(bounds=(LOW, HIGH)).schedule(diagonal(spread(), spread()))
    centre, sigma = (LOW + HIGH) / 2, (HIGH - LOW) / (HIGH + LOW)
    omegas = [1.0, 1 / (1 - sigma**2 / 2)]
    for k in range(20):
        if k >= 2:
            omegas.append(1 / (1 - sigma**2 * omegas[-1] / 4))
        alpha, beta, gamma = schedule(k)
        assert (float(alpha), float(beta), gamma) == pytest.approx((omegas[k] / centre, omegas[k] - 1, 0), rel=1e-12)


def test_chebyshev_iteration_solves_a_round_problem_at_once(diagonal):
    values = torch.full((1, 3), 2.0, dtype=torch.float64)
    path = run(ChebyshevIteration(), diagonal(values, torch.ones_like(values)), 3).weights
    assert (path[1:] == 1).all()


def test_optimal_coefficients_are_each_prompts_own(make):
    prompts = make()
    for member in (GradientDescent, HeavyBall, Nesterov, ChebyshevIteration, PreconditionedGradientDescent):
        path = run(member(), prompts, 4).predictions
        for i in range(6):
            low, high = (float(bound[i, 0]) for bound in Problem.of(prompts).bounds)
            total, gap = math.sqrt(high) + math.sqrt(low), math.sqrt(high) - math.sqrt(low)
            jacobi = 1 / prompts.xs[i].square().mean(0).sqrt()
            scaled = torch.linalg.eigvalsh(jacobi[:, None] * (prompts.xs[i].mT @ prompts.xs[i] / 12) * jacobi)
            fixed = {
                GradientDescent: lambda a=low, b=high: GradientDescent(step_size=2 / (a + b)),
                HeavyBall: lambda t=total, g=gap: HeavyBall(step_size=4 / t**2, momentum=(g / t) ** 2),
                Nesterov: lambda b=high, t=total, g=gap: Nesterov(step_size=1 / b, momentum=g / t),
                ChebyshevIteration: lambda a=low, b=high: ChebyshevIteration(bounds=(a, b)),
                PreconditionedGradientDescent: lambda s=scaled: PreconditionedGradientDescent(
                    step_size=float(2 / (s[0] + s[-1]))
                ),
            }[member]()
            expected = run(fixed, prompts[i : i + 1], 4).predictions[:, 0]
            torch.testing.assert_close(path[:, i], expected, rtol=1e-10, atol=1e-10)


def test_a_matrix_preconditioner_can_be_had_in_single_precision_too(make):
    inverse = torch.linalg.inv(torch.diag(torch.tensor([1.0, 2.0, 3.0, 4.0])))
    path = run(PreconditionedGradientDescent(preconditioner=inverse), make(examples=3), 2)
    assert path.predictions.dtype == torch.float64 and path.predictions.isfinite().all()


def test_with_few_examples_the_optimal_step_is_optimal_where_the_data_are(make):
    prompts = make(examples=3, dim=6)
    path = run(GradientDescent(), prompts, 100).weights
    solution = (torch.linalg.pinv(prompts.xs) @ prompts.ys[..., None])[..., 0]
    low, high = Problem.of(prompts).bounds
    bound = ((high - low) / (high + low))[:, 0] ** 100 * solution.norm(dim=-1)
    gap = (path[-1] - solution).norm(dim=-1)
    assert (gap <= bound * (1 + 1e-9) + 1e-12).all() and (gap >= bound / 100 - 1e-12).all()


@pytest.mark.parametrize("kind", ["repeated", "collinear"])
@pytest.mark.parametrize(
    ("member", "loss"),
    [
        (GradientDescent, lambda root: ((root**2 - 1) / (root**2 + 1)) ** 60),
        (HeavyBall, lambda root: 60 * 6 * ((root - 1) / (root + 1)) ** 60),
        (Nesterov, lambda root: 60 * 2 * (1 - 1 / root) ** 30),
        (ChebyshevIteration, lambda root: 2 * ((root - 1) / (root + 1)) ** 60),
        (PreconditionedGradientDescent, None),  # whose rate is that of another matrix
    ],
)
def test_optimal_coefficients_are_optimal_for_examples_that_repeat_or_lie_in_a_plane(make, member, loss, kind):
    p = make(batch=40, dim=5, noise=0.0)
    xs = p.xs[:, [0, 1, 2] * 4].clone()
    if kind == "collinear":
        xs = p.xs.clone()
        xs[..., 3:] = xs[..., :2] - xs[..., 1:3]
    ys = (xs @ p.weights[..., None])[..., 0]
    path = run(member(), dataclasses.replace(p, xs=xs, ys=ys), 60)
    assert path.weights is not None and (path.status <= 1).all()
    size = torch.linalg.svdvals(xs)
    error = ((xs @ path.weights[-1, ..., None])[..., 0] - ys).norm(dim=-1) / ys.norm(dim=-1)
    root = size[:, 0] / size[:, 2]
    assert loss is None or (error <= root * loss(root) + 1e-12).all()
    assert float(error.median()) < 1e-2 and float(error.max()) < 1


# ------------------------------------------------------------------------------------------------ arguments


@pytest.mark.parametrize("member", [GradientDescent, HeavyBall, Nesterov, PreconditionedGradientDescent])
@pytest.mark.parametrize("value", [0.0, -0.1, math.inf, math.nan, "best"])
def test_a_step_size_is_positive_or_optimal(unchecked, member, value):
    with pytest.raises(ValueError, match=f"step_size must be 'optimal' or a finite number above 0; got {value!r}"):
        member(step_size=value)


@pytest.mark.parametrize("member", [HeavyBall, Nesterov])
@pytest.mark.parametrize("value", [-0.1, 1.0, math.nan, "best"])
def test_a_momentum_is_below_one_or_optimal(unchecked, member, value):
    with pytest.raises(ValueError, match=f"momentum must be 'optimal' or at least 0 and below 1; got {value!r}"):
        member(momentum=value)


@pytest.mark.parametrize("value", [(-1.0, 1.0), (2.0, 1.0), (0.0, 0.0), (0.1, math.inf), (math.nan, 1.0), "best"])
def test_bounds_are_an_interval_or_optimal(unchecked, value):
    with pytest.raises(ValueError, match="bounds must be 'optimal' or"):
        ChebyshevIteration(bounds=value)


def test_a_preconditioner_is_jacobi_or_positive_definite(unchecked):
    with pytest.raises(ValueError, match="preconditioner must be 'jacobi' or a matrix; got 'ilu'"):
        PreconditionedGradientDescent(preconditioner="ilu")
    for entries in ([[1.0, 0.0], [0.0, -1.0]], [[1.0, 0.5], [0.0, 1.0]]):
        with pytest.raises(ValueError, match="preconditioner must be symmetric and positive definite"):
            PreconditionedGradientDescent(preconditioner=torch.tensor(entries))


def test_coefficients_default_to_plain_descent():
    assert Coefficients(0.5) == (0.5, 0.0, 0.0)
