"""What the constructions' options may be, and what their networks are at the edges."""

from collections.abc import Callable

import pytest
import torch

import mesascope as ms
from mesascope.models import constructions as c
from mesascope.models.constructions import Construction
from mesascope.models.constructions.pipelined_conjugate_gradient import ROUNDING
from mesascope.models.constructions.spaced import padded, spaced

NAN, INF = float("nan"), float("inf")
BAD: list[tuple[Callable[[], Construction], str]] = [
    *((lambda make=make, bad=bad: make(step_size=bad), rf"step_size must be a finite number above 0; got {bad}")
      for make in (c.heavy_ball, c.nesterov, c.preconditioned_gradient_descent, c.gd_plus_plus,
                   c.ridge_gradient_descent, c.spaced_gradient_descent, c.kernel_gradient_descent)
      for bad in (0.0, -1.0, NAN, INF)),
    *((lambda make=make, bad=bad: make(layers=bad), r"layers must be ")
      for make in (c.heavy_ball, c.nesterov, c.chebyshev_iteration, c.preconditioned_gradient_descent, c.gd_plus_plus,
                   c.ridge_gradient_descent, c.kernel_gradient_descent)
      for bad in (0, 1001)),
    *((lambda make=make, bad=bad: make(iterations=bad), r"iterations must be ")
      for make in (c.newton_schulz, c.pipelined_conjugate_gradient, c.preconditioned_conjugate_gradient,
                   c.primal_conjugate_gradient)
      for bad in (0, 1001)),
    *((lambda make=make, bad=bad: make(momentum=bad), rf"momentum must be at least 0 and below 1; got {bad}")
      for make in (c.heavy_ball, c.nesterov) for bad in (-0.1, 1.0, NAN)),
    *((lambda make=make, bad=bad: make(condition=bad), rf"condition must be finite and at least 1; got {bad}")
      for make in (c.preconditioned_gradient_descent, c.preconditioned_conjugate_gradient) for bad in (0.5, NAN, INF)),
    (lambda: c.chebyshev_iteration(smallest=2.0, largest=1.0), r"smallest and largest must .*got 2\.0 and 1\.0"),
    (lambda: c.chebyshev_iteration(smallest=-1.0), r"smallest and largest must satisfy"),
    (lambda: c.chebyshev_iteration(largest=INF), r"smallest and largest must satisfy"),
    (lambda: c.newton_schulz(scale=0.0), r"scale must be a finite number above 0; got 0\.0"),
    (lambda: c.gd_plus_plus(curvature=NAN), r"curvature must be a finite number above 0; got nan"),
    (lambda: c.ridge_gradient_descent(ridge=-1.0), r"ridge must be finite and at least 0; got -1\.0"),
    (lambda: c.spaced_gradient_descent(every=0), r"every must be a whole number of at least 1; got 0"),
    (lambda: c.spaced_gradient_descent(steps=600, every=2), r"layers times every must be at most 1000; got 1200"),
    (lambda: padded(c.gradient_descent(), before=-1), r"before must be a whole number of at least 0; got -1"),
    (
        lambda: padded(c.gradient_descent(layers=900), after=200),
        r"layers, including before and after, must be at most 1000; got 1100",
    ),
    (lambda: c.kernel_gradient_descent(temperature=0.0), r"temperature must be a finite number above 0; got 0\.0"),
    (lambda: c.kernel_gradient_descent(normalised=2), r"normalised must be 0 or 1; got 2"),
    (lambda: c.preconditioned_richardson(steps=0), r"steps must be "),
    (lambda: c.preconditioned_richardson(steps=999), r"steps plus 2 must be at most 1000; got 1001"),
    (lambda: c.preconditioned_richardson(ridge=0.0), r"ridge must be a finite number above 0; got 0\.0"),
    (lambda: c.preconditioned_richardson(bandwidth=INF), r"bandwidth must be a finite number above 0; got inf"),
    (lambda: c.preconditioned_richardson(step_size=0.0), r"step_size must be a finite number above 0; got 0\.0"),
]  # fmt: skip


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("make", "message"), BAD)
def test_bad_options_are_refused(make: Callable[[], Construction], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_at_the_edges_they_are_each_other() -> None:
    p = ms.tasks.LinearRegression(queries=3).sample(8, seed=0)
    plain = c.gradient_descent(layers=4, step_size=0.2).trace(p).predictions
    for same in (
        c.heavy_ball(layers=4, step_size=0.2, momentum=0.0),
        c.nesterov(layers=4, step_size=0.2, momentum=0.0),
        c.chebyshev_iteration(layers=4, smallest=5.0, largest=5.0),
        c.preconditioned_gradient_descent(layers=4, step_size=0.2, condition=1.0),
        c.ridge_gradient_descent(layers=4, step_size=0.2, ridge=0.0),
        c.spaced_gradient_descent(steps=4, step_size=0.2, every=5),
        spaced(c.gradient_descent(layers=4, step_size=0.2), 1),
    ):
        torch.testing.assert_close(same.trace(p).predictions, plain, rtol=0, atol=1e-14)
    other = c.heavy_ball(layers=4, step_size=0.2, momentum=0.1).trace(p).predictions
    assert float((other - plain).abs().max()) > 1e-2


def test_idle_layers_at_the_end_repeat_the_answer() -> None:
    p = ms.tasks.LinearRegression(queries=3).sample(8, seed=0)
    plain = c.conjugate_gradient(iterations=2)
    longer = padded(plain, after=3)
    assert longer.layers == plain.layers + 3
    trace = longer.trace(p, capture=longer.path)
    answers = [longer.readout(trace[site][:, p.examples :], site) for site in longer.path]
    assert all(torch.equal(answer, plain.trace(p).predictions) for answer in answers[plain.layers - 1 :])
    assert not torch.allclose(answers[plain.layers - 2], answers[-1], rtol=1e-2)
    assert plain.holds is not None and longer.holds is None  # where its steps end can no longer be told from its depth
    assert padded(plain, before=1).holds is not None


def test_one_step_of_softmax_attention_is_a_smoother_and_many_of_exponentials_kernel_ridge() -> None:
    p = ms.tasks.LinearRegression(dim=5, examples=6, queries=3).sample(8, seed=0)
    kernel = ms.algorithms.Exponential(temperature=5.0)
    smooth = ms.run(ms.algorithms.NadarayaWatson(kernel=kernel), p).predictions[-1]
    once = c.kernel_gradient_descent(layers=1, step_size=1.0, temperature=5.0).trace(p).predictions
    torch.testing.assert_close(once, smooth, rtol=0, atol=1e-14)
    limit = ms.run(ms.algorithms.KernelRidge(kernel=kernel, ridge=0.0), p).predictions[-1]
    many = c.kernel_gradient_descent(layers=1000, step_size=0.3, temperature=5.0, normalised=0).trace(p).predictions
    few = c.kernel_gradient_descent(layers=10, step_size=0.3, temperature=5.0, normalised=0).trace(p).predictions
    assert float((many - limit).abs().median()) < 0.01 * float((few - limit).abs().median())


@pytest.mark.parametrize("condition", [10.0, 100.0, 1000.0])
def test_conjugate_gradients_end_at_least_squares_and_stay(condition: float) -> None:
    inputs = ms.tasks.Gaussian(covariance=ms.tasks.Diagonal(condition=condition, rotate=True), exact=True)
    p = ms.tasks.LinearRegression(dim=5, examples=20, queries=3, noise=0.0, inputs=inputs).sample(16, seed=0)
    solution = (p.queries @ torch.linalg.pinv(p.xs) @ p.ys[..., None])[..., 0]
    rounded = 100 * torch.finfo(torch.float64).eps * condition  # of solving the normal equations
    # Where u has fallen to this share of the first, no further step is taken, and the answers, whose error u holds once
    # more multiplied by the inputs' covariance, have fallen to that share times its condition.
    ended = ROUNDING * condition
    for make, allowed in (
        (c.preconditioned_conjugate_gradient, rounded),
        (c.primal_conjugate_gradient, rounded),
        (c.pipelined_conjugate_gradient, ended),
    ):
        for iterations in (8, 40):
            error = float((make(iterations=iterations).trace(p).predictions - solution).abs().max())
            assert error < allowed, make
